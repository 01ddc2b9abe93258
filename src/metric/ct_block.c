/*-------------------------------------------------------------------------
 *
 * ct_block.c
 *	  Neighbours of blocks of points in a residual space (ct_block.h).
 *
 * Of a point, cut is a correlation that no wanted row is below.  A pair of a
 * point and a row goes through up to three sieves, each dearer and finer:
 *
 * 1. Shares.  As in ct_projection.c, but in float and with FMA, for all points
 *	  of the block at once.  Correlations with landmarks come from sieve 2,
 *	  whose error is added to the slack, and are rounded to float.  With n
 *	  pivots, the product of M and rho in float has an error of at most
 *	  (n + 2) 1.01 2^-24 |M|_F |rho|, rounding of rho included, and |rho| <=
 *	  sqrt(n).  So that of the point's shares is
 *
 *			h_q = |M|_F sqrt(n) (slack + (n + 2) 1.01 2^-24).
 *
 *	  |beta_q| comes from a sum of n squares in float, with a relative error
 *	  below n 2^-24 < NORM_ERROR.  In e_q, SQUARE_ERROR covers the roundings of
 *	  1 - |beta|^2.  The product of shares in float has the error that
 *	  ct_projection.c states for it; FMA saves roundings.  What is needed is
 *	  lowered by REACH_ERROR for the last operations, whose operands are below
 *	  2 + h.
 *
 * Sieves 2 and 3, products and distances, are in ct_block_pairs.c.
 *
 * Sieve 1 bounds correlations from below as well, by as much as from above, so
 * that the k-th largest of the lower bounds is a cut before anything is
 * evaluated; and the k largest of the estimates, half way between, are the k
 * neighbours or nearly so (ct_candidates.h).  Evaluating them gives a cut that
 * leaves few others.
 *
 * IDENTIFICATION
 *	  src/metric/ct_block.c
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "ct_block_private.h"

#define FLOAT_UNIT			0x1p-24f
#define NORM_ERROR			4e-6f
#define SQUARE_ERROR		1e-6f
#define REACH_ERROR			5e-6f

/* landmarks that are multiplied together */
#define LANDMARK_BATCH		24

/* classes of points differ by so much in what cut is */
#define CLASS_WIDTH			0.06

/* floats of a cache line */
#define LINE_FLOATS			16

/* most dimensions of a point */
#define MAX_DIMS			2000

/* candidates of a point that there is room for */
#define ROOM_FOR_NEIGHBOUR	4
#define ROOM_BESIDES		256

/* and how many of them are evaluated first */
#define BEST_OF(k)			((k) + (k) / 8 + 8)

struct CtBlockWork
{
	/* on cache lines */
	CtBlockQueries queries;
	float		estimates[(CT_BLOCK + 4) * CT_BLOCK_WIDE];
	float		row_rests[CT_BLOCK_WIDE];
	double		most[CT_BLOCK_WIDE + CT_OFFER_BESIDES];
	CtCandidate items[CT_BLOCK_WIDE + CT_OFFER_BESIDES];
	float	   *rho;			/* with landmarks: CT_BLOCK for each */
	uint64_t	knots;			/* bits of points that are inducing points */
	bool		near_first;		/* leaves that are near are at work */
	uint8_t		alive[CT_BLOCK + 4];	/* points that a leaf is bounded for */
	const double *vectors[LANDMARK_BATCH];
	double		scales[LANDMARK_BATCH];
	double		products[LANDMARK_BATCH * CT_BLOCK];
	double	   *dist;			/* of a point and all leaves */
	uint64_t   *near;			/* of each leaf the points that it is near */
	bool	   *wanted;			/* are some of LANDMARK_BATCH landmarks? */
	double	   *keys;			/* of candidates */
	double		memory[];
};

/* -------- memory -------- */

size_t
ct_block_size(const CtModel *model)
{
	return ((size_t) model->m + model->dims) * CT_BLOCK;
}

