/*-------------------------------------------------------------------------
 *
 * ct_halve.c
 *	  Dividing rows evenly, by halving.
 *
 * A net divides rows by distance alone: its cells are of any size, and pages
 * made of them are either badly filled or patched up from cells that have
 * little to do with each other.  In a space of few dimensions rows are
 * therefore divided into as many groups of equal size as their pages need: at
 * the median of the coordinate of the largest variance, and so on for both
 * halves (Friedman, Bentley & Finkel 1977).  That makes pages that are full, and
 * boxes around them that hardly overlap.
 *
 * Runs in any thread, or in several: no PostgreSQL function is called here.
 *
 * IDENTIFICATION
 *	  src/tree/ct_halve.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "ct_tree.h"

/* rows that tell where a part is, and how it extends */
#define SAMPLE_ROWS		256

/* halves of more rows than this are worth a task */
#define TASK_ROWS		8192

/*
 * Of more than SELECT_MIN rows one out of SELECT_STRIDE is asked where the
 * middle is, but at most SELECT_SAMPLE.
 */
#define SELECT_MIN		256
#define SELECT_STRIDE	256
#define SELECT_SAMPLE	1024

/* more rows than this are divided in so many pieces, by all threads */
#define PIECE_ROWS		65536
#define PIECES			32

