/*-------------------------------------------------------------------------
 *
 * ct_range.c
 *	  Ranges of the rows of a build: distances, farthest rows, reordering.
 *
 * A large range may be shared by all threads, which work on its pieces; the
 * result is the same.  No thread but the main one calls PostgreSQL, and no
 * range is shared inside an OpenMP region.
 *
 * IDENTIFICATION
 *	  src/tree/ct_range.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "ct_bulk.h"

/* pieces of a range that is shared */
#define PIECES			64

/* rows whose addresses are collected */
#define VECTOR_BLOCK	64

/* The location of a row of a residual index. */
static const double *
row_location(const CtBulk *bulk, size_t row)
{
	return bulk->locations + bulk->order[row] * bulk->index->meta.dims;
}

/* Distances of a point to rows that are not stored by column. */
void
ct_range_cover_distances(const CtBulk *bulk, const CtSpace *space,
						 const double *query, size_t first, size_t n,
						 double *dist)
{
	const void *vectors[VECTOR_BLOCK];

	for (size_t from = 0; from < n; from += VECTOR_BLOCK)
	{
		size_t		count = Min(VECTOR_BLOCK, n - from);

		/* records are far apart in memory, and locations near */
		for (size_t i = 0; i < count; i++)
			if (bulk->locations && space->model == NULL)
				vectors[i] = row_location(bulk, first + from + i);
			else
				vectors[i] = bulk->vectors + bulk->order[first + from + i] *
					bulk->index->vector_bytes;
		ct_cover_distances(space, query, count, vectors, dist + from);
	}
}

/*
 * The same where only a radius is wanted.  One that decides nothing
 * (ct_radius_decides) may as well be a right angle, which distances are then from
 * the first one on that is as large: most are never computed.
 */
void
ct_range_deciding_distances(const CtBulk *bulk, const CtSpace *space,
							const double *query, size_t first, size_t n,
							double *dist)
{
	bool		decides = true;

	for (size_t from = 0; from < n; from += VECTOR_BLOCK)
	{
		size_t		end = Min(from + VECTOR_BLOCK, n);

		if (decides)
			ct_range_cover_distances(bulk, space, query, first + from,
									 end - from, dist + from);
		for (size_t i = from; i < end; i++)
		{
			decides = decides && ct_radius_decides(space, dist[i]);
			if (!decides)
				dist[i] = CT_RIGHT_ANGLE;
		}
	}
}

/*
 * Shape distances of a row to rows [first, first + n), or by_place those of
 * their places.
 */
void
ct_range_distances(const CtBulk *bulk, const double *query, size_t first,
				   size_t n, bool by_place, double *dist)
{
	const CtSpace *space = ct_bulk_shape(bulk);

	if (by_place)
		for (size_t i = 0; i < n; i++)
			dist[i] = ct_model_place_distance(space->model, query,
											  row_location(bulk, first + i));
	else if (bulk->columns)
		space->metric->distances(space, query,
								 bulk->columns + first * bulk->element_size,
								 bulk->size, n, dist);
	else
		ct_range_cover_distances(bulk, space, query, first, n, dist);
}

/* How many pieces of a range of n rows there are, and where they begin. */
static inline int
pieces(const CtBulk *bulk, size_t n, bool shared)
{
	return shared && n > bulk->large_range ? PIECES : 1;
}

static inline size_t
piece_start(size_t n, int piece, int npieces)
{
	return n / npieces * piece + n % npieces * piece / npieces;
}

/*
 * Calls a function for each piece [from, to) of n rows, in all threads where
 * they share the range.
 */
typedef void (*PieceFunction) (void *arg, int piece, size_t from, size_t to);

static void
for_pieces(const CtBulk *bulk, size_t n, bool shared, PieceFunction function,
		   void *arg)
{
	if (pieces(bulk, n, shared) == 1)
	{
		function(arg, 0, 0, n);
		return;
	}
#pragma omp parallel for num_threads(bulk->nthreads) schedule(dynamic)
	for (int piece = 0; piece < PIECES; piece++)
		function(arg, piece, piece_start(n, piece, PIECES),
				 piece_start(n, piece + 1, PIECES));
}

/* -------- reordering -------- */

typedef struct Permutation
{
	CtBulk	   *bulk;
	size_t		first;			/* the range */
	int			k;				/* parts */
	const int  *rank;			/* by part: place in the new order */
	const uint32 *pivots;		/* by part */
	const size_t *start;		/* by place */
	size_t	   *fill;			/* by piece and place: where its rows go */
	char	   *rows;			/* what is moved: an array of elements, */
	size_t		element;		/* of so many bytes */
} Permutation;