void
ct_block_prepare(const CtModel *model, CtBlock *block)
{
	size_t		dims = model->dims;

	block->places = block->memory + (size_t) model->m * CT_BLOCK;
	for (int b = 0; b < CT_BLOCK; b++)
	{
		/* after the last point come copies of the first */
		const double *record = block->points[b < block->n ? b : 0]->record;
		const double *features = features_of(model, record);
		double	   *pack = block->memory +
			(size_t) (b / CT_PACK) * model->m * CT_PACK;

		block->packs[b / CT_PACK] = pack;
		for (size_t i = 0; i < model->m; i++)
			pack[i * CT_PACK + b % CT_PACK] = features[i];
		for (size_t j = 0; j < dims; j++)
			block->places[j * CT_BLOCK + b] = record[j];
		block->scale[b] = scale_of(model, record);
	}
}

size_t
ct_block_work_bytes(const CtBlockRows *rows, int room)
{
	return sizeof(CtBlockWork) +
		sizeof(double) * (2 * rows->nleaves + room) +
		sizeof(float) * (rows->nlandmarks + 1) * CT_BLOCK +
		rows->nlandmarks / LANDMARK_BATCH + 1;
}

/* Divides the memory of a thread. */
static void
work_begin(const CtBlockRows *rows, const CtBlock *block, CtBlockWork *work)
{
	work->dist = work->memory;
	work->near = (uint64_t *) (work->dist + rows->nleaves);
	work->keys = (double *) (work->near + rows->nleaves);
	work->rho = (float *) (work->keys + block->points[0]->candidates.room);
	work->wanted = (bool *) (work->rho + (rows->nlandmarks + 1) * CT_BLOCK);
}

/* -------- points -------- */

int
ct_block_room(int k)
{
	return ROOM_FOR_NEIGHBOUR * k + ROOM_BESIDES;
}

void
ct_block_point_init(const double *record, int number, uint64_t self, int k,
					void *candidates, CtBlockPoint *point)
{
	point->record = record;
	point->number = number;
	point->self = self;
	point->slack = 2.0;
	point->k = k;
	point->cut = -1.0;
	ct_candidates_init(&point->candidates, ct_block_room(k), candidates);
}

void
ct_block_point_admit(const CtBlockRows *rows, CtBlockPoint *point)
{
	const CtModel *model = rows->space->model;
	double		least = fmin(rows->min_variance, model->variance);
	double		slack = ct_model_slack(model, point->record[model->dims], least) +
		product_error(model) * scale_of(model, point->record) / sqrt(least) +
		16.0 * UNIT;

	/* correlations do not differ by more than 2 */
	point->slack = slack < 2.0 ? slack : 2.0;
	point->rho = NULL;
	point->knot = ct_knot_find(model, point->record, least);
	ct_candidates_clear(&point->candidates);
}

/* Has a point lost no candidate that is wanted? */
static inline bool
is_complete(const CtBlockPoint *point)
{
	return point->candidates.lost < point->cut;
}

int
ct_block_point_class(const CtBlockPoint *point)
{
	int			class = 0;

	if (is_complete(point))
		return CT_BLOCK_COMPLETE;
	while (class < CT_BLOCK_COMPLETE - 1 &&
		   point->cut >= CLASS_WIDTH * (class + 1))
		class++;
	return class;
}

/* -------- the first sieve -------- */

/* Correlations of n landmarks, of which number first is the first, and block. */
static void
correlate_landmarks(const CtBlockRows *rows, const CtBlock *block,
					CtBlockWork *work, size_t first, size_t n)
{
	const CtModel *model = rows->space->model;
	const CtKernelTable *kernels = rows->space->kernels;
	size_t		npacks = (block->n + CT_PACK - 1) / CT_PACK;
	CtCorrelations queries = correlated(rows, block, 0, npacks);
	float	   *rho = work->rho + first * CT_BLOCK;

	for (size_t i = 0; i < n; i++)
	{
		const double *landmark = rows->landmarks[first + i];

		work->vectors[i] = features_of(model, landmark);
		/* where that is infinite the slack is 2, and anything will do */
		work->scales[i] = 1.0 / sqrt(landmark[model->dims]);
	}
	for (size_t i = first + n; i < first + 2 * n && i < rows->nlandmarks; i++)
		for (size_t j = 0; j < model->m; j += 8)
			__builtin_prefetch(features_of(model, rows->landmarks[i]) + j, 0, 2);
	kernels->block_products(work->vectors, n, block->packs, npacks, model->m,
							work->products);
	kernels->block_correlations(&queries, rows->landmarks + first, work->scales,
								n, work->products, rho, CT_BLOCK);
	for (size_t i = 0; i < n; i++)
		for (size_t b = queries.n; b < CT_BLOCK; b++)
			rho[i * CT_BLOCK + b] = 0.0f;
}

