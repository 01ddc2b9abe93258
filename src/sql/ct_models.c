/*-------------------------------------------------------------------------
 *
 * ct_models.c
 *	  Creating and dropping models.
 *
 * Any user may create models; only their owner, or a superuser, may drop them.
 * The table itself can only be read by users, so both functions write it
 * below SQL (ct_model_table.c) after they have checked what is to be checked.
 *
 * IDENTIFICATION
 *	  src/sql/ct_models.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "ct_am.h"
#include "ct_model_cache.h"
#include "ct_model_table.h"
#include "ct_point.h"

PG_FUNCTION_INFO_V1(covertree_create_model);
PG_FUNCTION_INFO_V1(covertree_drop_model);

/* arguments of covertree_create_model */
enum
{
	ARG_NAME,
	ARG_KERNEL,
	ARG_LENGTHSCALE,
	ARG_INDUCING,
	ARG_VARIANCE,
	ARG_NUGGET,
	ARG_JITTER
};

/*
 * Arguments
 */

/* errors out on a null, which only the inducing points may be */
static void
check_not_null(FunctionCallInfo fcinfo)
{
	static const char *const arguments[] = {
		"name", "kernel", "lengthscale", NULL, "variance", "nugget", "jitter"
	};

	for (int i = 0; i < lengthof(arguments); i++)
	{
		if (arguments[i] && PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" of a model must not be null",
							arguments[i])));
	}
}

static char *
new_name(text *argument)
{
	char	   *name = text_to_cstring(argument);

	if (*name == '\0' || strlen(name) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("invalid model name: \"%s\"", name),
				 errdetail("A model's name has 1 to %d bytes.", NAMEDATALEN - 1)));
	if (ct_model_table_contains(name, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("model \"%s\" already exists", name),
				 errhint("Models do not change: choose another name, or drop the model with covertree_drop_model() if no index uses it.")));
	return name;
}

static CtCovariance
covariance_argument(text *argument)
{
	char	   *kernel = text_to_cstring(argument);
	CtCovariance covariance = ct_covariance_lookup(kernel);

	if (covariance == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized kernel: \"%s\"", kernel),
				 errhint("The kernels are \"%s\", \"%s\", \"%s\" and \"%s\".",
						 ct_covariance_name(CT_COVARIANCE_RBF),
						 ct_covariance_name(CT_COVARIANCE_MATERN12),
						 ct_covariance_name(CT_COVARIANCE_MATERN32),
						 ct_covariance_name(CT_COVARIANCE_MATERN52))));
	return covariance;
}

/* a number that must be within limits */
static double
number_argument(const char *argument, double value, double min, double max)
{
	if (!(value >= min && value <= max))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s of a model must be between %g and %g",
						argument, min, max),
				 errdetail("It is %g.", value)));
	return value == 0 ? 0 : value;	/* not -0 */
}

/* a lengthscale */
static double
lengthscale_argument(double value)
{
	if (!(value > 0 && isfinite(value)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("lengthscale of a model must be finite and positive"),
				 errdetail("It is %g.", value)));
	return value;
}

/* the elements of an array argument */
static const double *
array_argument(const char *argument, ArrayType *array, int *n)
{
	*n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	if (ARR_HASNULL(array) && array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s of a model must not contain nulls", argument)));
	return (const double *) ARR_DATA_PTR(array);
}

/* Checks the shape of the inducing points. */
static void
inducing_shape(ArrayType *inducing, int *m, int *dims)
{
	*m = 0;
	*dims = 0;
	if (inducing == NULL || ARR_NDIM(inducing) == 0)
		return;
	if (ARR_NDIM(inducing) != 2)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("inducing points must be a two-dimensional array"),
				 errdetail("The array has %d dimensions.", ARR_NDIM(inducing)),
				 errhint("Use one row for each point, for example {{0,0},{0,1}}, or {{0},{1}} for points of one coordinate.")));
	*m = ARR_DIMS(inducing)[0];
	*dims = ARR_DIMS(inducing)[1];
	if (*m > CT_MAX_INDUCING)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many inducing points"),
				 errdetail("There are %d, but a model can have at most %d.",
						   *m, CT_MAX_INDUCING)));
	if (*dims > CT_MAX_DIMS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("inducing points have too many coordinates"),
				 errdetail("They have %d, but a point can have at most %d.",
						   *dims, CT_MAX_DIMS)));
}

static void
set_lengthscales(CtModel *model, const double *lengthscale, int n)
{
	for (int j = 0; j < ct_model_lengthscales(model); j++)
		ct_model_lengthscale(model)[j] =
			lengthscale_argument(lengthscale[n == 1 ? 0 : j]);
}

static void
set_inducing(CtModel *model, const double *inducing)
{
	for (size_t i = 0; i < (size_t) model->m * model->dims; i++)
	{
		if (!isfinite(inducing[i]))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("inducing points of a model must be finite"),
					 errdetail("Coordinate %d of point %d is %g.",
							   (int) (i % model->dims) + 1,
							   (int) (i / model->dims) + 1, inducing[i])));
		ct_model_inducing(model)[i] = inducing[i] == 0 ? 0 : inducing[i];
	}
}

