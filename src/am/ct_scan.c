/*-------------------------------------------------------------------------
 *
 * ct_scan.c
 *	  Index scan callbacks.
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

typedef struct ScanState
{
	CtIndex    *index;
	CtSearch   *search;
	const CtOpclass *opclass;
	double	   *location;		/* of the query */
	double	   *query;			/* residual index: its record, or NULL */
	double	   *row;			/* location of the row returned last */
	CtResidualQuery memo;		/* the query, for ct_residual_memo_note() */
	bool		started;
	bool		core_distance;	/* report the bits of core's <-> */
} ScanState;

IndexScanDesc
ctbeginscan(Relation rel, int nkeys, int norderbys)
{
	IndexScanDesc scan = RelationGetIndexScan(rel, nkeys, norderbys);
	ScanState  *state = palloc0(sizeof(ScanState));

	state->index = ct_index_open(rel);
	state->opclass = ct_opclass(rel);
	state->search = ct_search_create(state->index);
	state->location = palloc(sizeof(double) * CT_MAX_DIMS);
	if (norderbys > 0)
	{
		scan->xs_orderbyvals = palloc0(sizeof(Datum) * norderbys);
		scan->xs_orderbynulls = palloc(sizeof(bool) * norderbys);
	}
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

/*
 * Starts the search of a residual index.  A query of another model gets an
 * error, since the tree's bounds would not hold for it.
 */
static void
start_residual_scan(IndexScanDesc scan, Datum argument)
{
	ScanState  *state = scan->opaque;
	CtIndex    *index = state->index;
	CtResidualQuery query;

	ct_residual_query_read(argument, &query);
	if (memcmp(query.fingerprint, index->meta.model_fingerprint,
			   CT_FINGERPRINT_BYTES) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" cannot answer a query of model \"%s\"",
						RelationGetRelationName(scan->indexRelation),
						query.name),
				 errdetail("The index was built with another model, \"%s\".",
						   ct_option_model(scan->indexRelation)),
				 errhint("Create an index for this model, or set enable_indexscan to off.")));
	if (index->meta.dims > 0 && query.dims != index->meta.dims)
		ct_dims_mismatch(index->meta.dims, query.dims);
	if (index->meta.dims == 0)
	{
		ct_search_start(state->search, NULL, CT_REPORT_METRIC);
		return;
	}
	if (state->query == NULL)
	{
		state->query = MemoryContextAlloc(GetMemoryChunkContext(state),
										  sizeof(double) * index->point_size);
		state->row = MemoryContextAlloc(GetMemoryChunkContext(state),
										sizeof(double) * index->meta.dims);
	}
	memcpy(state->location, query.location, sizeof(double) * query.dims);
	state->memo = query;
	state->memo.location = state->location;
	ct_index_expand(index, 1, state->location, state->query);
	ct_search_start(state->search, state->query, CT_REPORT_METRIC);
}

/* Reads the query from the scan's ordering operator and starts the search. */
static void
start_scan(IndexScanDesc scan)
{
	ScanState  *state = scan->opaque;
	CtIndex    *index = state->index;
	ScanKey		key;
	Oid			type;
	CtArgType	arg_type;
	int			dims;

	if (scan->numberOfOrderBys != 1)
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
	key = &scan->orderByData[0];
	state->core_distance = key->sk_strategy == CT_STRATEGY_CORE_DISTANCE;
	if (key->sk_flags & SK_ISNULL)
	{
		ct_search_start(state->search, NULL, CT_REPORT_NULL);
		return;
	}
	if (index->meta.metric == CT_METRIC_RESIDUAL)
	{
		start_residual_scan(scan, key->sk_argument);
		return;
	}
	type = OidIsValid(key->sk_subtype) ? key->sk_subtype :
		scan->indexRelation->rd_opcintype[0];
	if (!ct_arg_type_from_oid(type, &arg_type))
		elog(ERROR, "unexpected type of ordering operand: %u", type);
	dims = ct_point_read(key->sk_argument, arg_type, state->location);
	if (index->meta.dims > 0 && dims != index->meta.dims)
		ct_dims_mismatch(index->meta.dims, dims);
	ct_search_start(state->search, state->location,
					state->core_distance ? CT_REPORT_HYPOT : CT_REPORT_METRIC);
}

bool
ctgettuple(IndexScanDesc scan, ScanDirection direction)
{
	ScanState  *state = scan->opaque;
	CtResult	result;

	Assert(ScanDirectionIsForward(direction));
	if (!state->started)
	{
		start_scan(scan);
		state->started = true;
	}
	if (!ct_search_next(state->search, &result))
	{
		collect_stats(state);
		return false;
	}
	ct_scan_stats.rows_returned++;
	scan->xs_heaptid = result.tid;
	scan->xs_recheck = false;
	scan->xs_recheckorderby = false;
	if (state->core_distance && !result.isnull && isinf(result.dist))
		float_overflow_error();
	if (state->query && !result.isnull)
	{
		ct_vector_location(state->index, result.locator, state->row);
		ct_residual_memo_note(&state->memo, state->row, result.dist);
	}
	scan->xs_orderbyvals[0] = Float8GetDatum(result.dist);
	scan->xs_orderbynulls[0] = result.isnull;
	return true;
}

void
ctendscan(IndexScanDesc scan)
{
	ScanState  *state = scan->opaque;

	collect_stats(state);
	ct_search_destroy(state->search);
	pfree(state->location);
	if (state->query)
	{
		pfree(state->query);
		pfree(state->row);
	}
	pfree(state->index);
	pfree(state);
}
