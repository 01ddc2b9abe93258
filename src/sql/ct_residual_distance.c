/*-------------------------------------------------------------------------
 *
 * ct_residual_distance.c
 *	  Residual-correlation distance behind the operator <~>, and inspection of
 *	  models.
 *
 * Expanding a location costs far more than the distance of two expanded ones,
 * so the query is expanded once, and only if it has to be: a row that an index
 * scan has just returned has its distance in the memo.
 *
 * IDENTIFICATION
 *	  src/sql/ct_residual_distance.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "ct_model_cache.h"
#include "ct_point.h"
#include "ct_residual_query.h"

PG_FUNCTION_INFO_V1(covertree_distance_float8_residual);
PG_FUNCTION_INFO_V1(covertree_distance_float4_residual);
PG_FUNCTION_INFO_V1(covertree_residual_correlation);
PG_FUNCTION_INFO_V1(covertree_residual_variance);

/* What a call of the operator leaves for the next. */
typedef struct Expanded
{
	uint64		epoch;			/* the model is valid in this one; 0: nothing is */
	const CtModel *model;
	struct varlena *value;		/* the query, in plain form */
	size_t		value_room;
	CtResidualQuery query;		/* the same, opened; points into value */
	bool		has_record;
	double	   *query_record;	/* the same, expanded */
	double	   *row_record;
	double	   *work;
} Expanded;

/* Makes room for the records of a model. */
static void
set_model(Expanded *state, const CtModel *model, MemoryContext context)
{
	size_t		record = ct_model_record_size(model);
	size_t		work = ct_model_work_size(model);
	double	   *room = MemoryContextAlloc(context,
										  (2 * record + work) * sizeof(double));

	if (state->query_record)
		pfree(state->query_record);
	state->query_record = room;
	state->row_record = room + record;
	state->work = room + 2 * record;
	state->model = model;
}

/* Makes a query, which must not be toasted, the current one. */
static void
set_query(Expanded *state, struct varlena *value, MemoryContext context)
{
	size_t		size = VARSIZE_ANY_EXHDR(value) + VARHDRSZ;
	CtResidualQuery *query = &state->query;
	const CtModel *model;

	/* a model of another epoch may be gone, and its address in use again */
	if (state->epoch != ct_model_epoch())
		state->model = NULL;
	state->epoch = 0;			/* in case of an error */
	state->has_record = false;
	if (size > state->value_room)
	{
		struct varlena *room = MemoryContextAlloc(context, size);

		if (state->value)
			pfree(state->value);
		state->value = room;
		state->value_room = size;
	}
	SET_VARSIZE(state->value, size);
	memcpy(VARDATA(state->value), VARDATA_ANY(value), size - VARHDRSZ);
	ct_residual_query_read(PointerGetDatum(state->value), query);
	model = ct_model_by_fingerprint(query->fingerprint, query->name, false);
	model = ct_model_for_dims(model, query->dims, query->name);
	if (model != state->model)
		set_model(state, model, context);
	state->epoch = ct_model_epoch();
}

/* Is this the current query, and its model there? */
static inline bool
is_current(const Expanded *state, struct varlena *value)
{
	return state->epoch == ct_model_epoch() &&
		VARSIZE_ANY_EXHDR(value) == VARSIZE(state->value) - VARHDRSZ &&
		memcmp(VARDATA(state->value), VARDATA_ANY(value),
			   VARSIZE_ANY_EXHDR(value)) == 0;
}

/* The distance of the current query and a location of the right dimension. */
static double
distance_from_query(Expanded *state, const double *location)
{
	const CtModel *model = state->model;
	double		result;

	if (ct_residual_memo_ask(&state->query, location, model->dims, &result))
		return result;
	if (!state->has_record)
	{
		ct_model_expand(model, ct_kernels(), 1, state->query.location,
						state->query_record, state->work);
		state->has_record = true;
	}
	ct_model_expand(model, ct_kernels(), 1, location, state->row_record,
					state->work);
	return ct_model_distance(model, ct_kernels(), state->query_record,
							 state->row_record);
}

static pg_attribute_always_inline Datum
distance(FunctionCallInfo fcinfo, CtArgType left_type)
{
	struct varlena *value = PG_GETARG_VARLENA_PP(1);
	Expanded   *state = fcinfo->flinfo->fn_extra;
	CtPointRef	point;
	double		result;

	if (state == NULL)
	{
		state = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt,
									   sizeof(Expanded));
		fcinfo->flinfo->fn_extra = state;
	}
	if (!is_current(state, value))
		set_query(state, value, fcinfo->flinfo->fn_mcxt);

	ct_point_open(PG_GETARG_DATUM(0), left_type, &point);
	if (unlikely(point.dim != state->model->dims))
		ct_dims_mismatch(point.dim, state->model->dims);
	result = distance_from_query(state, ct_point_f64(&point));
	ct_point_close(&point);
	PG_FREE_IF_COPY(value, 1);
	PG_RETURN_FLOAT8(result);
}

Datum
covertree_distance_float8_residual(PG_FUNCTION_ARGS)
{
	return distance(fcinfo, CT_ARG_FLOAT8_ARRAY);
}

Datum
covertree_distance_float4_residual(PG_FUNCTION_ARGS)
{
	return distance(fcinfo, CT_ARG_FLOAT4_ARRAY);
}

/*
 * Inspection
 */

/*
 * Reads a location and expands it in new memory.  *model, found by that name,
 * becomes the model for the location's dimension.
 */
static double *
expand_location(const CtModel **model, const char *name, Datum value)
{
	CtPointRef	point;
	double	   *record;
	double	   *work;

	ct_point_open(value, CT_ARG_FLOAT8_ARRAY, &point);
	*model = ct_model_for_dims(*model, point.dim, name);
	record = palloc(ct_model_record_size(*model) * sizeof(double));
	work = palloc((ct_model_work_size(*model) + 1) * sizeof(double));
	ct_model_expand(*model, ct_kernels(), 1, ct_point_f64(&point), record, work);
	pfree(work);
	ct_point_close(&point);
	return record;
}

Datum
covertree_residual_correlation(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const CtModel *model = ct_model_by_name(name);
	double	   *a = expand_location(&model, name, PG_GETARG_DATUM(1));
	int			dims = model->dims;
	double	   *b = expand_location(&model, name, PG_GETARG_DATUM(2));

	if (model->dims != dims)
		ct_dims_mismatch(dims, model->dims);
	PG_RETURN_FLOAT8(ct_model_correlation(model, ct_kernels(), a, b));
}

Datum
covertree_residual_variance(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const CtModel *model = ct_model_by_name(name);
	double	   *record = expand_location(&model, name, PG_GETARG_DATUM(1));

	PG_RETURN_FLOAT8(record[model->dims]);
}
