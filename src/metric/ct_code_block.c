/*-------------------------------------------------------------------------
 *
 * ct_code_block.c
 *	  Neighbours of blocks of points by the codes of leaves
 *	  (ct_code_block.h).
 *
 * All points are seen from an origin, so that floats tell them apart.  Let m be
 * the middle of a leaf's grid in float, h its step, and c the codes of a row x.
 * x is within a of x^ = m + h (c - 127.5): a is the grid's error, and how far m
 * is from where it should be.  A point q, which is within b of its coordinates
 * in float, gets codes z of its own for each leaf, signed bytes with a scale s,
 * which depends on how far it is from m: q^ = m + s z.  What they leave of q,
 * computed in float, is r.  Then
 *
 *		| d(q, x) - d(q^, x^) | <= e = a + b + |r|,
 *
 *		d(q^, x^)^2 = s^2 |z|^2 + h^2 X - 2 s h (P - 127.5 S),
 *
 * where X = |c - 127.5|^2 is known of each row, S is the sum of z, and P the
 * product of z and c.  All of these are integers, but for quarters in X; P comes
 * from block_reach().
 *
 * Rounding, with u = 2^-24.  A coordinate t = q - m is off by u |t|; the product
 * s z by u |s z|, and what is left by u |r|.  As |t| <= |s z| + |r| but for
 * roundings, r is off by u (2 |s z| + 2.1 |r|), which LEFT_ERROR covers, and the
 * sum of its squares, dims / 4 of them at a time, by (dims / 4 + 4) u.  Squares
 * that vanish are less than VANISHED each.
 *
 * A row can be left out if d(q^, x^) > L, L being what the cut allows plus e, so
 * it is in reach if
 *
 *		P >= X (h / 2s) + (s^2 |z|^2 - L^2) / 2sh + 127.5 S.
 *
 * block_reach() asks that in float.  Every operand is a float within u, every
 * operation rounds by u, and REACH_ERROR times the sum of all magnitudes is
 * taken off the right hand side.  Where that is no number, all rows are in reach.
 * Rows in reach get their bounds by the formula above in double, where D covers
 * the roundings, that of X to float included.
 *
 * Boxes: legs are off by u each, and so are squares and sums, of which there are
 * CT_BOX_DIMS; BOX_ERROR is more than that.  Squares that vanish are less than
 * VANISHED together, those that overflow count as BOX_MOST.
 *
 * A reported distance is within space->error of the true one; as in ct_codes.c
 * twice that is taken for the roundings here.
 *
 * IDENTIFICATION
 *	  src/metric/ct_code_block.c
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "ct_code_block.h"

#define FLOAT_UNIT		0x1p-24
#define LEFT_ERROR		2.5
#define REACH_ERROR		0x1p-20
#define BOX_ERROR		1e-5
#define BOX_MOST		1e38f

/* roots of squares that vanish in float, of up to 2,000 coordinates */
#define VANISHED		1e-17

/* the middle of codes */
#define CODE_MIDDLE		127.5

/* with a larger error codes say nothing */
#define ERROR_MOST		1e30

/* what the codes of a point say, by a leaf's grid */
typedef struct CtCodeTerms
{
	double		error;			/* e, or INFINITY */
	double		own;			/* s^2 |z|^2 */
	double		cross;			/* 2 s h */
	double		sum;			/* 127.5 S */
} CtCodeTerms;

struct CtCodeWork
{
	CtBlockCodes codes;
	CtCodeTerms terms[CT_BLOCK];
	float		factors[CT_BLOCK];
	float		least[CT_BLOCK];
	float		squares[CT_BLOCK];	/* of distances to a box */
	uint8_t		queries[CT_BLOCK];
	int			nqueries;
	int		   *seeds;			/* nseeds links of each point, nearest first */
	float	   *seed_squares;	/* and their distances */
	int32_t    *products;
	uint16_t   *masks;
	uint32_t	memory[];
};

static inline size_t
lines(size_t bytes)
{
	return (bytes + CT_CACHE_LINE - 1) / CT_CACHE_LINE * CT_CACHE_LINE;
}

