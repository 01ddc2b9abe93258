/*-------------------------------------------------------------------------
 *
 * ct_point.c
 *	  Points read from SQL values.
 *
 * The distance operators call this for both operands of every row, so the
 * common cases cost neither an allocation nor a copy: a plain array of float8
 * or float4 is used where it lies.  With a short header (any array small
 * enough, when it comes from a table) its elements are not aligned, so that
 * they are read by memcpy() only.
 *
 * IDENTIFICATION
 *	  src/am/ct_point.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/tupmacs.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/geo_decls.h"

#include "ct_point.h"

#define F64_EXPONENT		UINT64CONST(0x7FF0000000000000)
#define F64_EXPONENT_ONE	UINT64CONST(0x0010000000000000)
#define F64_OVERFLOW		UINT64CONST(0x8000000000000000)

#define F32_EXPONENT		((uint32) 0x7F800000)
#define F32_EXPONENT_ONE	((uint32) 0x00800000)
#define F32_OVERFLOW		((uint32) 0x80000000)

/* what follows the length of an array of one dimension without NULLs */
typedef struct PlainArray
{
	int32		ndim;
	int32		dataoffset;
	Oid			elemtype;
	int32		dim;
	int32		lower_bound;
} PlainArray;

static bool all_finite_f64(const double *x, int n);
static bool all_finite_f32(const float *x, int n);
static void check_finite(double x, int i);
static inline const char *plain_elements(Datum value, int *dim);
static ArrayType *open_array(Datum value, CtPointRef *point);
static int	check_array(ArrayType *array);
static void check_count(int dim);
static int	first_null(ArrayType *array);
pg_noreturn static void null_element(int i);
static double *converted_buffer(CtPointRef *point);
static void convert_integers(const char *data, CtArgType type, int n,
							 double *out);
static void convert_numeric(const char *data, int n, double *out);

/* an element of an array that need not be aligned */
static inline double
f64_at(const void *elements, int i)
{
	double		x;

	memcpy(&x, (const char *) elements + i * sizeof(x), sizeof(x));
	return x;
}

static inline double
f32_at(const void *elements, int i)
{
	float		x;

	memcpy(&x, (const char *) elements + i * sizeof(x), sizeof(x));
	return x;
}

bool
ct_arg_type_from_oid(Oid typid, CtArgType *type)
{
	switch (typid)
	{
		case FLOAT8ARRAYOID:
			*type = CT_ARG_FLOAT8_ARRAY;
			return true;
		case FLOAT4ARRAYOID:
			*type = CT_ARG_FLOAT4_ARRAY;
			return true;
		case NUMERICARRAYOID:
			*type = CT_ARG_NUMERIC_ARRAY;
			return true;
		case INT4ARRAYOID:
			*type = CT_ARG_INT4_ARRAY;
			return true;
		case INT8ARRAYOID:
			*type = CT_ARG_INT8_ARRAY;
			return true;
		case POINTOID:
			*type = CT_ARG_POINT;
			return true;
		default:
			return false;
	}
}

void
ct_point_open(Datum value, CtArgType type, CtPointRef *point)
{
	const char *data;

	point->f64 = NULL;
	point->f32 = NULL;
	point->detoasted = NULL;
	point->converted = NULL;

	if (type == CT_ARG_POINT)
	{
		Point	   *p = DatumGetPointP(value);

		check_finite(p->x, 0);
		check_finite(p->y, 1);
		point->inline_f64[0] = p->x;
		point->inline_f64[1] = p->y;
		point->dim = 2;
		point->f64 = point->inline_f64;
		return;
	}

	/* elements of numeric have to be aligned */
	data = type == CT_ARG_NUMERIC_ARRAY ? NULL :
		plain_elements(value, &point->dim);
	if (data == NULL)
	{
		ArrayType  *array = open_array(value, point);

		point->dim = check_array(array);
		data = ARR_DATA_PTR(array);
	}

	switch (type)
	{
		case CT_ARG_FLOAT8_ARRAY:
			point->f64 = (const double *) data;
			if (unlikely(!all_finite_f64(point->f64, point->dim)))
			{
				for (int i = 0; i < point->dim; i++)
					check_finite(f64_at(data, i), i);
			}
			break;

		case CT_ARG_FLOAT4_ARRAY:
			point->f32 = (const float *) data;
			if (unlikely(!all_finite_f32(point->f32, point->dim)))
			{
				for (int i = 0; i < point->dim; i++)
					check_finite(f32_at(data, i), i);
			}
			break;

		case CT_ARG_NUMERIC_ARRAY:
			convert_numeric(data, point->dim, converted_buffer(point));
			break;

		case CT_ARG_INT4_ARRAY:
		case CT_ARG_INT8_ARRAY:
			convert_integers(data, type, point->dim, converted_buffer(point));
			break;

		case CT_ARG_POINT:
			Assert(false);		/* done above */
			break;
	}
}

