/*-------------------------------------------------------------------------
 *
 * ct_landmarks.c
 *	  Landmarks of a residual index that is being built: the rows of which
 *	  the bases of its leaves consist.
 *
 * A scan evaluates every landmark of the leaves it reads, and every row that
 * its leaf's basis leaves too much of.  So landmarks should be few, and explain
 * all rows together.  They are the pivots of a Cholesky factorization of the
 * correlations of a sample: each time the row that the others explain least
 * (Fine & Scheinberg 2001; that is how inducing points are chosen greedily).
 * Where residual correlation is smooth their number hardly depends on that of
 * the rows.  Rows that leaves find badly explained then become landmarks too,
 * since scans would evaluate them anyway.  The candidates for a leaf's basis
 * are the landmarks near to its rows in space (in lengthscales): far ones are
 * hardly correlated with it.
 *
 * IDENTIFICATION
 *	  src/tree/ct_landmarks.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>
#include <omp.h>

#include "utils/float.h"

#include "ct_bulk.h"
#include "ct_point.h"

/*
 * Landmarks are chosen first for a sample, until they leave less than this of
 * each of its rows, but no more than one for so many rows of the index.
 */
#define SAMPLE_ROWS		1024
#define GOOD_REST		0.25
#define LANDMARK_ROWS	32

/* so many at a time, from so many rows of which most is left */
#define BATCH			16
#define POOL			64

/* rows of the sample that one thread looks at together */
#define EXPLAIN_BLOCK	24

/*
 * Rounds in which badly explained rows of a leaf become landmarks, at most one
 * in so many of them each time, and how many in all.
 */
#define ROUNDS			3
#define PROMOTED_SHARE	2
#define LEAF_MOST		32

/* leaves whose bases are chosen together */
#define LEAF_BATCH		64

/* batches of inducing points between two checks for interrupts */
#define KNOT_BATCHES	16

/* rows of a leaf that look for candidates, and how many each finds */
#define PROBES			10
#define NEAREST			16

StaticAssertDecl(PROBES * NEAREST + LEAF_MOST <= CT_BASIS_CANDIDATES,
				 "candidates for a basis have room");

/* A pivoted Cholesky factorization of the sample's correlations. */
typedef struct Sample
{
	size_t		n;
	size_t		limit;			/* landmarks, at most */
	size_t		k;				/* landmarks chosen */
	size_t	   *rows;
	double	   *columns;		/* n x limit: column k is of landmark k */
	double	   *rest;			/* what landmarks leave of each, squared */
	size_t		nopen;			/* rows that may become landmarks */
	uint32	   *order;			/* of these, most left first */
} Sample;

/* what becomes of a leaf */
typedef struct LeafFit
{
	CtLeafBasis basis;
	int			npromoted;
	size_t		promoted[LEAF_MOST];	/* rows that become landmarks */
} LeafFit;

struct CtLandmarks
{
	size_t		n;
	size_t		size;
	size_t	   *rows;			/* in tree order */
	double	   *places;			/* by column, in lengthscales */
	bool	   *chosen;			/* by row of the index */
	LeafFit    *leaves;
	CtShares   *shares;			/* by row of the index */
	uint8	   *limits;			/* of inducing points, by leaf */
	bool		few_rows;		/* so that knots are not worth the while */
	CtKnots		knots;
};

/* The coordinates of a record, in lengthscales. */
static void
place_of(const CtModel *model, const double *record, double *place,
		 size_t stride)
{
	for (size_t j = 0; j < model->dims; j++)
		place[j * stride] = record[j] / ct_model_lengthscale(model)[j];
}

/* Makes room for twice the landmarks. */
static void
grow_landmarks(CtLandmarks *landmarks, int dims)
{
	size_t		old = landmarks->size;
	size_t		size = 2 * old;

	landmarks->size = size;
	landmarks->rows = repalloc_huge(landmarks->rows, sizeof(size_t) * size);
	landmarks->places = repalloc_huge(landmarks->places,
									  sizeof(double) * size * dims);
	for (int j = dims; j-- > 1;)
		memmove(landmarks->places + j * size, landmarks->places + j * old,
				sizeof(double) * landmarks->n);
}

