/*-------------------------------------------------------------------------
 *
 * test_blocks.c
 *	  Block kernels against wider arithmetic, within their error, and blocks of
 *	  points (ct_block.h) against all distances, bit for bit.
 *
 * make unit runs it; prints every kind of failure a few times, and "ok" if there
 * was none.
 *
 * IDENTIFICATION
 *	  test/unit/test_blocks.c
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ct_block.h"

#define RANDOM_SEED			20261127
#include "test_random.h"

#define LENGTH(array)		(sizeof(array) / sizeof((array)[0]))
#define FENCE				-12345.0
#define DIMS				2

static unsigned long failures = 0;

static void
expect(bool good, const char *level, const char *what, int a, int b)
{
	if (!good && failures++ < 20)
		printf("not ok: %s, %s (%d, %d)\n", level, what, a, b);
}

static void *
allocate(size_t bytes)
{
	void	   *memory = malloc(bytes + 1);

	if (memory == NULL)
		abort();
	return memory;
}

/* -------- kernels -------- */

#define MAX_ROWS	70
#define MAX_DIM		300

static void
check_products(const CtKernelTable *kernels, size_t n, size_t npacks,
			   size_t dim)
{
	static double rows[MAX_ROWS][MAX_DIM];
	static double pack_memory[CT_BLOCK / CT_PACK][MAX_DIM * CT_PACK];
	static double products[MAX_ROWS * CT_BLOCK + 1];
	const double *x[MAX_ROWS];
	const double *packs[CT_BLOCK / CT_PACK];
	size_t		stride = npacks * CT_PACK;

	for (size_t i = 0; i < n; i++)
	{
		x[i] = rows[i];
		for (size_t j = 0; j < dim; j++)
			rows[i][j] = random_unit();
	}
	for (size_t p = 0; p < npacks; p++)
	{
		packs[p] = pack_memory[p];
		for (size_t j = 0; j < dim * CT_PACK; j++)
			pack_memory[p][j] = random_unit();
	}
	products[n * stride] = FENCE;
	kernels->block_products(x, n, packs, npacks, dim, products);
	for (size_t i = 0; i < n; i++)
		for (size_t b = 0; b < stride; b++)
		{
			long double sum = 0.0;
			long double size = 0.0;

			for (size_t j = 0; j < dim; j++)
			{
				long double product = (long double) rows[i][j] *
					packs[b / CT_PACK][j * CT_PACK + b % CT_PACK];

				sum += product;
				size += fabsl(product);
			}
			expect(fabsl(products[i * stride + b] - sum) <=
				   1.01 * (dim + 1) * 0x1p-53 * size,
				   kernels->name, "block_products", n, dim);
		}
	expect(products[n * stride] == FENCE, kernels->name,
		   "block_products wrote beyond its output", n, dim);
}

/*
 * Locations and a block whose covariances are computed: those of covariances(),
 * for units of it.  The first query is where the first location is.
 */
typedef struct Places
{
	double		lengthscale[DIMS];
	double		rates[DIMS];
	double		locations[MAX_ROWS][DIMS];
	double		places[DIMS * CT_BLOCK];
	const double *x[MAX_ROWS];
	double		covariances[MAX_ROWS * CT_BLOCK];
} Places;

static void
create_places(CtCovarianceFunction *function, Places *places)
{
	function->dim = DIMS;
	function->variance = 1.5;
	function->lengthscale = places->lengthscale;
	for (int j = 0; j < DIMS; j++)
	{
		places->lengthscale[j] = 0.3 + random_unit() * random_unit();
		places->rates[j] = 1.0 / places->lengthscale[j];
		/* far from the origin, so that differences must come first */
		for (int i = 0; i < MAX_ROWS; i++)
			places->locations[i][j] = 1e6 + random_unit();
		for (int b = 0; b < CT_BLOCK; b++)
			places->places[j * CT_BLOCK + b] = b == 0 ?
				places->locations[0][j] : 1e6 + 4.0 * random_unit();
	}
	for (int i = 0; i < MAX_ROWS; i++)
	{
		places->x[i] = places->locations[i];
		ct_kernel_scalar.covariances(function, places->x[i], places->places,
									 CT_BLOCK, CT_BLOCK,
									 places->covariances + i * CT_BLOCK);
	}
}

/*
 * Correlations of n locations and some queries, against those of covariances().
 * What products leave is of the size rest, times scales of 1 / rest: where that is
 * small, errors of covariances are what is seen.  The second query has an infinite
 * scale.
 */
