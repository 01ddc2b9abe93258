/*-------------------------------------------------------------------------
 *
 * ct_dead_rows.c
 *	  Counting index entries that the next vacuum can remove.
 *
 * An entry is dead when no version of its row can be seen by anybody, now or
 * later: what VACUUM would take out of the table and of this index if it ran
 * now.  Rows that were deleted while an older snapshot is held are not dead
 * yet; nor are those of a transaction that is still running.
 *
 * Every entry is looked up in the table, as an index scan does.  Entries are
 * collected and sorted first, as many as work_mem holds, so that each of the
 * table's pages is visited about once.
 *
 * IDENTIFICATION
 *	  src/sql/ct_dead_rows.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "access/tableam.h"
#include "executor/tuptable.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"

#include "ct_dead_rows.h"
#include "ct_tree.h"

struct CtDeadRows
{
	Relation	heap;
	ItemPointerData *tids;		/* waiting to be looked up */
	int64		n;
	int64		size;
	int64		dead;
};

/* The caller has locked the table. */
CtDeadRows *
ct_dead_rows_begin(Relation heap)
{
	CtDeadRows *rows = palloc0(sizeof(CtDeadRows));

	rows->heap = heap;
	rows->size = Max((Size) work_mem * 1024 / sizeof(ItemPointerData), 1024);
	rows->tids = palloc_extended(rows->size * sizeof(ItemPointerData),
								 MCXT_ALLOC_HUGE);
	return rows;
}

static int
compare_tids(const void *a, const void *b, void *arg)
{
	return ct_compare_tids(a, b);
}

/* Looks up the entries that are waiting. */
static void
look_up(CtDeadRows *rows)
{
	IndexFetchTableData *fetch = table_index_fetch_begin(rows->heap);
	TupleTableSlot *slot = table_slot_create(rows->heap, NULL);
	SnapshotData not_dead;

	/* computes the horizon anew, which snapshots do only now and then */
	(void) GetOldestNonRemovableTransactionId(rows->heap);
	InitNonVacuumableSnapshot(not_dead, GlobalVisTestFor(rows->heap));
	qsort_interruptible(rows->tids, rows->n, sizeof(ItemPointerData),
						compare_tids, NULL);
	for (int64 i = 0; i < rows->n; i++)
	{
		bool		again = false;

		CHECK_FOR_INTERRUPTS();
		if (!table_index_fetch_tuple(fetch, &rows->tids[i], &not_dead, slot,
									 &again, NULL))
			rows->dead++;
	}
	ExecDropSingleTupleTableSlot(slot);
	table_index_fetch_end(fetch);
	rows->n = 0;
}

/* Adds entries of one page.  The caller holds no page lock. */
void
ct_dead_rows_add(CtDeadRows *rows, const ItemPointerData *tids, int n)
{
	if (rows->n + n > rows->size)
		look_up(rows);
	memcpy(rows->tids + rows->n, tids, sizeof(ItemPointerData) * n);
	rows->n += n;
}

/* How many of them are dead. */
int64
ct_dead_rows_end(CtDeadRows *rows)
{
	int64		dead;

	look_up(rows);
	dead = rows->dead;
	pfree(rows->tids);
	pfree(rows);
	return dead;
}