/* Correlations of the landmarks of batches that are wanted. */
static void
correlate_wanted(const CtBlockRows *rows, const CtBlock *block,
				 CtBlockWork *work)
{
	for (size_t from = 0; from < rows->nlandmarks; from += LANDMARK_BATCH)
		if (work->wanted[from / LANDMARK_BATCH])
			correlate_landmarks(rows, block, work, from,
								rows->nlandmarks - from < LANDMARK_BATCH ?
								rows->nlandmarks - from : LANDMARK_BATCH);
}

/* Marks all batches of landmarks. */
static void
want_landmarks(const CtBlockRows *rows, bool wanted, CtBlockWork *work)
{
	memset(work->wanted, wanted, rows->nlandmarks / LANDMARK_BATCH + 1);
}

/*
 * Moves the correlations of points with landmarks between the work area, where
 * those of a landmark are together, and the points' own places, a cache line of
 * these at a time.
 */
static void
move_correlations(const CtBlockRows *rows, int n, const int *points,
				  float *const *places, bool save, CtBlockWork *work)
{
	for (size_t first = 0; first < rows->nlandmarks; first += LINE_FLOATS)
		for (int i = 0; i < n; i++)
		{
			float	   *place = places[i] + first;
			float	   *rho = work->rho + first * CT_BLOCK + points[i];
			size_t		left = rows->nlandmarks - first;

			for (size_t l = 0; l < LINE_FLOATS && l < left; l++)
				if (save)
					place[l] = rho[l * CT_BLOCK];
				else
					rho[l * CT_BLOCK] = place[l];
		}
}

/* Saves the correlations of points that are not complete, if there are places. */
static void
save_correlations(const CtBlockRows *rows, CtBlock *block, CtBlockWork *work)
{
	int			points[CT_BLOCK];
	float	   *places[CT_BLOCK];
	int			n = 0;

	for (int b = 0; b < block->n; b++)
	{
		size_t		place;

		if (is_complete(block->points[b]))
			continue;
		place = __atomic_fetch_add(&rows->saved->taken, 1, __ATOMIC_RELAXED);
		if (place >= rows->saved->room)
			break;
		points[n] = b;
		places[n] = rows->saved->memory + place * rows->nlandmarks;
		block->points[b]->rho = places[n++];
	}
	move_correlations(rows, n, points, places, true, work);
}

/* Fetches what all points of a block have saved; false if one has not. */
static bool
fetch_correlations(const CtBlockRows *rows, const CtBlock *block,
				   CtBlockWork *work)
{
	int			points[CT_BLOCK];
	float	   *places[CT_BLOCK];

	for (int b = 0; b < CT_BLOCK; b++)
	{
		points[b] = b;
		places[b] = block->points[b < block->n ? b : 0]->rho;
		if (places[b] == NULL)
			return false;
	}
	move_correlations(rows, CT_BLOCK, points, places, false, work);
	return true;
}

/* What the head of this file says, for block_weigh(). */
static CtBlockBasis
basis_of(const CtBlockLeaf *leaf)
{
	double		n = leaf->basis.n;
	double		row_error = leaf->shares.error;
	double		norm = leaf->basis.norm * sqrt(n) * (1.0 + 2e-6);
	CtBlockBasis basis;

	basis.share_error = (float) norm;
	basis.share_offset = (float) (norm * (n + 2) * 1.01 * FLOAT_UNIT);
	basis.norm_error = NORM_ERROR;
	basis.square_error = SQUARE_ERROR;
	basis.reach_error = (float) (1.0 + 2.0 * row_error);
	basis.reach_length = (float) (row_error +
								  4.0 * n * FLOAT_UNIT * (1.0 + row_error));
	basis.reach_offset = REACH_ERROR;
	basis.most_rest = leaf->most_rest;
	return basis;
}