static inline uint64_t
bit(int b)
{
	return UINT64_C(1) << b;
}

/* -------- memory -------- */

size_t
ct_code_leaf_bytes(int dims, int n)
{
	size_t		stride = ct_code_stride(n);

	return lines(sizeof(CtCodeLeaf)) + lines(sizeof(float) * stride) +
		4 * ct_code_quads(dims) * (stride + sizeof(float)) +
		2 * sizeof(uint64_t) * n + CT_CACHE_LINE;
}

size_t
ct_code_work_bytes(int dims, int leaf_rows, int nseeds)
{
	size_t		stride = ct_code_stride(leaf_rows);

	return lines(sizeof(CtCodeWork) +
				 CT_BLOCK * (sizeof(uint32_t) * ct_code_quads(dims) +
							 sizeof(int32_t) * stride +
							 sizeof(uint16_t) * (stride / CT_CODE_LANES) +
							 (sizeof(int) + sizeof(float)) * nseeds));
}

/* Divides the memory of a thread. */
static void
work_begin(CtCodeWork *work, int dims, int stride, int nseeds)
{
	uint32_t   *memory = work->memory;

	work->codes.quads = memory;
	memory += CT_BLOCK * ct_code_quads(dims);
	work->seeds = (int *) memory;
	memory += CT_BLOCK * nseeds;
	work->seed_squares = (float *) memory;
	memory += CT_BLOCK * nseeds;
	work->products = (int32_t *) memory;
	memory += CT_BLOCK * stride;
	work->masks = (uint16_t *) memory;
}

/* -------- leaves -------- */

/* Sets the middle of the grid, and what it adds to the error. */
static void
find_middle(CtCodeLeaf *leaf, const CtGridView *view, const double *origin)
{
	double		half = (double) leaf->step * CODE_MIDDLE;
	double		squares = 0.0;
	double		offsets = 0.0;

	memset(leaf->middle, 0, sizeof(float) * 4 * ct_code_quads(view->dims));
	for (int j = 0; j < view->dims; j++)
	{
		double		from = ct_grid_base(view, j) - origin[j];
		double		at = from + half;
		double		size = fabs(from) + half;
		double		left;

		leaf->middle[j] = (float) at;
		left = at - leaf->middle[j];
		squares += left * left;
		offsets += size * size;
	}
	leaf->error = view->grid->error +
		ct_code_error(squares, offsets, view->dims);
	/* not so, too, where something is NaN */
	if (!(leaf->step > 0.0f && leaf->error < ERROR_MOST))
		leaf->error = INFINITY;
}

/* Sets the rows' squares, by sums of those of codes - 127 and codes - 128. */
static void
find_squares(CtCodeLeaf *leaf, const CtKernelTable *kernels, int dims,
			 const uint8_t *codes, size_t stride, int nrows, const int *kept)
{
	int16_t		middle[CT_FRAME_DIMS + 1];
	int32_t		sums[2][CT_CODE_LEAF_ROWS];

	for (int side = 0; side < 2; side++)
	{
		for (int j = 0; j < dims; j++)
			middle[j] = (int16_t) (127 + side);
		middle[dims] = 0;
		kernels->code_sums(middle, codes, stride, nrows,
						   ct_code_columns(dims) / 2, sums[side]);
	}
	leaf->most_square = 0.0;
	for (int i = 0; i < leaf->stride; i++)
		leaf->squares[i] = INFINITY;
	for (int i = 0; i < leaf->n; i++)
	{
		double		both = (double) sums[0][kept[i]] + sums[1][kept[i]];
		double		square = both / 2.0 - dims / 4.0;

		leaf->squares[i] = (float) square;
		leaf->most_square = fmax(leaf->most_square, square);
	}
	leaf->most_length = sqrt(leaf->most_square);
}

