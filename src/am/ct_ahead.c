/*-------------------------------------------------------------------------
 *
 * ct_ahead.c
 *	  Has the processor fetch what the executor is going to read of a table.
 *
 * Rows come by distance, so that each is on another page of the table, and the
 * executor waits for memory several times a row.  A search mostly knows some of
 * the next rows.  A backend remembers in which buffers the executor found pages,
 * and while it is busy with one row has the processor fetch what it will look at
 * first for the next: the buffer's descriptor, the page's header and the row's
 * line pointer.
 *
 * That a page is where it was is a guess.  Nothing is read or changed here, so
 * that neither pin nor lock is needed, and what is fetched in vain costs time
 * only.  Where on its page a row is, its line pointer tells, which is not looked
 * at; rows themselves are therefore left to the executor.
 *
 * IDENTIFICATION
 *	  src/am/ct_ahead.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "access/heapam.h"
#include "access/relscan.h"
#include "access/tableam.h"
#include "storage/buf_internals.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "ct_am.h"

/* pages remembered; a power of two */
#define TABLE_PAGES		16384

/* where the executor found a page */
typedef struct TablePage
{
	Oid			table;
	BlockNumber block;
	Buffer		buffer;			/* or InvalidBuffer */
} TablePage;

static TablePage table_pages[TABLE_PAGES];

static inline TablePage *
page_slot(Oid table, BlockNumber block)
{
	return &table_pages[(block + table * 613) % TABLE_PAGES];
}

/*
 * Remembers the buffer of the row that the scan returned last, which the
 * executor still has in hand.  Tables of other kinds than core's, and temporary
 * ones, are left alone.
 */
void
ct_ahead_note(IndexScanDesc scan)
{
	IndexFetchTableData *fetch = scan->xs_heapfetch;
	Buffer		buffer;
	TablePage  *page;

	if (fetch == NULL ||
		fetch->rel->rd_tableam != GetHeapamTableAmRoutine())
		return;
	buffer = ((IndexFetchHeapData *) fetch)->xs_cbuf;
	if (!BufferIsValid(buffer) || BufferIsLocal(buffer))
		return;
	page = page_slot(RelationGetRelid(fetch->rel),
					 ItemPointerGetBlockNumber(&scan->xs_heaptid));
	page->table = RelationGetRelid(fetch->rel);
	page->block = ItemPointerGetBlockNumber(&scan->xs_heaptid);
	page->buffer = buffer;
}

/* Has fetched what is looked at first of a row of the scan's table. */
void
ct_ahead_fetch(IndexScanDesc scan, const ItemPointerData *tid)
{
	Oid			table = RelationGetRelid(scan->heapRelation);
	BlockNumber block = ItemPointerGetBlockNumber(tid);
	const TablePage *page = page_slot(table, block);
	const char *address;

	if (page->buffer == InvalidBuffer || page->block != block ||
		page->table != table)
		return;
	address = BufferGetPage(page->buffer);
	__builtin_prefetch(GetBufferDescriptor(page->buffer - 1), 1, 3);
	__builtin_prefetch(address, 0, 3);
	__builtin_prefetch(address + SizeOfPageHeaderData +
					   sizeof(ItemIdData) * (ItemPointerGetOffsetNumber(tid) - 1),
					   0, 3);
}