/*
 * What the basis of a leaf says of a block.  Returns the bits of the points for
 * which it may have rows.
 */
static uint64_t
weigh_leaf(const CtBlockRows *rows, const CtBlock *block,
		   const CtBlockLeaf *leaf, CtBlockWork *work)
{
	const CtKernelTable *kernels = rows->space->kernels;
	CtBlockBasis basis = basis_of(leaf);
	const float *rho[CT_BLOCK_BASIS];
	int			n = leaf->basis.n;

	for (int i = 0; i < CT_BLOCK_BASIS; i++)
		rho[i] = work->rho + (i < n ? (size_t) leaf->pivots[i] : 0) * CT_BLOCK;
	kernels->block_shares(leaf->basis.inverse, n, rho, work->queries.shares,
						  work->queries.squares);
	return kernels->block_weigh(&basis, &work->queries) &
		~UINT64_C(0) >> (CT_BLOCK - block->n);
}

/* Part of a leaf. */
typedef struct Part
{
	size_t		row;			/* number of its first row */
	uint64_t	rows;			/* bits of those that somebody may see */
} Part;

/* Does something with a part's rows that bounds do not rule out for point b. */
typedef void (*UseRows) (const CtBlockRows *rows, CtBlock *block, int b,
						 const Part *part, const float *estimates,
						 CtBlockWork *work);

/* How many rows of a leaf are bounded together, from number `from` on */
static inline int
part_size(const CtBlockLeaf *leaf, int from)
{
	return leaf->n - from < CT_BLOCK_WIDE ? leaf->n - from : CT_BLOCK_WIDE;
}

/* Bounds part of a leaf for the n points that are listed. */
static inline void
bound_part(const CtBlockRows *rows, CtBlock *block, const CtBlockLeaf *leaf,
		   int from, int n, UseRows use, CtBlockWork *work)
{
	const CtRowShares *shares = &leaf->shares;
	int			size = part_size(leaf, from);
	Part		part = {leaf->first + from, leaf->seen[from / CT_BLOCK_WIDE]};
	uint64_t	found;

	memset(work->row_rests, 0, sizeof(work->row_rests));
	memcpy(work->row_rests, shares->rests + from, size * sizeof(float));
	found = rows->space->kernels->block_survivors(&work->queries, work->alive,
												  n, shares->shares + from,
												  shares->stride,
												  shares->scales, size,
												  leaf->basis.n,
												  work->row_rests,
												  work->estimates);
	for (; found != 0; found &= found - 1)
	{
		int			q = __builtin_ctzll(found);

		use(rows, block, work->alive[q], &part,
			work->estimates + q * CT_BLOCK_WIDE, work);
	}
}

/* The same for one point, where all that is known of the rows is a limit. */
static void
use_limit(const CtBlockRows *rows, CtBlock *block, const CtBlockLeaf *leaf,
		  int b, float limit, float estimate, UseRows use, CtBlockWork *work)
{
	memset(work->row_rests, 0, sizeof(work->row_rests));
	for (int i = 0; i < CT_BLOCK_WIDE; i++)
		work->estimates[i] = estimate;
	work->queries.rests[b] = 0.0f;
	work->queries.lacks[b] = limit - estimate;
	for (int from = 0; from < leaf->n; from += CT_BLOCK_WIDE)
	{
		Part		part = {leaf->first + from,
		leaf->seen[from / CT_BLOCK_WIDE]};

		use(rows, block, b, &part, work->estimates, work);
	}
}

/*
 * The same for points that are inducing points, of which the leaf's basis says
 * little, or where it has no basis for all points.  Returns the bits of those that
 * are left.  Rows with the weight of an inducing point are near to it, so those of
 * leaves nearest to it promise most.
 */