/* How many rows, without the pivots, go to each place. */
static void
count_piece(void *arg, int piece, size_t from, size_t to)
{
	const Permutation *permutation = arg;
	const uint16 *owner = permutation->bulk->owner + permutation->first;
	const int  *rank = permutation->rank;
	size_t	   *fill = permutation->fill + (size_t) piece * permutation->k;

	memset(fill, 0, sizeof(size_t) * permutation->k);
	for (size_t i = from; i < to; i++)
		fill[rank[owner[i]]]++;
	for (int p = 0; p < permutation->k; p++)
		if (permutation->pivots[p] >= from && permutation->pivots[p] < to)
			fill[rank[p]]--;
}

static void
target_piece(void *arg, int piece, size_t from, size_t to)
{
	const Permutation *permutation = arg;
	const uint16 *owner = permutation->bulk->owner + permutation->first;
	uint32	   *target = permutation->bulk->target + permutation->first;
	size_t	   *fill = permutation->fill + (size_t) piece * permutation->k;

	for (size_t i = from; i < to; i++)
	{
		int			p = permutation->rank[owner[i]];

		target[i] = i == permutation->pivots[owner[i]] ?
			permutation->start[p] : fill[p]++;
	}
}

/* Copies a piece to where its elements belong in the scratch array. */
static void
scatter_piece(void *arg, int piece, size_t from, size_t to)
{
	const Permutation *permutation = arg;
	const uint32 *target = permutation->bulk->target + permutation->first;
	double	   *scratch = permutation->bulk->scratch + permutation->first;

	if (permutation->element == sizeof(double))
	{
		const double *rows = (const double *) permutation->rows;

		for (size_t i = from; i < to; i++)
			scratch[target[i]] = rows[i];
	}
	else
	{
		const uint32 *rows = (const uint32 *) permutation->rows;

		for (size_t i = from; i < to; i++)
			((uint32 *) scratch)[target[i]] = rows[i];
	}
}

static void
copy_piece(void *arg, int piece, size_t from, size_t to)
{
	const Permutation *permutation = arg;
	size_t		element = permutation->element;
	const char *scratch = (const char *) (permutation->bulk->scratch +
										  permutation->first);

	memcpy(permutation->rows + from * element, scratch + from * element,
		   (to - from) * element);
}

static void
move_rows(Permutation *permutation, void *rows, size_t element, size_t n,
		  bool shared)
{
	permutation->rows = rows;
	permutation->element = element;
	for_pieces(permutation->bulk, n, shared, scatter_piece, permutation);
	for_pieces(permutation->bulk, n, shared, copy_piece, permutation);
}

/*
 * Reorders rows [first, first + n) so that those of owner 0 come first, then
 * owner 1 and so on, the pivots leading.  rank[owner] is the place of the
 * owner in the new order; start[] receives where each place begins.  Returns
 * false when out of memory.
 */
bool
ct_range_permute(CtBulk *bulk, size_t first, size_t n, int k, const int *rank,
				 const uint32 *pivots, size_t *start, bool shared)
{
	Permutation permutation = {bulk, first, k, rank, pivots, start};
	int			npieces = pieces(bulk, n, shared);
	size_t		at = 0;

	permutation.fill = malloc(sizeof(size_t) * k * npieces);
	if (permutation.fill == NULL)
		return false;
	for_pieces(bulk, n, shared, count_piece, &permutation);
	for (int p = 0; p < k; p++)
	{
		start[p] = at++;		/* the pivot's */
		for (int piece = 0; piece < npieces; piece++)
		{
			size_t	   *fill = &permutation.fill[(size_t) piece * k + p];
			size_t		count = *fill;

			*fill = at;
			at += count;
		}
	}
	start[k] = at;
	for_pieces(bulk, n, shared, target_piece, &permutation);
	free(permutation.fill);

	for (int j = 0; bulk->columns && j < bulk->index->meta.dims; j++)
		move_rows(&permutation, bulk->columns + (j * bulk->size + first) *
				  bulk->element_size, bulk->element_size, n, shared);
	move_rows(&permutation, bulk->order + first, sizeof(uint32), n, shared);
	move_rows(&permutation, bulk->dist + first, sizeof(double), n, shared);
	return true;
}

/* -------- distances -------- */

typedef struct Measurement
{
	CtBulk	   *bulk;
	size_t		first;			/* the range */
	const double *query;
	bool		by_place;
	int			number;			/* of a new pivot */
	size_t		pivot;			/* its row */
	size_t		far[PIECES];	/* result, by piece: the farthest row */
} Measurement;