static void
check_correlations(const CtKernelTable *kernels, CtCovariance covariance,
				   size_t n, size_t nqueries, double rest)
{
	static Places places;
	static double products[MAX_ROWS * CT_BLOCK];
	static float rho[MAX_ROWS * CT_BLOCK + 1];
	double		scales[CT_BLOCK];
	double		x_scales[MAX_ROWS];
	CtCorrelations queries = {.rates = places.rates,.n = nqueries,
		.places = places.places,.scales = scales};
	size_t		end = (n - 1) * CT_BLOCK + nqueries;

	queries.function.kind = covariance;
	create_places(&queries.function, &places);
	for (size_t b = 0; b < nqueries; b++)
		scales[b] = b == 1 ? INFINITY : (0.5 + fabs(random_unit())) / rest;
	for (size_t i = 0; i < n; i++)
	{
		x_scales[i] = 0.4;
		for (size_t b = 0; b < nqueries; b++)
			products[i * nqueries + b] = places.covariances[i * CT_BLOCK + b] +
				rest * random_unit();
	}
	rho[end] = FENCE;
	kernels->block_correlations(&queries, places.x, x_scales, n, products, rho,
								CT_BLOCK);
	for (size_t i = 0; i < n; i++)
		for (size_t b = 0; b < nqueries; b++)
		{
			float		found = rho[i * CT_BLOCK + b];
			double		value = (places.covariances[i * CT_BLOCK + b] -
								 products[i * nqueries + b]) * (0.4 * scales[b]);
			double		error = 16.0 * 0x1p-53 * 1.5 * 0.4 * scales[b] + 0x1p-24;

			value = fmax(fmin(value, 1.0), -1.0);
			expect(fabs(found - value) <= error && fabsf(found) <= 1.0f,
				   kernels->name, "block_correlations", n, b);
		}
	expect(rho[end] == FENCE, kernels->name,
		   "block_correlations wrote beyond its output", n, nqueries);
	products[0] = places.covariances[0];
	scales[0] = INFINITY;
	kernels->block_correlations(&queries, places.x, x_scales, 1, products, rho,
								CT_BLOCK);
	expect(rho[0] == 1.0f, kernels->name, "block_correlations of no number", n, 0);
}

/* Far away there is no covariance, whatever squares and roots do. */
static void
check_far_correlations(const CtKernelTable *kernels, CtCovariance covariance)
{
	static const double distances[] = {1e3, 1e100, 1e154, 1e200, 1e308, INFINITY};
	double		one = 1.0;
	double		zero = 0.0;
	const double *x = &zero;
	double		places[CT_BLOCK];
	double		scales[CT_BLOCK];
	double		products[CT_PACK] = {0};
	float		rho[CT_PACK];
	CtCorrelations queries = {{covariance, 1, 1.0, &one}, &one, CT_PACK, places, scales};

	for (size_t i = 0; i < LENGTH(distances); i++)
	{
		for (int b = 0; b < CT_PACK; b++)
		{
			places[b] = distances[i];
			scales[b] = 1.0;
		}
		kernels->block_correlations(&queries, &x, &one, 1, products, rho,
									CT_PACK);
		expect(rho[0] == 0.0f, kernels->name, "block_correlations far away", i, 0);
	}
	places[0] = NAN;
	kernels->block_correlations(&queries, &x, &one, 1, products, rho, CT_PACK);
	expect(rho[0] == 1.0f, kernels->name, "block_correlations of NaN", 0, 0);
}

static void
check_shares(const CtKernelTable *kernels, size_t n)
{
	float		triangle[CT_GROUPED_SIZE(CT_BLOCK_BASIS)] = {0};
	float		rho_memory[CT_BLOCK_BASIS][CT_BLOCK];
	const float *rho[CT_BLOCK_BASIS];
	float		shares[CT_BLOCK_BASIS * CT_BLOCK + 1];
	float		squares[CT_BLOCK + 1];
	size_t		written = (n + 3) / 4 * 4 * CT_BLOCK;

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j <= i; j++)
			triangle[CT_GROUPED_AT(i, j)] = random_unit();
	for (int i = 0; i < CT_BLOCK_BASIS; i++)
	{
		rho[i] = rho_memory[i];
		for (int b = 0; b < CT_BLOCK; b++)
			rho_memory[i][b] = random_unit();
	}
	shares[written] = squares[CT_BLOCK] = FENCE;
	kernels->block_shares(triangle, n, rho, shares, squares);
	for (int b = 0; b < CT_BLOCK; b++)
	{
		double		square = 0.0;

		for (size_t i = 0; i < n; i++)
		{
			double		sum = 0.0;
			double		size = 0.0;

			for (size_t j = 0; j <= i; j++)
			{
				double		product = (double) triangle[CT_GROUPED_AT(i, j)] *
					rho[j][b];

				sum += product;
				size += fabs(product);
			}
			expect(fabs(shares[i * CT_BLOCK + b] - sum) <=
				   (n + 1) * 0x1p-24 * size, kernels->name, "block_shares",
				   n, i);
			square += (double) shares[i * CT_BLOCK + b] *
				shares[i * CT_BLOCK + b];
		}
		expect(fabs(squares[b] - square) <= (n + 1) * 0x1p-24 * square,
			   kernels->name, "squares of block_shares", n, b);
	}
	expect(shares[written] == (float) FENCE && squares[CT_BLOCK] == (float) FENCE,
		   kernels->name, "block_shares wrote beyond its output", n, 0);
}

