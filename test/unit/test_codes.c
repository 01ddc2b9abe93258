/*-------------------------------------------------------------------------
 *
 * test_codes.c
 *	  Sketches and codes: what they say of a distance is never above it.
 *
 * make unit runs it.  Points of all kinds are sketched by frames that fit them
 * and by frames that do not, and coded by grids that hold them or do not; each
 * bound is compared with the distance that is reported.  Prints every kind of
 * failure a few times, and "ok" if there was none.
 *
 * IDENTIFICATION
 *	  test/unit/test_codes.c
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ct_codes.h"
#include "ct_frame.h"

#define RANDOM_SEED			20261127
#include "test_random.h"

#define LENGTH(array)		(sizeof(array) / sizeof((array)[0]))

#define MAX_DIM		2000
#define ROWS		70

static const int dims[] = {17, 18, 31, 33, 64, 100, 511, 512, 513, 2000};

static unsigned long failures = 0;
static unsigned long comparisons = 0;
static unsigned long useful = 0;

typedef enum Kind
{
	KIND_GAUSS,					/* every coordinate varies */
	KIND_LATENT,				/* two hidden factors, and little noise */
	KIND_FAR,					/* small differences, far from the origin */
	KIND_HUGE,					/* squares overflow */
	KIND_TINY,					/* squares vanish */
	KIND_POWERS,				/* magnitudes of any kind */
	KIND_COPIES,
	KINDS
} Kind;

static void
make_point(Kind kind, int dim, double *point)
{
	double		a = random_unit();
	double		b = random_unit();

	for (int j = 0; j < dim; j++)
		switch (kind)
		{
			case KIND_GAUSS:
				point[j] = random_unit() + random_unit() + random_unit();
				break;
			case KIND_LATENT:
				point[j] = a * cos(j) + b * sin(3.0 * j) + 1e-3 * random_unit();
				break;
			case KIND_FAR:
				point[j] = 1e9 + j + 1e-3 * random_unit();
				break;
			case KIND_HUGE:
				point[j] = 1e300 * random_unit();
				break;
			case KIND_TINY:
				point[j] = 1e-170 * random_unit();
				break;
			case KIND_POWERS:
				point[j] = ldexp(random_unit(), (int) (random_bits() % 600) - 300);
				break;
			default:
				point[j] = 0.1 * j;
		}
}

static void
check(const char *what, Kind kind, int dim, double bound, double dist)
{
	comparisons++;
	useful += bound > 0.9 * dist;
	if (bound <= dist)
		return;
	if (failures++ < 20)
		printf("not ok: %s, kind %d, dim %d: %.17g is above %.17g\n",
			   what, (int) kind, dim, bound, dist);
}

static void
check_sketches(const CtSpace *space, Kind kind, const CtFrame *frame,
			   const double *rows, const double *query)
{
	CtSketch	q;
	double		at[CT_BOX_DIMS];
	double		slack = 0.0;

	ct_frame_sketch(frame, space->kernels, query, &q);
	for (int j = 0; j < CT_BOX_DIMS; j++)
	{
		at[j] = (q.lower[j] + q.upper[j]) / 2.0;
		slack += (q.upper[j] - q.lower[j]) * (q.upper[j] - q.lower[j]);
	}
	slack = sqrt(slack);
	if (!(slack < INFINITY))
		return;
	for (int i = 0; i < ROWS; i++)
	{
		CtSketch	x;
		float		box[2 * CT_BOX_DIMS];
		double		bound;

		ct_frame_sketch(frame, space->kernels, rows + (size_t) i * space->dims, &x);
		for (int j = 0; j < CT_BOX_DIMS; j++)
		{
			box[j] = nextafterf((float) x.lower[j], -INFINITY);
			box[CT_BOX_DIMS + j] = nextafterf((float) x.upper[j], INFINITY);
		}
		ct_space_box_bounds(space, CT_BOX_DIMS, at, slack, box, 1, 1, &bound);
		check("sketch", kind, space->dims, bound,
			  space->metric->distance(space, query,
									  rows + (size_t) i * space->dims));
	}
}

