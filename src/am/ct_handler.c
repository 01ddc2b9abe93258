/*-------------------------------------------------------------------------
 *
 * ct_handler.c
 *	  The access method's handler and what operator classes tell it.
 *
 * IDENTIFICATION
 *	  src/am/ct_handler.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "access/reloptions.h"
#include "commands/progress.h"
#include "commands/vacuum.h"
#include "utils/rel.h"

#include "ct_am.h"
#include "ct_tree.h"

PG_FUNCTION_INFO_V1(covertree_handler);
PG_FUNCTION_INFO_V1(covertree_float8_euclidean_support);
PG_FUNCTION_INFO_V1(covertree_float4_euclidean_support);
PG_FUNCTION_INFO_V1(covertree_point_euclidean_support);
PG_FUNCTION_INFO_V1(covertree_float8_residual_support);
PG_FUNCTION_INFO_V1(covertree_float4_residual_support);

static const CtOpclass float8_euclidean = {
	CT_METRIC_EUCLIDEAN, CT_ELEMENT_FLOAT8, CT_ARG_FLOAT8_ARRAY
};
static const CtOpclass float4_euclidean = {
	CT_METRIC_EUCLIDEAN, CT_ELEMENT_FLOAT4, CT_ARG_FLOAT4_ARRAY
};
static const CtOpclass point_euclidean = {
	CT_METRIC_EUCLIDEAN, CT_ELEMENT_FLOAT8, CT_ARG_POINT
};
static const CtOpclass float8_residual = {
	CT_METRIC_RESIDUAL, CT_ELEMENT_FLOAT8, CT_ARG_FLOAT8_ARRAY
};
static const CtOpclass float4_residual = {
	CT_METRIC_RESIDUAL, CT_ELEMENT_FLOAT8, CT_ARG_FLOAT4_ARRAY
};

Datum
covertree_float8_euclidean_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(&float8_euclidean);
}

Datum
covertree_float4_euclidean_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(&float4_euclidean);
}

Datum
covertree_point_euclidean_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(&point_euclidean);
}

/* records are always double, whatever the column is */

Datum
covertree_float8_residual_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(&float8_residual);
}

Datum
covertree_float4_residual_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(&float4_residual);
}

/* What the operator class of an index says about its column. */
const CtOpclass *
ct_opclass(Relation index)
{
	FmgrInfo   *support = index_getprocinfo(index, 1, CT_SUPPORT_METRIC);

	return (const CtOpclass *) DatumGetPointer(FunctionCall1(support,
															 PointerGetDatum(NULL)));
}

char *
ctbuildphasename(int64 phase)
{
	switch (phase)
	{
		case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
			return "initializing";
		case CT_PHASE_LOAD:
			return "loading rows";
		case CT_PHASE_DIVIDE:
			return "dividing rows on disk";
		case CT_PHASE_FEATURES:
			return "computing features";
		case CT_PHASE_TREE:
			return "building tree";
		case CT_PHASE_RADII:
			return "measuring radii";
		case CT_PHASE_WRITE:
			return "writing pages";
		case CT_PHASE_LOG:
			return "logging pages";
		default:
			return NULL;
	}
}

Datum
covertree_handler(PG_FUNCTION_ARGS)
{
	IndexAmRoutine *routine = makeNode(IndexAmRoutine);

	routine->amstrategies = CT_NSTRATEGIES;
	routine->amsupport = CT_NSUPPORT;
	routine->amoptsprocnum = CT_SUPPORT_OPTIONS;
	routine->amcanorder = false;
	routine->amcanorderbyop = true;
	routine->amcanbackward = false;
	routine->amcanunique = false;
	routine->amcanmulticol = false;
	routine->amoptionalkey = true;
	routine->amsearcharray = false;
	routine->amsearchnulls = false;
	routine->amstorage = false;
	routine->amclusterable = false;
	routine->ampredlocks = false;
	routine->amcanparallel = false;
	routine->amcaninclude = false;
	routine->amusemaintenanceworkmem = false;
	routine->amparallelvacuumoptions = VACUUM_OPTION_PARALLEL_BULKDEL;
	routine->amkeytype = InvalidOid;

	routine->ambuild = ctbuild;
	routine->ambuildempty = ctbuildempty;
	routine->aminsert = ctinsert;
	routine->ambulkdelete = ctbulkdelete;
	routine->amvacuumcleanup = ctvacuumcleanup;
	routine->amcanreturn = NULL;
	routine->amcostestimate = ctcostestimate;
	routine->amoptions = ctoptions;
	routine->amproperty = NULL;
	routine->ambuildphasename = ctbuildphasename;
	routine->amvalidate = ctvalidate;
	routine->amadjustmembers = NULL;
	routine->ambeginscan = ctbeginscan;
	routine->amrescan = ctrescan;
	routine->amgettuple = ctgettuple;
	routine->amgetbitmap = NULL;
	routine->amendscan = ctendscan;
	routine->ammarkpos = NULL;
	routine->amrestrpos = NULL;
	routine->amestimateparallelscan = NULL;
	routine->aminitparallelscan = NULL;
	routine->amparallelrescan = NULL;

	PG_RETURN_POINTER(routine);
}
