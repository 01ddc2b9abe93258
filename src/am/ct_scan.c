/*-------------------------------------------------------------------------
 *
 * ct_scan.c
 *	  Index scan callbacks.
 *
 * A scan may have several ordering operators (ORDER BY pt <~> a, pt <~> b).
 * The first one whose operand is not NULL drives the search; those behind it
 * order rows that tie (ct_ties.c).  A NULL operand makes all distances NULL,
 * and orders nothing.
 *
 * IDENTIFICATION
 *	  src/am/ct_scan.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "access/relscan.h"
#include "catalog/pg_type.h"
#include "pgstat.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "ct_am.h"
#include "ct_residual_query.h"
#include "ct_tree.h"

/* One ordering operator. */
typedef struct Ordering
{
	CtReport	report;
	double	   *location;		/* of the query, once one has been read */
	int			location_size;
	double	   *record;			/* residual index: the same, expanded */
	int			record_size;
} Ordering;

typedef struct ScanState
{
	CtIndex    *index;
	CtSearch   *search;
	CtTies	   *ties;			/* or NULL: there is one ordering */
	Ordering   *orderings;
	int			leading;		/* which of them drives the search */
	CtOrder    *further;		/* the others that order, for ties */
	MemoryContext context;
	double	   *row;			/* location of the row returned last */
	CtResidualQuery memo;		/* the leading query, for
								 * ct_residual_memo_note() */
	bool		started;
} ScanState;

IndexScanDesc
ctbeginscan(Relation rel, int nkeys, int norderbys)
{
	IndexScanDesc scan = RelationGetIndexScan(rel, nkeys, norderbys);
	ScanState  *state = palloc0(sizeof(ScanState));

	state->index = ct_index_open(rel);
	state->search = ct_search_create(state->index);
	state->context = CurrentMemoryContext;
	if (norderbys > 0)
	{
		scan->xs_orderbyvals = palloc0(sizeof(Datum) * norderbys);
		scan->xs_orderbynulls = palloc(sizeof(bool) * norderbys);
		state->orderings = palloc0(sizeof(Ordering) * norderbys);
		state->further = palloc(sizeof(CtOrder) * norderbys);
	}
	if (norderbys > 1)
		state->ties = ct_ties_create(state->index, state->search,
									 norderbys - 1);
	scan->opaque = state;
	return scan;
}

static void
collect_stats(ScanState *state)
{
	CtSearchStats *stats = ct_search_stats(state->search);

	ct_scan_stats.pages_read += stats->pages_read;
	ct_scan_stats.distances += stats->distances;
	ct_scan_stats.subtrees_pruned += stats->subtrees_pruned;
	memset(stats, 0, sizeof(CtSearchStats));
}

void
ctrescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys,
		 int norderbys)
{
	ScanState  *state = scan->opaque;

	if (orderbys && norderbys > 0)
		memmove(scan->orderByData, orderbys,
				sizeof(ScanKeyData) * scan->numberOfOrderBys);
	if (state->started)
		collect_stats(state);
	state->started = false;
}

/* Keeps the location of a query. */
static void
keep_location(ScanState *state, Ordering *ordering, int dims,
			  const double *location)
{
	if (ordering->location_size < dims)
	{
		if (ordering->location)
			pfree(ordering->location);
		ordering->location = MemoryContextAlloc(state->context,
												sizeof(double) * dims);
		ordering->location_size = dims;
	}
	memcpy(ordering->location, location, sizeof(double) * dims);
}

/*
 * Reads the operand of an ordering operator of a residual index.  A query of
 * another model gets an error, since the tree's bounds would not hold for it.
 */