static void
check_codes(const CtSpace *space, Kind kind, const CtFrame *frame,
			const double *grid_rows, const double *rows, const double *query)
{
	int			dim = space->dims;
	int			columns = ct_code_columns(dim);
	CtGrid	   *grid = malloc(ct_grid_bytes(dim));
	uint8_t    *codes = calloc((size_t) columns, ROWS + CT_CODE_ROWS);
	int16_t    *query_codes = malloc(sizeof(int16_t) * columns);
	int32_t		sums[CT_KERNEL_LEVELS][ROWS + CT_CODE_ROWS];
	double		bounds[ROWS];
	double		error = 0.0;
	CtGridView	view = {dim, grid, frame->values};
	CtQueryCodes q = {query_codes, 0.0};

	ct_grid_fit(grid, dim, frame->values, ROWS, grid_rows);
	for (int i = 0; i < ROWS; i++)
	{
		double		own = ct_grid_encode(&view, rows + (size_t) i * dim, codes, i,
										 ROWS);

		if (own != ct_grid_error(&view, rows + (size_t) i * dim, codes, i, ROWS))
			failures++;
		error = fmax(error, own);
	}
	grid->error = ct_grid_stored_error(error);
	for (int level = CT_KERNEL_LEVELS - 1; level >= 0; level--)
	{
		int16_t		first = query_codes[0];
		double		error_before = q.error;

		if (ct_kernel_table((CtKernelLevel) level) == NULL)
			continue;
		ct_grid_query(&view, ct_kernel_table((CtKernelLevel) level), query, &q);
		if (level != (int) ct_kernel_supported() &&
			(first != query_codes[0] || error_before != q.error) &&
			failures++ < 20)
			printf("not ok: quantize of level %d, dim %d\n", level, dim);
	}
	for (int level = 0; level < CT_KERNEL_LEVELS; level++)
	{
		const CtKernelTable *table = ct_kernel_table((CtKernelLevel) level);

		if (table == NULL)
			continue;
		for (int n = 1; n <= ROWS; n += n < 40 ? 1 : ROWS - n > 0 ? ROWS - n : 1)
		{
			table->code_sums(query_codes, codes, ROWS, n, columns / 2,
							 sums[level]);
			if (memcmp(sums[level], sums[0], sizeof(int32_t) * n) != 0 &&
				failures++ < 20)
				printf("not ok: code_sums of %s, %d rows, dim %d\n",
					   table->name, n, dim);
		}
	}
	ct_code_bounds(space, grid, &q, ROWS, sums[0], bounds);
	for (int i = 0; i < ROWS; i++)
	{
		double		dist = space->metric->distance(space, query,
												   rows + (size_t) i * dim);

		check("code", kind, dim, bounds[i], dist);
		check("least code", kind, dim,
			  ct_code_least(space, grid, &q, ROWS, sums[0]), dist);
	}
	free(grid);
	free(codes);
	free(query_codes);
}

int
main(void)
{
	double	   *rows = malloc(sizeof(double) * ROWS * MAX_DIM);
	double	   *other = malloc(sizeof(double) * ROWS * MAX_DIM);
	double	   *work = malloc(sizeof(double) * ROWS * CT_FRAME_DIRECTIONS);
	double	   *query = malloc(sizeof(double) * MAX_DIM);
	CtFrame    *frame = malloc(ct_frame_bytes(MAX_DIM));

	for (size_t d = 0; d < LENGTH(dims); d++)
		for (int kind = 0; kind < KINDS; kind++)
		{
			CtSpace		space;

			ct_space_init(&space, &ct_metric_euclidean,
						  ct_kernel_table(ct_kernel_supported()),
						  CT_ELEMENT_FLOAT8, dims[d], 2.0);
			for (int query_kind = 0; query_kind < KINDS; query_kind++)
			{
				for (int i = 0; i < ROWS; i++)
				{
					make_point((Kind) (query_kind % 2 ? query_kind : kind),
							   dims[d], other + (size_t) i * dims[d]);
					make_point((Kind) kind, dims[d], rows + (size_t) i * dims[d]);
				}
				make_point((Kind) query_kind, dims[d], query);
				ct_frame_fit(frame, dims[d], ROWS, other, work);
				if (!ct_frame_is_valid(frame, dims[d]))
				{
					printf("not ok: frame of kind %d, dim %d\n", kind, dims[d]);
					failures++;
				}
				check_sketches(&space, (Kind) kind, frame, rows, query);
				check_codes(&space, (Kind) kind, frame, rows, rows, query);
				check_codes(&space, (Kind) kind, frame, other, rows, query);
			}
		}
	/* bounds of zero would be right, too */
	if (useful < comparisons / 20)
	{
		printf("not ok: %lu of %lu bounds say something\n", useful, comparisons);
		failures++;
	}
	if (failures > 0)
	{
		printf("%lu of %lu comparisons failed\n", failures, comparisons);
		return 1;
	}
	printf("ok\n");
	return 0;
}