/* Is a float near a number, with errors of operands up to size? */
static bool
is_near(float value, double should, double size)
{
	return fabs(value - should) <= 16 * 0x1p-24 * size;
}

static void
check_weights(const CtKernelTable *kernels)
{
	CtBlockQueries queries;
	CtBlockBasis basis = {0.5f, 1e-3f, 4e-6f, 1e-6f, 1.25f, 0.125f, 5e-6f, 0.3f};
	uint64_t	bits;

	for (int b = 0; b < CT_BLOCK; b++)
	{
		queries.squares[b] = b % 5 == 0 ? 0.0f : fabs(1.1 * random_unit());
		queries.slack[b] = b % 7 == 0 ? 2.0f : 0.01 * fabs(random_unit());
		queries.cuts[b] = random_unit();
	}
	bits = kernels->block_weigh(&basis, &queries);
	for (int b = 0; b < CT_BLOCK; b++)
	{
		double		norm = sqrt(queries.squares[b]);
		double		error = basis.share_error * queries.slack[b] + basis.share_offset;
		double		length = norm * (1.0 + basis.norm_error) + error;
		double		least = fmin(fmax(norm * (1.0 - basis.norm_error) - error, 0.0), 1.0);
		double		rest = sqrt(1.0 - least * least + basis.square_error);
		double		lack = queries.slack[b] + basis.reach_error * error +
			basis.reach_length * length + basis.reach_offset;
		double		spare = length + rest * basis.most_rest - (queries.cuts[b] - lack);

		/* the root of a small difference */
		expect(fabs(queries.rests[b] - rest) * (queries.rests[b] + rest) <= 8 * 0x1p-24,
			   kernels->name, "rests of block_weigh", b, 0);
		expect(is_near(queries.lacks[b], lack, 4.0), kernels->name,
			   "lacks of block_weigh", b, 0);
		expect(is_near(queries.needed[b], queries.cuts[b] - lack, 4.0),
			   kernels->name, "needed of block_weigh", b, 0);
		expect(fabs(spare) < 1e-3 || (bits >> b & 1) == (spare > 0.0),
			   kernels->name, "block_weigh", b, 0);
	}
}

static void
check_survivors(const CtKernelTable *kernels, size_t nbasis, size_t n,
				size_t nlist)
{
	static CtBlockQueries queries;
	static float estimates[(CT_BLOCK + 4) * CT_BLOCK_WIDE + 1];
	uint8_t		list[CT_BLOCK + 4];
	size_t		stride = n + 3;
	int8_t		row_shares[CT_BLOCK_BASIS * (CT_BLOCK_WIDE + 3)];
	float		scales[CT_BLOCK_BASIS];
	float		row_rests[CT_BLOCK_WIDE] = {0};
	size_t		end = (nlist + 3) / 4 * 4 * CT_BLOCK_WIDE;
	uint64_t	found;

	for (size_t i = 0; i < nbasis * CT_BLOCK; i++)
		queries.shares[i] = random_unit();
	for (size_t i = 0; i < nbasis * stride; i++)
		row_shares[i] = (int8_t) (127 * random_unit());
	for (size_t j = 0; j < nbasis; j++)
		scales[j] = 0.01 * fabs(random_unit());
	for (int b = 0; b < CT_BLOCK; b++)
	{
		queries.rests[b] = fabs(random_unit());
		queries.needed[b] = 3.0 * fabs(random_unit());
	}
	for (size_t i = 0; i < n; i++)
		row_rests[i] = fabs(random_unit());
	for (size_t q = 0; q < nlist; q++)
		list[q] = (q * 5 + n) % CT_BLOCK;
	estimates[end] = FENCE;
	found = kernels->block_survivors(&queries, list, nlist, row_shares, stride,
									 scales, n, nbasis, row_rests, estimates);
	for (size_t q = 0; q < nlist; q++)
	{
		double		most = -INFINITY;
		double		error = 0.0;

		for (size_t i = 0; i < n; i++)
		{
			double		sum = 0.0;
			double		size = 1.0;

			for (size_t j = 0; j < nbasis; j++)
			{
				double		product = (double) queries.shares[j * CT_BLOCK + list[q]] *
					scales[j] * row_shares[j * stride + i];

				sum += product;
				size += fabs(product);
			}
			expect(fabs(estimates[q * CT_BLOCK_WIDE + i] - fabs(sum)) <=
				   (nbasis + 4) * 0x1p-24 * size, kernels->name,
				   "estimates of block_survivors", n, nbasis);
			most = fmax(most, fabs(sum) + (double) queries.rests[list[q]] *
						row_rests[i] - queries.needed[list[q]]);
			error = fmax(error, (nbasis + 8) * 0x1p-24 * size);
		}
		expect(fabs(most) <= error || (found >> q & 1) == (most > 0.0),
			   kernels->name, "block_survivors", n, nbasis);
	}
	expect(nlist == CT_BLOCK || found >> nlist == 0, kernels->name,
		   "block_survivors found others", n, nlist);
	expect(estimates[end] == (float) FENCE, kernels->name,
		   "block_survivors wrote beyond its output", n, nlist);
}