const double *
ct_point_f64(CtPointRef *point)
{
	if (point->f64 == NULL)
	{
		double	   *x = converted_buffer(point);

		for (int i = 0; i < point->dim; i++)
			x[i] = f32_at(point->f32, i);
	}
	else if ((uintptr_t) point->f64 % sizeof(double) != 0)
	{
		const char *unaligned = (const char *) point->f64;
		double	   *x = converted_buffer(point);

		memcpy(x, unaligned, sizeof(double) * point->dim);
	}

	return point->f64;
}

void
ct_point_close(CtPointRef *point)
{
	if (point->converted != NULL)
		pfree(point->converted);
	if (point->detoasted != NULL)
		pfree(point->detoasted);
}

int
ct_point_read(Datum value, CtArgType type, double *buf)
{
	CtPointRef	point;
	int			dim;

	ct_point_open(value, type, &point);
	dim = point.dim;

	if (point.f64 != NULL)
		memcpy(buf, (const char *) point.f64, dim * sizeof(double));
	else
	{
		for (int i = 0; i < dim; i++)
			buf[i] = f32_at(point.f32, i);
	}

	ct_point_close(&point);

	return dim;
}

/* Error context: which of many points. */
static void
number_context(void *arg)
{
	errcontext("query %d of the array", *(int *) arg);
}

const double *
ct_points_open(ArrayType *array, int *n, int *dims)
{
	const double *points = (const double *) ARR_DATA_PTR(array);
	ErrorContextCallback context;
	int			number = 1;
	int			null;

	*n = *dims = 0;
	if (ARR_NDIM(array) == 0)
		return points;
	if (ARR_NDIM(array) != 2)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("queries must be a two-dimensional array"),
				 errdetail("The array has %d dimensions.", ARR_NDIM(array)),
				 errhint("Use one row of the array for each query, even if there is only one: ARRAY[[0.1, 0.2]].")));
	*n = ARR_DIMS(array)[0];
	*dims = ARR_DIMS(array)[1];
	check_count(*dims);

	context.callback = number_context;
	context.arg = &number;
	context.previous = error_context_stack;
	error_context_stack = &context;
	null = first_null(array);
	if (null >= 0)
	{
		number = null / *dims + 1;
		null_element(null % *dims);
	}
	for (; number <= *n; number++)
	{
		const double *point = points + (size_t) (number - 1) * *dims;

		if (unlikely(!all_finite_f64(point, *dims)))
		{
			for (int j = 0; j < *dims; j++)
				check_finite(point[j], j);
		}
	}
	error_context_stack = context.previous;
	return points;
}

void
ct_dims_mismatch(int a, int b)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("different point dimensions %d and %d", a, b),
			 errdetail("Only points of the same dimension have a distance."),
			 errhint("Compare arrays that have the same number of elements.")));
}

/*
 * Is every element neither NaN nor infinite?  Both have an exponent of all
 * ones, and only that one carries into the sign bit when one is added to it.
 * There is no branch in the loop, so that the compiler can vectorise it.
 */
static bool
all_finite_f64(const double *x, int n)
{
	uint64		carry = 0;

	for (int i = 0; i < n; i++)
	{
		uint64		bits;

		memcpy(&bits, &x[i], sizeof(bits));
		carry |= (bits & F64_EXPONENT) + F64_EXPONENT_ONE;
	}

	return (carry & F64_OVERFLOW) == 0;
}

/* the same for float */
static bool
all_finite_f32(const float *x, int n)
{
	uint32		carry = 0;

	for (int i = 0; i < n; i++)
	{
		uint32		bits;

		memcpy(&bits, &x[i], sizeof(bits));
		carry |= (bits & F32_EXPONENT) + F32_EXPONENT_ONE;
	}

	return (carry & F32_OVERFLOW) == 0;
}

/* Raise an error if coordinate i (from zero) is not finite. */
static void
check_finite(double x, int i)
{
	if (unlikely(isnan(x)))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("NaN is not allowed in a point"),
				 errdetail("Coordinate %d is NaN.", i + 1),
				 errhint("Use finite coordinates, or NULL for a point that is not known.")));
	if (unlikely(isinf(x)))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("infinite value is not allowed in a point"),
				 errdetail("Coordinate %d is infinite.", i + 1),
				 errhint("Use finite coordinates, or NULL for a point that is not known.")));
}

/*
 * The elements of an array as points have them, where they lie, and their
 * number.  NULL if it takes a closer look: a value that is compressed or
 * elsewhere, or has another shape or NULLs.
 */