typedef struct Halving
{
	const CtColumns *columns;
	uint32	   *rows;			/* all of them */
	uint32	   *scratch;		/* room for as many, or NULL */
	uint16	   *owner;			/* result, by row */
	uint32	   *pivots;			/* result, by part */
	bool		shared;			/* several threads are at it */
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
select_of_few(const Halving *halving, int j, uint32 *rows, size_t n, size_t k)
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

static void
sort_numbers(double *numbers, int n)
{
	static const int gaps[] = {301, 132, 57, 23, 10, 4, 1};

	for (int g = 0; g < lengthof(gaps); g++)
		for (int i = gaps[g]; i < n; i++)
		{
			double		number = numbers[i];
			int			at = i;

			for (; at >= gaps[g] && numbers[at - gaps[g]] > number;
				 at -= gaps[g])
				numbers[at] = numbers[at - gaps[g]];
			numbers[at] = number;
		}
}

/*
 * Two coordinates of rows between which, if the sample does not deceive, lies
 * that of the kth smallest of n rows, and few others.
 */
static void
find_bracket(const Halving *halving, int j, const uint32 *rows, size_t n,
			 size_t k, double *low, double *high)
{
	double		sample[SELECT_SAMPLE];
	int			size = Min(n / SELECT_STRIDE + 32, SELECT_SAMPLE);
	int			margin = sqrt(size) + 1;
	int			middle = k * size / n;

	for (int i = 0; i < size; i++)
		sample[i] = coordinate(halving, j, rows[i * n / size]);
	sort_numbers(sample, size);
	*low = sample[Max(middle - margin, 0)];
	*high = sample[Min(middle + margin, size - 1)];
}

/*
 * Moves rows whose coordinate is less than a bound (or equal to it) to the
 * front, and returns how many these are.  There is no branch to be foretold.
 */
static pg_attribute_always_inline size_t
move_less(const char *column, bool f8, bool or_equal, uint32 *rows, size_t n,
		  double bound)
{
	size_t		count = 0;

	for (size_t i = 0; i < n; i++)
	{
		uint32		row = rows[i];
		double		x = f8 ? ((const double *) column)[row] :
			((const float *) column)[row];

		rows[i] = rows[count];
		rows[count] = row;
		count += or_equal ? x <= bound : x < bound;
	}
	return count;
}

/* The order of rows below, within and above the bounds: how many of each. */
typedef struct Classes
{
	size_t		less;
	size_t		within;
	size_t		more;
} Classes;

static Classes
classify_piece(const Halving *halving, int j, uint32 *rows, size_t n,
			   double low, double high)
{
	const CtColumns *columns = halving->columns;
	bool		f8 = columns->element == CT_ELEMENT_FLOAT8;
	const char *column = columns->base +
		j * columns->stride * (f8 ? sizeof(double) : sizeof(float));
	Classes		classes;

	if (f8)
	{
		classes.less = move_less(column, true, false, rows, n, low);
		classes.within = move_less(column, true, true, rows + classes.less,
								   n - classes.less, high);
	}
	else
	{
		classes.less = move_less(column, false, false, rows, n, low);
		classes.within = move_less(column, false, true, rows + classes.less,
								   n - classes.less, high);
	}
	classes.more = n - classes.less - classes.within;
	return classes;
}

/* Where a piece of n rows begins. */
static inline size_t
piece_start(size_t n, int piece)
{
	return n / PIECES * piece + n % PIECES * piece / PIECES;
}

/* Orders many rows by class, in pieces, which are then put together. */
static Classes
classify_pieces(const Halving *halving, int j, uint32 *rows, size_t n,
				double low, double high)
{
	uint32	   *scratch = halving->scratch + (rows - halving->rows);
	Classes		pieces[PIECES];
	Classes		at[PIECES];		/* where the rows of each go */
	Classes		sum = {0};

#pragma omp taskloop grainsize(1) shared(pieces) if (halving->shared)
	for (int p = 0; p < PIECES; p++)
	{
		size_t		start = piece_start(n, p);

		pieces[p] = classify_piece(halving, j, rows + start,
								   piece_start(n, p + 1) - start, low, high);
	}
	for (int p = 0; p < PIECES; p++)
	{
		at[p] = sum;
		sum.less += pieces[p].less;
		sum.within += pieces[p].within;
		sum.more += pieces[p].more;
	}
#pragma omp taskloop grainsize(1) shared(pieces, at, sum) if (halving->shared)
	for (int p = 0; p < PIECES; p++)
	{
		const uint32 *from = rows + piece_start(n, p);

		memcpy(scratch + at[p].less, from, sizeof(uint32) * pieces[p].less);
		from += pieces[p].less;
		memcpy(scratch + sum.less + at[p].within, from,
			   sizeof(uint32) * pieces[p].within);
		from += pieces[p].within;
		memcpy(scratch + sum.less + sum.within + at[p].more, from,
			   sizeof(uint32) * pieces[p].more);
	}
#pragma omp taskloop grainsize(1) if (halving->shared)
	for (int p = 0; p < PIECES; p++)
		memcpy(rows + piece_start(n, p), scratch + piece_start(n, p),
			   sizeof(uint32) * (piece_start(n, p + 1) - piece_start(n, p)));
	return sum;
}

/*
 * Moves the rows with the k smallest coordinates to the front: by two bounds
 * around the kth, which leave few rows between them (Floyd and Rivest 1975).
 */
static void
select_smallest(const Halving *halving, int j, uint32 *rows, size_t n, size_t k)
{
	while (n > SELECT_MIN)
	{
		size_t		before = n;
		double		low;
		double		high;
		Classes		classes;

		find_bracket(halving, j, rows, n, k, &low, &high);
		classes = halving->scratch && n > PIECE_ROWS ?
			classify_pieces(halving, j, rows, n, low, high) :
			classify_piece(halving, j, rows, n, low, high);
		if (k <= classes.less)
			n = classes.less;
		else if (k <= classes.less + classes.within)
		{
			if (low == high)
				return;
			rows += classes.less;
			k -= classes.less;
			n = classes.within;
		}
		else
		{
			rows += n - classes.more;
			k -= n - classes.more;
			n = classes.more;
		}
		if (k == n)
			return;
		if (n > before / 2)
			break;				/* so that there is an end */
	}
	select_of_few(halving, j, rows, n, k);
}

/*
 * The dimension in which the rows vary most, and the middle of each.  Of many
 * rows every so manyth is asked.  Differences are taken in units of the largest
 * coordinate, so that no square overflows.
 */
static int
widest_dimension(const Halving *halving, const uint32 *rows, size_t n,
				 double *middle)
{
	size_t		step = (n - 1) / SAMPLE_ROWS + 1;
	double		most = -1.0;
	int			widest = 0;
	double		unit = 0.0;

	for (int j = 0; j < halving->columns->dims; j++)
		for (size_t i = 0; i < n; i += step)
			unit = Max(unit, fabs(coordinate(halving, j, rows[i])));
	for (int j = 0; j < halving->columns->dims && unit > 0.0; j++)
	{
		double		first = coordinate(halving, j, rows[0]) / unit;
		double		lower = 0.0;
		double		upper = 0.0;
		double		sum = 0.0;
		double		squares = 0.0;
		size_t		count = 0;

		for (size_t i = 0; i < n; i += step, count++)
		{
			double		x = coordinate(halving, j, rows[i]) / unit - first;

			sum += x;
			squares += x * x;
			lower = Min(lower, x);
			upper = Max(upper, x);
		}
		middle[j] = (first + (lower + upper) / 2.0) * unit;
		if (squares - sum * sum / count > most)
		{
			most = squares - sum * sum / count;
			widest = j;
		}
	}
	return widest;
}

/* The row nearest to the middle of a part, by the largest leg, likewise. */
static uint32
central_row(const Halving *halving, const uint32 *rows, size_t n,
			const double *middle)
{
	size_t		step = (n - 1) / SAMPLE_ROWS + 1;
	uint32		best = rows[0];
	double		nearest = INFINITY;

	for (size_t i = 0; i < n; i += step)
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

/* Makes the parts from number part on. */
static void
halve(const Halving *halving, uint32 *rows, size_t n, int part, int nparts)
{
	double		middle[CT_BOX_DIMS] = {0};
	int			widest = widest_dimension(halving, rows, n, middle);
	size_t		left;

	if (nparts == 1)
	{
		for (size_t i = 0; i < n; i++)
			halving->owner[rows[i]] = part;
		halving->pivots[part] = central_row(halving, rows, n, middle);
		return;
	}
	left = n * (nparts / 2) / nparts;
	select_smallest(halving, widest, rows, n, left);
#pragma omp task if (halving->shared && n > TASK_ROWS)
	halve(halving, rows, left, part, nparts / 2);
	halve(halving, rows + left, n - left, part + nparts / 2,
		  nparts - nparts / 2);
}

/*
 * Divides n rows of columns into nparts <= n parts of equal size.  rows holds
 * their numbers and is reordered; scratch is NULL or has room for as many, so
 * that several threads can be at the same rows.  Fills owner[row] with the part of each, and
 * pivots[] with a central row of each part.  The result does not depend on the
 * number of threads; one thread starts no others.
 */
void
ct_halve(const CtColumns *columns, uint32 *rows, uint32 *scratch, size_t n,
		 int nparts, int nthreads, uint16 *owner, uint32 *pivots)
{
	Halving		halving = {columns, rows, scratch, owner, pivots, nthreads > 1};

	if (!halving.shared)
		halve(&halving, rows, n, 0, nparts);
	else
	{
#pragma omp parallel num_threads(nthreads)
#pragma omp single
		halve(&halving, rows, n, 0, nparts);
	}
}

/* The coordinates by which points of an index are halved: so many, */
int
ct_halving_dims(const CtIndex *index)
{
	return index->space.model ? Min(index->meta.dims, CT_BOX_DIMS) :
		index->box_dims;
}

/*
 * and these: sketches where there are boxes, else in a residual index
 * coordinates in lengthscales.
 */
void
ct_halving_place(CtIndex *index, const double *point, double *place)
{
	const CtModel *model = index->space.model;

	if (model == NULL)
		ct_box_sketch(index, point, place);
	else
		for (int j = 0; j < ct_halving_dims(index); j++)
			place[j] = point[j] / ct_model_lengthscale(model)[j];
}