/* Estimates, rests and limits are multiples of 1/64, so that there is no rounding. */
static void
check_offers(const CtKernelTable *kernels, uint64_t rows)
{
	float		estimates[CT_BLOCK_WIDE];
	float		rests[CT_BLOCK_WIDE];
	double		most[CT_BLOCK_WIDE + CT_OFFER_BESIDES + 1];
	CtCandidate items[CT_BLOCK_WIDE + CT_OFFER_BESIDES + 1];
	CtBlockOffer offer = {0.5f, 0.125f, 0.5f, 0.25f, 0.75f, 1000, rows};
	bool		left_out;
	bool		out = false;
	size_t		n;
	size_t		kept = 0;

	for (int i = 0; i < CT_BLOCK_WIDE; i++)
	{
		estimates[i] = floor(64.0 * fabs(random_unit())) / 64.0;
		rests[i] = floor(64.0 * fabs(random_unit())) / 64.0;
	}
	most[CT_BLOCK_WIDE + CT_OFFER_BESIDES] = FENCE;
	items[CT_BLOCK_WIDE + CT_OFFER_BESIDES].estimate = FENCE;
	n = kernels->block_offer(&offer, estimates, rests, most, items, &left_out);
	for (int i = 0; i < CT_BLOCK_WIDE; i++)
	{
		double		reach = estimates[i] + 0.125 + 0.5 * rests[i];

		if (!(rows >> i & 1) || reach < 0.5)
			continue;
		if (estimates[i] < 0.25 && reach < 0.75)
		{
			out = true;
			continue;
		}
		expect(kept < n && most[kept] == -reach &&
			   items[kept].estimate == estimates[i] &&
			   items[kept].row == 1000 + (uint32_t) i, kernels->name,
			   "block_offer", i, (int) kept);
		kept++;
	}
	expect(kept == n && left_out == out, kernels->name,
		   "number of block_offer", (int) n, (int) kept);
	expect(most[CT_BLOCK_WIDE + CT_OFFER_BESIDES] == FENCE &&
		   items[CT_BLOCK_WIDE + CT_OFFER_BESIDES].estimate == (float) FENCE,
		   kernels->name, "block_offer wrote beyond its output", (int) n, 0);
}

static void
check_kernels(const CtKernelTable *kernels)
{
	static const size_t dims[] = {0, 1, 2, 7, 64, 127, 128, 129, 300};
	static const CtCovariance covariances[] = {CT_COVARIANCE_RBF,
		CT_COVARIANCE_MATERN12, CT_COVARIANCE_MATERN32, CT_COVARIANCE_MATERN52};
	static const size_t counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 32, 33, 49, 61, 64, 70};

	for (size_t i = 0; i < LENGTH(counts); i++)
	{
		for (size_t d = 0; d < LENGTH(dims); d++)
			for (size_t packs = 1; packs <= CT_BLOCK / CT_PACK; packs++)
				check_products(kernels, counts[i], packs, dims[d]);
		for (size_t n = 0; n <= CT_BLOCK_BASIS && counts[i] <= CT_BLOCK_WIDE; n++)
			for (size_t list = 1; list <= CT_BLOCK; list += list < 6 ? 1 : 29)
				check_survivors(kernels, n, counts[i], list);
	}
	for (size_t n = 1; n <= CT_BLOCK_BASIS; n++)
		check_shares(kernels, n);
	for (size_t c = 0; c < LENGTH(covariances); c++)
	{
		for (size_t n = CT_PACK; n <= CT_BLOCK; n += CT_PACK)
			for (size_t i = 0; i < LENGTH(counts); i++)
				for (double rest = 1.0; rest > 1e-15; rest /= 1e3)
					check_correlations(kernels, covariances[c], counts[i], n, rest);
		check_far_correlations(kernels, covariances[c]);
	}
	check_weights(kernels);
	for (int i = 0; i <= CT_BLOCK_WIDE; i++)
	{
		check_offers(kernels, ~UINT64_C(0) >> (i < CT_BLOCK_WIDE ? i : 0));
		check_offers(kernels, i < CT_BLOCK_WIDE ? UINT64_C(1) << i : 0);
		check_offers(kernels, UINT64_C(0x9249249249249249) << i % CT_BLOCK_WIDE);
	}
}

