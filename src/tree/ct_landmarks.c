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

#include "ct_bulk.h"
#include "ct_point.h"

/*
 * Landmarks are chosen first for a sample, until they leave less than this of
 * each of its rows, but no more than one for so many rows of the index.
 */
#define SAMPLE_ROWS		4096
#define GOOD_REST		0.25
#define LANDMARK_ROWS	32
#define MOST_LANDMARKS	2048

/* so many at a time, from so many rows of which most is left */
#define BATCH			16
#define POOL			64

/*
 * Rounds in which badly explained rows become landmarks: of those of a leaf
 * that have a larger rest a share, the worst first, unless they are
 * correlated more than that with one chosen before.
 */
#define ROUNDS			5
#define LARGE_REST		0.42
#define PROMOTED_SHARE	8
#define LEAF_PROMOTED	16

/* leaves between two checks for interrupts */
#define LEAF_BATCH		64

/* rows of a leaf that look for candidates, and how many each finds */
#define PROBES			12
#define NEAREST			(CT_BASIS_CANDIDATES / PROBES)

/* A pivoted Cholesky factorization of the sample's correlations. */
typedef struct Sample
{
	size_t		n;
	size_t		limit;			/* landmarks, at most */
	size_t		k;				/* landmarks chosen */
	size_t	   *rows;
	double	   *columns;		/* n x limit: column k is of landmark k */
	double	   *rest;			/* what landmarks leave of each, squared */
	uint32	   *order;			/* most left first */
} Sample;

struct CtLandmarks
{
	size_t		n;
	size_t		size;
	size_t	   *rows;			/* in tree order */
	double	   *places;			/* n x dims, in lengthscales */
	bool	   *chosen;			/* by row of the index */
};

/* for sorting rows by their rest */
typedef struct SortRow
{
	double		key;
	size_t		row;
} SortRow;

static int
compare_rows(const void *a, const void *b)
{
	const SortRow *left = a;
	const SortRow *right = b;

	if (left->key != right->key)
		return left->key < right->key ? -1 : 1;
	return left->row < right->row ? -1 : left->row > right->row;
}

/* The coordinates of a record, in lengthscales. */
static void
place_of(const CtModel *model, const double *record, double *place)
{
	for (int j = 0; j < (int) model->dims; j++)
		place[j] = record[j] / ct_model_lengthscale(model)[j];
}

