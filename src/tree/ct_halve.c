/*-------------------------------------------------------------------------
 *
 * ct_halve.c
 *	  Dividing the rows of a few leaves evenly, by halving.
 *
 * A net divides rows by distance alone: its cells are of any size, and leaves
 * made of them are either badly filled or patched up from cells that have
 * little to do with each other.  Below a node whose rows fill no more than a
 * few leaves, rows of a space of few dimensions are therefore divided into as
 * many groups of equal size: at the median of the coordinate of the widest
 * extent, and so on for both halves (Friedman, Bentley & Finkel 1977).  That
 * makes leaves that are full, and boxes around them that hardly overlap.
 *
 * Runs in any thread: no PostgreSQL function is called here.
 *
 * IDENTIFICATION
 *	  src/tree/ct_halve.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "ct_tree.h"

typedef struct Halving
{
	const CtColumns *columns;
	uint16	   *owner;			/* result, by row */
	uint32	   *pivots;			/* result, by part */
	int			nparts;			/* made so far */
} Halving;

/* coordinate j of a row */
static inline double
coordinate(const Halving *halving, int j, uint32 row)
{
	const CtColumns *columns = halving->columns;
	size_t		at = j * columns->stride + row;

	return columns->element == CT_ELEMENT_FLOAT8 ?
		((const double *) columns->base)[at] :
		((const float *) columns->base)[at];
}

static inline void
swap(uint32 *a, uint32 *b)
{
	uint32		c = *a;

	*a = *b;
	*b = c;
}

/*
 * Moves the rows with the k smallest coordinates to the front (Hoare's
 * selection; the pivot is the middle of three, for sorted input).
 */
static void
select_smallest(const Halving *halving, int j, uint32 *rows, size_t n, size_t k)
{
	size_t		low = 0;
	size_t		high = n - 1;

	while (low < high)
	{
		double		a = coordinate(halving, j, rows[low]);
		double		b = coordinate(halving, j, rows[low + (high - low) / 2]);
		double		c = coordinate(halving, j, rows[high]);
		double		pivot = Max(Min(a, b), Min(Max(a, b), c));
		size_t		left = low;
		size_t		right = high;

		for (;;)
		{
			while (coordinate(halving, j, rows[left]) < pivot)
				left++;
			while (coordinate(halving, j, rows[right]) > pivot)
				right--;
			if (left >= right)
				break;
			swap(&rows[left++], &rows[right--]);
		}
		/* equal to the pivot where both met */
		if (left == right)
		{
			if (k == left || k == left + 1)
				return;
			if (k < left)
				high = left - 1;
			else
				low = left + 1;
		}
		else if (k <= right)
			high = right;
		else if (k > left)
			low = left;
		else
			return;
	}
}

/* The dimension in which the rows extend most, and the middle of each. */
static int
widest_dimension(const Halving *halving, const uint32 *rows, size_t n,
				 double *middle)
{
	int			widest = 0;
	double		extent = -1.0;

	for (int j = 0; j < halving->columns->dims; j++)
	{
		double		lower = coordinate(halving, j, rows[0]);
		double		upper = lower;

		for (size_t i = 1; i < n; i++)
		{
			double		x = coordinate(halving, j, rows[i]);

			lower = Min(lower, x);
			upper = Max(upper, x);
		}
		middle[j] = lower / 2.0 + upper / 2.0;
		if (upper / 2.0 - lower / 2.0 > extent)
		{
			extent = upper / 2.0 - lower / 2.0;
			widest = j;
		}
	}
	return widest;
}

/* The row nearest to the middle of a part, by the largest leg. */
static uint32
central_row(const Halving *halving, const uint32 *rows, size_t n,
			const double *middle)
{
	uint32		best = rows[0];
	double		nearest = INFINITY;

	for (size_t i = 0; i < n; i++)
	{
		double		d = 0.0;

		for (int j = 0; j < halving->columns->dims; j++)
			d = Max(d, fabs(coordinate(halving, j, rows[i]) - middle[j]));
		if (d < nearest || (d == nearest && rows[i] < best))
		{
			nearest = d;
			best = rows[i];
		}
	}
	return best;
}

static void
halve(Halving *halving, uint32 *rows, size_t n, int nparts)
{
	double		middle[CT_BOX_DIMS];
	int			widest = widest_dimension(halving, rows, n, middle);
	size_t		left;

	if (nparts == 1)
	{
		int			part = halving->nparts++;

		for (size_t i = 0; i < n; i++)
			halving->owner[rows[i]] = part;
		halving->pivots[part] = central_row(halving, rows, n, middle);
		return;
	}
	left = n * (nparts / 2) / nparts;
	select_smallest(halving, widest, rows, n, left);
	halve(halving, rows, left, nparts / 2);
	halve(halving, rows + left, n - left, nparts - nparts / 2);
}

/*
 * Divides n rows of columns into nparts <= n parts of equal size.  rows holds
 * their numbers and is reordered.  Fills owner[row] with the part of each, and
 * pivots[] with the central row of each part.
 */
void
ct_halve(const CtColumns *columns, uint32 *rows, size_t n, int nparts,
		 uint16 *owner, uint32 *pivots)
{
	Halving		halving = {columns, owner, pivots, 0};

	halve(&halving, rows, n, nparts);
}