/* -------- blocks -------- */

#define ROWS		2000
#define LEAF_ROWS	100
#define SEEN_WORDS	((LEAF_ROWS + CT_BLOCK_WIDE - 1) / CT_BLOCK_WIDE)
#define LEAVES		(ROWS / LEAF_ROWS)
#define LANDMARKS	60
#define POINTS		50
#define MAX_K		(ROWS + 1)
#define LEAST_ROOM	256			/* what ct_block_room() gives at least */

typedef struct World
{
	CtModel    *model;
	CtSpace		space;
	double		rates[DIMS];
	double	   *records[ROWS];
	uint64_t	keys[ROWS];
	uint32_t	pivots[LEAVES][CT_BASIS_SIZE];
	CtProjectionFit fits[LEAVES];
	int8_t		shares[LEAVES][CT_BASIS_SIZE * LEAF_ROWS];
	float		scales[LEAVES][CT_BASIS_SIZE];
	float		rests[LEAVES][LEAF_ROWS];
	uint64_t	seen[LEAVES][SEEN_WORDS];
	double		centres[DIMS * LEAVES];
	CtBlockLeaf leaves[LEAVES];
	uint8_t		knots[LEAVES][CT_MOST_LIMITS];
	CtBlockRows rows;
	CtBlockSaved saved;
} World;

static int
compare_places(const void *a, const void *b)
{
	double		left = ((const double *) a)[0];
	double		right = ((const double *) b)[0];

	return left < right ? -1 : left > right;
}

static CtModel *
create_model(CtCovariance covariance, size_t m, double nugget,
			 const double *places)
{
	CtModel    *model = calloc(1, ct_model_bytes(DIMS, m));

	model->bytes = ct_model_bytes(DIMS, m);
	model->covariance = covariance;
	model->dims = DIMS;
	model->m = m;
	model->variance = 1.5;
	model->nugget = nugget;
	model->jitter = 1e-6;
	for (int j = 0; j < DIMS; j++)
		ct_model_lengthscale(model)[j] = 0.5 + 0.25 * j;
	memcpy(ct_model_inducing(model), places, sizeof(double) * m * DIMS);
	if (ct_model_factorize(model, &ct_kernel_scalar, NULL) != (int) m)
		abort();
	ct_model_set_error(model);
	return model;
}

