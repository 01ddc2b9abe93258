/*-------------------------------------------------------------------------
 *
 * test_codes.c
 *	  Sketches and codes: what they say of a distance is never above it, and
 *	  searching a block of points by them finds the nearest rows.
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
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ct_code_block.h"

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

/* -------- blocks -------- */

/* The kernels of blocks do the same at every level. */
static void
check_block_kernels(int dim, const float *columns, const float *box,
					const CtCodeLeaf *leaf)
{
	size_t		nquads = ct_code_quads(dim);
	static uint32_t quads[CT_KERNEL_LEVELS][CT_BLOCK * (MAX_DIM / 4 + 1)];
	static int32_t products[CT_KERNEL_LEVELS][CT_BLOCK * (ROWS + CT_CODE_LANES)];
	static uint16_t masks[CT_KERNEL_LEVELS][CT_BLOCK * (ROWS / CT_CODE_LANES + 1)];
	static CtBlockCodes codes[CT_KERNEL_LEVELS];
	float		squares[CT_KERNEL_LEVELS][CT_BLOCK];
	uint64_t	reached[CT_KERNEL_LEVELS];
	uint8_t		queries[CT_BLOCK];
	float		factors[CT_BLOCK];
	float		least[CT_BLOCK];
	size_t		nqueries = 1 + random_bits() % CT_BLOCK;

	for (int b = 0; b < CT_BLOCK; b++)
	{
		queries[b] = (uint8_t) ((b * 7 + 3) % CT_BLOCK);
		factors[b] = (float) (0.1 + random_unit());
		least[b] = (float) (1e4 * (random_unit() - 0.7) * sqrt(dim));
	}
	for (int level = 0; level < CT_KERNEL_LEVELS; level++)
	{
		const CtKernelTable *table = ct_kernel_table((CtKernelLevel) level);
		CtBlockReach reach = {quads[level], nquads, nqueries, queries, factors,
		least, products[level], masks[level]};
		size_t		bytes = sizeof(uint32_t) * CT_BLOCK * nquads;

		if (table == NULL)
			continue;
		codes[level].quads = quads[level];
		for (int first = 0; first < CT_BLOCK; first += CT_CODE_LANES)
			table->block_codes(columns, leaf->middle, nquads, first,
							   &codes[level]);
		table->block_reach(&reach, leaf->codes, leaf->squares, leaf->stride);
		reached[level] = table->block_boxes(columns, box, CT_BOX_DIMS, factors,
											squares[level]);
		if ((memcmp(quads[level], quads[0], bytes) != 0 ||
			 memcmp(codes[level].scale, codes[0].scale,
					sizeof(codes[0]) - offsetof(CtBlockCodes, scale)) != 0 ||
			 memcmp(products[level], products[0],
					sizeof(int32_t) * nqueries * leaf->stride) != 0 ||
			 memcmp(masks[level], masks[0],
					sizeof(uint16_t) * nqueries * leaf->stride / CT_CODE_LANES) != 0 ||
			 memcmp(squares[level], squares[0], sizeof(squares[0])) != 0 ||
			 reached[level] != reached[0]) && failures++ < 20)
			printf("not ok: block kernels of %s, dim %d\n", table->name, dim);
	}
	/* a product by hand */
	for (int i = 0; i < leaf->n; i++)
	{
		int			b = queries[nqueries - 1];
		int			product = 0;

		for (int j = 0; j < 4 * (int) nquads; j++)
			product += (int8_t) (quads[0][j / 4 * CT_BLOCK + b] >> 8 * (j % 4)) *
				leaf->codes[4 * (j / 4 * leaf->stride + i) + j % 4];
		if (product != products[0][(nqueries - 1) * leaf->stride + i] &&
			failures++ < 20)
			printf("not ok: product of row %d, dim %d\n", i, dim);
	}
}

/* Is row i nearer to a point than row j? */
static bool
is_nearer(const double *dist, int i, int j)
{
	return dist[i] != dist[j] ? dist[i] < dist[j] : i < j;
}

/*
 * Each of the k nearest rows of a point, found by distances, is a candidate with
 * a bound that is not above its distance, and is within the cut.
 */
static void
check_candidates(const CtSpace *space, Kind kind, const double *rows,
				 const CtCodePoint *point)
{
	double		dist[ROWS];

	for (int i = 0; i < ROWS; i++)
		dist[i] = space->metric->distance(space, point->location,
										  rows + (size_t) i * space->dims);
	for (int i = 0; i < ROWS; i++)
	{
		int			rank = 0;
		const CtCodeRow *found = NULL;

		for (int j = 0; j < ROWS; j++)
			rank += is_nearer(dist, j, i);
		for (int c = 0; c < point->n; c++)
			if (point->rows[c].place == (uint64_t) i)
				found = &point->rows[c];
		if (found)
			check("candidate", kind, space->dims, found->dist, dist[i]);
		if (rank < point->k && (found == NULL || dist[i] > point->cut) &&
			failures++ < 20)
			printf("not ok: row of rank %d is no candidate, kind %d, dim %d\n",
				   rank, (int) kind, space->dims);
	}
}