static uint64_t
use_limits(const CtBlockRows *rows, CtBlock *block, const CtBlockLeaf *leaf,
		   uint64_t some, UseRows use, CtBlockWork *work)
{
	uint64_t	limited = leaf->basis.n == 0 ? some : some & work->knots;

	for (uint64_t bits = limited; bits != 0; bits &= bits - 1)
	{
		int			b = __builtin_ctzll(bits);
		const CtKnot *knot = &block->points[b]->knot;
		double		limit = knot->number < 0 ? 1.0 :
			ct_knot_limit(knot, leaf->knots);
		float		estimate = knot->number >= 0 && work->near_first ?
			0.5f * (float) limit : 0.0f;

		if (limit >= block->points[b]->cut)
			use_limit(rows, block, leaf, b,
					  (float) limit * (1.0f + 4.0f * FLOAT_UNIT), estimate, use,
					  work);
	}
	return some & ~limited;
}

/* Bounds a leaf's rows for some points of a block. */
static inline void
bound_leaf(const CtBlockRows *rows, CtBlock *block, const CtBlockLeaf *leaf,
		   uint64_t some, UseRows use, CtBlockWork *work)
{
	int			n = 0;

	some = use_limits(rows, block, leaf, some, use, work);
	if (some == 0)
		return;
	for (uint64_t bits = weigh_leaf(rows, block, leaf, work) & some; bits != 0;
		 bits &= bits - 1)
		work->alive[n++] = (uint8_t) __builtin_ctzll(bits);
	for (int from = 0; from < leaf->n && n > 0; from += CT_BLOCK_WIDE)
		bound_part(rows, block, leaf, from, n, use, work);
}

/* What a part offers to point b. */
static inline CtBlockOffer
offer_of(const Part *part, const CtBlockWork *work, int b)
{
	return (CtBlockOffer)
	{
		.rest = work->queries.rests[b],.lack = work->queries.lacks[b],
			.cut = work->queries.cuts[b],.estimate = -1.0f,.wide = -1.0f,
			.row = (uint32_t) part->row,.rows = part->rows
	};
}

/* What is known of a block's points before leaves are. */
static void
begin_queries(const CtBlock *block, CtBlockWork *work)
{
	work->near_first = false;
	work->knots = 0;
	for (int b = 0; b < block->n; b++)
		if (block->points[b]->knot.number >= 0)
			work->knots |= UINT64_C(1) << b;
	for (int b = 0; b < CT_BLOCK; b++)
	{
		const CtBlockPoint *point = block->points[b < block->n ? b : 0];

		work->queries.slack[b] = (float) (point->slack * (1.0 + 1e-6));
		work->queries.cuts[b] = (float) point->cut;
	}
}

/* Begins to bound all rows for a block. */
static void
begin_bounds(const CtBlockRows *rows, const CtBlock *block, CtBlockWork *work)
{
	work_begin(rows, block, work);
	if (!fetch_correlations(rows, block, work))
	{
		want_landmarks(rows, true, work);
		correlate_wanted(rows, block, work);
	}
	begin_queries(block, work);
}

/* -------- candidates -------- */

/* Notes which leaves are the n nearest to a point. */
static void
note_nearest(const CtBlockRows *rows, const CtBlockPoint *point, uint64_t bit,
			 int n, CtBlockWork *work)
{
	const CtModel *model = rows->space->model;
	const CtKernelTable *kernels = rows->space->kernels;
	double		place[MAX_DIMS];

	for (size_t j = 0; j < model->dims; j++)
		place[j] = point->record[j] / ct_model_lengthscale(model)[j];
	kernels->l2_columns_f64(place, rows->centres, rows->nleaves,
							rows->nleaves, model->dims, work->dist);
	for (int i = 0; i < n && (size_t) i < rows->nleaves; i++)
	{
		size_t		leaf = kernels->argmin_f64(work->dist, rows->nleaves);

		work->near[leaf] |= bit;
		work->dist[leaf] = INFINITY;
	}
}

