/*-------------------------------------------------------------------------
 *
 * ct_landmarks.c
 *	  Landmarks of a residual index that is being built: the rows of which
 *	  the bases of its leaves consist.
 *
 * A scan evaluates every landmark of the leaves it reads, and every row that
 * its leaf's basis leaves too much of.  So landmarks should be few, and dense
 * where residual correlation is short.  Rows are divided into blocks by the
 * median of their widest coordinate; in each block landmarks are chosen by
 * farthest-first traversal, in the residual metric, of a sample.  Rows that
 * are badly explained then become landmarks themselves, since scans would
 * evaluate them anyway.  The candidates for a leaf's basis are the landmarks
 * near to its rows in space (in lengthscales): far ones are hardly correlated
 * with it.
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

/* rows of a block, of its sample, and for each landmark */
#define BLOCK_ROWS		8192
#define SAMPLE_ROWS		2048
#define LANDMARK_ROWS	128

/*
 * Rounds in which badly explained rows become landmarks: of those of a leaf
 * that have a larger rest a share, the worst first, unless they are
 * correlated more than that with one chosen before.
 */
#define ROUNDS			5
#define LARGE_REST		0.48
#define PROMOTED_SHARE	8
#define LEAF_PROMOTED	16

/* leaves between two checks for interrupts */
#define LEAF_BATCH		64

/* rows of a leaf that look for candidates, and how many each finds */
#define PROBES			12
#define NEAREST			(CT_BASIS_CANDIDATES / PROBES)

typedef struct Block
{
	size_t		first;			/* in rows[] */
	size_t		n;
	size_t		nlandmarks;		/* which then stand first in the block */
} Block;

struct CtLandmarks
{
	size_t		n;
	size_t		size;
	size_t	   *rows;			/* in tree order */
	double	   *places;			/* n x dims, in lengthscales */
	bool	   *chosen;			/* by row of the index */
};

/* for sorting rows by a coordinate */
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

/* The coordinate along which rows are spread widest, in lengthscales. */
static int
widest_coordinate(const CtBulk *bulk, const SortRow *rows, size_t n)
{
	const CtModel *model = bulk->index->space.model;
	int			widest = 0;
	double		most = -1.0;

	for (int j = 0; j < (int) model->dims; j++)
	{
		double		low = INFINITY;
		double		high = -INFINITY;

		for (size_t i = 0; i < n; i++)
		{
			double		x = ct_bulk_record(bulk, rows[i].row)[j];

			low = Min(low, x);
			high = Max(high, x);
		}
		if ((high - low) / ct_model_lengthscale(model)[j] > most)
		{
			most = (high - low) / ct_model_lengthscale(model)[j];
			widest = j;
		}
	}
	return widest;
}

/* Divides rows into blocks; returns how many there are now. */
static int
divide(const CtBulk *bulk, SortRow *all, size_t first, size_t n,
	   Block *blocks, int nblocks)
{
	SortRow    *rows = all + first;
	int			j;

	CHECK_FOR_INTERRUPTS();
	if (n <= BLOCK_ROWS)
	{
		blocks[nblocks].first = first;
		blocks[nblocks].n = n;
		return nblocks + 1;
	}
	j = widest_coordinate(bulk, rows, n);
	for (size_t i = 0; i < n; i++)
		rows[i].key = ct_bulk_record(bulk, rows[i].row)[j];
	qsort(rows, n, sizeof(SortRow), compare_rows);
	nblocks = divide(bulk, all, first, n / 2, blocks, nblocks);
	return divide(bulk, all, first + n / 2, n - n / 2, blocks, nblocks);
}

/*
 * Farthest-first traversal of a sample of a block.  Landmarks are swapped to
 * the front of the block.  Runs in any thread.
 */
static void
choose_in_block(const CtBulk *bulk, SortRow *all, Block *block)
{
	const CtSpace *space = &bulk->index->cover;
	SortRow    *rows = all + block->first;
	size_t		nsample = Min(block->n, SAMPLE_ROWS);
	size_t		wanted = (block->n + LANDMARK_ROWS - 1) / LANDMARK_ROWS;
	size_t		next = 0;

	/* spread over the block; the sample then stands first */
	for (size_t i = 0; i < nsample; i++)
	{
		size_t		from = i + (block->n - i) / (nsample - i) / 2;
		SortRow		swap = rows[i];

		rows[i] = rows[from];
		rows[from] = swap;
		rows[i].key = 0.0;		/* largest correlation with a landmark */
	}
	for (block->nlandmarks = 0; block->nlandmarks < Min(wanted, nsample);)
	{
		size_t		k = block->nlandmarks++;
		SortRow		landmark = rows[next];
		const double *record = ct_bulk_record(bulk, landmark.row);

		rows[next] = rows[k];
		rows[k] = landmark;
		next = k + 1;
		for (size_t i = k + 1; i < nsample; i++)
		{
			double		rho = fabs(ct_model_correlation(space->model,
														space->kernels, record,
														ct_bulk_record(bulk, rows[i].row)));

			rows[i].key = Max(rows[i].key, rho);
			if (rows[i].key < rows[next].key)
				next = i;
		}
		if (next < nsample && rows[next].key >= 1.0)
			break;				/* the rest are where landmarks are */
	}
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
 * over those that a landmark just added for another leaf covers.
 */
static void
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
				failed = !find_unexplained(bulk, landmarks, starts[i],
										   starts[i + 1] - starts[i],
										   &promotions[i]) || failed;
		}
		if (failed)
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
		add_promoted(bulk, landmarks, nleaves, promotions);
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
	size_t		n = bulk->n;
	SortRow    *rows = MemoryContextAllocHuge(bulk->context, sizeof(SortRow) * n);
	Block	   *blocks = palloc(sizeof(Block) * (2 * n / BLOCK_ROWS + 2));
	int			nblocks;

	for (size_t i = 0; i < n; i++)
		rows[i].row = i;
	nblocks = divide(bulk, rows, 0, n, blocks, 0);
	for (int from = 0; from < nblocks; from += bulk->nthreads)
	{
		int			to = Min(from + bulk->nthreads, nblocks);

		CHECK_FOR_INTERRUPTS();
#pragma omp parallel for num_threads(bulk->nthreads) schedule(static, 1)
		for (int b = from; b < to; b++)
			choose_in_block(bulk, rows, &blocks[b]);
	}

	landmarks->size = 1024;
	landmarks->rows = palloc(sizeof(size_t) * landmarks->size);
	landmarks->places = MemoryContextAllocHuge(bulk->context,
											   sizeof(double) * landmarks->size *
											   bulk->index->meta.dims);
	landmarks->chosen = MemoryContextAllocExtended(bulk->context,
												   sizeof(bool) * n,
												   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int b = 0; b < nblocks; b++)
		for (size_t i = 0; i < blocks[b].nlandmarks; i++)
			add_landmark(bulk, landmarks, rows[blocks[b].first + i].row);
	pfree(rows);
	pfree(blocks);
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