static inline const char *
plain_elements(Datum value, int *dim)
{
	struct varlena *array = (struct varlena *) DatumGetPointer(value);
	PlainArray	start;

	/* a TOAST pointer counts as short, too */
	if (VARATT_IS_EXTERNAL(array) || VARATT_IS_COMPRESSED(array) ||
		VARSIZE_ANY_EXHDR(array) < sizeof(start))
		return NULL;
	memcpy(&start, VARDATA_ANY(array), sizeof(start));
	if (start.ndim != 1 || start.dataoffset != 0 || start.dim > CT_MAX_DIMS)
		return NULL;
	*dim = start.dim;
	return VARDATA_ANY(array) + sizeof(start);
}

/*
 * An array ready to be looked into: where it lies if possible, otherwise a
 * copy in the CtPointRef or in memory that ct_point_close() frees.
 */
static ArrayType *
open_array(Datum value, CtPointRef *point)
{
	struct varlena *packed = (struct varlena *) DatumGetPointer(value);
	ArrayType  *array;

	/* a TOAST pointer counts as short, too */
	if (VARATT_IS_SHORT(packed) && !VARATT_IS_EXTERNAL(packed))
	{
		Size		size = VARSIZE_SHORT(packed) - VARHDRSZ_SHORT;

		array = (ArrayType *) point->unpacked.bytes;
		SET_VARSIZE(array, size + VARHDRSZ);
#ifdef __GNUC__

		/*
		 * Of a size that is known to be small the compiler makes a string
		 * instruction, which takes longer to start than memcpy() to copy.
		 */
		asm("" : "+r"(size));
#endif
		memcpy(VARDATA(array), VARDATA_SHORT(packed), size);
		return array;
	}

	array = DatumGetArrayTypeP(value);
	if ((void *) array != (void *) packed)
		point->detoasted = array;

	return array;
}

/* Raise an error if the shape of an array is not a point's, else count. */
static int
check_array(ArrayType *array)
{
	int			dim;
	int			null;

	if (unlikely(ARR_NDIM(array) == 0))
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("point must have at least one coordinate"),
				 errdetail("The array is empty."),
				 errhint("Use one array element for each coordinate, or NULL for a point that is not known.")));

	if (unlikely(ARR_NDIM(array) != 1))
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("point must be a one-dimensional array"),
				 errdetail("The array has %d dimensions.", ARR_NDIM(array)),
				 errhint("Use one array element for each coordinate.")));

	dim = ARR_DIMS(array)[0];
	check_count(dim);
	null = first_null(array);
	if (unlikely(null >= 0))
		null_element(null);

	return dim;
}

/* Raise an error if a point has too many coordinates. */
static void
check_count(int dim)
{
	if (unlikely(dim > CT_MAX_DIMS))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("point has too many coordinates"),
				 errdetail("The array has %d elements, but a point can have at most %d.",
						   dim, CT_MAX_DIMS),
				 errhint("Reduce the dimension of the points.")));
}

/* The number (from zero) of an array's first null element, or -1. */
static int
first_null(ArrayType *array)
{
	const bits8 *bitmap = ARR_NULLBITMAP(array);
	int			i = 0;

	/* a null bitmap does not always mean that there are nulls */
	if (likely(!ARR_HASNULL(array)) || !array_contains_nulls(array))
		return -1;
	while (!att_isnull(i, bitmap))
		i++;
	return i;
}

static void
null_element(int i)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("null element is not allowed in a point"),
			 errdetail("Array element %d is null.", i + 1),
			 errhint("Use finite coordinates, or NULL for a point that is not known.")));
}

/*
 * Room for the coordinates of a point that cannot be used as they lie, where f64
 * points to from now on.
 */
static double *
converted_buffer(CtPointRef *point)
{
	double	   *buffer = point->inline_f64;

	if (point->dim > CT_POINT_INLINE_DIMS)
	{
		Assert(point->converted == NULL);
		buffer = palloc(point->dim * sizeof(double));
		point->converted = buffer;
	}
	point->f64 = buffer;
	return buffer;
}

/* Convert elements of integer or bigint. */
static void
convert_integers(const char *data, CtArgType type, int n, double *out)
{
	for (int i = 0; i < n; i++)
	{
		int32		i4;
		int64		i8;

		if (type == CT_ARG_INT4_ARRAY)
		{
			memcpy(&i4, data + i * sizeof(i4), sizeof(i4));
			out[i] = (double) i4;
		}
		else
		{
			memcpy(&i8, data + i * sizeof(i8), sizeof(i8));
			out[i] = (double) i8;
		}
	}
}

/*
 * Convert numeric elements as the cast does: out of double's range is an
 * error, and numeric has NaN and infinities of its own.
 */
static void
convert_numeric(const char *data, int n, double *out)
{
	for (int i = 0; i < n; i++)
	{
		out[i] = DatumGetFloat8(DirectFunctionCall1(numeric_float8,
													PointerGetDatum(data)));
		check_finite(out[i], i);
		data = att_addlength_pointer(data, -1, data);
		data = (const char *) att_align_nominal(data, TYPALIGN_INT);
	}
}
