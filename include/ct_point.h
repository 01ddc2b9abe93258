/*-------------------------------------------------------------------------
 *
 * ct_point.h
 *	  Points read from SQL values.
 *
 * Everything that comes in from SQL, whether it is indexed, sought or merely
 * compared, is read here, so that a value is a point everywhere or nowhere: a
 * one-dimensional array of 1 to CT_MAX_DIMS finite elements without NULLs, or
 * a built-in point with finite coordinates.  Lower bounds of arrays do not
 * matter.  Each element stands for the double that its cast to double
 * precision gives.
 *
 * IDENTIFICATION
 *	  include/ct_point.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_POINT_H
#define CT_POINT_H

#include "ct_compat.h"

#include "utils/array.h"

/* most elements that a point may have */
#define CT_MAX_DIMS		2000

/* converted points up to this dimension need no memory of their own */
#define CT_POINT_INLINE_DIMS	16

/* SQL types that can be read as points */
typedef enum CtArgType
{
	CT_ARG_FLOAT8_ARRAY,
	CT_ARG_FLOAT4_ARRAY,
	CT_ARG_NUMERIC_ARRAY,
	CT_ARG_INT4_ARRAY,
	CT_ARG_INT8_ARRAY,
	CT_ARG_POINT
} CtArgType;

/*
 * A point opened for reading.  At least one of f64 and f32 is set; it may
 * point into the SQL value or into this struct, so the struct must not be
 * copied, and both it and the value must stay until ct_point_close().  What it
 * points to need not be aligned: give it to a kernel or to memcpy().
 */
typedef struct CtPointRef
{
	int			dim;
	const double *f64;			/* coordinates as double, or NULL */
	const float *f32;			/* coordinates as float, or NULL */

	/* private to ct_point.c */
	void	   *detoasted;		/* copy of the SQL value, or NULL */
	double	   *converted;		/* coordinates in memory of their own, or NULL */
	double		inline_f64[CT_POINT_INLINE_DIMS];
	union
	{
		char		bytes[VARATT_SHORT_MAX + VARHDRSZ];
		double		force_align;
	}			unpacked;		/* copy of a value with a short header */
} CtPointRef;

/* Tells how to read values of a type; false if they cannot be points. */
extern bool ct_arg_type_from_oid(Oid typid, CtArgType *type);

/*
 * Reads a point without copying what need not be copied.  Raises an error if
 * the value is not a point.
 */
extern void ct_point_open(Datum value, CtArgType type, CtPointRef *point);

/*
 * The coordinates as aligned doubles, which f64 points to from then on; converts
 * from f32 if need be (exactly).
 */
extern const double *ct_point_f64(CtPointRef *point);

/* Frees what ct_point_open() and ct_point_f64() allocated. */
extern void ct_point_close(CtPointRef *point);

/*
 * Reads a point into buf, which has room for CT_MAX_DIMS doubles, and returns
 * its dimension.  Raises an error if the value is not a point.  Leaves no
 * memory behind, except what numeric elements may need.
 */
extern int	ct_point_read(Datum value, CtArgType type, double *buf);

/*
 * Reads n points of the same dimension that stand in an array of double
 * precision with two dimensions; none in an empty one.  Raises an error if the
 * array has another shape, or a row of it is not a point.  The result points
 * into the array.
 */
extern const double *ct_points_open(ArrayType *array, int *n, int *dims);

/* Raises the error for two points that have no distance. */
pg_noreturn extern void ct_dims_mismatch(int a, int b);

#endif							/* CT_POINT_H */
