/*-------------------------------------------------------------------------
 *
 * ct_cost.c
 *	  Cost of an ordered scan.
 *
 * The executor's LIMIT takes its share of the difference of total and
 * start-up cost, so the total must be that of returning all rows.  Before
 * the first row, the search reads one page of each height and a few more
 * leaves, as many as a ball around the query touches.
 *
 * IDENTIFICATION
 *	  src/am/ct_cost.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "access/genam.h"
#include "catalog/pg_type.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"

#include "ct_am.h"
#include "ct_page.h"
#include "ct_residual_query.h"

/* leaves that touch the neighbourhood of a query, by dimension: c * 1.5^d */
#define FIRST_LEAVES(pages)	Min(16.0, (pages))

/*
 * Finds out of which model a query is, where the planner can estimate the
 * operand, or at least the model's name in residual_query(name, location).
 */
static bool
query_model(PlannerInfo *root, Node *operand, uint8 *fingerprint)
{
	operand = estimate_expression_value(root, operand);
	if (IsA(operand, Const) && !((Const *) operand)->constisnull)
	{
		CtResidualQuery query;

		ct_residual_query_read(((Const *) operand)->constvalue, &query);
		memcpy(fingerprint, query.fingerprint, CT_FINGERPRINT_BYTES);
		return true;
	}
	if (IsA(operand, FuncExpr))
	{
		FuncExpr   *call = (FuncExpr *) operand;
		Const	   *name = list_length(call->args) == 2 ?
			linitial(call->args) : NULL;
		char	   *function = get_func_name(call->funcid);

		if (function && strcmp(function, "residual_query") == 0 &&
			name && IsA(name, Const) && !name->constisnull &&
			name->consttype == TEXTOID)
		{
			memcpy(fingerprint,
				   ct_model_by_name(TextDatumGetCString(name->constvalue))->fingerprint,
				   CT_FINGERPRINT_BYTES);
			return true;
		}
	}
	return false;
}

/* Is one of the orderings by a query of another model than the index's? */
static bool
other_model(PlannerInfo *root, IndexPath *path)
{
	uint8		fingerprint[CT_FINGERPRINT_BYTES];
	Relation	rel = index_open(path->indexinfo->indexoid, NoLock);
	bool		other = false;
	ListCell   *cell;

	if (ct_opclass(rel)->metric == CT_METRIC_RESIDUAL)
		foreach(cell, path->indexorderbys)
		{
			OpExpr	   *order = lfirst(cell);

			if (IsA(order, OpExpr) && list_length(order->args) == 2 &&
				query_model(root, lsecond(order->args), fingerprint) &&
				memcmp(fingerprint, ct_index_open(rel)->meta.model_fingerprint,
					   CT_FINGERPRINT_BYTES) != 0)
				other = true;
		}
	index_close(rel, NoLock);
	return other;
}

void
ctcostestimate(PlannerInfo *root, IndexPath *path, double loop_count,
			   Cost *startup_cost, Cost *total_cost, Selectivity *selectivity,
			   double *correlation, double *pages)
{
	GenericCosts costs = {0};
	double		index_pages = Max(path->indexinfo->pages, 1.0);
	double		rows = Max(path->indexinfo->tuples, 1.0);
	double		height;
	double		first_pages;
	Cost		first;

	if (path->indexorderbys == NIL)
	{
		/* it has nothing but order to offer */
		ct_disable_path(&path->path);
		*startup_cost = *total_cost = get_float8_infinity();
		*selectivity = 0;
		*correlation = 0;
		*pages = 0;
		return;
	}

	if (other_model(root, path))
	{
		/* the scan would refuse to run */
		ct_disable_path(&path->path);
		*startup_cost = *total_cost = 1.0e10;
		*selectivity = 1.0;
		*correlation = 0;
		*pages = path->indexinfo->pages;
		return;
	}

	genericcostestimate(root, path, loop_count, &costs);
	height = 1.0 + floor(log(Max(index_pages, 1.0)) / log(40.0));
	first_pages = height + FIRST_LEAVES(index_pages);
	first = first_pages * (10.0 * cpu_operator_cost +
						   (rows / index_pages) * 0.1 * cpu_operator_cost);

	/* the first pages are those that every scan reads: mostly cached */
	*startup_cost = costs.indexStartupCost + first +
		height * 0.1 * costs.spc_random_page_cost;
	*total_cost = Max(costs.indexTotalCost, *startup_cost) + first;
	*selectivity = costs.indexSelectivity;
	*correlation = 0.0;
	*pages = costs.numIndexPages;
}