static void
add_landmark(const CtBulk *bulk, CtLandmarks *landmarks, size_t row)
{
	const CtModel *model = bulk->index->space.model;

	if (landmarks->chosen[row])
		return;
	if (landmarks->n == landmarks->size)
	{
		landmarks->size *= 2;
		landmarks->rows = repalloc_huge(landmarks->rows,
										sizeof(size_t) * landmarks->size);
		landmarks->places = repalloc_huge(landmarks->places,
										  sizeof(double) * landmarks->size * model->dims);
	}
	place_of(model, ct_bulk_record(bulk, row),
			 landmarks->places + landmarks->n * model->dims);
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
 * Takes from row i of the sample what landmark number k, its row f, explains
 * of it.  root is the root of what was left of f itself.  Runs in any thread.
 */
static void
explain(const CtBulk *bulk, Sample *sample, size_t k, uint32 f, double root,
		uint32 i)
{
	const CtSpace *space = &bulk->index->cover;
	double	   *column = sample->columns + i * sample->limit;
	double		product;

	if (i == f)
	{
		column[k] = root;
		sample->rest[i] = 0.0;
		return;
	}
	product = ct_model_correlation(space->model, space->kernels,
								   ct_bulk_record(bulk, sample->rows[f]),
								   ct_bulk_record(bulk, sample->rows[i])) -
		space->kernels->dot_f64(sample->columns + f * sample->limit, column, k);
	column[k] = product / root;
	sample->rest[i] = Max(0.0, sample->rest[i] - column[k] * column[k]);
}

/*
 * The same for n landmarks at once, which explain() has dealt with for their
 * own rows.
 */
static void
explain_by_batch(const CtBulk *bulk, Sample *sample, int n,
				 const uint32 *batch, const double *roots, uint32 i)
{
	const CtSpace *space = &bulk->index->cover;
	double	   *column = sample->columns + i * sample->limit;
	const double *records[BATCH];
	const double *columns[BATCH];
	double		rho[BATCH];
	double		known[BATCH];

	for (int t = 0; t < n; t++)
	{
		records[t] = ct_bulk_record(bulk, sample->rows[batch[t]]);
		columns[t] = sample->columns + batch[t] * sample->limit;
	}
	ct_model_correlations(space->model, space->kernels,
						  ct_bulk_record(bulk, sample->rows[i]), n, records, rho);
	space->kernels->dots_f64(column, columns, n, sample->k, known);
	for (int t = 0; t < n; t++)
	{
		size_t		k = sample->k + t;
		double		product = rho[t] - known[t];

		for (size_t s = sample->k; s < k; s++)
			product -= column[s] * columns[t][s];
		column[k] = product / roots[t];
		sample->rest[i] = Max(0.0, sample->rest[i] - column[k] * column[k]);
	}
}

/*
 * Chooses up to BATCH landmarks among the POOL rows of which most is left, at
 * least half as much as of the first.  Returns how many; 0: they are enough.
 */
static int
choose_batch(const CtBulk *bulk, Sample *sample, uint32 *batch, double *roots)
{
	size_t		pool = Min(sample->n, POOL);
	int			n = 0;
	double		most;

	qsort_arg(sample->order, sample->n, sizeof(uint32), compare_rests,
			  sample->rest);
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
		for (size_t i = 0; i < pool; i++)
			explain(bulk, sample, sample->k + n, best, roots[n],
					sample->order[i]);
		n++;
	}
	return n;
}

/*
 * Chooses landmarks for a sample of all rows, each time one of which the others
 * explain least: the pivots of a Cholesky factorization.  Where residual
 * correlation is smooth, few explain everything.
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
#pragma omp parallel for num_threads(bulk->nthreads) schedule(static)
		for (size_t i = POOL; i < sample->n; i++)
			explain_by_batch(bulk, sample, n, batch, roots, sample->order[i]);
		for (int t = 0; t < n; t++)
			add_landmark(bulk, landmarks, sample->rows[batch[t]]);
		sample->k += n;
	}
}

/*
 * The landmarks nearest in space to a record, among those from number first
 * on; returns how many, at most NEAREST.
 */
static int
nearest_landmarks(const CtBulk *bulk, const CtLandmarks *landmarks,
				  size_t first, const double *record, size_t *nearest)
{
	const CtModel *model = bulk->index->space.model;
	int			dims = model->dims;
	double		dist[NEAREST];
	double		own[CT_MAX_DIMS];
	int			found = 0;

	place_of(model, record, own);
	for (size_t i = first; i < landmarks->n; i++)
	{
		double		sum = 0.0;
		int			rank;

		for (int j = 0; j < dims; j++)
		{
			double		x = own[j] - landmarks->places[i * dims + j];

			sum += x * x;
		}
		if (found == NEAREST && !(sum < dist[NEAREST - 1]))
			continue;
		rank = found < NEAREST ? found++ : NEAREST - 1;
		for (; rank > 0 && dist[rank - 1] > sum; rank--)
		{
			dist[rank] = dist[rank - 1];
			nearest[rank] = nearest[rank - 1];
		}
		dist[rank] = sum;
		nearest[rank] = landmarks->rows[i];
	}
	return found;
}

/*
 * Candidates for the basis of rows [first, first + n): the landmarks nearest
 * to some of them.  Fills candidates (at most CT_BASIS_CANDIDATES rows) and
 * returns their number.
 */