/* A leaf as ct_node.c stores it; the last one has no basis. */
static void
create_leaf(World *world, int l)
{
	const CtModel *model = world->model;
	const double *const *rows = (const double *const *) world->records + l * LEAF_ROWS;
	CtShares   *shares = allocate(sizeof(CtShares) * LEAF_ROWS);
	double	   *work = allocate(sizeof(double) * ct_projection_work(LEAF_ROWS));
	CtProjectionFit *fit = &world->fits[l];
	CtBlockLeaf *leaf = &world->leaves[l];
	CtProjectionChoice choice;

	ct_projection_begin(&choice, &world->space, LEAF_ROWS, rows, work);
	ct_projection_add(&choice, LANDMARKS, world->rows.landmarks);
	ct_projection_choose(&choice, fit);
	ct_projection_finish(&choice, fit, shares);
	leaf->n = LEAF_ROWS;
	leaf->first = l * LEAF_ROWS;
	leaf->basis = (CtProjection) {l < LEAVES - 1 ? fit->n : 0, fit->inverse, fit->norm};
	leaf->pivots = world->pivots[l];
	leaf->seen = world->seen[l];
	for (int i = 0; i < LEAF_ROWS; i++)
		if (world->keys[leaf->first + i] != CT_NO_KEY)
			world->seen[l][i / CT_BLOCK_WIDE] |= UINT64_C(1) << i % CT_BLOCK_WIDE;
	leaf->most_rest = 0.0f;
	leaf->shares = (CtRowShares) {leaf->basis.n, world->shares[l], world->scales[l],
		LEAF_ROWS, world->rests[l], 0.0};
	for (int k = 0; k < fit->n; k++)
	{
		world->pivots[l][k] = fit->chosen[k];
		world->scales[l][k] = 1.0f / 127.0f;
	}
	for (int i = 0; i < LEAF_ROWS; i++)
	{
		double		square = 0.0;

		for (int k = 0; k < fit->n; k++)
		{
			int8_t	   *share = &world->shares[l][k * LEAF_ROWS + i];
			double		lost;

			*share = (int8_t) rintf(shares[i].beta[k] / world->scales[l][k]);
			lost = shares[i].beta[k] - (double) *share * world->scales[l][k];
			square += lost * lost;
		}
		world->rests[l][i] = ct_projection_stored_rest(shares[i].rest);
		leaf->most_rest = fmaxf(leaf->most_rest, world->rests[l][i]);
		leaf->shares.error = fmax(leaf->shares.error,
								  (shares[i].error + sqrt(square)) * (1.0 + 1e-6));
	}
	for (int j = 0; j < DIMS; j++)
		world->centres[j * LEAVES + l] = rows[0][j] / ct_model_lengthscale(model)[j];
	free(work);
	work = allocate(sizeof(double) * (ct_knots_solve_work(model) + 1));
	leaf->knots = world->knots[l];
	ct_knots_solve(model, world->space.kernels, LEAF_ROWS, rows, work,
				   world->knots[l]);
	free(shares);
	free(work);
}

static World *
create_world(const CtKernelTable *kernels, CtCovariance covariance, size_t m,
			 double nugget)
{
	World	   *world = calloc(1, sizeof(World));
	double		places[ROWS * DIMS];
	double	   *work;
	size_t		size;

	/* some rows are where others are */
	for (int i = 0; i < ROWS * DIMS; i++)
		places[i] = i >= 100 && i < 200 ? places[i - 100] : 3.0 * random_unit();
	qsort(places, ROWS, sizeof(double) * DIMS, compare_places);
	/* and some on inducing points */
	world->model = create_model(covariance, m, nugget, places + 60 * DIMS);
	size = ct_model_record_size(world->model);
	work = allocate(sizeof(double) * ct_model_work_size(world->model));
	ct_space_init(&world->space, &ct_metric_residual, kernels,
				  CT_ELEMENT_FLOAT8, DIMS, 2.0);
	ct_space_set_model(&world->space, world->model);
	world->rows.min_variance = INFINITY;
	for (int i = 0; i < ROWS; i++)
	{
		world->records[i] = allocate(sizeof(double) * size);
		ct_model_expand(world->model, kernels, 1, places + i * DIMS,
						world->records[i], work);
		world->rows.min_variance = fmin(world->rows.min_variance,
										world->records[i][DIMS]);
		world->keys[i] = i % 17 == 5 ? CT_NO_KEY : (uint64_t) ((i * 7919) % ROWS) << 16;
	}
	world->rows.space = &world->space;
	world->rows.nrows = ROWS;
	world->rows.saved = &world->saved;
	for (int j = 0; j < DIMS; j++)
		world->rates[j] = 1.0 / ct_model_lengthscale(world->model)[j];
	world->rows.rates = world->rates;
	world->saved.room = 4;
	world->saved.memory = allocate(sizeof(float) * 4 * LANDMARKS);
	world->rows.nlandmarks = LANDMARKS;
	world->rows.landmarks = (const double *const *) world->records + 40;
	world->rows.nleaves = LEAVES;
	world->rows.leaves = world->leaves;
	world->rows.centres = world->centres;
	world->rows.keys = world->keys;
	world->rows.records = (const double *const *) world->records;
	for (int l = 0; l < LEAVES; l++)
		create_leaf(world, l);
	free(work);
	return world;
}

static int
compare_neighbours(const void *a, const void *b)
{
	const CtNeighbour *left = a;
	const CtNeighbour *right = b;

	if (left->dist != right->dist)
		return left->dist < right->dist ? -1 : 1;
	return left->key < right->key ? -1 : left->key > right->key;
}

static void
check_point(const World *world, const CtBlockPoint *point, CtFound *found,
			int k)
{
	CtNeighbour all[ROWS];
	int			n = 0;

	for (int i = 0; i < ROWS; i++)
	{
		if (world->keys[i] == CT_NO_KEY || world->keys[i] == point->self)
			continue;
		all[n].dist = ct_model_distance(world->model, world->space.kernels,
										point->record, world->records[i]);
		all[n++].key = world->keys[i];
	}
	qsort(all, n, sizeof(CtNeighbour), compare_neighbours);
	n = n < k ? n : k;
	ct_found_sort(found);
	expect(found->n == n, world->space.kernels->name, "neighbours found",
		   k, found->n);
	for (int i = 0; i < n && found->n == n; i++)
		expect(memcmp(&all[i], &found->heap[i], sizeof(CtNeighbour)) == 0,
			   world->space.kernels->name, "neighbour", k, i);
}