static void
read_residual_query(IndexScanDesc scan, Ordering *ordering, Datum argument,
					CtResidualQuery *query)
{
	ScanState  *state = scan->opaque;
	CtIndex    *index = state->index;

	ct_residual_query_read(argument, query);
	if (memcmp(query->fingerprint, index->meta.model_fingerprint,
			   CT_FINGERPRINT_BYTES) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" cannot answer a query of model \"%s\"",
						RelationGetRelationName(scan->indexRelation),
						query->name),
				 errdetail("The index was built with another model, \"%s\".",
						   ct_option_model(scan->indexRelation)),
				 errhint("Create an index for this model, or set enable_indexscan to off.")));
	if (index->meta.dims == 0)
		return;
	if (!ct_index_has_dims(index, query->dims) && index->meta.dims > 0)
		ct_dims_mismatch(index->meta.dims, query->dims);
	if (index->meta.dims == 0)
		return;
	if (ordering->record_size < index->point_size)
	{
		if (ordering->record)
			pfree(ordering->record);
		ordering->record = MemoryContextAlloc(state->context,
											  sizeof(double) * index->point_size);
		ordering->record_size = index->point_size;
	}
	keep_location(state, ordering, query->dims, query->location);
	query->location = ordering->location;
	ct_index_expand(index, 1, ordering->location, ordering->record);
}

/* Reads the operand of an ordering operator of a Euclidean index. */
static void
read_location(IndexScanDesc scan, Ordering *ordering, const ScanKeyData *key)
{
	ScanState  *state = scan->opaque;
	CtIndex    *index = state->index;
	Oid			type = OidIsValid(key->sk_subtype) ? key->sk_subtype :
		scan->indexRelation->rd_opcintype[0];
	CtArgType	arg_type;
	static double location[CT_MAX_DIMS];
	int			dims;

	if (!ct_arg_type_from_oid(type, &arg_type))
		elog(ERROR, "unexpected type of ordering operand: %u", type);
	dims = ct_point_read(key->sk_argument, arg_type, location);
	if (index->meta.dims > 0 && !ct_index_has_dims(index, dims) &&
		index->meta.dims > 0)
		ct_dims_mismatch(index->meta.dims, dims);
	keep_location(state, ordering, dims, location);
}

/* Reads the operands of all ordering operators, and sets the leading one. */
static void
read_orderings(IndexScanDesc scan)
{
	ScanState  *state = scan->opaque;
	bool		residual = state->index->meta.metric == CT_METRIC_RESIDUAL;

	state->leading = -1;
	for (int o = 0; o < scan->numberOfOrderBys; o++)
	{
		ScanKey		key = &scan->orderByData[o];
		Ordering   *ordering = &state->orderings[o];
		CtResidualQuery query;

		ordering->report = CT_REPORT_NULL;
		if (key->sk_flags & SK_ISNULL)
			continue;
		ordering->report = key->sk_strategy == CT_STRATEGY_CORE_DISTANCE ?
			CT_REPORT_HYPOT : CT_REPORT_METRIC;
		if (residual)
			read_residual_query(scan, ordering, key->sk_argument, &query);
		else
			read_location(scan, ordering, key);
		if (state->leading >= 0)
			continue;
		state->leading = o;
		if (residual)
			state->memo = query;
	}
	state->leading = Max(state->leading, 0);
}

/* The query of an ordering as a point of the index; NULL without dimension. */
static const double *
query_point(const ScanState *state, int number)
{
	const Ordering *ordering = &state->orderings[number];

	if (ordering->report == CT_REPORT_NULL)
		return NULL;
	if (state->index->meta.metric != CT_METRIC_RESIDUAL)
		return ordering->location;
	return state->index->meta.dims > 0 ? ordering->record : NULL;
}

/* Starts the search, with what is known of the index. */
static void
start_search(IndexScanDesc scan)
{
	ScanState  *state = scan->opaque;
	int			nfurther = 0;

	read_orderings(scan);
	for (int o = state->leading + 1; o < scan->numberOfOrderBys; o++)
		if (state->orderings[o].report != CT_REPORT_NULL)
		{
			state->further[nfurther].report = state->orderings[o].report;
			state->further[nfurther++].query = query_point(state, o);
		}
	if (state->ties)
		ct_ties_start(state->ties, nfurther, state->further);
	ct_search_start(state->search, query_point(state, state->leading),
					state->orderings[state->leading].report);
}

