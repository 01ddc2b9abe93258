/*-------------------------------------------------------------------------
 *
 * ct_frame.h
 *	  Sketches: what few coordinates say of points that have many.
 *
 * Layer 1.  A frame is an origin o and some orthonormal directions, the rows of
 * a matrix P.  The sketch of a point x has as coordinates
 *
 *		P (x - o)	and behind them		|(I - P'P) (x - o)|,
 *
 * the length of what the directions leave.  For two points, with z = x - y,
 *
 *		|P z|^2 + (|x_rest| - |y_rest|)^2 <= |P z|^2 + |(I - P'P) z|^2 = |z|^2
 *
 * so sketches are never farther apart than their points are: boxes around
 * sketches bound distances as boxes around points do (ct_box.c), and rows that
 * are near to each other stay so when they are divided by sketches
 * (ct_halve.c).  Directions are the principal axes of a sample of the rows, for
 * then sketches say most; any others would be as right.
 *
 * IDENTIFICATION
 *	  include/ct_frame.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_FRAME_H
#define CT_FRAME_H

#include "ct_metric.h"

/* boxes have at most so many dimensions */
#define CT_BOX_DIMS			16

/* the last of them is the length of the rest */
#define CT_FRAME_DIRECTIONS	(CT_BOX_DIMS - 1)

/* rows that a frame is made from, at most */
#define CT_FRAME_SAMPLE		1024

/* no point has more coordinates */
#define CT_FRAME_DIMS		2000

/* On disk as it is in memory. */
typedef struct CtFrame
{
	uint32_t	dims;
	uint32_t	unused;			/* zero */
	double		values[];		/* the origin, then the directions */
} CtFrame;

/* The limits within which the exact sketch of a point is. */
typedef struct CtSketch
{
	double		lower[CT_BOX_DIMS];
	double		upper[CT_BOX_DIMS];
} CtSketch;

/* bytes of a frame for points of so many dimensions, more than CT_BOX_DIMS */
extern size_t ct_frame_bytes(int dims);

/*
 * Makes a frame of n points (n x dims, by row), which are changed.  Any points
 * give a frame that is valid.  work has room for n x CT_FRAME_DIRECTIONS
 * doubles.
 */
extern void ct_frame_fit(CtFrame *frame, int dims, size_t n, double *points,
						 double *work);

/* Are the directions orthonormal, as far as ct_frame_sketch() relies on it? */
extern bool ct_frame_is_valid(const CtFrame *frame, int dims);

/*
 * Sketches a point.  Where its coordinates are too large for that, the limits
 * are infinite.  Thread-safe.
 */
extern void ct_frame_sketch(const CtFrame *frame, const CtKernelTable *kernels,
							const double *point, CtSketch *sketch);

#endif							/* CT_FRAME_H */
