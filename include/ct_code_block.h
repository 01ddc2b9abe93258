/*-------------------------------------------------------------------------
 *
 * ct_code_block.h
 *	  Nearest neighbours of a block of points by the codes of leaves.
 *
 * Layer 1.  Points of a Euclidean space look for neighbours among rows, which
 * are in leaves with codes (ct_codes.h).  What a block shares is that a leaf's
 * codes come into the cache once for all its points, and that they are
 * multiplied as matrices are.  A row that a point may need becomes one of its
 * candidates, with a lower bound of its distance; the caller computes that of
 * candidates, by the operator's own operations, and settles them.
 *
 * Nothing here allocates memory or fails, so that threads can do it: different
 * blocks at the same time, with work areas of their own.
 *
 * IDENTIFICATION
 *	  include/ct_code_block.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_CODE_BLOCK_H
#define CT_CODE_BLOCK_H

#include "ct_codes.h"
#include "ct_frame.h"

/* most rows of a leaf */
#define CT_CODE_LEAF_ROWS	256

/* key of a point that is no row */
#define CT_CODE_NO_KEY		UINT64_MAX

/*
 * A row that is near, as far as known.  The key breaks ties and names it; its
 * lowest 16 bits are the caller's, and so is where its vector is.
 */
typedef struct CtCodeRow
{
	double		dist;			/* or a lower bound of that */
	uint64_t	key;
	uint64_t	place;
} CtCodeRow;

/* Rows of a leaf, in the form in which blocks look at them. */
typedef struct CtCodeLeaf
{
	struct CtCodeLeaf *next;	/* more rows behind the same link */
	int			n;
	int			stride;			/* n, rounded up to whole vectors */
	float		step;
	double		error;			/* of any row, CtGrid's and the middle's */
	double		most_square;	/* largest of squares, */
	double		most_length;	/* and its root */
	float	   *middle;			/* of the grid, seen from the origin */
	float	   *squares;		/* of each row: that of codes - 127.5 */
	uint8_t    *codes;			/* columns of quads (block_reach()) */
	uint64_t   *keys;
	uint64_t   *places;
} CtCodeLeaf;

/* What is behind a link. */
typedef struct CtCodeLink
{
	float		box[2 * CT_BOX_DIMS];	/* lower limits, then upper ones */
	bool		loaded;
	CtCodeLeaf *leaf;			/* or NULL: nothing */
} CtCodeLink;

/* A point that looks for its k nearest rows. */
typedef struct CtCodePoint
{
	const double *location;
	uint64_t	self;			/* a row that does not count, or CT_CODE_NO_KEY */
	double		error;			/* of the coordinates in its block's columns */
	int			k;
	double		cut;			/* no row that is farther is wanted */
	int			number;			/* the caller's */
	int			nearest;		/* link, as far as ct_code_block_nearest() saw */
	float		place[CT_BOX_DIMS]; /* in sketches */
	float		slack;			/* how far that may be off */

	/* candidates: those with distances, in order, then those with bounds */
	CtCodeRow  *rows;
	int			room;			/* more than k */
	int			nexact;			/* at most k */
	int			n;

	/* upper bounds of the k nearest of all rows seen; a heap, largest first */
	double	   *uppers;
	int			nuppers;

	/* no room was left: waits for its candidates to be settled */
	bool		full;
	size_t		full_at;		/* the link where that was */
	int			skip;			/* rows behind it that have been looked at */
} CtCodePoint;

/* Points that are searched for together. */
typedef struct CtCodeBlock
{
	int			n;				/* at most CT_BLOCK */
	CtCodePoint *points;
	uint64_t   *wanted;			/* by link, a bit for each point */
	uint64_t   *seeds;			/* likewise: what was wanted first */
	float	   *columns;		/* of coordinates, seen from the origin */
	float		places[CT_BOX_DIMS * CT_BLOCK]; /* in sketches, by column */
	double		cuts[CT_BLOCK]; /* by which reach was set */
	float		reach[CT_BLOCK];	/* the largest square of a box's distance that
									 * matters */
} CtCodeBlock;

typedef struct CtCodeWork CtCodeWork;

/* coordinates of a column, which come in fours */
static inline size_t
ct_code_quads(int dims)
{
	return ((size_t) dims + 3) / 4;
}

static inline int
ct_code_stride(int n)
{
	return (n + CT_CODE_LANES - 1) / CT_CODE_LANES * CT_CODE_LANES;
}

/* Bytes of a leaf of so many rows, and of a thread's work area. */
extern size_t ct_code_leaf_bytes(int dims, int n);
extern size_t ct_code_work_bytes(int dims, int leaf_rows, int nseeds);

/*
 * Makes a leaf, in memory that begins on a cache line, of some rows of one with
 * codes: those of numbers kept[0] .. kept[n - 1], of nrows.  The caller sets keys
 * and places.
 */
extern CtCodeLeaf *ct_code_leaf_make(void *memory, const CtKernelTable *kernels,
									 const CtGridView *view,
									 const double *origin,
									 const uint8_t *codes, size_t stride,
									 int nrows, int n, const int *kept);

extern void ct_code_point_init(const double *location, uint64_t self, int k,
							   CtCodeRow *rows, int room, double *uppers,
							   CtCodePoint *point);

/* Says where a point is among boxes; anywhere, if the slack is infinite. */
extern void ct_code_point_place(CtCodePoint *point, const double *at,
								double slack);

/* Puts the places of a block's points into columns, or their coordinates. */
extern void ct_code_block_places(const CtSpace *space, CtCodeBlock *block);
extern void ct_code_block_coordinates(CtCodeBlock *block, int dims,
									  const double *origin);

/* Finds the link that is nearest to each point; there is one. */
extern void ct_code_block_nearest(const CtSpace *space, CtCodeBlock *block,
								  size_t nlinks, const CtCodeLink *links,
								  CtCodeWork *work);

/* Wants the nseeds links that are nearest to each point, if they are in reach. */
extern void ct_code_block_seeds(const CtSpace *space, CtCodeBlock *block,
								size_t nlinks, const CtCodeLink *links,
								int nseeds, CtCodeWork *work);

/* Wants all links in reach but seeds. */
extern void ct_code_block_others(const CtSpace *space, CtCodeBlock *block,
								 size_t nlinks, const CtCodeLink *links,
								 CtCodeWork *work);

/*
 * Looks for candidates behind a link, for those points that want it.  What is
 * wanted still are rows for points that are full.
 */
extern void ct_code_block_search(const CtSpace *space, CtCodeBlock *block,
								 size_t number, const CtCodeLink *link,
								 CtCodeWork *work);

/* Drops candidates that are beyond the cut. */
extern void ct_code_point_tighten(CtCodePoint *point);

/*
 * Settles candidates: the first nexact have distances and are in order.  Those
 * beyond k are dropped.  done: a point that was full has room again.
 */
extern void ct_code_point_settle(CtCodePoint *point, int nexact, bool done);

#endif							/* CT_CODE_BLOCK_H */