static void
add_landmark(const CtBulk *bulk, CtLandmarks *landmarks, size_t row)
{
	const CtModel *model = bulk->index->space.model;

	if (landmarks->chosen[row])
		return;
	if (landmarks->n == landmarks->size)
		grow_landmarks(landmarks, model->dims);
	place_of(model, ct_bulk_record(bulk, row),
			 landmarks->places + landmarks->n, landmarks->size);
	landmarks->chosen[row] = true;
	landmarks->rows[landmarks->n++] = row;
}

/* Most left first; for sorting Sample.order. */
static int
compare_rests(const void *a, const void *b, void *arg)
{
	const double *rest = arg;
	uint32		left = *(const uint32 *) a;
	uint32		right = *(const uint32 *) b;

	if (rest[left] != rest[right])
		return rest[left] > rest[right] ? -1 : 1;
	return left < right ? -1 : left > right;
}

/*
 * Takes from the pool, the first rows in order, what landmark number k, its row
 * f, explains of them.  root is the root of what was left of f itself.
 */
static void
explain_pool(const CtBulk *bulk, Sample *sample, size_t pool, size_t k,
			 uint32 f, double root)
{
	const CtSpace *space = &bulk->index->cover;
	const double *records[POOL];
	const double *columns[POOL];
	double		rho[POOL];
	double		known[POOL];

	for (size_t i = 0; i < pool; i++)
	{
		records[i] = ct_bulk_record(bulk, sample->rows[sample->order[i]]);
		columns[i] = sample->columns + sample->order[i] * sample->limit;
	}
	ct_model_correlations(space->model, space->kernels,
						  ct_bulk_record(bulk, sample->rows[f]), pool, records,
						  rho);
	space->kernels->dots_f64(sample->columns + f * sample->limit, columns, pool,
							 k, known);
	for (size_t i = 0; i < pool; i++)
	{
		uint32		row = sample->order[i];
		double		part = row == f ? root : (rho[i] - known[i]) / root;

		sample->columns[row * sample->limit + k] = part;
		sample->rest[row] = row == f ? 0.0 :
			Max(0.0, sample->rest[row] - part * part);
	}
}

/*
 * Takes from up to EXPLAIN_BLOCK rows (their places in order from `from` on)
 * what n landmarks explain, which explain_pool() has dealt with for their own
 * rows.  Runs in any thread.
 */
static void
explain_block(const CtBulk *bulk, Sample *sample, int n, const uint32 *batch,
			  const double *roots, size_t from, size_t nrows)
{
	const CtSpace *space = &bulk->index->cover;
	const double *landmarks[BATCH];
	const double *columns[BATCH];
	const double *records[EXPLAIN_BLOCK];
	const double *own[EXPLAIN_BLOCK];
	double		rho[EXPLAIN_BLOCK][BATCH];
	double		known[EXPLAIN_BLOCK][BATCH];

	for (int t = 0; t < n; t++)
	{
		landmarks[t] = ct_bulk_record(bulk, sample->rows[batch[t]]);
		columns[t] = sample->columns + batch[t] * sample->limit;
	}
	for (size_t i = 0; i < nrows; i++)
	{
		uint32		row = sample->order[from + i];

		records[i] = ct_bulk_record(bulk, sample->rows[row]);
		own[i] = sample->columns + row * sample->limit;
	}
	ct_model_correlation_table(space->model, space->kernels, nrows, records, n,
							   landmarks, rho[0], BATCH);
	space->kernels->dot_table_f64(own, nrows, columns, n, sample->k, known[0],
								  BATCH);
	for (size_t i = 0; i < nrows; i++)
	{
		uint32		row = sample->order[from + i];
		double	   *column = sample->columns + row * sample->limit;

		for (int t = 0; t < n; t++)
		{
			size_t		k = sample->k + t;
			double		product = rho[i][t] - known[i][t];

			for (size_t s = sample->k; s < k; s++)
				product -= column[s] * columns[t][s];
			column[k] = product / roots[t];
			sample->rest[row] = Max(0.0, sample->rest[row] -
									column[k] * column[k]);
		}
	}
}

/* Puts the rows that may still become landmarks in order; others are dropped. */
static void
order_sample(Sample *sample)
{
	size_t		kept = 0;

	for (size_t i = 0; i < sample->nopen; i++)
		if (sample->rest[sample->order[i]] >= GOOD_REST * GOOD_REST)
			sample->order[kept++] = sample->order[i];
	sample->nopen = kept;
	qsort_arg(sample->order, kept, sizeof(uint32), compare_rests, sample->rest);
}

/*
 * Chooses up to BATCH landmarks among the POOL rows of which most is left, at
 * least half as much as of the first.  Returns how many; 0: they are enough.
 */
