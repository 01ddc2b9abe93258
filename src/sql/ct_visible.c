/*-------------------------------------------------------------------------
 *
 * ct_visible.c
 *	  Which rows of an index a snapshot sees.
 *
 * An index scan asks the table for each row.  Who asks for the rows of a whole
 * leaf, and of the next one, meets the same pages of the table again and again;
 * so what was found out about a page is noted, where it is simple: a page is
 * **plain** up to line pointer n if each of the first n is that of a row which
 * the snapshot sees at this very place.
 *
 * Such a note holds as long as the snapshot lives, whatever happens to the
 * page: no row that a snapshot sees is moved, and its line pointer is used for
 * no other.  A line pointer above n may be of a row that came later.
 *
 * Rows are therefore found even if they were read from the index long before.
 * A row that the index had, and vacuum has removed since, is one that no
 * snapshot sees; nor does ours see what may have taken its place.
 *
 * IDENTIFICATION
 *	  src/sql/ct_visible.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
#include "utils/rel.h"

#include "ct_page.h"
#include "ct_visible.h"

/* notes on a page of the table, other than the number of plain rows */
#define PAGE_NEW		0
#define PAGE_MIXED		PG_UINT16_MAX

/* rows between one that is looked at and one whose memory is asked for */
#define PREFETCH_ROWS	12

struct CtVisible
{
	Relation	heap;
	Snapshot	snapshot;
	bool		is_heap;		/* core's table access method */

	/* if so: notes, and the page that was looked at last */
	uint16	   *notes;
	BlockNumber nnotes;
	Buffer		buffer;
	BlockNumber block;

	/* if not */
	IndexFetchTableData *fetch;
	TupleTableSlot *slot;
};

/*
 * Begins to look at a table, with so many bytes for notes.  The caller has the
 * table locked, and keeps the snapshot.
 */
