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
#include "fmgr.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "ct_am.h"
#include "ct_format.h"

PG_FUNCTION_INFO_V1(covertree_residual_options);

/* options of a residual operator class */
typedef struct ResidualOptions
{
	int32		vl_len_;
	int			model;			/* offset of the string, 0 if there is none */
} ResidualOptions;

static relopt_kind ct_relopt_kind;

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
					   CT_DEFAULT_BASE, CT_MIN_BASE, CT_MAX_BASE,
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

	return options ? options->base : CT_DEFAULT_BASE;
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

/* a model's name, as far as can be told without looking for the model */
static void
check_model_option(const char *value)
{
	if (value == NULL)
		return;
	if (*value == '\0' || strlen(value) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"",
						CT_OPTION_MODEL, value),
				 errdetail("A model's name has 1 to %d bytes.",
						   NAMEDATALEN - 1)));
}

/* support function 2 of the residual operator classes */
Datum
covertree_residual_options(PG_FUNCTION_ARGS)
{
	local_relopts *options = (local_relopts *) PG_GETARG_POINTER(0);

	init_local_reloptions(options, sizeof(ResidualOptions));
	add_local_string_reloption(options, CT_OPTION_MODEL,
							   "Model that defines the residual correlation",
							   NULL, check_model_option, NULL,
							   offsetof(ResidualOptions, model));
	PG_RETURN_VOID();
}

/*
 * The model's name in the operator class options of a residual index.  Raises
 * an error if none is given.  The string lives as long as the relation's
 * cache entry.
 */
const char *
ct_option_model(Relation index)
{
	ResidualOptions *options =
		(ResidualOptions *) RelationGetIndexAttOptions(index, false)[0];

	if (options == NULL || options->model == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no model given for index \"%s\"",
						RelationGetRelationName(index)),
				 errdetail("Residual correlation is defined by a model."),
				 errhint("Name a model in the operator class's option: float8_residual_ops (model = 'name') or float4_residual_ops (model = 'name').")));
	return (const char *) options + options->model;
}