static int
choose_batch(const CtBulk *bulk, Sample *sample, uint32 *batch, double *roots)
{
	size_t		pool;
	int			n = 0;
	double		most;

	order_sample(sample);
	if (sample->nopen == 0)
		return 0;
	pool = Min(sample->nopen, POOL);
	most = sample->rest[sample->order[0]];
	while (n < BATCH && sample->k + n < sample->limit)
	{
		uint32		best = sample->order[0];

		for (size_t i = 1; i < pool; i++)
			if (sample->rest[sample->order[i]] > sample->rest[best])
				best = sample->order[i];
		if (sample->rest[best] < Max(most / 2.0, GOOD_REST * GOOD_REST))
			break;
		batch[n] = best;
		roots[n] = sqrt(sample->rest[best]);
		explain_pool(bulk, sample, pool, sample->k + n, best, roots[n]);
		n++;
	}
	return n;
}

/*
 * Chooses landmarks for a sample of all rows, each time one of which the others
 * explain least: the pivots of a Cholesky factorization.  Where residual
 * correlation is smooth, few explain everything.  What is left of a row only
 * becomes less: one that is explained well, or a landmark, is not looked at
 * again.
 */
static void
choose_for_sample(const CtBulk *bulk, Sample *sample, CtLandmarks *landmarks)
{
	uint32		batch[BATCH];
	double		roots[BATCH];
	int			n;

	while ((n = choose_batch(bulk, sample, batch, roots)) > 0)
	{
		CHECK_FOR_INTERRUPTS();
#pragma omp parallel for num_threads(bulk->nthreads) schedule(dynamic)
		for (size_t i = POOL; i < sample->nopen; i += EXPLAIN_BLOCK)
			explain_block(bulk, sample, n, batch, roots, i,
						  Min(EXPLAIN_BLOCK, sample->nopen - i));
		for (int t = 0; t < n; t++)
			add_landmark(bulk, landmarks, sample->rows[batch[t]]);
		sample->k += n;
	}
}

/* what a thread works with */
typedef struct Workplace
{
	double	   *projection;		/* for ct_projection_begin() */
	void	   *knots;			/* for limits of rows: measure_bytes() */
	const double **rows;		/* of a leaf: records */
	double	   *rests;			/* likewise */
	size_t		size;			/* room for so many landmarks in: */
	double	   *dist;			/* of all, or those around a leaf, */
	size_t		naround;		/* how many these are, */
	size_t	   *around;			/* their rows, */
	double	   *places;			/* and places, by column */
	double		probes[PROBES][CT_MAX_DIMS];	/* places of a leaf's rows */
} Workplace;

/* The NEAREST of n landmarks nearest to a place, or all; returns how many. */
static int
nearest_landmarks(const CtSpace *space, const double *place, size_t n,
				  const size_t *rows, const double *places, size_t stride,
				  double *dist, double *best, size_t *nearest)
{
	int			found = 0;

	space->kernels->l2_columns_f64(place, places, stride, n,
								   space->model->dims, dist);
	for (size_t i = 0; i < n; i++)
		found = ct_keep_nearest(best, nearest, found, NEAREST, dist[i], rows[i]);
	return found;
}

/*
 * Puts the landmarks, in their order, among which are the NEAREST of each of
 * some places that are at most `radius` from the first one: these are within
 * their distance T of the first place, hence within T + radius of any, as are
 * the nearest of that, which are within T + 2 radius of the first.
 */
static void
find_around(const CtSpace *space, const CtLandmarks *landmarks,
			const double *place, double radius, Workplace *work)
{
	double		best[NEAREST];
	size_t		nearest[NEAREST];
	int			found = nearest_landmarks(space, place, landmarks->n,
										  landmarks->rows, landmarks->places,
										  landmarks->size, work->dist, best,
										  nearest);
	double		limit = found < NEAREST ? get_float8_infinity() :
		(best[NEAREST - 1] + 2.0 * radius) * (1.0 + 1e-9);

	work->naround = 0;
	for (size_t i = 0; i < landmarks->n; i++)
	{
		if (work->dist[i] > limit)
			continue;
		work->around[work->naround] = landmarks->rows[i];
		for (size_t j = 0; j < space->model->dims; j++)
			work->places[j * work->size + work->naround] =
				landmarks->places[j * landmarks->size + i];
		work->naround++;
	}
}