/* How many rows are to be found, if the point is one of them? */
static inline int
wanted_rows(const CtBlockPoint *point)
{
	return point->k + (point->self != CT_NO_KEY);
}

static void
narrow_candidates(const CtBlockRows *rows, CtBlock *block, int b,
				  CtBlockWork *work)
{
	CtBlockPoint *point = block->points[b];

	point->cut = ct_candidates_narrow(&point->candidates, rows->space->kernels,
									  wanted_rows(point), point->cut,
									  work->keys);
	work->queries.cuts[b] = (float) point->cut;
}

/* Adds rows to the candidates of a point. */
static void
collect_rows(const CtBlockRows *rows, CtBlock *block, int b, const Part *part,
			 const float *estimates, CtBlockWork *work)
{
	CtCandidates *list = &block->points[b]->candidates;
	CtBlockOffer offer;

	if (list->room - list->n < CT_BLOCK_WIDE)
		narrow_candidates(rows, block, b, work);
	offer = offer_of(part, work, b);
	ct_candidates_offer(list, rows->space->kernels, &offer, estimates,
						work->row_rests);
}

/* Where the rows that share a mark have no pair yet, there may be anything. */
static inline void
add_pair(CtBlock *block, int b, size_t row)
{
	bool	   *paired = &block->paired[row / CT_PAIRED_ROWS];

	if (!*paired)
		memset(block->pairs + row / CT_PAIRED_ROWS * CT_PAIRED_ROWS, 0,
			   sizeof(uint64_t) * CT_PAIRED_ROWS);
	*paired = true;
	block->pairs[row] |= UINT64_C(1) << b;
}

static inline void
remove_pair(CtBlock *block, int b, size_t row)
{
	if (block->paired[row / CT_PAIRED_ROWS])
		block->pairs[row] &= ~(UINT64_C(1) << b);
}

/* Notes that rows are wanted by a point. */
static void
pair_some(const CtBlockRows *rows, CtBlock *block, int b, const Part *part,
		  const float *estimates, CtBlockWork *work)
{
	CtBlockOffer offer = offer_of(part, work, b);
	bool		left_out;
	size_t		n = rows->space->kernels->block_offer(&offer, estimates,
													  work->row_rests,
													  work->most, work->items,
													  &left_out);

	for (size_t i = 0; i < n; i++)
		add_pair(block, b, work->items[i].row);
}

/* Notes which leaves are the nnear nearest to each point. */
static void
find_near(const CtBlockRows *rows, const CtBlock *block, int nnear,
		  CtBlockWork *work)
{
	memset(work->near, 0, sizeof(uint64_t) * rows->nleaves);
	for (int b = 0; b < block->n; b++)
		note_nearest(rows, block->points[b], UINT64_C(1) << b, nnear, work);
}

/* Collects candidates among the rows of these, which gives cuts. */
static void
collect_near(const CtBlockRows *rows, CtBlock *block, CtBlockWork *work)
{
	work->near_first = true;
	for (size_t l = 0; l < rows->nleaves; l++)
		if (work->near[l] != 0)
			bound_leaf(rows, block, &rows->leaves[l], work->near[l],
					   collect_rows, work);
	work->near_first = false;
	for (int b = 0; b < block->n; b++)
		narrow_candidates(rows, block, b, work);
}

void
ct_block_prime(const CtBlockRows *rows, CtBlock *block, int nnear,
			   CtBlockWork *work)
{
	work_begin(rows, block, work);
	find_near(rows, block, nnear, work);
	want_landmarks(rows, false, work);
	for (size_t l = 0; l < rows->nleaves; l++)
		for (int i = 0; work->near[l] != 0 && i < rows->leaves[l].basis.n; i++)
			work->wanted[rows->leaves[l].pivots[i] / LANDMARK_BATCH] = true;
	correlate_wanted(rows, block, work);
	begin_queries(block, work);
	collect_near(rows, block, work);
}