/* A block of points, of which each brings its memory. */
static void
create_block(const World *world, int npoints, int k, CtBlock *block)
{
	size_t		bytes = ct_candidates_bytes(ct_block_room(k));

	block->n = npoints;
	block->memory = allocate(sizeof(double) * ct_block_size(world->model));
	block->pairs = allocate(sizeof(uint64_t) * CT_PAIRED_ROWS * CT_BLOCK_MARKS(ROWS));
	block->paired = allocate(CT_BLOCK_MARKS(ROWS));
	memset(block->pairs, -1, sizeof(uint64_t) * CT_PAIRED_ROWS * CT_BLOCK_MARKS(ROWS));
	memset(block->paired, true, CT_BLOCK_MARKS(ROWS));
	for (int p = 0; p < npoints; p++)
	{
		int			row = p * 11 % ROWS;

		block->points[p] = allocate(sizeof(CtBlockPoint));
		ct_block_point_init(world->records[row], p,
							p % 2 ? world->keys[row] : CT_NO_KEY, k,
							allocate(bytes), block->points[p]);
		ct_block_point_admit(&world->rows, block->points[p]);
	}
}

static void
free_block(CtBlock *block)
{
	for (int p = 0; p < block->n; p++)
	{
		free(block->points[p]->candidates.most);
		free(block->points[p]);
	}
	free(block->memory);
	free(block->pairs);
	free(block->paired);
}

/*
 * Divides a block as ct_block_pair_next() wants it: those that are complete, and
 * the others.
 */
static int
divide_block(const CtBlock *block, CtBlock *parts)
{
	int			nparts = 0;

	for (int complete = 0; complete < 2; complete++)
	{
		CtBlock    *part = &parts[nparts];

		*part = *block;
		part->n = 0;
		for (int p = 0; p < block->n; p++)
			if ((ct_block_point_class(block->points[p]) ==
				 CT_BLOCK_COMPLETE) == complete)
				part->points[part->n++] = block->points[p];
		nparts += part->n > 0;
	}
	return nparts;
}

/* Threads by which rows are shared. */
#define SHARERS		3

static CtFound *
create_found(int npoints, int k)
{
	CtFound    *found = allocate(sizeof(CtFound) * SHARERS * npoints);

	for (int i = 0; i < SHARERS * npoints; i++)
	{
		found[i].heap = allocate(sizeof(CtNeighbour) * k);
		ct_found_clear(&found[i]);
	}
	return found;
}

static void
free_found(CtFound *found, int npoints)
{
	for (int i = 0; i < SHARERS * npoints; i++)
		free(found[i].heap);
	free(found);
}

/*
 * Evaluates a block's pairs, in parts of leaves, as threads would that share
 * them.  Of the rows without a pair nobody is told.
 */
static size_t
evaluate(const World *world, CtBlock *block, int npoints, CtFound *found)
{
	CtPairWork *work = allocate(ct_pairs_work_bytes(world->model));
	bool		needed[ROWS] = {false};
	size_t		pairs = 0;

	ct_block_need(&world->rows, block, needed);
	for (int i = 0; i < ROWS; i++)
		expect(needed[i] == (block->paired[i / CT_PAIRED_ROWS] &&
							 block->pairs[i] != 0),
			   world->space.kernels->name, "row needed", npoints, i);
	for (int l = 0; l < LEAVES; l++)
	{
		const CtBlockLeaf *leaf = &world->leaves[l];
		int			n = l % 2 ? leaf->n : (leaf->n + 1) / 2;

		pairs += ct_pairs_evaluate(&world->rows, block, leaf->first, n,
								   found + l % SHARERS * npoints, work);
		if (n < leaf->n)
			pairs += ct_pairs_evaluate(&world->rows, block, leaf->first + n,
									   leaf->n - n,
									   found + (l + 1) % SHARERS * npoints,
									   work);
	}
	for (int p = 0; p < block->n; p++)
		ct_found_join(block->points[p], found + block->points[p]->number,
					  npoints, SHARERS);
	free(work);
	return pairs;
}

/*
 * Gives the points of a block the cuts of the leaves near them, and makes them as
 * new but for these.  A cut must not be above what the k-th row has.
 */