/*
 * Candidates for the basis of rows [first, first + n): the landmarks nearest
 * to some of them.  Fills candidates (at most PROBES times NEAREST rows) and
 * returns their number.
 */
static int
near_landmarks(const CtBulk *bulk, const CtLandmarks *landmarks,
			   size_t first, int n, Workplace *work, size_t *candidates)
{
	const CtSpace *space = &bulk->index->space;
	double		radius = 0.0;
	int			probes = Min(n, PROBES);
	int			count = 0;

	for (int probe = 0; probe < probes; probe++)
	{
		size_t		row = first + (size_t) probe * n / probes;

		place_of(space->model, ct_bulk_record(bulk, row), work->probes[probe],
				 1);
		radius = Max(radius, space->kernels->l2_f64(work->probes[0],
													work->probes[probe],
													space->model->dims));
	}
	find_around(space, landmarks, work->probes[0], radius, work);
	for (int probe = 0; probe < probes; probe++)
	{
		double		best[NEAREST];
		size_t		near[NEAREST];
		int			found = nearest_landmarks(space, work->probes[probe],
											  work->naround, work->around,
											  work->places, work->size,
											  work->dist, best, near);

		for (int i = 0; i < found; i++)
		{
			bool		known = false;

			for (int c = 0; c < count; c++)
				known = known || candidates[c] == near[i];
			if (!known)
				candidates[count++] = near[i];
		}
	}
	return count;
}

/* Adds rows to the candidates for a basis. */
static void
add_candidates(const CtBulk *bulk, CtProjectionChoice *choice, int n,
			   const size_t *rows)
{
	const double *records[CT_BASIS_CANDIDATES];

	for (int c = 0; c < n; c++)
		records[c] = ct_bulk_record(bulk, rows[c]);
	ct_projection_add(choice, n, records);
}

/* The limits of a leaf, the records of whose n rows are in work->rows. */
static void
measure_knots(const CtBulk *bulk, CtLandmarks *landmarks, size_t leaf, int n,
			  Workplace *work)
{
	const CtSpace *space = &bulk->index->space;
	size_t		nlimits = ct_knot_limits(space->model);
	uint8	   *limits = landmarks->limits + leaf * nlimits;
	void	   *memory = (void *) TYPEALIGN(CT_CACHE_LINE, work->knots);

	if (landmarks->few_rows)
		ct_knots_solve(space->model, space->kernels, n, work->rows, memory,
					   limits);
	else
		ct_knots_measure(&landmarks->knots, n, work->rows, memory, limits);
}

/*
 * Chooses the basis of a leaf; some of its own rows may become landmarks by
 * that (basis->promoted).  Runs in any thread.
 */
static void
fit_leaf(const CtBulk *bulk, CtLandmarks *landmarks, const size_t *starts,
		 size_t leaf, Workplace *work)
{
	LeafFit    *own = &landmarks->leaves[leaf];
	size_t		first = starts[leaf];
	int			n = starts[leaf + 1] - first;
	CtProjectionChoice choice;
	size_t		candidates[CT_BASIS_CANDIDATES];
	int			count = near_landmarks(bulk, landmarks, first, n, work,
									   candidates);

	for (int i = 0; i < n; i++)
		work->rows[i] = ct_bulk_record(bulk, first + i);
	ct_projection_begin(&choice, &bulk->index->cover, n, work->rows,
						work->projection);
	add_candidates(bulk, &choice, count, candidates);
	own->npromoted = 0;
	for (int round = 0;; round++)
	{
		int			limit = Min(CT_BASIS_CANDIDATES - count,
								LEAF_MOST - own->npromoted);
		int			promoted[CT_PROMOTED_AT_ONCE];
		int			more;

		ct_projection_choose(&choice, &own->basis.fit);
		if (round == ROUNDS || limit == 0)
			break;
		more = ct_projection_unexplained(&choice, &own->basis.fit,
										 PROMOTED_SHARE, limit, work->rests,
										 promoted);
		if (more == 0)
			break;
		for (int p = 0; p < more; p++)
			candidates[count + p] = first + promoted[p];
		add_candidates(bulk, &choice, more, candidates + count);
		memcpy(own->promoted + own->npromoted, candidates + count,
			   sizeof(size_t) * more);
		own->npromoted += more;
		count += more;
	}
	ct_projection_finish(&choice, &own->basis.fit,
						 landmarks->shares + first);
	for (int k = 0; k < own->basis.fit.n; k++)
		own->basis.rows[k] = candidates[own->basis.fit.chosen[k]];
	measure_knots(bulk, landmarks, leaf, n, work);
}