static int
near_landmarks(const CtBulk *bulk, const CtLandmarks *landmarks,
			   size_t first, int n, size_t *candidates)
{
	int			probes = Min(n, PROBES);
	int			count = 0;

	for (int probe = 0; probe < probes; probe++)
	{
		size_t		near[NEAREST];
		int			found = nearest_landmarks(bulk, landmarks, 0,
											  ct_bulk_record(bulk, first + (size_t) probe * n / probes),
											  near);

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

/*
 * Chooses the basis of rows [first, first + n), which a leaf is to hold.
 * Fills fit and shares, and unless they are NULL the candidates that fit
 * refers to.  Runs in any thread; returns false when out of memory.
 */
bool
ct_landmarks_fit(const CtBulk *bulk, const CtLandmarks *landmarks,
				 size_t first, int n, CtProjectionFit *fit,
				 size_t *candidates, int *ncandidates, CtShares *shares)
{
	size_t		near[CT_BASIS_CANDIDATES];
	const double *records[CT_BASIS_CANDIDATES];
	const double **rows = malloc(sizeof(double *) * n);
	double	   *work = malloc(sizeof(double) * ct_projection_work(n));
	bool		done = rows != NULL && work != NULL;

	if (done)
	{
		int			count = near_landmarks(bulk, landmarks, first, n, near);

		for (int c = 0; c < count; c++)
			records[c] = ct_bulk_record(bulk, near[c]);
		for (int i = 0; i < n; i++)
			rows[i] = ct_bulk_record(bulk, first + i);
		ct_projection_fit(&bulk->index->cover, count, records, n, rows, work,
						  fit, shares);
		if (candidates)
		{
			memcpy(candidates, near, sizeof(size_t) * count);
			*ncandidates = count;
		}
	}
	free(rows);
	free(work);
	return done;
}

/* rows of a leaf that are to become landmarks */
typedef struct Promotion
{
	int			n;
	SortRow		rows[LEAF_PROMOTED];	/* by rest, largest first */
} Promotion;

/*
 * Fits a basis to rows [first, first + n) and finds those badly explained.
 * Runs in any thread; returns false when out of memory.
 */
static bool
find_unexplained(const CtBulk *bulk, const CtLandmarks *landmarks,
				 size_t first, int n, Promotion *promotion)
{
	const CtSpace *space = &bulk->index->cover;
	CtProjectionFit fit;
	CtShares   *shares = malloc(sizeof(CtShares) * n);
	int			unexplained = 0;
	int			limit;

	promotion->n = 0;
	if (shares == NULL ||
		!ct_landmarks_fit(bulk, landmarks, first, n, &fit, NULL, NULL, shares))
	{
		free(shares);
		return false;
	}
	for (int i = 0; i < n; i++)
		unexplained += shares[i].rest > LARGE_REST;
	limit = Min(Max(unexplained / PROMOTED_SHARE, 1), LEAF_PROMOTED);
	while (promotion->n < limit)
	{
		int			worst = 0;
		const double *record;

		for (int i = 1; i < n; i++)
			if (shares[i].rest > shares[worst].rest)
				worst = i;
		if (!(shares[worst].rest > LARGE_REST))
			break;
		record = ct_bulk_record(bulk, first + worst);
		promotion->rows[promotion->n].key = -shares[worst].rest;
		promotion->rows[promotion->n++].row = first + worst;
		for (int i = 0; i < n; i++)
			if (shares[i].rest > LARGE_REST)
			{
				double		rho = ct_model_correlation(space->model,
													   space->kernels, record,
													   ct_bulk_record(bulk, first + i));

				if (i == worst || fabs(rho) > LARGE_REST)
					shares[i].rest = 0.0;
			}
	}
	free(shares);
	return true;
}

/*
 * Is a row well correlated with one of its nearest among the landmarks from
 * number first on?
 */
static bool
is_covered(const CtBulk *bulk, const CtLandmarks *landmarks, size_t first,
		   size_t row)
{
	const CtSpace *space = &bulk->index->cover;
	const double *record = ct_bulk_record(bulk, row);
	size_t		near[NEAREST];
	int			n = nearest_landmarks(bulk, landmarks, first, record, near);

	for (int i = 0; i < n; i++)
		if (fabs(ct_model_correlation(space->model, space->kernels, record,
									  ct_bulk_record(bulk, near[i]))) > LARGE_REST)
			return true;
	return false;
}

/*
 * Adds the rows that the leaves ask for, the worst explained first, passing
 * over those that a landmark just added for another leaf covers.  Returns
 * whether there are any.
 */
static bool
add_promoted(CtBulk *bulk, CtLandmarks *landmarks, size_t nleaves,
			 const Promotion *promotions)
{
	size_t		first = landmarks->n;
	size_t		n = 0;
	SortRow    *rows = MemoryContextAllocHuge(bulk->context,
											  sizeof(SortRow) * (nleaves * LEAF_PROMOTED + 1));

	for (size_t i = 0; i < nleaves; i++)
		for (int p = 0; p < promotions[i].n; p++)
			rows[n++] = promotions[i].rows[p];
	qsort(rows, n, sizeof(SortRow), compare_rows);
	for (size_t i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!is_covered(bulk, landmarks, first, rows[i].row))
			add_landmark(bulk, landmarks, rows[i].row);
	}
	pfree(rows);
	return n > 0;
}

/*
 * Makes landmarks of the rows that bases explain badly.  Leaf number i holds
 * rows starts[i] .. starts[i + 1] - 1.
 */
void
ct_landmarks_refine(CtBulk *bulk, CtLandmarks *landmarks, size_t nleaves,
					const size_t *starts)
{
	Promotion  *promotions = MemoryContextAllocHuge(bulk->context,
													sizeof(Promotion) * nleaves);

	for (int round = 0; round < ROUNDS; round++)
	{
		bool		failed = false;

		for (size_t from = 0; from < nleaves && !failed; from += LEAF_BATCH)
		{
			size_t		to = Min(from + LEAF_BATCH, nleaves);

			CHECK_FOR_INTERRUPTS();
#pragma omp parallel for num_threads(bulk->nthreads) schedule(dynamic) reduction(||:failed)
			for (size_t i = from; i < to; i++)
			{
				/* more landmarks leave no leaf worse off */
				if (round > 0 && promotions[i].n == 0)
					continue;
				failed = !find_unexplained(bulk, landmarks, starts[i],
										   starts[i + 1] - starts[i],
										   &promotions[i]) || failed;
			}
		}
		if (failed)
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
		if (!add_promoted(bulk, landmarks, nleaves, promotions))
			break;
	}
	pfree(promotions);
}

/*
 * Chooses the landmarks of the rows in a bulk build.  Uses the build's
 * threads.
 */
CtLandmarks *
ct_landmarks_choose(CtBulk *bulk)
{
	CtLandmarks *landmarks = palloc0(sizeof(CtLandmarks));
	Sample		sample = {0};

	landmarks->size = 1024;
	landmarks->rows = palloc(sizeof(size_t) * landmarks->size);
	landmarks->places = MemoryContextAllocHuge(bulk->context,
											   sizeof(double) * landmarks->size *
											   bulk->index->meta.dims);
	landmarks->chosen = MemoryContextAllocExtended(bulk->context,
												   sizeof(bool) * bulk->n,
												   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	sample.n = Min(bulk->n, SAMPLE_ROWS);
	sample.limit = Min((bulk->n + LANDMARK_ROWS - 1) / LANDMARK_ROWS,
					   Min(sample.n, MOST_LANDMARKS));
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
	choose_for_sample(bulk, &sample, landmarks);
	pfree(sample.rows);
	pfree(sample.order);
	pfree(sample.rest);
	pfree(sample.columns);
	return landmarks;
}

bool
ct_landmarks_contain(const CtLandmarks *landmarks, size_t row)
{
	return landmarks->chosen[row];
}

void
ct_landmarks_free(CtLandmarks *landmarks)
{
	pfree(landmarks->rows);
	pfree(landmarks->places);
	pfree(landmarks->chosen);
	pfree(landmarks);
}
