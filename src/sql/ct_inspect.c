/*-------------------------------------------------------------------------
 *
 * ct_inspect.c
 *	  covertree_check, covertree_stats, covertree_levels,
 *	  covertree_scan_stats.
 *
 * IDENTIFICATION
 *	  src/sql/ct_inspect.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xlog.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "funcapi.h"
#include "nodes/execnodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "ct_am.h"
#include "ct_dead_rows.h"
#include "ct_tree.h"

PG_FUNCTION_INFO_V1(covertree_check);
PG_FUNCTION_INFO_V1(covertree_stats);
PG_FUNCTION_INFO_V1(covertree_levels);
PG_FUNCTION_INFO_V1(covertree_scan_stats);

/* Opens a covertree index that the caller may inspect. */
static Relation
open_index(Oid oid, LOCKMODE mode)
{
	return ct_open_index(oid, mode, false);
}

/* -------- covertree_check -------- */

typedef struct CheckState
{
	Relation	rel;
	CtIndex    *index;
	CtArgType	type;
	ItemPointerData *tids;
	uint8	   *found;
	int64		n;
	int64		size;
} CheckState;

static void
collect_row(ItemPointer tid, const double *point, void *arg)
{
	CheckState *state = arg;

	if (state->n == state->size)
	{
		state->size *= 2;
		state->tids = repalloc_huge(state->tids,
									sizeof(ItemPointerData) * state->size);
	}
	state->tids[state->n++] = *tid;
}

static void
check_heap_row(Relation rel, ItemPointer tid, Datum *values, bool *isnull,
			   bool alive, void *arg)
{
	CheckState *state = arg;

	if (bsearch(tid, state->tids, state->n, sizeof(ItemPointerData),
				ct_compare_tids) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" lacks a row of its table",
						RelationGetRelationName(state->rel)),
				 errdetail("The row is at (%u,%u).",
						   ItemPointerGetBlockNumber(tid),
						   ItemPointerGetOffsetNumber(tid)),
				 errhint("Please REINDEX it.")));
}