/* Bytes that a thread needs for measure_knots(), anywhere in memory. */
static Size
measure_bytes(const CtBulk *bulk)
{
	const CtModel *model = bulk->index->space.model;

	return CT_CACHE_LINE + Max(sizeof(double) * ct_knots_solve_work(model),
							   sizeof(float) * ct_knots_measure_work(model));
}

/* Makes ready for the limits of all rows. */
static void
make_knots(CtBulk *bulk, CtLandmarks *landmarks)
{
	const CtSpace *space = &bulk->index->space;
	int			m = space->model->m;
	size_t		size = ct_knots_fill_work(space->model);
	double	   *work;

	landmarks->few_rows = !ct_knots_pay(space->model, bulk->n);
	if (landmarks->few_rows)
		return;
	ct_knots_init(space->model, space->kernels,
				  MemoryContextAllocHuge(bulk->context,
										 ct_knots_bytes(space->model)),
				  &landmarks->knots);
	work = MemoryContextAllocHuge(bulk->context, sizeof(double) *
								  Max(size * bulk->nthreads, 1));
	for (int from = 0; from < m; from += KNOT_BATCHES * CT_BATCH)
	{
		int			to = Min(from + KNOT_BATCHES * CT_BATCH, m);

		CHECK_FOR_INTERRUPTS();
#pragma omp parallel for num_threads(bulk->nthreads) schedule(dynamic)
		for (int first = from; first < to; first += CT_BATCH)
			ct_knots_fill(&landmarks->knots, first,
						  work + size * omp_get_thread_num());
	}
	pfree(work);
}

/* Makes room for the work of each thread; leaves have at most so many rows. */
static Workplace *
make_workplaces(const CtBulk *bulk, const CtLandmarks *landmarks, int rows)
{
	Workplace  *work = palloc0(sizeof(Workplace) * bulk->nthreads);

	for (int t = 0; t < bulk->nthreads; t++)
	{
		work[t].projection = MemoryContextAllocHuge(bulk->context, sizeof(double) *
													ct_projection_work(rows));
		work[t].knots = MemoryContextAllocHuge(bulk->context,
											   measure_bytes(bulk));
		work[t].rows = palloc(sizeof(double *) * rows);
		work[t].rests = palloc(sizeof(double) * rows);
	}
	return work;
}

static void
free_landmark_work(Workplace *work)
{
	if (work->size == 0)
		return;
	pfree(work->dist);
	pfree(work->around);
	pfree(work->places);
}

/* There may be landmarks now that the workplaces have no room for. */
static void
fit_workplaces(const CtBulk *bulk, const CtLandmarks *landmarks,
			   Workplace *work)
{
	for (int t = 0; t < bulk->nthreads && work[t].size < landmarks->size; t++)
	{
		free_landmark_work(&work[t]);
		work[t].size = landmarks->size;
		work[t].dist = MemoryContextAllocHuge(bulk->context, sizeof(double) *
											  work[t].size);
		work[t].around = MemoryContextAllocHuge(bulk->context, sizeof(size_t) *
												work[t].size);
		work[t].places = MemoryContextAllocHuge(bulk->context, sizeof(double) *
												work[t].size *
												bulk->index->meta.dims);
	}
}

static void
free_workplaces(const CtBulk *bulk, Workplace *work)
{
	for (int t = 0; t < bulk->nthreads; t++)
	{
		pfree(work[t].projection);
		pfree(work[t].knots);
		free_landmark_work(&work[t]);
		pfree(work[t].rows);
		pfree(work[t].rests);
	}
	pfree(work);
}

/*
 * Chooses the bases of all leaves, some at a time, which are far from each
 * other: so most leaves know the landmarks that those near to them have added,
 * and need not add others.  What is done together does not depend on the
 * number of threads.
 */