/* Takes over a new pivot's distances; returns the farthest row left. */
static size_t
range_update(CtBulk *bulk, size_t first, size_t n, int number, size_t pivot)
{
	double	   *dist = bulk->dist + first;
	const double *fresh = bulk->scratch + first;
	uint16	   *owner = bulk->owner + first;
	double		largest = -1.0;
	size_t		far = 0;

	for (size_t i = 0; i < n; i++)
	{
		if (fresh[i] < dist[i] || i == pivot)
		{
			dist[i] = fresh[i];
			owner[i] = number;
		}
		if (dist[i] > largest)
		{
			largest = dist[i];
			far = i;
		}
	}
	return far;
}

static void
add_pivot_piece(void *arg, int piece, size_t from, size_t to)
{
	Measurement *measurement = arg;
	CtBulk	   *bulk = measurement->bulk;
	size_t		first = measurement->first + from;

	ct_range_distances(bulk, measurement->query, first, to - from,
					   measurement->by_place, bulk->scratch + first);
	measurement->far[piece] = from +
		range_update(bulk, first, to - from, measurement->number,
					 measurement->pivot - from);
}

static void
farthest_piece(void *arg, int piece, size_t from, size_t to)
{
	Measurement *measurement = arg;
	const double *dist = measurement->bulk->dist + measurement->first;
	size_t		far = from;

	for (size_t i = from + 1; i < to; i++)
		if (dist[i] > dist[far])
			far = i;
	measurement->far[piece] = far;
}

/* The first of the farthest rows, by the farthest one of each piece. */
static size_t
farthest_of_pieces(const Measurement *measurement, int npieces)
{
	const double *dist = measurement->bulk->dist + measurement->first;
	size_t		best = measurement->far[0];

	for (int piece = 1; piece < npieces; piece++)
		if (dist[measurement->far[piece]] > dist[best])
			best = measurement->far[piece];
	return best;
}

/*
 * Makes a row a pivot, which takes the rows that are nearer to it than to
 * others.  Returns the row farthest from all pivots.  query has room for a
 * point.
 */
size_t
ct_range_add_pivot(CtBulk *bulk, size_t first, size_t n, int number,
				   size_t pivot, double *query, bool shared, bool by_place)
{
	Measurement measurement = {bulk, first, query, by_place, number, pivot};

	ct_bulk_point(bulk, first + pivot, query);
	for_pieces(bulk, n, shared, add_pivot_piece, &measurement);
	return farthest_of_pieces(&measurement, pieces(bulk, n, shared));
}

/* The row farthest from the range's pivot; its distances are known. */
size_t
ct_range_farthest(CtBulk *bulk, size_t first, size_t n, bool shared)
{
	Measurement measurement = {bulk, first};

	for_pieces(bulk, n, shared, farthest_piece, &measurement);
	return farthest_of_pieces(&measurement, pieces(bulk, n, shared));
}

/* A radius around the range's pivot that covers it; distances are known. */
double
ct_range_radius(CtBulk *bulk, size_t first, size_t n, bool shared)
{
	size_t		far = ct_range_farthest(bulk, first, n, shared);

	return ct_radius_up(ct_bulk_shape(bulk), bulk->dist[first + far]);
}

static void
measure_piece(void *arg, int piece, size_t from, size_t to)
{
	const Measurement *measurement = arg;
	CtBulk	   *bulk = measurement->bulk;
	size_t		first = measurement->first + from;

	ct_range_distances(bulk, measurement->query, first, to - from, false,
					   bulk->dist + first);
}

/*
 * Measures distances to the first row of a range.  query has room for a
 * point.
 */
void
ct_range_measure(CtBulk *bulk, size_t first, size_t n, double *query,
				 bool shared)
{
	Measurement measurement = {bulk, first, query};

	ct_bulk_point(bulk, first, query);
	for_pieces(bulk, n, shared, measure_piece, &measurement);
}

static void
start_piece(void *arg, int piece, size_t from, size_t to)
{
	CtBulk	   *bulk = ((const Measurement *) arg)->bulk;

	for (size_t i = from; i < to; i++)
		bulk->order[i] = i;
	measure_piece(arg, piece, from, to);
}

/*
 * Numbers all rows and measures their distances to the first; query has room
 * for a point.
 */
void
ct_range_start(CtBulk *bulk, double *query)
{
	Measurement start = {bulk, 0, query};

	bulk->order[0] = 0;
	ct_bulk_point(bulk, 0, query);
	for_pieces(bulk, bulk->n, true, start_piece, &start);
}