/* A model of the right shape with lengthscales and inducing points. */
static CtModel *
model_of_arrays(ArrayType *lengthscale, ArrayType *inducing)
{
	const double *lengthscales;
	const double *points = NULL;
	CtModel    *model;
	int			nlengthscales;
	int			npoints;
	int			m;
	int			dims;

	inducing_shape(inducing, &m, &dims);
	if (m > 0)
		points = array_argument("inducing points", inducing, &npoints);
	lengthscales = array_argument("lengthscale", lengthscale, &nlengthscales);
	if (ARR_NDIM(lengthscale) > 1 || nlengthscales < 1 ||
		nlengthscales > CT_MAX_DIMS)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("lengthscale of a model must be a one-dimensional array of 1 to %d elements",
						CT_MAX_DIMS),
				 errhint("Give one lengthscale, or one for each dimension of the points.")));
	if (m == 0 && nlengthscales > 1)
		dims = nlengthscales;
	if (m > 0 && nlengthscales != 1 && nlengthscales != dims)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("wrong number of lengthscales"),
				 errdetail("There are %d lengthscales, but the inducing points have %d dimensions.",
						   nlengthscales, dims),
				 errhint("Give one lengthscale, or one for each dimension of the points.")));
	model = ct_model_allocate(dims, m);
	set_lengthscales(model, lengthscales, nlengthscales);
	if (m > 0)
		set_inducing(model, points);
	return model;
}

static bool
interrupted(void)
{
	return QueryCancelPending || ProcDiePending;
}

/* Computes the Cholesky factor. */
static void
factorize(CtModel *model, const char *name)
{
	int			done = ct_model_factorize(model, ct_kernels(), interrupted);

	CHECK_FOR_INTERRUPTS();
	if (done < 0)
		elog(ERROR, "computation of model \"%s\" was interrupted", name);
	if (done < (int) model->m)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("covariance matrix of the inducing points is not positive definite"),
				 errdetail("Inducing point %d is determined by those before it, as far as double precision can tell.",
						   done + 1),
				 errhint("Raise the jitter, or leave out inducing points that are equal or very close to each other.")));
}

Datum
covertree_create_model(PG_FUNCTION_ARGS)
{
	char	   *name;
	CtCovariance covariance;
	CtModel    *model;

	check_not_null(fcinfo);
	PreventCommandIfReadOnly("covertree_create_model()");
	PreventCommandIfParallelMode("covertree_create_model()");
	name = new_name(PG_GETARG_TEXT_PP(ARG_NAME));
	covariance = covariance_argument(PG_GETARG_TEXT_PP(ARG_KERNEL));
	model = model_of_arrays(PG_GETARG_ARRAYTYPE_P(ARG_LENGTHSCALE),
							PG_ARGISNULL(ARG_INDUCING) ? NULL :
							PG_GETARG_ARRAYTYPE_P(ARG_INDUCING));
	model->covariance = covariance;
	model->variance = number_argument("variance", PG_GETARG_FLOAT8(ARG_VARIANCE),
									  CT_MIN_VARIANCE, CT_MAX_VARIANCE);
	model->nugget = number_argument("nugget", PG_GETARG_FLOAT8(ARG_NUGGET),
									0, CT_MAX_VARIANCE);
	model->jitter = number_argument("jitter", PG_GETARG_FLOAT8(ARG_JITTER),
									0, CT_MAX_JITTER);
	if (model->m > 0)
		factorize(model, name);
	if (ct_model_problem(model))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("parameters of model \"%s\" are out of range", name),
				 errdetail("%s", ct_model_problem(model)),
				 errhint("Scale coordinates, lengthscales and variance to moderate numbers.")));
	ct_model_fingerprint(model, model->fingerprint);
	ct_model_table_insert(name, GetUserId(), model);
	PG_RETURN_VOID();
}

/*
 * Dropping
 */

/* the value of option "model" of an index's column, or NULL */
static char *
model_option(Oid index)
{
	Datum		options = get_attoptions(index, 1);
	ListCell   *cell;

	if (options == (Datum) 0)
		return NULL;
	foreach(cell, untransformRelOptions(options))
	{
		DefElem    *option = (DefElem *) lfirst(cell);

		if (strcmp(option->defname, CT_OPTION_MODEL) == 0)
			return defGetString(option);
	}
	return NULL;
}

/*
 * The first of the covertree indexes of this database that name a model, by
 * OID, and how many there are.
 */
static Oid
find_index_of_model(const char *name, int *n)
{
	Oid			am = get_index_am_oid(CT_AM_NAME, true);
	Relation	rel = table_open(RelationRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	Oid			first = InvalidOid;

	*n = 0;
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
		char	   *model;

		CHECK_FOR_INTERRUPTS();
		if (!OidIsValid(am) || form->relam != am)
			continue;
		model = model_option(form->oid);
		if (model == NULL || strcmp(model, name) != 0)
			continue;
		(*n)++;
		if (!OidIsValid(first) || form->oid < first)
			first = form->oid;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return first;
}

/* errors out if the user must not drop this model, or nobody must now */
static void
check_drop(const char *name, const char *owner)
{
	Oid			owner_oid = get_role_oid(owner, true);
	Oid			index;
	int			n;

	if (!superuser() && !(OidIsValid(owner_oid) &&
						  has_privs_of_role(GetUserId(), owner_oid)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of model \"%s\"", name),
				 errdetail("Its owner is role \"%s\".", owner)));
	index = find_index_of_model(name, &n);
	if (OidIsValid(index))
	{
		char	   *index_name =
			quote_qualified_identifier(get_namespace_name(get_rel_namespace(index)),
									   get_rel_name(index));

		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop model \"%s\" because an index uses it", name),
				 n == 1 ?
				 errdetail("It is the model of index %s.", index_name) :
				 errdetail("It is the model of index %s and of others, %d in all.",
						   index_name, n),
				 errhint("Drop the index first, or create it again with another model.")));
	}
}

Datum
covertree_drop_model(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));

	PreventCommandIfReadOnly("covertree_drop_model()");
	PreventCommandIfParallelMode("covertree_drop_model()");
	if (!ct_model_table_delete(name, check_drop))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model \"%s\" does not exist", name)));
	PG_RETURN_VOID();
}