static void
fit_leaves(CtBulk *bulk, CtLandmarks *landmarks, size_t nleaves,
		   const size_t *starts)
{
	size_t		stride = (nleaves + LEAF_BATCH - 1) / LEAF_BATCH;
	Workplace  *work;
	size_t		most = 1;

	for (size_t i = 0; i < nleaves; i++)
		most = Max(most, starts[i + 1] - starts[i]);
	work = make_workplaces(bulk, landmarks, most);
	for (size_t from = 0; from < stride; from++)
	{
		CHECK_FOR_INTERRUPTS();
		fit_workplaces(bulk, landmarks, work);
#pragma omp parallel for num_threads(bulk->nthreads) schedule(dynamic)
		for (size_t i = from; i < nleaves; i += stride)
			fit_leaf(bulk, landmarks, starts, i, &work[omp_get_thread_num()]);
		for (size_t i = from; i < nleaves; i += stride)
			for (int p = 0; p < landmarks->leaves[i].npromoted; p++)
				add_landmark(bulk, landmarks, landmarks->leaves[i].promoted[p]);
	}
	free_workplaces(bulk, work);
}

/* Chooses landmarks for a sample of the rows. */
static void
sample_landmarks(CtBulk *bulk, CtLandmarks *landmarks)
{
	Sample		sample = {0};

	sample.n = Min(bulk->n, SAMPLE_ROWS);
	sample.limit = Min((bulk->n + LANDMARK_ROWS - 1) / LANDMARK_ROWS,
					   sample.n);
	sample.limit = Min(sample.limit, bulk->memory / CT_LANDMARKS_SHARE /
					   (sizeof(double) * sample.n) + 1);
	sample.rows = palloc(sizeof(size_t) * sample.n);
	sample.order = palloc(sizeof(uint32) * sample.n);
	sample.rest = palloc(sizeof(double) * sample.n);
	sample.columns = MemoryContextAllocHuge(bulk->context, sizeof(double) *
											sample.n * sample.limit);
	for (size_t i = 0; i < sample.n; i++)
	{
		sample.rows[i] = i * bulk->n / sample.n;
		sample.order[i] = i;
		sample.rest[i] = 1.0;
	}
	sample.nopen = sample.n;
	choose_for_sample(bulk, &sample, landmarks);
	pfree(sample.rows);
	pfree(sample.order);
	pfree(sample.rest);
	pfree(sample.columns);
}

/*
 * Chooses landmarks and the bases of all leaves in a bulk build.  Leaf number i
 * holds rows starts[i] .. starts[i + 1] - 1.  Uses the build's threads.
 */
CtLandmarks *
ct_landmarks_choose(CtBulk *bulk, size_t nleaves, const size_t *starts)
{
	CtLandmarks *landmarks = palloc0(sizeof(CtLandmarks));

	landmarks->size = 1024;
	landmarks->rows = palloc(sizeof(size_t) * landmarks->size);
	landmarks->places = MemoryContextAllocHuge(bulk->context,
											   sizeof(double) * landmarks->size *
											   bulk->index->meta.dims);
	landmarks->chosen = MemoryContextAllocExtended(bulk->context,
												   sizeof(bool) * bulk->n,
												   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	landmarks->leaves = MemoryContextAllocHuge(bulk->context,
											   sizeof(LeafFit) * nleaves);
	landmarks->shares = MemoryContextAllocHuge(bulk->context,
											   sizeof(CtShares) * bulk->n);
	landmarks->limits = MemoryContextAllocHuge(bulk->context, 1 + nleaves *
											   ct_knot_limits(bulk->index->space.model));
	sample_landmarks(bulk, landmarks);
	make_knots(bulk, landmarks);
	fit_leaves(bulk, landmarks, nleaves, starts);
	return landmarks;
}

bool
ct_landmarks_contain(const CtLandmarks *landmarks, size_t row)
{
	return landmarks->chosen[row];
}

const CtLeafBasis *
ct_landmarks_basis(const CtLandmarks *landmarks, size_t leaf)
{
	return &landmarks->leaves[leaf].basis;
}

/* A leaf's limits of inducing points. */
const uint8 *
ct_landmarks_knots(const CtBulk *bulk, size_t leaf)
{
	return bulk->landmarks->limits +
		leaf * ct_knot_limits(bulk->index->space.model);
}

/* What the basis of a row's leaf says of it. */
const CtShares *
ct_landmarks_shares(const CtLandmarks *landmarks, size_t row)
{
	return &landmarks->shares[row];
}

void
ct_landmarks_free(CtLandmarks *landmarks)
{
	pfree(landmarks->rows);
	pfree(landmarks->places);
	pfree(landmarks->chosen);
	pfree(landmarks->leaves);
	pfree(landmarks->shares);
	pfree(landmarks->limits);
	if (!landmarks->few_rows)
		pfree(landmarks->knots.tiles);
	pfree(landmarks);
}
