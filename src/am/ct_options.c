/*-------------------------------------------------------------------------
 *
 * ct_options.c
 *	  Index options.
 *
 * Options shape the pages, so they are frozen into the metapage by a build;
 * ALTER INDEX SET takes effect with the next REINDEX.
 *
 * IDENTIFICATION
 *	  src/am/ct_options.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "access/reloptions.h"
#include "utils/rel.h"

#include "ct_am.h"
#include "ct_format.h"

static relopt_kind ct_relopt_kind;

/* the default of option base, by which nobody can set it */
#define BASE_NOT_GIVEN	0.0

static relopt_enum_elt_def strategies[] = {
	{"exact_metric", CT_STRATEGY_EXACT_METRIC},
	{"spatial_proxy", CT_STRATEGY_SPATIAL_PROXY},
	{NULL, 0}
};

void
ct_options_init(void)
{
	ct_relopt_kind = add_reloption_kind();
	add_real_reloption(ct_relopt_kind, "base",
					   "Expansion base of the cover tree",
					   BASE_NOT_GIVEN, CT_MIN_BASE, CT_MAX_BASE,
					   AccessExclusiveLock);
	add_enum_reloption(ct_relopt_kind, "strategy",
					   "Metric by which the tree is built",
					   strategies, CT_STRATEGY_EXACT_METRIC,
					   "Valid values are \"exact_metric\" and \"spatial_proxy\".",
					   AccessExclusiveLock);
}

bytea *
ctoptions(Datum reloptions, bool validate)
{
	static const relopt_parse_elt table[] = {
		{"base", RELOPT_TYPE_REAL, offsetof(CtOptions, base)},
		{"strategy", RELOPT_TYPE_ENUM, offsetof(CtOptions, strategy)}
	};

	return (bytea *) build_reloptions(reloptions, validate, ct_relopt_kind,
									  sizeof(CtOptions), table,
									  lengthof(table));
}

double
ct_option_base(Relation index)
{
	CtOptions  *options = (CtOptions *) index->rd_options;

	return ct_option_nets(index) ? options->base : CT_DEFAULT_BASE;
}

/* Does the index ask for nets by naming a base? */
bool
ct_option_nets(Relation index)
{
	CtOptions  *options = (CtOptions *) index->rd_options;

	return options && options->base != BASE_NOT_GIVEN;
}

int
ct_option_strategy(Relation index)
{
	CtOptions  *options = (CtOptions *) index->rd_options;

	return options ? options->strategy : CT_STRATEGY_EXACT_METRIC;
}

const char *
ct_strategy_name(int strategy)
{
	return strategies[strategy == CT_STRATEGY_SPATIAL_PROXY ? 1 : 0].string_val;
}
