/*-------------------------------------------------------------------------
 *
 * ct_knn_sql.c
 *	  covertree_knn, covertree_knn_graph: bulk search in SQL.
 *
 * IDENTIFICATION
 *	  src/sql/ct_knn_sql.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <unistd.h>

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/index.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "optimizer/cost.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "ct_am.h"
#include "ct_knn.h"
#include "ct_progress.h"
#include "ct_visible.h"

PG_FUNCTION_INFO_V1(covertree_knn);
PG_FUNCTION_INFO_V1(covertree_knn_graph);

/* a share of the memory is for notes on the table's pages */
#define VISIBLE_SHARE	8

/*
 * A session keeps so much of the memory that was used, at most, in bytes; or as much
 * as a search may use, up to the second.  Larger pieces than half of the first glibc
 * always gets from the system.
 */
#define KEPT_MEMORY		((Size) 62 * 1024 * 1024)
#define MOST_KEPT		((Size) 128 * 1024 * 1024)

/* sizes of blocks of memory for results: least, first, largest */
#define RESULT_BLOCKS	0, 8 * 1024, 1024 * 1024

/* columns of a result, in both functions */
enum
{
	COLUMN_QUERY,				/* number, or TID of a row */
	COLUMN_RANK,
	COLUMN_TID,
	COLUMN_DISTANCE,
	RESULT_COLUMNS
};

typedef struct BulkState
{
	CtKnn		knn;
	Relation	heap;
	Relation	rel;
	CtVisible  *visible;
	bool		progress;		/* is shown */
	int			reports;
	int64		rows;			/* of the result */

	/* results: a tuple that is filled in and copied, and where columns are */
	ReturnSetInfo *info;
	MinimalTuple tuple;
	TupleTableSlot *slot;
	char	   *columns[RESULT_COLUMNS];
} BulkState;

/* -------- opening -------- */

/*
 * Rows that a snapshot from before the index was made complete could see may
 * be missing in it (broken HOT chains).  Plans do without such an index; here
 * it is asked for by name.
 */
static void
check_usable(Relation rel)
{
	if (rel->rd_index->indcheckxmin &&
		!TransactionIdPrecedes(HeapTupleHeaderGetXmin(rel->rd_indextuple->t_data),
							   TransactionXmin))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" cannot be used by this transaction",
						RelationGetRelationName(rel)),
				 errdetail("Rows were updated while the index was built, and this transaction might see old versions of them."),
				 errhint("Try again in a new transaction, when those that ran at the time have ended.")));
}

/* Opens the index and its table, whose rows the caller may see. */
static void
open_relations(BulkState *state, Oid oid)
{
	Oid			heap = IndexGetRelation(oid, true);

	/* the table first, as everybody does */
	if (OidIsValid(heap))
		LockRelationOid(heap, AccessShareLock);
	state->rel = ct_open_index(oid, AccessShareLock, true);
	heap = IndexGetRelation(oid, false);
	state->heap = table_open(heap, AccessShareLock);
	if (check_enable_rls(heap, InvalidOid, false) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot search index \"%s\" in bulk",
						RelationGetRelationName(state->rel)),
				 errdetail("Row-level security of table \"%s\" applies to you.",
						   RelationGetRelationName(state->heap)),
				 errhint("Use ORDER BY and LIMIT in a LATERAL subquery instead.")));
	check_usable(state->rel);
}

/* Threads as a parallel query would have processes, but no more than cores. */
static int
thread_count(void)
{
	int			workers = Min(max_parallel_workers_per_gather,
							  max_parallel_workers);

	return Min(workers + 1, Max((int) sysconf(_SC_NPROCESSORS_ONLN), 1));
}

/* -------- callbacks of the search -------- */

static void
see_rows(void *arg, int n, const ItemPointerData *tids, ItemPointerData *seen)
{
	ct_visible_find(((BulkState *) arg)->visible, n, tids, seen);
}

/* Waits as long as a test wants. */
static void
stop_for_test(void)
{
	Datum		key = Int64GetDatum(CT_STOP_LOCK);

	DirectFunctionCall1(pg_advisory_lock_shared_int8, key);
	DirectFunctionCall1(pg_advisory_unlock_shared_int8, key);
}