static void *
allocate_lines(size_t bytes)
{
	void	   *memory = NULL;

	if (posix_memalign(&memory, 64, bytes) != 0)
		exit(1);
	return memory;
}

/* A sketch as a place and what that may be off. */
static double
sketch_place(const CtSpace *space, const CtFrame *frame, const double *point,
			 CtSketch *sketch, double *at)
{
	double		slack = 0.0;

	ct_frame_sketch(frame, space->kernels, point, sketch);
	for (int j = 0; j < CT_BOX_DIMS; j++)
	{
		double		width = sketch->upper[j] - sketch->lower[j];

		at[j] = (sketch->lower[j] + sketch->upper[j]) / 2.0;
		slack += width * width;
	}
	return sqrt(slack);
}

/* Makes a leaf of the rows, in memory, and a box around them. */
static void
make_link(const CtSpace *space, const CtFrame *frame, const double *rows,
		  void *memory, CtCodeLink *link)
{
	int			dim = space->dims;
	CtGrid	   *grid = malloc(ct_grid_bytes(dim));
	uint8_t    *codes = calloc((size_t) ct_code_columns(dim),
							   ROWS + CT_CODE_ROWS);
	CtGridView	view = {dim, grid, frame->values};
	int			kept[ROWS];
	double		error = 0.0;

	ct_grid_fit(grid, dim, frame->values, ROWS, rows);
	for (int i = 0; i < ROWS; i++)
	{
		const double *row = rows + (size_t) i * dim;
		CtSketch	sketch;
		double		at[CT_BOX_DIMS];

		error = fmax(error, ct_grid_encode(&view, row, codes, i, ROWS));
		kept[i] = i;
		(void) sketch_place(space, frame, row, &sketch, at);
		for (int j = 0; j < CT_BOX_DIMS; j++)
		{
			float		lower = nextafterf((float) sketch.lower[j], -INFINITY);
			float		upper = nextafterf((float) sketch.upper[j], INFINITY);

			link->box[j] = i ? fminf(link->box[j], lower) : lower;
			link->box[CT_BOX_DIMS + j] = i ?
				fmaxf(link->box[CT_BOX_DIMS + j], upper) : upper;
		}
	}
	grid->error = ct_grid_stored_error(error);
	link->loaded = true;
	link->leaf = ct_code_leaf_make(memory, space->kernels, &view,
								   frame->values, codes, ROWS, ROWS, ROWS, kept);
	for (int i = 0; i < ROWS; i++)
	{
		link->leaf->keys[i] = (uint64_t) (i + 1) << 16;
		link->leaf->places[i] = i;
	}
	free(grid);
	free(codes);
}

/* Searches some rows for a block of points, by a frame and a leaf. */
static void
check_block(const CtSpace *space, Kind kind, const CtFrame *frame,
			const double *rows, const double *points, int npoints, int k)
{
	int			dim = space->dims;
	void	   *memory = allocate_lines(ct_code_leaf_bytes(dim, ROWS));
	CtCodeWork *work = allocate_lines(ct_code_work_bytes(dim, ROWS, 1));
	CtCodeRow  *found = malloc(sizeof(CtCodeRow) * npoints * (ROWS + k));
	double	   *uppers = malloc(sizeof(double) * npoints * k);
	CtCodePoint *all = malloc(sizeof(CtCodePoint) * npoints);
	uint64_t	wanted[2];
	CtCodeLink	link;
	CtCodeBlock block = {.n = npoints,.points = all,.wanted = &wanted[0],
	.seeds = &wanted[1]};

	make_link(space, frame, rows, memory, &link);
	for (int i = 0; i < npoints; i++)
	{
		const double *point = points + (size_t) i * dim;
		CtSketch	sketch;
		double		at[CT_BOX_DIMS];
		double		slack = sketch_place(space, frame, point, &sketch, at);

		ct_code_point_init(point, CT_CODE_NO_KEY, k, found + i * (ROWS + k),
						   ROWS + k, uppers + i * k, &all[i]);
		ct_code_point_place(&all[i], at, slack);
	}
	block.columns = malloc(sizeof(float) * 4 * ct_code_quads(dim) * CT_BLOCK);
	ct_code_block_places(space, &block);
	ct_code_block_coordinates(&block, dim, frame->values);
	check_block_kernels(dim, block.columns, link.box, link.leaf);
	ct_code_block_seeds(space, &block, 1, &link, 1, work);
	ct_code_block_search(space, &block, 0, &link, work);
	for (int i = 0; i < npoints; i++)
		check_candidates(space, kind, rows, &all[i]);
	free(block.columns);
	free(memory);
	free(work);
	free(found);
	free(uppers);
	free(all);
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
				if (dims[d] > 100 && query_kind != kind)
					continue;
				check_block(&space, (Kind) kind, frame, rows, rows, 20, 5);
				check_block(&space, (Kind) kind, frame, rows, other, CT_BLOCK, 3);
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