void
ct_block_collect(const CtBlockRows *rows, CtBlock *block, int nnear,
				 CtBlockWork *work)
{
	uint64_t	all = ~UINT64_C(0) >> (CT_BLOCK - block->n);

	begin_bounds(rows, block, work);
	find_near(rows, block, nnear, work);
	/* with their cuts the others have few candidates */
	collect_near(rows, block, work);
	for (size_t l = 0; l < rows->nleaves; l++)
		bound_leaf(rows, block, &rows->leaves[l], all & ~work->near[l],
				   collect_rows, work);
	for (int b = 0; b < block->n; b++)
		narrow_candidates(rows, block, b, work);
	save_correlations(rows, block, work);
}

/* -------- pairs -------- */

/* Forgets the pairs of a block. */
static void
clear_pairs(const CtBlockRows *rows, CtBlock *block)
{
	memset(block->paired, false, CT_BLOCK_MARKS(rows->nrows));
}

/* How many candidates are evaluated first? */
static inline int
best_of(const CtBlockPoint *point)
{
	int			k = wanted_rows(point);

	/* of those of an inducing point nothing tells which are the best */
	return point->knot.number >= 0 ? 3 * k : BEST_OF(k);
}

/* Pairs point number b with the candidates of largest estimate. */
static void
pair_best(const CtBlockRows *rows, CtBlock *block, int b, CtBlockWork *work)
{
	CtCandidates *list = &block->points[b]->candidates;

	ct_candidates_choose(list, rows->space->kernels,
						 best_of(block->points[b]), work->keys);
	for (int i = 0; i < list->nbest; i++)
		add_pair(block, b, list->items[i].row);
}

/* Pairs it with the others that are still wanted, and drops them. */
static void
pair_others(CtBlock *block, int b)
{
	CtBlockPoint *point = block->points[b];
	CtCandidates *list = &point->candidates;

	for (int i = list->nbest; i < list->n; i++)
		if (-list->most[i] >= point->cut)
			add_pair(block, b, list->items[i].row);
	list->n = list->nbest;
}

/*
 * Pairs the points of a block with all rows that they may want and that have not
 * been evaluated; nothing is left then.
 */
static void
pair_rows(const CtBlockRows *rows, CtBlock *block, CtBlockWork *work)
{
	begin_bounds(rows, block, work);
	clear_pairs(rows, block);
	for (size_t l = 0; l < rows->nleaves; l++)
		bound_leaf(rows, block, &rows->leaves[l],
				   ~UINT64_C(0) >> (CT_BLOCK - block->n), pair_some, work);
	for (int b = 0; b < block->n; b++)
	{
		CtCandidates *list = &block->points[b]->candidates;

		for (int i = 0; i < list->nbest; i++)
			remove_pair(block, b, list->items[i].row);
		list->n = list->nbest;
	}
}

void
ct_block_pair_first(const CtBlockRows *rows, CtBlock *block,
					CtBlockWork *work)
{
	work_begin(rows, block, work);
	clear_pairs(rows, block);
	for (int b = 0; b < block->n; b++)
		if (!is_complete(block->points[b]))
			pair_best(rows, block, b, work);
}

void
ct_block_pair_next(const CtBlockRows *rows, CtBlock *block, CtBlockWork *work)
{
	if (!is_complete(block->points[0]))
	{
		pair_rows(rows, block, work);
		return;
	}
	work_begin(rows, block, work);
	clear_pairs(rows, block);
	for (int b = 0; b < block->n; b++)
		if (block->points[b]->candidates.nbest == 0)
			pair_best(rows, block, b, work);
		else
			pair_others(block, b);
}

void
ct_block_need(const CtBlockRows *rows, const CtBlock *block, bool *needed)
{
	for (size_t first = 0; first < rows->nrows; first += CT_PAIRED_ROWS)
	{
		size_t		n = rows->nrows - first < CT_PAIRED_ROWS ?
			rows->nrows - first : CT_PAIRED_ROWS;

		for (size_t i = first; i < first + n && block->paired[first / CT_PAIRED_ROWS]; i++)
			if (block->pairs[i] != 0)
				__atomic_store_n(&needed[i], true, __ATOMIC_RELAXED);
	}
}