static void
prime_block(World *world, CtBlock *block, CtBlockWork *work)
{
	ct_block_prime(&world->rows, block, 2, work);
	for (int p = 0; p < block->n; p++)
	{
		CtBlockPoint *point = block->points[p];
		int			n = 0;

		for (int i = 0; i < ROWS; i++)
		{
			double		dist = ct_model_distance(world->model,
												 world->space.kernels,
												 point->record,
												 world->records[i]);

			n += world->keys[i] != CT_NO_KEY && world->keys[i] != point->self &&
				1.0 - dist * dist >= point->cut - 1e-12;
		}
		expect(n >= point->k || point->cut <= -1.0, world->space.kernels->name,
			   "cut of a primed point", n, point->k);
		ct_block_point_admit(&world->rows, point);
	}
}

/*
 * Points that are rows, some of which do not find themselves.  With little room
 * for candidates they lose some.  Returns how many did.
 */
static int
check_block(World *world, int npoints, int k, int room, bool primed)
{
	static CtBlock block;
	static CtBlock parts[2];
	const CtModel *model = world->model;
	CtBlockWork *work = allocate(ct_block_work_bytes(&world->rows,
													 ct_block_room(k)));
	CtFound    *found = create_found(npoints, k);
	size_t		pairs = 0;
	int			nlost = 0;
	int			nparts;

	world->saved.taken = 0;
	create_block(world, npoints, k, &block);
	for (int p = 0; p < npoints; p++)
		block.points[p]->candidates.room = room < ct_block_room(k) ? room :
			ct_block_room(k);
	ct_block_prepare(model, &block);
	if (primed)
		prime_block(world, &block, work);
	ct_block_collect(&world->rows, &block, 2, work);
	for (int p = 0; p < npoints; p++)
		nlost += ct_block_point_class(block.points[p]) != CT_BLOCK_COMPLETE;
	ct_block_pair_first(&world->rows, &block, work);
	pairs = evaluate(world, &block, npoints, found);
	nparts = divide_block(&block, parts);
	for (int i = 0; i < nparts; i++)
	{
		ct_block_prepare(model, &parts[i]);
		for (int round = 0; round < 2; round++)
		{
			if (round > 0 && ct_block_point_class(parts[i].points[0]) != CT_BLOCK_COMPLETE)
				break;
			ct_block_pair_next(&world->rows, &parts[i], work);
			pairs += evaluate(world, &parts[i], npoints, found);
		}
	}
	expect(pairs <= (size_t) npoints * ROWS, world->space.kernels->name,
		   "pairs evaluated once", npoints, k);
	for (int p = 0; p < npoints; p++)
		check_point(world, block.points[p], &found[p], k);
	free_found(found, npoints);
	free_block(&block);
	free(work);
	return nlost;
}

static void
check_blocks(const CtKernelTable *kernels, CtCovariance covariance)
{
	static const size_t sizes[] = {0, 1, 30};
	static const double nuggets[] = {0.0, 0.1};
	int			nlost = 0;

	for (size_t s = 0; s < LENGTH(sizes); s++)
		for (size_t g = 0; g < LENGTH(nuggets); g++)
		{
			World	   *world = create_world(kernels, covariance, sizes[s],
											 nuggets[g]);

			for (int primed = 0; primed < 2; primed++)
			{
				check_block(world, POINTS, 10, ROWS, primed);
				nlost += check_block(world, POINTS, 10, LEAST_ROOM, primed);
				check_block(world, 9, 50, ROWS, primed);
				nlost += check_block(world, 9, 50, LEAST_ROOM, primed);
				check_block(world, 1, 1, LEAST_ROOM, primed);
				nlost += check_block(world, 3, MAX_K, LEAST_ROOM, primed);
				check_block(world, 3, MAX_K, 4 * ROWS, primed);
			}
			for (int i = 0; i < ROWS; i++)
				free(world->records[i]);
			free(world->saved.memory);
			free(world->model);
			free(world);
		}
	expect(nlost > 0, kernels->name, "no point has lost candidates", 0, nlost);
}

int
main(void)
{
	for (int level = 0; level < CT_KERNEL_LEVELS; level++)
	{
		const CtKernelTable *kernels = ct_kernel_table((CtKernelLevel) level);

		if (kernels == NULL)
			continue;
		check_kernels(kernels);
		check_blocks(kernels, CT_COVARIANCE_RBF);
		check_blocks(kernels, CT_COVARIANCE_MATERN12);
		check_blocks(kernels, CT_COVARIANCE_MATERN52);
	}
	if (failures > 0)
	{
		printf("%lu comparisons failed\n", failures);
		return 1;
	}
	printf("ok\n");
	return 0;
}