static void
report_progress(void *arg)
{
	BulkState  *state = arg;
	static const int numbers[] = {CT_PROGRESS_TOTAL, CT_PROGRESS_ANSWERED,
	CT_PROGRESS_PAGES, CT_PROGRESS_DISTANCES};
	int64		values[lengthof(numbers)];

	values[0] = state->knn.total;
	values[1] = state->knn.answered;
	values[2] = state->knn.pages;
	values[3] = state->knn.distances;
	if (state->progress)
		pgstat_progress_update_multi_param(lengthof(numbers), numbers, values);
	if (++state->reports == ct_bulk_search_stop)
		stop_for_test();
}

/* A result without distance, which the tuple has no room to say. */
static void
emit_null_distance(BulkState *state, const CtKnnQuery *query, int32 rank,
				   const CtKnnRow *row)
{
	Datum		values[RESULT_COLUMNS];
	bool		nulls[RESULT_COLUMNS] = {false};

	values[COLUMN_QUERY] = query->number > 0 ?
		Int32GetDatum((int32) query->number) :
		PointerGetDatum(&query->tid);
	values[COLUMN_RANK] = Int32GetDatum(rank);
	values[COLUMN_TID] = PointerGetDatum(&row->tid);
	nulls[COLUMN_DISTANCE] = true;
	tuplestore_putvalues(state->info->setResult, state->info->setDesc, values,
						 nulls);
}

static void
emit_rows(void *arg, const CtKnnQuery *query, int64 rank, int64 n,
		  const CtKnnRow *rows)
{
	BulkState  *state = arg;
	int32		number = (int32) query->number;

	if (number > 0)
		memcpy(state->columns[COLUMN_QUERY], &number, sizeof(number));
	else
		memcpy(state->columns[COLUMN_QUERY], &query->tid,
			   sizeof(ItemPointerData));
	state->rows += n;
	for (int64 i = 0; i < n; i++)
	{
		int32		this_rank = (int32) (rank + i);

		if (rows[i].isnull)
		{
			emit_null_distance(state, query, this_rank, &rows[i]);
			continue;
		}
		memcpy(state->columns[COLUMN_RANK], &this_rank, sizeof(this_rank));
		memcpy(state->columns[COLUMN_TID], &rows[i].tid,
			   sizeof(ItemPointerData));
		memcpy(state->columns[COLUMN_DISTANCE], &rows[i].dist, sizeof(double));
		tuplestore_puttupleslot(state->info->setResult, state->slot);
	}
}

/* -------- results -------- */

/*
 * Prepares a set of results like InitMaterializedSRF(), but one whose tuples
 * stand side by side, without rounding to powers of two.  (From PostgreSQL 18 on
 * a tuplestore sees to that itself.)  The memory context is that of all calls by
 * the same node of a plan, one after the other.
 */
static void
prepare_results(BulkState *state, FunctionCallInfo fcinfo)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	FmgrInfo   *function = fcinfo->flinfo;
	MemoryContext old;

	InitMaterializedSRF(fcinfo, 0);
	state->info = info;
	if (function->fn_extra == NULL)
		function->fn_extra = GenerationContextCreate(function->fn_mcxt,
													 "Bulk search: results",
													 RESULT_BLOCKS);
	tuplestore_end(info->setResult);
	old = MemoryContextSwitchTo(function->fn_extra);
	info->setResult =
		tuplestore_begin_heap(info->allowedModes & SFRM_Materialize_Random,
							  false, work_mem);
	MemoryContextSwitchTo(old);
}

/*
 * Results are many, and all look the same: so a tuple is formed once, and then
 * only its columns are filled in.
 */
static void
prepare_tuple(BulkState *state)
{
	TupleDesc	desc = state->info->setDesc;
	ItemPointerData tid = {{0}};
	Datum		values[RESULT_COLUMNS] = {0};
	bool		nulls[RESULT_COLUMNS] = {false};
	char	   *data;
	size_t		offset = 0;

	for (int i = 0; i < RESULT_COLUMNS; i++)
		if (TupleDescAttr(desc, i)->atttypid == TIDOID)
			values[i] = PointerGetDatum(&tid);
	values[COLUMN_DISTANCE] = Float8GetDatum(0.0);
	state->tuple = ct_form_minimal_tuple(desc, values, nulls);
	data = (char *) state->tuple + state->tuple->t_hoff - MINIMAL_TUPLE_OFFSET;
	for (int i = 0; i < RESULT_COLUMNS; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		offset = att_align_nominal(offset, attribute->attalign);
		state->columns[i] = data + offset;
		offset += attribute->attlen;
	}
	state->slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	ExecStoreMinimalTuple(state->tuple, state->slot, false);
}

/* -------- the functions -------- */