/* Puts codes that come in pairs into columns of quads. */
static void
copy_codes(CtCodeLeaf *leaf, int dims, const uint8_t *codes, size_t stride,
		   const int *kept)
{
	int			npairs = ct_code_columns(dims) / 2;

	memset(leaf->codes, 0, 4 * ct_code_quads(dims) * leaf->stride);
	for (int p = 0; p < npairs; p++)
	{
		uint8_t    *to = leaf->codes + 4 * (size_t) (p / 2) * leaf->stride +
			p % 2 * 2;
		const uint8_t *from = codes + ct_code_at(2 * p, 0, stride);

		for (int i = 0; i < leaf->n; i++)
			memcpy(to + 4 * i, from + 2 * kept[i], 2);
	}
}

CtCodeLeaf *
ct_code_leaf_make(void *memory, const CtKernelTable *kernels,
				  const CtGridView *view, const double *origin,
				  const uint8_t *codes, size_t stride, int nrows, int n,
				  const int *kept)
{
	CtCodeLeaf *leaf = memory;
	char	   *at = (char *) memory + lines(sizeof(CtCodeLeaf));
	size_t		coordinates = 4 * ct_code_quads(view->dims);

	leaf->next = NULL;
	leaf->n = n;
	leaf->stride = ct_code_stride(n);
	leaf->step = view->grid->step;
	leaf->codes = (uint8_t *) at;
	at += coordinates * leaf->stride;
	leaf->squares = (float *) at;
	at += lines(sizeof(float) * leaf->stride);
	leaf->keys = (uint64_t *) at;
	leaf->places = leaf->keys + n;
	at += 2 * sizeof(uint64_t) * n;
	leaf->middle = (float *) at;
	find_middle(leaf, view, origin);
	find_squares(leaf, kernels, view->dims, codes, stride, nrows, kept);
	copy_codes(leaf, view->dims, codes, stride, kept);
	return leaf;
}

/* -------- points -------- */

void
ct_code_point_init(const double *location, uint64_t self, int k,
				   CtCodeRow *rows, int room, double *uppers,
				   CtCodePoint *point)
{
	memset(point, 0, sizeof(CtCodePoint));
	point->location = location;
	point->self = self;
	point->k = k;
	point->cut = INFINITY;
	point->rows = rows;
	point->room = room;
	point->uppers = uppers;
}

void
ct_code_block_coordinates(CtCodeBlock *block, int dims, const double *origin)
{
	size_t		coordinates = 4 * ct_code_quads(dims);

	memset(block->columns, 0, sizeof(float) * coordinates * CT_BLOCK);
	for (int b = 0; b < block->n; b++)
	{
		CtCodePoint *point = &block->points[b];
		double		squares = 0.0;
		double		offsets = 0.0;

		for (int j = 0; j < dims; j++)
		{
			double		at = point->location[j] - origin[j];
			float		rounded = (float) at;
			double		left = at - rounded;

			block->columns[(size_t) j * CT_BLOCK + b] = rounded;
			squares += left * left;
			offsets += at * at;
		}
		point->error = ct_code_error(squares, offsets, dims);
	}
}

void
ct_code_point_place(CtCodePoint *point, const double *at, double slack)
{
	double		squares = 0.0;

	memset(point->place, 0, sizeof(point->place));
	for (int j = 0; j < CT_BOX_DIMS && slack < ERROR_MOST; j++)
	{
		double		left;

		point->place[j] = (float) at[j];
		left = at[j] - point->place[j];
		squares += left * left;
	}
	slack += sqrt(squares);
	if (slack < ERROR_MOST)
		point->slack = (float) (slack * (1.0 + 1e-6));
	else
	{
		memset(point->place, 0, sizeof(point->place));
		point->slack = INFINITY;
	}
}