CtVisible *
ct_visible_begin(Relation heap, Snapshot snapshot, Size memory)
{
	CtVisible  *visible = palloc0(sizeof(CtVisible));
	BlockNumber nblocks = RelationGetNumberOfBlocks(heap);

	visible->heap = heap;
	visible->snapshot = snapshot;
	visible->is_heap = heap->rd_tableam == GetHeapamTableAmRoutine();
	visible->buffer = InvalidBuffer;
	if (!visible->is_heap)
	{
		visible->fetch = table_index_fetch_begin(heap);
		visible->slot = table_slot_create(heap, NULL);
		return visible;
	}

	/*
	 * A serializable transaction has to look at every row, so that conflicts
	 * are found; that of the whole table, for rows that come later.
	 */
	PredicateLockRelation(heap, snapshot);
	if (!IsolationIsSerializable())
		visible->nnotes = Min(nblocks, memory / sizeof(uint16));
	if (visible->nnotes > 0)
		visible->notes = MemoryContextAllocExtended(CurrentMemoryContext,
													sizeof(uint16) * visible->nnotes,
													MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	return visible;
}

/* Locks the page of the table. */
static Page
lock_page(CtVisible *visible, BlockNumber block)
{
	if (visible->buffer != InvalidBuffer && visible->block != block)
	{
		ReleaseBuffer(visible->buffer);
		visible->buffer = InvalidBuffer;
	}
	if (visible->buffer == InvalidBuffer)
		visible->buffer = ct_read_table(visible->heap, block);
	visible->block = block;
	LockBuffer(visible->buffer, BUFFER_LOCK_SHARE);
	return BufferGetPage(visible->buffer);
}

/* The version that the snapshot sees of a row of the locked page. */
static bool
find_version(CtVisible *visible, ItemPointer tid)
{
	HeapTupleData tuple;

	return heap_hot_search_buffer(tid, visible->heap, visible->buffer,
								  visible->snapshot, &tuple, NULL, true);
}

/*
 * Is all of the locked page visible to all?  Then the tuple of a line pointer is the
 * only version of its row, and need not be looked at.  On a standby the flag may be
 * ahead of the snapshot.
 */
static inline bool
is_all_visible(const CtVisible *visible, Page page)
{
	return PageIsAllVisible(page) && !visible->snapshot->takenDuringRecovery;
}

/*
 * Is this line pointer of the locked page plain?  What heap_hot_search_buffer()
 * finds out of the first tuple of a chain, for transactions that are not
 * serializable.
 */
static bool
is_plain(CtVisible *visible, Page page, OffsetNumber offset)
{
	ItemId		item = PageGetItemId(page, offset);
	HeapTupleData tuple;

	if (!ItemIdIsNormal(item))
		return false;
	if (is_all_visible(visible, page))
		return true;
	tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
	tuple.t_len = ItemIdGetLength(item);
	tuple.t_tableOid = RelationGetRelid(visible->heap);
	ItemPointerSet(&tuple.t_self, visible->block, offset);
	return !HeapTupleIsHeapOnly(&tuple) &&
		HeapTupleSatisfiesVisibility(&tuple, visible->snapshot,
									 visible->buffer);
}

/* What is to be noted of a page of the table. */
static uint16
look_at_page(CtVisible *visible, BlockNumber block)
{
	Page		page = lock_page(visible, block);
	OffsetNumber last = PageGetMaxOffsetNumber(page);
	OffsetNumber offset = FirstOffsetNumber;
	bool		all_visible = is_all_visible(visible, page);

	while (offset <= last)
	{
		/* tuples are far apart; get the line of one that comes soon */
		if (!all_visible && offset + PREFETCH_ROWS <= last)
			__builtin_prefetch(PageGetItem(page,
										   PageGetItemId(page,
														 offset + PREFETCH_ROWS)));
		if (!is_plain(visible, page, offset))
			break;
		offset++;
	}
	LockBuffer(visible->buffer, BUFFER_LOCK_UNLOCK);
	/* rows at the end may be those of somebody who is loading the table */
	return offset > FirstOffsetNumber ? offset - 1 : PAGE_MIXED;
}

/* Finds one row by itself. */
static bool
find_row(CtVisible *visible, ItemPointer tid)
{
	bool		found;

	if (visible->is_heap)
	{
		lock_page(visible, ItemPointerGetBlockNumber(tid));
		found = find_version(visible, tid);
		LockBuffer(visible->buffer, BUFFER_LOCK_UNLOCK);
	}
	else
	{
		bool		call_again = false;

		found = table_index_fetch_tuple(visible->fetch, tid,
										visible->snapshot, visible->slot,
										&call_again, NULL);
		if (found)
			*tid = visible->slot->tts_tid;
		ExecClearTuple(visible->slot);
	}
	return found;
}

/*
 * Finds the versions that the snapshot sees of n rows of an index; seen[i]
 * becomes invalid where it sees none.  The caller holds no lock on a page.
 */
void
ct_visible_find(CtVisible *visible, int n, const ItemPointerData *tids,
				ItemPointerData *seen)
{
	for (int i = 0; i < n; i++)
	{
		BlockNumber block = ItemPointerGetBlockNumber(&tids[i]);
		uint16		note = PAGE_MIXED;

		seen[i] = tids[i];
		if (block < visible->nnotes)
		{
			if (visible->notes[block] == PAGE_NEW)
			{
				CHECK_FOR_INTERRUPTS();
				visible->notes[block] = look_at_page(visible, block);
			}
			note = visible->notes[block];
		}
		if (note != PAGE_MIXED &&
			ItemPointerGetOffsetNumber(&tids[i]) <= note)
			continue;
		if (!find_row(visible, &seen[i]))
			ItemPointerSetInvalid(&seen[i]);
	}
}

void
ct_visible_end(CtVisible *visible)
{
	if (visible->buffer != InvalidBuffer)
		ReleaseBuffer(visible->buffer);
	if (visible->fetch)
	{
		table_index_fetch_end(visible->fetch);
		ExecDropSingleTupleTableSlot(visible->slot);
	}
	if (visible->notes)
		pfree(visible->notes);
	pfree(visible);
}
