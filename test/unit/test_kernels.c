/*-------------------------------------------------------------------------
 *
 * test_kernels.c
 *	  Every distance kernel against the scalar one, bit for bit, and the
 *	  scalar one against a plain summation and against exact arithmetic.
 *
 * make unit runs it.  With sanitizers, from the top directory:
 *
 *	make -B unit UNIT_CFLAGS="-fsanitize=address,undefined"
 *
 * Prints the levels that this machine cannot run, every kind of failure a few
 * times, and "ok" if there was none.
 *
 * Input ends at an unreadable page, so that one byte read too many is a
 * crash.  Gaps between columns are NaN, so that an element taken from one
 * shows.  Output is fenced by canary bytes.
 *
 * IDENTIFICATION
 *	  test/unit/test_kernels.c
 *
 *-------------------------------------------------------------------------
 */
#define _DEFAULT_SOURCE			/* MAP_ANONYMOUS */

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ct_kernel.h"

#define RANDOM_SEED			20231101
#include "test_random.h"

#define LENGTH(array)		(sizeof(array) / sizeof((array)[0]))

/* a wider type for references: the range never ends, at least 113 bits */
#if defined(__x86_64__) || defined(__i386__)
typedef __float128 Wide;
#else
typedef long double Wide;
#endif

static const size_t dims[] = {
	1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 100, 2000
};
static const size_t counts[] = {
	1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 18, 31, 33, 100, 256
};

#define MAX_DIM				2000
#define MAX_COUNT			256

static unsigned long failures = 0;
static unsigned long comparisons = 0;


/* ---- Input ---- */

static int
random_below(int limit)
{
	return (int) (random_bits() % (uint64_t) limit);
}

typedef enum Kind
{
	KIND_UNIT,
	KIND_LATTICE,				/* small whole numbers: ties, and many zeros */
	KIND_SIGNED_ZERO,
	KIND_SUBNORMAL,
	KIND_TINY,					/* squares underflow */
	KIND_LOW_LIMIT,				/* sums about CT_SUM_MIN */
	KIND_HIGH_LIMIT,			/* sums about CT_SUM_MAX */
	KIND_HUGE,					/* squares overflow */
	KIND_LARGEST,				/* differences and distances overflow */
	KIND_ANY_EXPONENT,
	KINDS
} Kind;

static const char *const kind_names[KINDS] = {
	"unit", "lattice", "signed zero", "subnormal", "tiny", "low limit",
	"high limit", "huge", "largest", "any exponent"
};

static double
random_element(Kind kind)
{
	switch (kind)
	{
		case KIND_LATTICE:
			return random_below(3) - 1;
		case KIND_SIGNED_ZERO:
			return random_below(16) == 0 ? 0x1p-1074 :
				copysign(0.0, random_unit());
		case KIND_SUBNORMAL:
			return random_unit() * 0x1p-1065;
		case KIND_TINY:
			return random_unit() * 0x1p-600;
		case KIND_LOW_LIMIT:
			return random_unit() * 0x1p-450;
		case KIND_HIGH_LIMIT:
			return random_unit() * 0x1p+500;
		case KIND_HUGE:
			return random_unit() * 0x1p+900;
		case KIND_LARGEST:
			return copysign(DBL_MAX, random_unit()) *
				(random_below(2) ? 1.0 : random_unit());
		case KIND_ANY_EXPONENT:
			return ldexp(random_unit(), random_below(2098) - 1074);
		default:
			return random_unit();
	}
}

/* the same as float: the extremes of its range, and below it */
static float
random_float(Kind kind)
{
	switch (kind)
	{
		case KIND_SUBNORMAL:
			return (float) (random_unit() * 0x1p-140);
		case KIND_LARGEST:
			return copysignf(FLT_MAX, (float) random_unit());
		case KIND_ANY_EXPONENT:
			return (float) ldexp(random_unit(), random_below(277) - 149);
		case KIND_SIGNED_ZERO:
			return random_below(16) == 0 ? 0x1p-149f :
				copysignf(0.0f, (float) random_unit());
		case KIND_LATTICE:
			return (float) (random_below(3) - 1);
		default:
			return (float) random_unit();
	}
}

/* Memory that ends where reading or writing crashes. */
typedef struct Arena
{
	char	   *start;
	size_t		size;
} Arena;

