/*-------------------------------------------------------------------------
 *
 * ct_distance.c
 *	  Distance functions behind the operator <~>.
 *
 * Each pair of types has its own entry point, and all of them are this: both
 * operands stand for doubles, and the result is the canonical Euclidean
 * distance of ct_kernel.h between them.  Since (x - q)^2 and (q - x)^2 are the
 * same double, the operator is symmetric bit for bit, and any operand may be
 * given to the kernel as the query.
 *
 * IDENTIFICATION
 *	  src/sql/ct_distance.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "ct_am.h"
#include "ct_kernel.h"
#include "ct_point.h"

static pg_attribute_always_inline Datum
distance(Datum left, CtArgType left_type, Datum right, CtArgType right_type)
{
	const CtKernelTable *kernels = ct_kernels();
	CtPointRef	a;
	CtPointRef	b;
	double		result;

	ct_point_open(left, left_type, &a);
	ct_point_open(right, right_type, &b);

	if (unlikely(a.dim != b.dim))
		ct_dims_mismatch(a.dim, b.dim);

	/* float elements are exact doubles: the kernels widen them on the way */
	if (a.f64 == NULL)
		result = kernels->l2_f32(ct_point_f64(&b), a.f32, a.dim);
	else if (b.f64 == NULL)
		result = kernels->l2_f32(a.f64, b.f32, a.dim);
	else
		result = kernels->l2_f64(a.f64, b.f64, a.dim);

	ct_point_close(&a);
	ct_point_close(&b);

	return Float8GetDatum(result);
}

/* the last line of the macro only takes the semicolon */
#define DISTANCE_FUNCTION(name, left_type, right_type) \
PG_FUNCTION_INFO_V1(name); \
Datum \
name(PG_FUNCTION_ARGS) \
{ \
	return distance(PG_GETARG_DATUM(0), left_type, \
					PG_GETARG_DATUM(1), right_type); \
} \
extern int	no_such_variable

DISTANCE_FUNCTION(covertree_distance_float8_float8,
				  CT_ARG_FLOAT8_ARRAY, CT_ARG_FLOAT8_ARRAY);
DISTANCE_FUNCTION(covertree_distance_float8_float4,
				  CT_ARG_FLOAT8_ARRAY, CT_ARG_FLOAT4_ARRAY);
DISTANCE_FUNCTION(covertree_distance_float8_numeric,
				  CT_ARG_FLOAT8_ARRAY, CT_ARG_NUMERIC_ARRAY);
DISTANCE_FUNCTION(covertree_distance_float8_int4,
				  CT_ARG_FLOAT8_ARRAY, CT_ARG_INT4_ARRAY);
DISTANCE_FUNCTION(covertree_distance_float8_int8,
				  CT_ARG_FLOAT8_ARRAY, CT_ARG_INT8_ARRAY);

DISTANCE_FUNCTION(covertree_distance_float4_float8,
				  CT_ARG_FLOAT4_ARRAY, CT_ARG_FLOAT8_ARRAY);
DISTANCE_FUNCTION(covertree_distance_float4_float4,
				  CT_ARG_FLOAT4_ARRAY, CT_ARG_FLOAT4_ARRAY);
DISTANCE_FUNCTION(covertree_distance_float4_numeric,
				  CT_ARG_FLOAT4_ARRAY, CT_ARG_NUMERIC_ARRAY);
DISTANCE_FUNCTION(covertree_distance_float4_int4,
				  CT_ARG_FLOAT4_ARRAY, CT_ARG_INT4_ARRAY);
DISTANCE_FUNCTION(covertree_distance_float4_int8,
				  CT_ARG_FLOAT4_ARRAY, CT_ARG_INT8_ARRAY);

DISTANCE_FUNCTION(covertree_distance_point_point,
				  CT_ARG_POINT, CT_ARG_POINT);
