/*-------------------------------------------------------------------------
 *
 * ct_codes.h
 *	  Codes: points in a byte a coordinate, and the bounds that they give.
 *
 * Layer 1.  The rows of a leaf share a grid: code c of coordinate j stands for
 * base_j + step * c.  Let x^ be what the codes of a point x stand for.  A query
 * q gets codes of the same grid, which may lie outside of it, and q^ likewise.
 * Then
 *
 *		d(q, x) >= d(q^, x^) - d(q, q^) - d(x, x^),
 *
 * where d(q^, x^) is step times the root of a sum of squares of integers, which
 * is computed exactly, and quickly; the other two are known.
 *
 * IDENTIFICATION
 *	  include/ct_codes.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_CODES_H
#define CT_CODES_H

#include "ct_metric.h"

/* codes are 0 .. CT_CODE_MAX */
#define CT_CODE_MAX		255

/*
 * A grid has a base for each of so many dimensions; where there are more, one
 * for all of them, above the origin of the index's frame.
 */
#define CT_CODE_BASES	512

/* The grid of a leaf's codes; on disk as it is in memory. */
typedef struct CtGrid
{
	float		step;			/* 0: codes say nothing */
	float		error;			/* d(x, x^) of any row, rounded up */
	uint32_t	framed;			/* bases are above the frame's origin */
	uint32_t	unused;			/* zero */
	float		bases[];		/* ct_grid_bases() of them */
} CtGrid;

/* A grid as arithmetic sees it. */
typedef struct CtGridView
{
	int			dims;
	const CtGrid *grid;
	const double *origin;		/* or NULL */
} CtGridView;

/* Codes of a query. */
typedef struct CtQueryCodes
{
	int16_t    *codes;			/* ct_code_columns() of them */
	double		error;			/* d(q, q^) */
} CtQueryCodes;

/* bytes of codes of a point: they come in pairs */
static inline int
ct_code_columns(int dims)
{
	return (dims + 1) / 2 * 2;
}

/* where code j of row i is, in columns of stride rows */
static inline size_t
ct_code_at(int j, size_t i, size_t stride)
{
	return (size_t) (j / 2) * 2 * stride + 2 * i + j % 2;
}

/* what code 0 of coordinate j stands for */
static inline double
ct_grid_base(const CtGridView *view, int j)
{
	const CtGrid *grid = view->grid;
	double		base = grid->bases[view->dims <= CT_CODE_BASES ? j : 0];

	return grid->framed && view->origin ? view->origin[j] + base : base;
}

extern int	ct_grid_bases(int dims);
extern size_t ct_grid_bytes(int dims);

/*
 * Lays a grid over n >= 1 points (n x dims, by row), with some room around them.
 * Its error is that of no row.
 */
extern void ct_grid_fit(CtGrid *grid, int dims, const double *origin,
						size_t n, const double *points);

/*
 * Writes the codes of a point as those of row i, and returns what its error is,
 * or INFINITY.
 */
extern double ct_grid_encode(const CtGridView *view, const double *point,
							 uint8_t *codes, size_t i, size_t stride);

/* The error of the codes that are there. */
extern double ct_grid_error(const CtGridView *view, const double *point,
							const uint8_t *codes, size_t i, size_t stride);

/*
 * The length of what is left of dims numbers, by the sum of squares of that, and
 * by that of these, which are known to one rounding.  INFINITY where it is not
 * known.
 */
extern double ct_code_error(double squares, double offsets, int dims);

/* An error as it is stored. */
extern float ct_grid_stored_error(double error);

/* The codes of a query. */
extern void ct_grid_query(const CtGridView *view, const CtKernelTable *kernels,
						  const double *query, CtQueryCodes *codes);

/*
 * Lower bounds of the reported distances of a query and n rows by the sums that
 * code_sums() of CtKernelTable has made of their codes; and the least of them.
 */
extern void ct_code_bounds(const CtSpace *space, const CtGrid *grid,
						   const CtQueryCodes *query, int n,
						   const int32_t *sums, double *bounds);
extern double ct_code_least(const CtSpace *space, const CtGrid *grid,
							const CtQueryCodes *query, int n,
							const int32_t *sums);

#endif							/* CT_CODES_H */