static Arena
arena_create(size_t size)
{
	size_t		page = (size_t) sysconf(_SC_PAGESIZE);
	Arena		arena;

	arena.size = (size + page - 1) / page * page;
	arena.start = mmap(NULL, arena.size + page, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (arena.start == MAP_FAILED ||
		mprotect(arena.start + arena.size, page, PROT_NONE) != 0)
	{
		perror("arena");
		exit(1);
	}
	return arena;
}

/* the last size bytes before the gap, the gap being 0 to 7 bytes at the end */
static void *
arena_tail(Arena arena, size_t size, size_t gap)
{
	return arena.start + arena.size - size - gap;
}

/* no pointer here need be aligned, so elements go through memcpy */
static double
get_f64(const double *p, size_t i)
{
	double		value;

	memcpy(&value, (const char *) p + i * sizeof(value), sizeof(value));
	return value;
}

static void
put_f64(double *p, size_t i, double value)
{
	memcpy((char *) p + i * sizeof(value), &value, sizeof(value));
}

static float
get_f32(const float *p, size_t i)
{
	float		value;

	memcpy(&value, (const char *) p + i * sizeof(value), sizeof(value));
	return value;
}

static void
put_f32(float *p, size_t i, float value)
{
	memcpy((char *) p + i * sizeof(value), &value, sizeof(value));
}


/* ---- References ---- */

/*
 * The definition in ct_kernel.h, taken literally, for sums in range; volatile
 * so that no product is contracted, whatever the compiler's flags.
 */
static bool
literal_distance(const double *q, const double *x, size_t dim, double *dist)
{
	double		s[CT_SUM_LANES] = {0};

	for (size_t j = 0; j < dim; j++)
	{
		volatile double diff = x[j] - q[j];
		volatile double square = diff * diff;

		s[j % CT_SUM_LANES] += square;
	}
	for (int half = CT_SUM_LANES / 2; half > 0; half /= 2)
	{
		for (int i = 0; i < half; i++)
			s[i] += s[i + half];
	}
	*dist = sqrt(s[0]);
	return s[0] >= CT_SUM_MIN && s[0] <= CT_SUM_MAX;
}

/*
 * Is the distance as near to the true one as the canonical order promises?
 * Differences, squares and additions give a sum within
 * 3 + (ceil(dim / 16) - 1) + 4 units of 2^-53, the root half of that and one
 * more; a subnormal result may be half a step beside it.  We compare squares,
 * in the wide type, with a thousandth for terms of second order.
 */
static bool
near_exact(const double *q, const double *x, size_t dim, double dist)
{
	double		units = 1.0 + (6 + (dim + 15) / 16) / 2.0;
	double		error = units * 1.001 * 0x1p-53;
	Wide		sum = 0;
	Wide		low,
				high;

	for (size_t j = 0; j < dim; j++)
	{
		Wide		diff = (Wide) x[j] - (Wide) q[j];

		sum += diff * diff;
	}
	if (sum == 0)
		return dist == 0;
	if (isinf(dist))
	{
		/* allowed from half a step beyond the largest double */
		high = (Wide) DBL_MAX * (1 + (Wide) 0x1p-54) / (1 - (Wide) error);
		low = (Wide) DBL_MAX * (1 + (Wide) 0x1p-54) * (1 - (Wide) error);
		return dist > 0 && sum >= low * low && high > low;
	}
	low = ((Wide) dist - (Wide) 0x1p-1074 * 0.501) / (1 + (Wide) error);
	high = ((Wide) dist + (Wide) 0x1p-1074 * 0.501) / (1 - (Wide) error);
	return dist >= 0 && (low <= 0 || low * low <= sum) && sum <= high * high;
}


/* ---- Checks ---- */

static bool
same_bits(double a, double b)
{
	comparisons++;
	return memcmp(&a, &b, sizeof(a)) == 0;
}

/* prints the first failures of a run only; there may be millions */
static void
fail(const char *level, const char *what, Kind kind, size_t dim, size_t n,
	 size_t i, double is, double should)
{
	if (++failures <= 20)
		printf("not ok: %s %s, %s, %zu dimensions, %zu points, point %zu: "
			   "%a, expected %a\n",
			   level, what, kind_names[kind], dim, n, i, is, should);
}

#define CANARY				0x5A
#define FENCE				64

static double dist_buffer[MAX_COUNT + 2 * FENCE / sizeof(double) + 1];

/* room for n doubles, 4 bytes off alignment if so told, and all canaries */
static double *
fenced_output(bool unaligned)
{
	memset(dist_buffer, CANARY, sizeof(dist_buffer));
	return (double *) ((char *) dist_buffer + FENCE + (unaligned ? 4 : 0));
}

static bool
fences_whole(const double *dist, size_t n)
{
	const char *start = (const char *) dist_buffer;
	const char *first = (const char *) dist;
	const char *end = first + n * sizeof(double);

	for (const char *p = start; p < start + sizeof(dist_buffer); p++)
	{
		if ((p < first || p >= end) && *p != CANARY)
			return false;
	}
	return true;
}

/* One set of points, in rows and in columns, of both types. */
typedef struct Points
{
	Kind		kind;
	size_t		dim;
	size_t		n;
	size_t		stride;
	double	   *q;
	double	   *cols_f64;
	float	   *cols_f32;
	double	   *row_f64;
	float	   *row_f32;
} Points;

static Arena q_arena,
			cols_f64_arena,
			cols_f32_arena,
			row_f64_arena,
			row_f32_arena;

static void
points_fill(Points *p, Kind kind, size_t dim, size_t n, bool unaligned)
{
	size_t		elements;

	p->kind = kind;
	p->dim = dim;
	p->n = n;
	p->stride = n + (unaligned ? 3 : 0);
	elements = (dim - 1) * p->stride + n;

	p->q = arena_tail(q_arena, dim * sizeof(double), unaligned ? 4 : 0);
	p->cols_f64 = arena_tail(cols_f64_arena, elements * sizeof(double),
							 unaligned ? 4 : 0);
	p->row_f64 = arena_tail(row_f64_arena, dim * sizeof(double),
							unaligned ? 4 : 0);
	p->cols_f32 = arena_tail(cols_f32_arena, elements * sizeof(float),
							 unaligned ? 2 : 0);
	p->row_f32 = arena_tail(row_f32_arena, dim * sizeof(float),
							unaligned ? 2 : 0);

	for (size_t i = 0; i < elements; i++)
	{
		put_f64(p->cols_f64, i, NAN);
		put_f32(p->cols_f32, i, NAN);
	}
	for (size_t j = 0; j < dim; j++)
	{
		put_f64(p->q, j, random_element(kind));
		for (size_t i = 0; i < n; i++)
		{
			put_f64(p->cols_f64, j * p->stride + i, random_element(kind));
			put_f32(p->cols_f32, j * p->stride + i, random_float(kind));
		}
	}

	/* a point equal to the query, where there are several */
	if (n > 2)
	{
		size_t		i = (size_t) random_below((int) n);

		for (size_t j = 0; j < dim; j++)
			put_f64(p->cols_f64, j * p->stride + i, get_f64(p->q, j));
	}
}

/* make point i the row */
static void
points_take_row(Points *p, size_t i)
{
	for (size_t j = 0; j < p->dim; j++)
	{
		put_f64(p->row_f64, j, get_f64(p->cols_f64, j * p->stride + i));
		put_f32(p->row_f32, j, get_f32(p->cols_f32, j * p->stride + i));
	}
}

/* scalar distances of all points, each checked against the references */
static void
reference_distances(Points *p, double *f64, double *f32)
{
	static double q[MAX_DIM];
	static double x[MAX_DIM];
	const CtKernelTable *scalar = &ct_kernel_scalar;
	double		dist;

	for (size_t j = 0; j < p->dim; j++)
		q[j] = get_f64(p->q, j);
	for (size_t i = 0; i < p->n; i++)
	{
		points_take_row(p, i);
		f64[i] = scalar->l2_f64(p->q, p->row_f64, p->dim);
		f32[i] = scalar->l2_f32(p->q, p->row_f32, p->dim);

		for (size_t j = 0; j < p->dim; j++)
			x[j] = get_f64(p->row_f64, j);
		if (literal_distance(q, x, p->dim, &dist) && !same_bits(f64[i], dist))
			fail("scalar", "l2_f64 is not the literal sum", p->kind, p->dim,
				 p->n, i, f64[i], dist);
		if (i < 8 && !near_exact(q, x, p->dim, f64[i]))
			fail("scalar", "l2_f64 is not near", p->kind, p->dim, p->n, i,
				 f64[i], NAN);

		/* a float is the double of the same value */
		for (size_t j = 0; j < p->dim; j++)
			x[j] = get_f32(p->row_f32, j);
		dist = scalar->l2_f64(q, x, p->dim);
		if (!same_bits(f32[i], dist))
			fail("scalar", "l2_f32 is not l2_f64", p->kind, p->dim, p->n, i,
				 f32[i], dist);
		if (i < 8 && !near_exact(q, x, p->dim, f32[i]))
			fail("scalar", "l2_f32 is not near", p->kind, p->dim, p->n, i,
				 f32[i], NAN);
	}
}

static void
compare_all(const CtKernelTable *kernels, const char *what, const Points *p,
			const double *is, const double *should)
{
	for (size_t i = 0; i < p->n; i++)
	{
		if (!same_bits(get_f64(is, i), should[i]))
			fail(kernels->name, what, p->kind, p->dim, p->n, i,
				 get_f64(is, i), should[i]);
	}
	if (!fences_whole(is, p->n))
		fail(kernels->name, "wrote beyond its output", p->kind, p->dim, p->n,
			 p->n, NAN, NAN);
}

/*
 * Squares either have the distances as their roots, or are said not to tell,
 * which only those near the ends of the range may cause.
 */
static void
check_squares(const CtKernelTable *kernels, const char *what, const Points *p,
			  bool tell, double *squares, const double *should)
{
	bool		extreme = false;

	for (size_t i = 0; i < p->n; i++)
	{
		double		root = sqrt(get_f64(squares, i));

		extreme |= !(should[i] > 0x1p-449 && should[i] < 0x1p+499);
		if (tell && !same_bits(root, should[i]))
			fail(kernels->name, what, p->kind, p->dim, p->n, i, root,
				 should[i]);
	}
	if (!tell && !extreme)
		fail(kernels->name, what, p->kind, p->dim, p->n, 0, NAN, should[0]);
	if (!fences_whole(squares, p->n))
		fail(kernels->name, "wrote beyond its output", p->kind, p->dim, p->n,
			 p->n, NAN, NAN);
}

static void
check_level(const CtKernelTable *kernels, Points *p, bool unaligned,
			const double *f64, const double *f32)
{
	double	   *dist;

	dist = fenced_output(unaligned);
	kernels->l2_columns_f64(p->q, p->cols_f64, p->stride, p->n, p->dim, dist);
	compare_all(kernels, "l2_columns_f64", p, dist, f64);

	dist = fenced_output(unaligned);
	kernels->l2_columns_f32(p->q, p->cols_f32, p->stride, p->n, p->dim, dist);
	compare_all(kernels, "l2_columns_f32", p, dist, f32);

	dist = fenced_output(unaligned);
	check_squares(kernels, "squares_columns_f64", p,
				  kernels->squares_columns_f64(p->q, p->cols_f64, p->stride,
											   p->n, p->dim, dist),
				  dist, f64);
	dist = fenced_output(unaligned);
	check_squares(kernels, "squares_columns_f32", p,
				  kernels->squares_columns_f32(p->q, p->cols_f32, p->stride,
											   p->n, p->dim, dist),
				  dist, f32);

	/* rows say the same whatever n is: enough of them */
	for (size_t i = 0; i < p->n && i < 33; i++)
	{
		double		row;

		points_take_row(p, i);
		row = kernels->l2_f64(p->q, p->row_f64, p->dim);
		if (!same_bits(row, f64[i]))
			fail(kernels->name, "l2_f64", p->kind, p->dim, p->n, i, row,
				 f64[i]);
		row = kernels->l2_f32(p->q, p->row_f32, p->dim);
		if (!same_bits(row, f32[i]))
			fail(kernels->name, "l2_f32", p->kind, p->dim, p->n, i, row,
				 f32[i]);
	}
}

static void
check_distances(const CtKernelTable *const *tables)
{
	static double f64[MAX_COUNT];
	static double f32[MAX_COUNT];

	for (size_t d = 0; d < LENGTH(dims); d++)
	{
		for (size_t c = 0; c < LENGTH(counts); c++)
		{
			for (int kind = 0; kind < KINDS; kind++)
			{
				/* either is aligned in every second case, and every kind */
				bool		unaligned = (d + c + (size_t) kind) % 2 != 0;
				Points		points;

				points_fill(&points, (Kind) kind, dims[d], counts[c],
							unaligned);
				reference_distances(&points, f64, f32);
				for (int level = 0; level < CT_KERNEL_LEVELS; level++)
				{
					if (tables[level] != NULL)
						check_level(tables[level], &points, unaligned, f64,
									f32);
				}
			}
		}
	}
}

/* Distances that can be told by hand. */
static void
check_known(const CtKernelTable *kernels)
{
	static const struct
	{
		double		q[2];
		double		x[2];
		double		dist;
	}			known[] =
	{
		{{0, 0}, {3, 4}, 5},
		{{0.0, -0.0}, {-0.0, 0.0}, 0},
		{{0, 0}, {0x3p-1074, 0x4p-1074}, 0x5p-1074},
		{{0, 0}, {0x1p-1074, 0}, 0x1p-1074},
		{{0, 0}, {0x1p-1074, 0x1p-1074}, 0x1p-1074},
		{{0, 0}, {0x3p-600, -0x4p-600}, 0x5p-600},
		{{0, 0}, {0x3p+1000, 0x4p+1000}, 0x5p+1000},
		{{0, 0}, {DBL_MAX, 0}, DBL_MAX},
		{{-0x1p+1022, 0}, {0x1p+1022, 0}, 0x1p+1023},
		{{-0x1p+1023, 0}, {0x1p+1023, 0}, INFINITY},
		{{-DBL_MAX, 0}, {DBL_MAX, 0}, INFINITY},
		{{0, 0}, {DBL_MAX, DBL_MAX}, INFINITY},
		{{-0x1p+970, 0}, {DBL_MAX, 0}, INFINITY},
		{{-0x1p+969, 0}, {DBL_MAX, 0}, DBL_MAX},
		{{1, 1}, {1, 1}, 0},
		{{0, 0}, {0x1p-450, 0}, 0x1p-450},
		{{0, 0}, {0x1.fffffffffffffp-451, 0}, 0x1.fffffffffffffp-451},
		{{0, 0}, {0x1p+500, 0}, 0x1p+500},
		{{0, 0}, {0x1.0000000000001p+500, 0}, 0x1.0000000000001p+500}
	};

	for (size_t k = 0; k < LENGTH(known); k++)
	{
		double		row = kernels->l2_f64(known[k].q, known[k].x, 2);
		double		column;

		kernels->l2_columns_f64(known[k].q, known[k].x, 1, 1, 2, &column);
		if (!same_bits(row, known[k].dist))
			fail(kernels->name, "l2_f64 of a known case", KIND_UNIT, 2, 1, k,
				 row, known[k].dist);
		if (!same_bits(column, known[k].dist))
			fail(kernels->name, "l2_columns_f64 of a known case", KIND_UNIT,
				 2, 1, k, column, known[k].dist);
	}
}

/* The rescaled forms agree with the usual ones, and with themselves. */
static void
check_rescaled(void)
{
	for (size_t d = 0; d < LENGTH(dims) - 1; d++)
	{
		double		q[100 * 3];
		double		x[100 * 2];
		float		y[100 * 2];
		double		scaled[100 * 2];
		size_t		dim = dims[d];
		double		is,
					should;

		for (size_t j = 0; j < dim; j++)
		{
			q[j * 3] = random_unit();
			x[j * 2] = y[j * 2] = (float) random_unit();
			scaled[j * 2] = x[j * 2];
		}
		is = ct_l2_rescaled_f64(q, 3, x, 2, dim);
		should = ct_l2_rescaled_f32(q, 3, y, 2, dim);
		if (!same_bits(is, should))
			fail("scalar", "rescaled_f32 is not rescaled_f64", KIND_UNIT,
				 dim, 1, 0, should, is);

		/* a power of two changes no bit of the sum in range */
		for (size_t j = 0; j < dim; j++)
		{
			q[j] = q[j * 3];
			x[j] = x[j * 2];
		}
		should = ct_kernel_scalar.l2_f64(q, x, dim);
		if (!same_bits(is, should))
			fail("scalar", "rescaled_f64 is not l2_f64", KIND_UNIT, dim, 1, 0,
				 is, should);
		for (size_t j = 0; j < dim; j++)
		{
			q[j] *= 0x1p+1000;
			scaled[j] = x[j] * 0x1p+1000;
		}
		is = ct_kernel_scalar.l2_f64(q, scaled, dim);
		if (!same_bits(is, should * 0x1p+1000))
			fail("scalar", "l2_f64 does not scale", KIND_HUGE, dim, 1, 0, is,
				 should * 0x1p+1000);
	}
}

/* What is not finite is no point, but must not become a finite distance. */
static void
check_not_finite(const CtKernelTable *kernels)
{
	static const double bad[] = {NAN, INFINITY, -INFINITY};

	for (size_t k = 0; k < LENGTH(bad); k++)
	{
		for (size_t dim = 1; dim <= 40; dim++)
		{
			double		q[40] = {0};
			double		x[40] = {0};
			double		row,
						column;

			x[dim / 2] = bad[k];
			row = kernels->l2_f64(q, x, dim);
			kernels->l2_columns_f64(q, x, 1, 1, dim, &column);
			if (isfinite(row) || isfinite(column) ||
				(isnan(bad[k]) && !(isnan(row) && isnan(column))))
				fail(kernels->name, "a finite distance of what is not",
					 KIND_UNIT, dim, 1, 0, isfinite(row) ? row : column,
					 fabs(bad[k]));
		}
	}
}

static void
check_argmin(const CtKernelTable *kernels)
{
	static Arena arena;

	if (arena.start == NULL)
		arena = arena_create(600 * sizeof(double));
	for (size_t n = 1; n <= 530; n++)
	{
		for (int style = 0; style < 6; style++)
		{
			double	   *keys = arena_tail(arena, n * sizeof(double),
										  style % 2 ? 4 : 0);
			size_t		should = 0;
			size_t		is;

			for (size_t i = 0; i < n; i++)
			{
				double		key;

				switch (style)
				{
					case 0:		/* distinct */
						key = random_unit();
						break;
					case 1:		/* ties */
						key = random_below(4);
						break;
					case 2:		/* all equal, and no smallest number */
						key = INFINITY;
						break;
					case 3:		/* zeros of either sign are equal */
						key = copysign(0.0, random_unit());
						break;
					case 4:		/* what is left of a leaf */
						key = random_below(20) ? INFINITY : random_below(3);
						break;
					default:	/* the last is the smallest */
						key = -(double) i;
						break;
				}
				put_f64(keys, i, key);
				if (key < get_f64(keys, should))
					should = i;
			}
			comparisons++;
			is = kernels->argmin_f64(keys, n);
			if (is != should)
				fail(kernels->name, "argmin_f64", KIND_UNIT, 1, n, is,
					 get_f64(keys, is), get_f64(keys, should));
		}
	}
}

/* one key of a list: distinct, with ties, without number, or none */
static double
key_of_style(int style)
{
	switch (style)
	{
		case 0:
			return random_unit();
		case 1:
			return random_below(4);
		case 2:
			return random_below(3) ? INFINITY : random_unit();
		case 3:
			return random_below(9) ? random_unit() : NAN;
		default:
			return 1.0;
	}
}

/* Checks choose_f64 and count_f64 against what they promise. */
static void
check_chosen(const CtKernelTable *kernels, const double *keys, size_t n,
			 double above, double limit)
{
	uint16_t	chosen[600];
	double		rest = -1.0;
	double		left = INFINITY;
	size_t		count = kernels->choose_f64(keys, n, above, limit, chosen, &rest);
	size_t		at_most = 0;
	size_t		place = 0;

	comparisons++;
	for (size_t i = 0; i < n; i++)
	{
		double		key = get_f64(keys, i);

		at_most += key <= limit;
		if (key > limit)
			left = key < left ? key : left;
		else if (!(key <= above) && (place >= count || chosen[place++] != i))
			fail(kernels->name, "choose_f64", KIND_UNIT, 1, n, i, key, limit);
	}
	if (place != count || rest != left)
		fail(kernels->name, "choose_f64", KIND_UNIT, 1, n, count, rest, left);
	if (kernels->count_f64(keys, n, limit) != at_most)
		fail(kernels->name, "count_f64", KIND_UNIT, 1, n, at_most, limit, 0.0);
}

static void
check_choosing(const CtKernelTable *kernels)
{
	static Arena arena;

	if (arena.start == NULL)
		arena = arena_create(600 * sizeof(double));
	for (size_t n = 1; n <= 530; n += n < 40 ? 1 : 7)
		for (int style = 0; style < 5; style++)
		{
			double	   *keys = arena_tail(arena, n * sizeof(double),
										  style % 2 ? 4 : 0);

			for (size_t i = 0; i < n; i++)
				put_f64(keys, i, key_of_style(style));
			check_chosen(kernels, keys, n, -1.0, INFINITY);
			check_chosen(kernels, keys, n, -1.0, 0.0);
			check_chosen(kernels, keys, n, -1.0, 0.5);
			check_chosen(kernels, keys, n, 0.25, 0.5);
			check_chosen(kernels, keys, n, 1.0, 2.0);
			check_chosen(kernels, keys, n, 0.5, INFINITY);
			check_chosen(kernels, keys, n, 0.5, 0.5);
		}
}

/* Selecting and ordering n keys, against what plain loops say. */
static void
check_selection_of(const CtKernelTable *kernels, const double *keys, size_t n,
				   double limit)
{
	static double kept_keys[260];
	static uint64_t kept_tags[260];
	uint64_t	tags[250];
	uint32_t	ranks[250];
	size_t		should = 0;
	size_t		kept;

	for (size_t i = 0; i < n; i++)
		tags[i] = UINT64_C(1) << 63 | i;
	kept = kernels->keep_at_most(keys, tags, n, limit, kept_keys, kept_tags);
	kernels->ranks_f64(keys, n, ranks);
	for (size_t i = 0; i < n; i++)
	{
		size_t		rank = 0;

		for (size_t j = 0; j < n; j++)
			rank += get_f64(keys, j) < get_f64(keys, i) ||
				(get_f64(keys, j) == get_f64(keys, i) && j < i);
		if (ranks[i] != rank)
			fail(kernels->name, "ranks_f64", KIND_UNIT, 1, n, i, ranks[i], rank);
		if (!(get_f64(keys, i) <= limit))
			continue;
		if (should >= kept || kept_tags[should] != tags[i] ||
			kept_keys[should] != get_f64(keys, i))
			fail(kernels->name, "keep_at_most", KIND_UNIT, 1, n, i, kept, should);
		should++;
	}
	if (kept != should)
		fail(kernels->name, "keep_at_most", KIND_UNIT, 1, n, n, kept, should);

	/* in place */
	for (size_t i = 0; i < n; i++)
		kept_keys[i] = get_f64(keys, i);
	if (kernels->keep_at_most(kept_keys, tags, n, limit, kept_keys,
							  tags) != should)
		fail(kernels->name, "keep_at_most in place", KIND_UNIT, 1, n, n, 0.0,
			 should);
	for (size_t i = 0; i < should; i++)
		if (tags[i] != kept_tags[i])
			fail(kernels->name, "keep_at_most in place", KIND_UNIT, 1, n, i,
				 tags[i], kept_tags[i]);
}

static void
check_selection(const CtKernelTable *kernels)
{
	static Arena arena;

	if (arena.start == NULL)
		arena = arena_create(260 * sizeof(double));
	for (size_t n = 1; n <= 200; n++)
		for (int style = 0; style < 4; style++)
		{
			double	   *keys = arena_tail(arena, n * sizeof(double),
										  style % 2 ? 4 : 0);

			for (size_t i = 0; i < n; i++)
				put_f64(keys, i, key_of_style(style == 3 ? 4 : style));
			check_selection_of(kernels, keys, n, style == 1 ? 1.0 : 0.3);
			check_selection_of(kernels, keys, n, INFINITY);
			check_selection_of(kernels, keys, n, -1.0);
		}
}

/* How far q is below the one limit or above the other. */
static double
literal_leg(double q, float lower, float upper)
{
	if ((double) lower - q > 0.0)
		return (double) lower - q;
	if (q - (double) upper > 0.0)
		return q - (double) upper;
	return 0.0;
}

/* One box of a case: a range, a point, all of space or nothing. */
static void
put_box(float *boxes, size_t stride, size_t dim, size_t i, Kind kind)
{
	int			style = random_below(8);

	for (size_t j = 0; j < dim; j++)
	{
		float		a = random_float(kind);
		float		b = style == 0 ? a : random_float(kind);

		if (style == 1)
			a = -(b = INFINITY);
		put_f32(boxes, j * stride + i, style == 2 ? INFINITY : a < b ? a : b);
		put_f32(boxes, (dim + j) * stride + i,
				style == 2 ? -INFINITY : a < b ? b : a);
	}
}

static void
check_boxes_of(const CtKernelTable *const *tables, Kind kind, size_t dim,
			   size_t n, bool unaligned)
{
	size_t		stride = n + random_below(3);
	size_t		length = (2 * dim - 1) * stride + n;
	float	   *boxes = arena_tail(cols_f32_arena, length * sizeof(float),
								   unaligned ? 2 : 0);
	double	   *q = arena_tail(q_arena, dim * sizeof(double), unaligned ? 4 : 0);
	double		should[MAX_COUNT];
	double		squares[MAX_COUNT];

	for (size_t j = 0; j < dim; j++)
		put_f64(q, j, random_below(2) ? random_element(kind) :
				(double) random_float(kind));
	for (size_t i = 0; i < n; i++)
	{
		volatile double sum = 0.0;

		put_box(boxes, stride, dim, i, kind);
		for (size_t j = 0; j < dim; j++)
		{
			volatile double leg = literal_leg(get_f64(q, j),
											  get_f32(boxes, j * stride + i),
											  get_f32(boxes, (dim + j) * stride + i));
			volatile double square = leg * leg;

			sum += square;
		}
		should[i] = sqrt(sum);
		squares[i] = sum < CT_SUM_MAX ? sum : CT_SUM_MAX;
	}
	for (int level = 0; level < CT_KERNEL_LEVELS; level++)
	{
		double	   *dist = fenced_output(unaligned);

		if (tables[level] == NULL)
			continue;
		tables[level]->box_distances(q, boxes, stride, n, dim, dist);
		for (size_t i = 0; i < n; i++)
			if (!same_bits(get_f64(dist, i), should[i]))
				fail(tables[level]->name, "box_distances", kind, dim, n, i,
					 get_f64(dist, i), should[i]);
		if (!fences_whole(dist, n))
			fail(tables[level]->name, "box_distances wrote beyond its output",
				 kind, dim, n, n, NAN, NAN);
		dist = fenced_output(unaligned);
		tables[level]->box_squares(q, boxes, stride, n, dim, dist);
		for (size_t i = 0; i < n; i++)
			if (!same_bits(get_f64(dist, i), squares[i]))
				fail(tables[level]->name, "box_squares", kind, dim, n, i,
					 get_f64(dist, i), squares[i]);
		if (!fences_whole(dist, n))
			fail(tables[level]->name, "box_squares wrote beyond its output",
				 kind, dim, n, n, NAN, NAN);
	}
}

static void
check_boxes(const CtKernelTable *const *tables)
{
	for (size_t d = 0; dims[d] <= 17; d++)
		for (size_t c = 0; c < LENGTH(counts); c++)
			for (int kind = 0; kind < KINDS; kind++)
				check_boxes_of(tables, (Kind) kind, dims[d], counts[c],
							   (d + c + (size_t) kind) % 2 != 0);
}

static void
check_shares_of(const CtKernelTable *const *tables, size_t nbasis, size_t n)
{
	size_t		stride = n + random_below(3);
	size_t		length = nbasis == 0 ? 0 : (nbasis - 1) * stride + n;
	int8_t	   *shares = arena_tail(cols_f32_arena, length, 0);
	float	   *query = arena_tail(q_arena, nbasis * sizeof(float), 0);
	float		should[MAX_COUNT];

	for (size_t i = 0; i < length; i++)
		shares[i] = (int8_t) (random_below(255) - 127);
	for (size_t j = 0; j < nbasis; j++)
		put_f32(query, j, (float) random_unit());
	for (size_t i = 0; i < n; i++)
	{
		volatile float sum = 0.0f;

		for (size_t j = 0; j < nbasis; j++)
		{
			volatile float product = get_f32(query, j) *
				(float) shares[j * stride + i];

			sum = j == 0 ? product : sum + product;
		}
		should[i] = sum;
	}
	for (int level = 0; level < CT_KERNEL_LEVELS; level++)
	{
		float		is[MAX_COUNT + 1];

		if (tables[level] == NULL)
			continue;
		is[n] = 42.0f;
		tables[level]->share_products(query, shares, stride, n, nbasis, is);
		for (size_t i = 0; i < n; i++)
			if (!same_bits(is[i], should[i]))
				fail(tables[level]->name, "share_products", KIND_UNIT, nbasis,
					 n, i, is[i], should[i]);
		if (is[n] != 42.0f)
			fail(tables[level]->name, "share_products wrote beyond its output",
				 KIND_UNIT, nbasis, n, n, is[n], 42.0);
	}
}

static void
check_grouped_of(const CtKernelTable *const *tables, size_t n)
{
	size_t		size = CT_GROUPED_SIZE(n);
	float	   *triangle = arena_tail(cols_f32_arena, size * sizeof(float), 0);
	double	   *x = arena_tail(q_arena, (n + 3) / 4 * 4 * sizeof(double), 0);
	double		should[MAX_COUNT];

	memset(triangle, 0, size * sizeof(float));
	memset(x, 0, (n + 3) / 4 * 4 * sizeof(double));
	for (size_t i = 0; i < n; i++)
	{
		volatile double sums[4] = {0};
		volatile double halves[2];

		x[i] = random_unit();
		for (size_t j = 0; j <= i; j++)
		{
			volatile double product;
			float		element = (float) random_unit();

			triangle[CT_GROUPED_AT(i, j)] = element;
			product = element * x[j];
			sums[j % 4] += product;
		}
		halves[0] = sums[0] + sums[1];
		halves[1] = sums[2] + sums[3];
		should[i] = halves[0] + halves[1];
	}
	for (int level = 0; level < CT_KERNEL_LEVELS; level++)
	{
		double		is[MAX_COUNT];

		if (tables[level] == NULL)
			continue;
		tables[level]->grouped_product(triangle, n, x, is);
		for (size_t i = 0; i < n; i++)
			if (is[i] != should[i])
				fail(tables[level]->name, "grouped_product", KIND_UNIT, n, n, i,
					 is[i], should[i]);
	}
}

static void
check_shares(const CtKernelTable *const *tables)
{
	for (size_t n = 0; n <= 40; n++)
		check_grouped_of(tables, n);
	for (size_t nbasis = 0; nbasis <= 40; nbasis++)
		for (size_t c = 0; c < LENGTH(counts); c++)
			check_shares_of(tables, nbasis, counts[c]);
}

static void
check_tables(const CtKernelTable *const *tables)
{
	static const char *const names[CT_KERNEL_LEVELS] = {
		"scalar", "avx2", "avx512"
	};

	for (int level = 0; level < CT_KERNEL_LEVELS; level++)
	{
		bool		present = tables[level] != NULL;

		if (present != ((CtKernelLevel) level <= ct_kernel_supported()) ||
			(present && ((int) tables[level]->level != level ||
						 strcmp(tables[level]->name, names[level]) != 0)))
		{
			printf("not ok: the table of level %s\n", names[level]);
			failures++;
		}
		if (!present)
			printf("skipped: this machine has no %s\n", names[level]);
	}
	if (ct_kernel_table((CtKernelLevel) CT_KERNEL_LEVELS) != NULL)
	{
		printf("not ok: a table beyond the last level\n");
		failures++;
	}
}

int
main(void)
{
	const CtKernelTable *tables[CT_KERNEL_LEVELS];

	q_arena = arena_create((MAX_DIM + 1) * sizeof(double));
	row_f64_arena = arena_create((MAX_DIM + 1) * sizeof(double));
	row_f32_arena = arena_create((MAX_DIM + 2) * sizeof(float));
	cols_f64_arena = arena_create((MAX_DIM * (MAX_COUNT + 3) + 1) *
								  sizeof(double));
	cols_f32_arena = arena_create((MAX_DIM * (MAX_COUNT + 3) + 2) *
								  sizeof(float));

	for (int level = 0; level < CT_KERNEL_LEVELS; level++)
		tables[level] = ct_kernel_table((CtKernelLevel) level);
	check_tables(tables);
	check_rescaled();
	for (int level = 0; level < CT_KERNEL_LEVELS; level++)
	{
		if (tables[level] == NULL)
			continue;
		check_known(tables[level]);
		check_not_finite(tables[level]);
		check_argmin(tables[level]);
		check_choosing(tables[level]);
		check_selection(tables[level]);
	}
	check_distances(tables);
	check_boxes(tables);
	check_shares(tables);

	if (failures > 0)
	{
		printf("%lu of %lu comparisons failed\n", failures, comparisons);
		return 1;
	}
	printf("ok\n");
	return 0;
}