static void
start_scan(IndexScanDesc scan)
{
	ScanState  *state = scan->opaque;
	CtIndex    *index = state->index;

	if (scan->numberOfOrderBys == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("index \"%s\" can only be scanned in order of a distance",
						RelationGetRelationName(scan->indexRelation))));
	if (scan->xs_snapshot && !IsMVCCSnapshot(scan->xs_snapshot))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("non-MVCC snapshots are not supported with covertree")));

	pgstat_count_index_scan(scan->indexRelation);
	ct_scan_stats.scans++;
	if (index->meta.dims == 0 || index->meta.metric == CT_METRIC_RESIDUAL)
		ct_index_refresh(index);
	start_search(scan);
}

/* Notes the distance of the row that is returned, for the select list. */
static void
note_residual(ScanState *state, const CtResult *result)
{
	if (state->row == NULL)
		state->row = MemoryContextAlloc(state->context,
										sizeof(double) * CT_MAX_DIMS);
	ct_vector_location(state->index, result->locator, state->row);
	ct_residual_memo_note(&state->memo, state->row, result->dist);
}

/* Reports a row's distances: NULL where the row or the query has no point. */
static void
report_distances(IndexScanDesc scan, const CtResult *result,
				 const double *further)
{
	ScanState  *state = scan->opaque;

	for (int o = 0; o < scan->numberOfOrderBys; o++)
	{
		CtReport	report = state->orderings[o].report;
		bool		isnull = result->isnull || report == CT_REPORT_NULL;
		double		dist = 0.0;

		if (!isnull)
			dist = o == state->leading ? result->dist : *further++;
		if (report == CT_REPORT_HYPOT && isinf(dist))
			float_overflow_error();
		scan->xs_orderbyvals[o] = Float8GetDatum(dist);
		scan->xs_orderbynulls[o] = isnull;
	}
}

/* Gets the next row from the search, or from the ties behind it. */
static bool
next_row(IndexScanDesc scan, CtResult *result, const double **further)
{
	ScanState  *state = scan->opaque;

	for (;;)
	{
		if (state->ties ? ct_ties_next(state->ties, result, further) :
			ct_search_next(state->search, result))
			return true;
		if (!ct_search_is_outdated(state->search))
			return false;
		CHECK_FOR_INTERRUPTS();
		ct_index_refresh(state->index);
		start_search(scan);
	}
}

bool
ctgettuple(IndexScanDesc scan, ScanDirection direction)
{
	ScanState  *state = scan->opaque;
	CtResult	result;
	const double *further = NULL;
	const ItemPointerData *ahead;

	Assert(ScanDirectionIsForward(direction));
	if (state->started)
		ct_ahead_note(scan);
	else
	{
		start_scan(scan);
		state->started = true;
	}
	if (!next_row(scan, &result, &further))
	{
		collect_stats(state);
		return false;
	}
	while ((ahead = ct_search_ahead(state->search)) != NULL)
		ct_ahead_fetch(scan, ahead);
	ct_scan_stats.rows_returned++;
	scan->xs_heaptid = result.tid;
	scan->xs_recheck = false;
	scan->xs_recheckorderby = false;
	if (state->index->meta.metric == CT_METRIC_RESIDUAL && !result.isnull)
		note_residual(state, &result);
	report_distances(scan, &result, further);
	return true;
}

void
ctendscan(IndexScanDesc scan)
{
	ScanState  *state = scan->opaque;

	collect_stats(state);
	if (state->ties)
		ct_ties_destroy(state->ties);
	ct_search_destroy(state->search);
	for (int o = 0; o < scan->numberOfOrderBys; o++)
	{
		if (state->orderings[o].location)
			pfree(state->orderings[o].location);
		if (state->orderings[o].record)
			pfree(state->orderings[o].record);
	}
	if (state->orderings)
		pfree(state->orderings);
	if (state->further)
		pfree(state->further);
	if (state->row)
		pfree(state->row);
	pfree(state->index);
	pfree(state);
}
