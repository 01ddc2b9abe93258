/*-------------------------------------------------------------------------
 *
 * ct_model_option.c
 *	  The option of a residual operator class: the name of a model.
 *
 * IDENTIFICATION
 *	  src/model/ct_model_option.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "access/reloptions.h"
#include "fmgr.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "ct_model_cache.h"

PG_FUNCTION_INFO_V1(covertree_residual_options);

/* options of a residual operator class */
typedef struct ResidualOptions
{
	int32		vl_len_;
	int			model;			/* offset of the string, 0 if there is none */
} ResidualOptions;

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