/* Has nobody told glibc how much it should keep? */
static bool
keeps_by_itself(void)
{
	const char *tunables = getenv("GLIBC_TUNABLES");

	return getenv("MALLOC_TRIM_THRESHOLD_") == NULL &&
		getenv("MALLOC_MMAP_THRESHOLD_") == NULL &&
		(tunables == NULL || strstr(tunables, "glibc.malloc") == NULL);
}

/*
 * Memory of a search, and of its result, goes back to malloc() when the
 * statement ends, and from there at once to the system, which gives it out page
 * by page when the next one touches it: that was a quarter of a statement of a
 * thousand queries.  Glibc learns by the largest piece that is freed how much
 * it should keep (twice that), unless it has been told; so it gets one such
 * piece, untouched, once in a session.  A search that may use more tells it.
 */
static void
keep_memory(Size memory)
{
	static Size kept = 0;

	if (kept == 0)
	{
		pfree(palloc(KEPT_MEMORY / 2));
		kept = KEPT_MEMORY;
	}
	memory = Min(memory, MOST_KEPT);
	if (memory <= kept || !keeps_by_itself())
		return;
#ifdef __GLIBC__
	(void) mallopt(M_TRIM_THRESHOLD, memory);
#endif
	kept = memory;
}

static void
check_k(int32 k)
{
	if (k <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of neighbours must be greater than zero"),
				 errdetail("k is %d.", k)));
}

/*
 * Prepares a search.  The metadata of the index are those of after the
 * snapshot, so that no row that it sees is of another dimension or has a
 * smaller residual variance than they say.
 */
static BulkState *
begin_search(FunctionCallInfo fcinfo, int32 k)
{
	BulkState  *state = palloc0(sizeof(BulkState));
	CtKnn	   *knn = &state->knn;
	Snapshot	snapshot = GetActiveSnapshot();
	Size		memory = work_mem * (Size) 1024;

	check_k(k);
	keep_memory(memory);
	open_relations(state, PG_GETARG_OID(0));
	if (!IsMVCCSnapshot(snapshot))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("non-MVCC snapshots are not supported with covertree")));
	prepare_results(state, fcinfo);
	prepare_tuple(state);
	PredicateLockRelation(state->rel, snapshot);
	pgstat_count_index_scan(state->rel);
	state->visible = ct_visible_begin(state->heap, snapshot,
									  memory / VISIBLE_SHARE);
	knn->index = ct_index_open(state->rel);
	ct_index_refresh(knn->index);
	knn->context = CurrentMemoryContext;
	knn->k = k;
	knn->nthreads = thread_count();
	knn->memory = memory - memory / VISIBLE_SHARE;
	knn->see = see_rows;
	knn->emit = emit_rows;
	knn->report = report_progress;
	knn->arg = state;
	return state;
}

/* Runs a search to its end. */
static void
run_search(BulkState *state)
{
	state->progress = ct_progress_start(RelationGetRelid(state->rel));
	if (state->progress)
		pgstat_progress_update_param(CT_PROGRESS_THREADS,
									 state->knn.nthreads);
	report_progress(state);
	ct_knn_run(&state->knn);
	if (state->progress)
		ct_progress_end();
	pgstat_count_index_tuples(state->rel, state->rows);
	ct_scan_stats.scans++;
	ct_scan_stats.rows_returned += state->rows;
	ct_scan_stats.pages_read += state->knn.pages;
	ct_scan_stats.distances += state->knn.distances;
	ct_visible_end(state->visible);
	ExecDropSingleTupleTableSlot(state->slot);
	relation_close(state->rel, NoLock);
	table_close(state->heap, NoLock);
}

/*
 * The k nearest rows of each location, as a LATERAL index scan under the same
 * snapshot finds them.
 */
Datum
covertree_knn(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(1);
	BulkState  *state = begin_search(fcinfo, PG_GETARG_INT32(2));
	CtKnn	   *knn = &state->knn;
	int			n;
	int			dims;

	knn->locations = ct_points_open(array, &n, &dims);
	knn->nqueries = n;
	if (n > 0 && knn->index->meta.dims > 0 && dims != knn->index->meta.dims)
		ct_dims_mismatch(knn->index->meta.dims, dims);
	run_search(state);
	return (Datum) 0;
}

/* The k nearest others of each row that has a point. */
Datum
covertree_knn_graph(PG_FUNCTION_ARGS)
{
	run_search(begin_search(fcinfo, PG_GETARG_INT32(1)));
	return (Datum) 0;
}