Datum
covertree_check(PG_FUNCTION_ARGS)
{
	Oid			oid = PG_GETARG_OID(0);
	bool		heapallindexed = PG_GETARG_BOOL(1);
	LOCKMODE	mode = RecoveryInProgress() ? AccessShareLock : ShareLock;
	Oid			heap_oid = IndexGetRelation(oid, true);
	Relation	heap = OidIsValid(heap_oid) ? table_open(heap_oid, mode) : NULL;
	Relation	rel = open_index(oid, mode);
	CheckState	state = {0};
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "Cover tree check context",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	state.rel = rel;
	state.index = ct_index_open(rel);
	ct_index_refresh(state.index);
	state.size = 1024;
	state.tids = palloc(sizeof(ItemPointerData) * state.size);
	ct_check(state.index, collect_row, &state);
	qsort(state.tids, state.n, sizeof(ItemPointerData), ct_compare_tids);
	for (int64 i = 1; i < state.n; i++)
		if (ItemPointerEquals(&state.tids[i - 1], &state.tids[i]))
			ereport(ERROR,
					(errcode(ERRCODE_INDEX_CORRUPTED),
					 errmsg("index \"%s\" contains a row twice",
							RelationGetRelationName(rel)),
					 errdetail("The row is at (%u,%u).",
							   ItemPointerGetBlockNumber(&state.tids[i]),
							   ItemPointerGetOffsetNumber(&state.tids[i])),
					 errhint("Please REINDEX it.")));

	if (heapallindexed)
	{
		Snapshot	snapshot = RegisterSnapshot(GetTransactionSnapshot());
		IndexInfo  *info = BuildIndexInfo(rel);
		TableScanDesc scan = table_beginscan_strat(heap, snapshot, 0, NULL,
												   true, true);

		/* look at what the snapshot sees, and do not wait for anybody */
		info->ii_Concurrent = true;
		info->ii_Unique = false;
		table_index_build_scan(heap, rel, info, true, false, check_heap_row,
							   &state, scan);
		UnregisterSnapshot(snapshot);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	relation_close(rel, mode);
	table_close(heap, mode);
	PG_RETURN_VOID();
}

/* -------- covertree_stats -------- */

typedef struct PageCounts
{
	int64		rows;
	int64		nulls;
	int64		dead;
	int64		pages[CT_PAGE_FRAME + 1];
	int64		leaf_slots;
} PageCounts;

/* Counts one page; copies the TIDs of its rows to tids and returns how many. */
static int
count_page(CtIndex *index, Page page, PageCounts *counts,
		   ItemPointerData *tids)
{
	CtPageKind	kind = ct_page_is_new(page) ? CT_PAGE_FREE : ct_page_kind(page);
	CtNode		leaf;
	int			n = 0;

	counts->pages[kind]++;
	if (kind == CT_PAGE_LEAF && index->meta.dims > 0 &&
		ct_page_has_shape(index, page))
	{
		ct_node_view(index, page, &leaf);
		n = leaf.header->nentries;
		memcpy(tids, leaf.tids, sizeof(ItemPointerData) * n);
		counts->rows += n;
		counts->leaf_slots += index->leaf.capacity;
	}
	else if (kind == CT_PAGE_NULLS)
	{
		n = ct_nulls_header(page)->ntids;
		memcpy(tids, ct_nulls_tids(page), sizeof(ItemPointerData) * n);
		counts->nulls += n;
	}
	return n;
}

/* Counts pages, rows and dead rows.  The caller has locked the table. */
static void
count_pages(CtIndex *index, Relation heap, PageCounts *counts)
{
	BlockNumber nblocks = ct_block_count(index);
	CtDeadRows *dead = ct_dead_rows_begin(heap);
	ItemPointerData *tids = palloc(sizeof(ItemPointerData) *
								   CT_DEAD_ROWS_BATCH);

	memset(counts, 0, sizeof(PageCounts));
	for (BlockNumber block = 0; block < nblocks; block++)
	{
		CtPin		pin;
		int			n;

		CHECK_FOR_INTERRUPTS();
		pin = ct_pin_new_allowed(index, block, CT_LOCK_SHARE);
		n = count_page(index, ct_pin_page(pin), counts, tids);
		ct_unpin(pin);
		ct_dead_rows_add(dead, tids, n);
	}
	counts->dead = ct_dead_rows_end(dead);
	pfree(tids);
}

Datum
covertree_stats(PG_FUNCTION_ARGS)
{
	Oid			oid = PG_GETARG_OID(0);
	Oid			heap_oid = IndexGetRelation(oid, true);
	Relation	heap = OidIsValid(heap_oid) ?
		table_open(heap_oid, AccessShareLock) : NULL;
	Relation	rel = open_index(oid, AccessShareLock);
	CtIndex    *index = ct_index_open(rel);
	TupleDesc	desc;
	Datum		values[22];
	bool		nulls[22] = {false};
	PageCounts	counts;
	CtTreeStats stats;
	int64		branches = 0;
	int64		children = 0;
	int64		pages;
	int			i = 0;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	ct_index_refresh(index);
	count_pages(index, heap, &counts);
	ct_tree_stats(index, &stats);
	for (int l = 0; l < stats.nlevels; l++)
		if (stats.levels[l].children > 0)
			children += stats.levels[l].children;
	for (int l = 0; l < stats.nlevels; l++)
		branches += stats.levels[l].nodes;
	branches -= stats.exits;
	pages = ct_block_count(index);

	values[i++] = Int32GetDatum((int32) index->meta.version);
	values[i++] = Int64GetDatum(counts.rows);
	values[i++] = Int64GetDatum(counts.nulls);
	values[i++] = Int32GetDatum((int32) index->meta.dims);
	values[i++] = CStringGetTextDatum(index->space.metric->name);
	values[i++] = CStringGetTextDatum(index->meta.element == CT_ELEMENT_FLOAT8 ?
									  "float8" : "float4");
	values[i++] = CStringGetTextDatum(ct_strategy_name(index->meta.strategy));
	values[i++] = Float8GetDatum(index->meta.base);
	values[i++] = Int32GetDatum(stats.height);
	values[i++] = Int64GetDatum(pages);
	values[i++] = Int64GetDatum(counts.pages[CT_PAGE_ROUTING]);
	values[i++] = Int64GetDatum(counts.pages[CT_PAGE_LEAF]);
	values[i++] = Int64GetDatum(counts.pages[CT_PAGE_VECTOR]);
	values[i++] = Int64GetDatum(counts.pages[CT_PAGE_NULLS]);
	values[i++] = Int64GetDatum(counts.pages[CT_PAGE_FREE]);
	values[i++] = Int64GetDatum(counts.pages[CT_PAGE_MODEL] +
								counts.pages[CT_PAGE_FRAME]);
	nulls[i] = counts.leaf_slots == 0;
	values[i++] = Float8GetDatum(counts.leaf_slots == 0 ? 0.0 :
								 (double) counts.rows / counts.leaf_slots);
	nulls[i] = branches == 0;
	values[i++] = Float8GetDatum(branches == 0 ? 0.0 :
								 (double) children / branches);
	values[i++] = Int32GetDatum(stats.max_fanout);
	nulls[i] = counts.rows + counts.nulls == 0;
	values[i++] = Float8GetDatum(counts.rows + counts.nulls == 0 ? 0.0 :
								 (double) pages * BLCKSZ /
								 (counts.rows + counts.nulls));
	values[i++] = Int64GetDatum(counts.dead);
	values[i++] = Float8GetDatum(stats.overlap);
	relation_close(rel, AccessShareLock);
	table_close(heap, AccessShareLock);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}

Datum
covertree_levels(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation	rel = open_index(PG_GETARG_OID(0), AccessShareLock);
	CtIndex    *index = ct_index_open(rel);
	CtTreeStats stats;

	InitMaterializedSRF(fcinfo, 0);
	ct_tree_stats(index, &stats);
	for (int l = 0; l < stats.nlevels; l++)
	{
		CtLevelStats *level = &stats.levels[l];
		Datum		values[6];
		bool		nulls[6] = {false};
		double		mean = level->radius_sum / level->nodes;
		double		nominal = ct_level_radius(&index->space, level->level);

		/* cells of a single place have no level */
		nulls[0] = level->level == CT_LEVEL_ZERO;
		values[0] = Int32GetDatum(level->level);
		values[1] = Int64GetDatum(level->nodes);
		values[2] = Int64GetDatum(level->children);
		values[3] = Float8GetDatum(mean);
		values[4] = Float8GetDatum(level->radius_max);
		/* a proxy's levels and its radii are measured in different metrics */
		nulls[5] = nulls[0] || isinf(nominal) || !index->shape_is_cover;
		values[5] = Float8GetDatum(nulls[5] ? 0.0 : mean / nominal);
		tuplestore_putvalues(info->setResult, info->setDesc, values, nulls);
	}
	relation_close(rel, AccessShareLock);
	return (Datum) 0;
}

Datum
covertree_scan_stats(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[5];
	bool		nulls[5] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int64GetDatum(ct_scan_stats.scans);
	values[1] = Int64GetDatum(ct_scan_stats.rows_returned);
	values[2] = Int64GetDatum(ct_scan_stats.pages_read);
	values[3] = Int64GetDatum(ct_scan_stats.distances);
	values[4] = Int64GetDatum(ct_scan_stats.subtrees_pruned);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}