/* Puts an item into the place of the first of n in a heap, which it may be. */
static void
sift_down(double *heap, int n, double item)
{
	int			at = 0;

	for (int child = 1; child < n; child = 2 * at + 1)
	{
		if (child + 1 < n && heap[child + 1] > heap[child])
			child++;
		if (!(heap[child] > item))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = item;
}

/* Notes that there is a row no farther than this. */
static void
note_upper(CtCodePoint *point, double upper)
{
	int			at = point->nuppers;

	if (at == point->k)
	{
		if (upper < point->uppers[0])
			sift_down(point->uppers, at, upper);
	}
	else
	{
		point->nuppers++;
		for (; at > 0 && upper > point->uppers[(at - 1) / 2]; at = (at - 1) / 2)
			point->uppers[at] = point->uppers[(at - 1) / 2];
		point->uppers[at] = upper;
	}
	if (point->nuppers == point->k && point->uppers[0] < point->cut)
		point->cut = point->uppers[0];
}

void
ct_code_point_tighten(CtCodePoint *point)
{
	int			n = point->nexact;

	for (int i = n; i < point->n; i++)
		if (point->rows[i].dist <= point->cut)
			point->rows[n++] = point->rows[i];
	point->n = n;
}

void
ct_code_point_settle(CtCodePoint *point, int nexact, bool done)
{
	int			kept = nexact < point->k ? nexact : point->k;

	memmove(point->rows + kept, point->rows + nexact,
			sizeof(CtCodeRow) * (point->n - nexact));
	point->n -= nexact - kept;
	point->nexact = kept;
	point->full = point->full && !done;
	/* bounds of the others are forgotten: any rows' distances will do */
	point->nuppers = 0;
	for (int i = 0; i < kept; i++)
		note_upper(point, point->rows[i].dist);
	ct_code_point_tighten(point);
}

/* -------- boxes -------- */

/* Sets what boxes must be above of to be out of reach of a point. */
static void
set_reach(const CtSpace *space, CtCodeBlock *block, int b)
{
	const CtCodePoint *point = &block->points[b];
	double		reach = point->cut * (1.0 + 4.0 * space->error) +
		point->slack + VANISHED;

	reach *= 1.0 + BOX_ERROR;
	reach *= reach;
	block->cuts[b] = point->cut;
	block->reach[b] = reach < BOX_MOST ? (float) reach : INFINITY;
}

/* The same for all points whose cuts have changed since. */
static void
follow_cuts(const CtSpace *space, CtCodeBlock *block)
{
	for (int b = 0; b < block->n; b++)
		if (block->points[b].cut < block->cuts[b])
			set_reach(space, block, b);
}

void
ct_code_block_places(const CtSpace *space, CtCodeBlock *block)
{
	memset(block->places, 0, sizeof(block->places));
	for (int b = 0; b < CT_BLOCK; b++)
	{
		/* points that are none reach nothing */
		block->reach[b] = -1.0f;
		if (b >= block->n)
			continue;
		for (int j = 0; j < CT_BOX_DIMS; j++)
			block->places[j * CT_BLOCK + b] = block->points[b].place[j];
		set_reach(space, block, b);
	}
}

/* Which points does a box not rule out?  Squares come to work. */
static inline uint64_t
in_reach(const CtSpace *space, const CtCodeBlock *block, const float *box,
		 CtCodeWork *work)
{
	return space->kernels->block_boxes(block->places, box, CT_BOX_DIMS,
									   block->reach, work->squares);
}

void
ct_code_block_nearest(const CtSpace *space, CtCodeBlock *block, size_t nlinks,
					  const CtCodeLink *links, CtCodeWork *work)
{
	float		least[CT_BLOCK];

	for (int b = 0; b < block->n; b++)
	{
		block->points[b].nearest = 0;
		least[b] = INFINITY;
	}
	for (size_t l = 0; l < nlinks; l++)
	{
		in_reach(space, block, links[l].box, work);
		for (int b = 0; b < block->n; b++)
			if (work->squares[b] < least[b])
			{
				least[b] = work->squares[b];
				block->points[b].nearest = (int) l;
			}
	}
}

/* Notes a link as one of the nearest of point b, of which found are known. */
static int
keep_seed(CtCodeWork *work, int b, int nseeds, int found, int link)
{
	float		square = work->squares[b];
	float	   *squares = work->seed_squares + b * nseeds;
	int		   *seeds = work->seeds + b * nseeds;
	int			at = found < nseeds ? found : nseeds - 1;

	if (found == nseeds && !(square < squares[at]))
		return found;
	for (; at > 0 && squares[at - 1] > square; at--)
	{
		squares[at] = squares[at - 1];
		seeds[at] = seeds[at - 1];
	}
	squares[at] = square;
	seeds[at] = link;
	return found < nseeds ? found + 1 : nseeds;
}

void
ct_code_block_seeds(const CtSpace *space, CtCodeBlock *block, size_t nlinks,
					const CtCodeLink *links, int nseeds, CtCodeWork *work)
{
	int			found[CT_BLOCK] = {0};

	work_begin(work, space->dims, 0, nseeds);
	follow_cuts(space, block);
	for (size_t l = 0; l < nlinks; l++)
	{
		uint64_t	reached = in_reach(space, block, links[l].box, work);

		block->seeds[l] = 0;
		for (; reached != 0; reached &= reached - 1)
		{
			int			b = __builtin_ctzll(reached);

			if (found[b] < nseeds ||
				work->squares[b] < work->seed_squares[(b + 1) * nseeds - 1])
				found[b] = keep_seed(work, b, nseeds, found[b], (int) l);
		}
	}
	for (int b = 0; b < block->n; b++)
		for (int i = 0; i < found[b]; i++)
			block->seeds[work->seeds[b * nseeds + i]] |= bit(b);
	memcpy(block->wanted, block->seeds, sizeof(uint64_t) * nlinks);
}

void
ct_code_block_others(const CtSpace *space, CtCodeBlock *block, size_t nlinks,
					 const CtCodeLink *links, CtCodeWork *work)
{
	follow_cuts(space, block);
	for (size_t l = 0; l < nlinks; l++)
		block->wanted[l] = in_reach(space, block, links[l].box, work) &
			~block->seeds[l];
}

/* -------- codes -------- */

/* What the codes of point b say of a leaf, and what rows need to be in reach. */
static void
weigh_point(const CtSpace *space, const CtCodePoint *point,
			const CtCodeLeaf *leaf, CtCodeWork *work, int b)
{
	const CtBlockCodes *codes = &work->codes;
	CtCodeTerms *terms = &work->terms[b];
	double		scale = codes->scale[b];
	double		square = codes->squares[b];
	double		length = sqrtf((float) square) * (1.0 + 1e-6);
	double		left = sqrt(codes->rests[b]) *
		(1.0 + (space->dims / 4 + 4 + LEFT_ERROR) * FLOAT_UNIT) +
		LEFT_ERROR * FLOAT_UNIT * scale * length + VANISHED;
	double		step = leaf->step;
	double		inverse;
	double		most;
	double		factor;
	double		least;

	terms->error = (leaf->error + point->error + left) * (1.0 + 1e-12);
	if (!(terms->error < ERROR_MOST))
		terms->error = INFINITY;
	terms->own = scale * scale * square;
	terms->cross = 2.0 * scale * step;
	terms->sum = CODE_MIDDLE * codes->sums[b];
	most = point->cut * (1.0 + 4.0 * space->error) + terms->error;
	inverse = 1.0 / terms->cross;
	factor = step * step * inverse;
	least = (terms->own - most * most) * inverse + terms->sum;
	least -= REACH_ERROR * (leaf->most_square * factor + fabs(least) +
							fabs(terms->sum) + length * leaf->most_length);
	work->factors[b] = (float) factor;
	work->least[b] = (float) least;
	if (!(factor >= FLT_MIN && factor <= FLT_MAX && fabs(least) <= FLT_MAX))
	{
		work->factors[b] = 0.0f;
		work->least[b] = -INFINITY;
	}
}

/*
 * Makes a row in reach a candidate, unless it is beyond the cut after all.
 * False if there is no room.
 */
static bool
consider(const CtSpace *space, CtCodePoint *point, const CtCodeLeaf *leaf,
		 const CtCodeTerms *terms, int row, int32_t product)
{
	double		step = leaf->step;
	double		square = step * step * leaf->squares[row];
	double		both = terms->cross * (product - terms->sum);
	double		between = terms->own + square - both;
	double		off = 1e-7 * square +
		1e-15 * (terms->own + square + fabs(both));
	double		lower;
	double		upper;
	CtCodeRow  *candidate;

	if (leaf->keys[row] >> 16 == point->self >> 16)
		return true;
	lower = between > off ? sqrt(between - off) - terms->error : 0.0;
	lower = lower > 0.0 ? lower * (1.0 - 2.0 * space->error) : 0.0;
	if (lower > point->cut)
		return true;
	if (point->n == point->room)
		ct_code_point_tighten(point);
	if (point->n == point->room)
		return false;
	candidate = &point->rows[point->n++];
	candidate->dist = lower;
	candidate->key = leaf->keys[row];
	candidate->place = leaf->places[row];
	upper = sqrt(fmax(between + off, 0.0)) + terms->error;
	upper *= 1.0 + 4.0 * space->error;
	note_upper(point, upper <= DBL_MAX ? upper : INFINITY);
	return true;
}

/*
 * Considers the rows of a leaf that are in reach of a point, of which `before`
 * rows are behind the same link and before these.
 */
static void
consider_rows(const CtSpace *space, CtCodePoint *point, size_t number,
			  const CtCodeLeaf *leaf, const CtCodeTerms *terms,
			  const uint16_t *masks, const int32_t *products, int before)
{
	int			skip = point->full_at == number ? point->skip - before : 0;

	for (int v = 0; v < leaf->stride / CT_CODE_LANES; v++)
		for (unsigned int mask = masks[v]; mask != 0; mask &= mask - 1)
		{
			int			row = v * CT_CODE_LANES + __builtin_ctz(mask);

			if (row < skip)
				continue;
			if (consider(space, point, leaf, terms, row, products[row]))
				continue;
			point->full = true;
			point->full_at = number;
			point->skip = before + row;
			return;
		}
}

/* Looks at the rows of a leaf for some points. */
static void
search_leaf(const CtSpace *space, CtCodeBlock *block, size_t number,
			const CtCodeLeaf *leaf, uint64_t wanted, int before,
			CtCodeWork *work)
{
	const CtKernelTable *kernels = space->kernels;
	CtBlockReach reach = {work->codes.quads, ct_code_quads(space->dims),
		0, work->queries, work->factors, work->least, work->products,
	work->masks};

	for (int first = 0; first < block->n; first += CT_CODE_LANES)
		if ((wanted >> first & ((1 << CT_CODE_LANES) - 1)) != 0)
			kernels->block_codes(block->columns, leaf->middle, reach.nquads,
								 first, &work->codes);
	for (; wanted != 0; wanted &= wanted - 1)
	{
		int			b = __builtin_ctzll(wanted);

		if (block->points[b].full)
			continue;
		weigh_point(space, &block->points[b], leaf, work, b);
		work->queries[reach.nqueries++] = (uint8_t) b;
	}
	kernels->block_reach(&reach, leaf->codes, leaf->squares, leaf->stride);
	for (size_t i = 0; i < reach.nqueries; i++)
	{
		int			b = work->queries[i];

		consider_rows(space, &block->points[b], number, leaf, &work->terms[b],
					  work->masks + i * (leaf->stride / CT_CODE_LANES),
					  work->products + i * leaf->stride, before);
	}
}

void
ct_code_block_search(const CtSpace *space, CtCodeBlock *block, size_t number,
					 const CtCodeLink *link, CtCodeWork *work)
{
	uint64_t	wanted = block->wanted[number];
	uint64_t	full = 0;
	int			before = 0;

	for (int b = 0; b < block->n; b++)
		full |= (uint64_t) block->points[b].full << b;
	follow_cuts(space, block);
	wanted &= in_reach(space, block, link->box, work) & ~full;
	block->wanted[number] &= full;
	for (const CtCodeLeaf *leaf = wanted ? link->leaf : NULL; leaf;
		 leaf = leaf->next)
	{
		work_begin(work, space->dims, leaf->stride, 0);
		search_leaf(space, block, number, leaf, wanted, before, work);
		before += leaf->n;
	}
	for (int b = 0; b < block->n; b++)
	{
		CtCodePoint *point = &block->points[b];

		if (!point->full && point->full_at == number)
			point->skip = 0;
		else if (point->full && (wanted & bit(b)) != 0)
			block->wanted[number] |= bit(b);
	}
}
