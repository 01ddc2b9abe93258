/*-------------------------------------------------------------------------
 *
 * ct_block.h
 *	  Nearest neighbours of a block of points of a residual space at once.
 *
 * Layer 1.  Points look for neighbours among rows, which are in leaves with
 * bases.  What a block shares is that shares and records of rows come into the
 * cache once for all its points, and that correlations with landmarks are
 * products of matrices.
 *
 * Bounds of all rows come first (ct_block_collect), then distances: of the rows
 * that promise most, and then of those that these have not ruled out.  Records of
 * rows are needed for distances only, and only of the rows of some pair.
 *
 * Nothing here allocates memory or fails, so that threads can do it: bounds of
 * different blocks at the same time, and distances of different rows, with work
 * areas of their own.
 *
 * IDENTIFICATION
 *	  include/ct_block.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_BLOCK_H
#define CT_BLOCK_H

#include "ct_candidates.h"
#include "ct_knots.h"
#include "ct_model.h"
#include "ct_projection.h"

/* most rows of a leaf */
#define CT_BLOCK_ROWS		512

/*
 * A neighbour.  The key breaks ties and names the row; its lowest 16 bits are
 * the caller's.
 */
typedef struct CtNeighbour
{
	double		dist;
	uint64_t	key;
} CtNeighbour;

/*
 * Rows that share a mark, which is set if one of them has a pair.  Else their pairs
 * are unset, so that memory for them is touched only where there are some.
 */
#define CT_PAIRED_ROWS		64
#define CT_BLOCK_MARKS(nrows)	(((nrows) + CT_PAIRED_ROWS - 1) / CT_PAIRED_ROWS)

/* key of a row that is nobody's neighbour */
#define CT_NO_KEY			UINT64_MAX

/* A leaf, of one row or more, which are consecutive. */
typedef struct CtBlockLeaf
{
	int			n;
	size_t		first;			/* number of its first row */
	CtProjection basis;			/* perhaps of no pivots */
	const uint32_t *pivots;		/* numbers of landmarks */
	float		most_rest;
	CtRowShares shares;
	const uint8_t *knots;		/* limits of the rows */
	const uint64_t *seen;		/* of CT_BLOCK_WIDE rows each: bits of those that
								 * may be somebody's neighbours */
} CtBlockLeaf;

/*
 * Where points that have to be bounded again leave their correlations with
 * landmarks.  Blocks take places one after the other, in any thread.
 */
typedef struct CtBlockSaved
{
	size_t		room;			/* places */
	size_t		taken;			/* perhaps more than there are */
	float	   *memory;			/* nlandmarks for each */
} CtBlockSaved;

typedef struct CtBlockRows
{
	size_t		nrows;
	const CtSpace *space;		/* that of the index, with its model */
	double		min_variance;	/* no row or landmark has less */
	const double *rates;		/* inverse of each lengthscale */
	size_t		nlandmarks;
	const double *const *landmarks; /* records */
	size_t		nleaves;
	const CtBlockLeaf *leaves;
	const double *centres;		/* by column: places of leaves, in lengthscales */
	const uint64_t *keys;		/* of rows */
	const double *const *records;	/* of rows, as far as they are needed */
	CtBlockSaved *saved;
} CtBlockRows;

/*
 * The nearest rows of a point among those that somebody has looked at, and what
 * follows from them for its cut.
 */
typedef struct CtFound
{
	int			n;
	double		cut;
	CtNeighbour *heap;			/* the worst one first; room for k */
} CtFound;

/* A point that looks for its k nearest rows. */
typedef struct CtBlockPoint
{
	const double *record;
	int			number;			/* of the CtFound that is its */
	uint64_t	self;			/* a row that does not count, or CT_NO_KEY */
	double		slack;			/* of correlations with any row or landmark */
	int			k;
	double		cut;			/* rows with less correlation are not wanted */
	float	   *rho;			/* saved correlations with landmarks, or NULL */
	CtKnot		knot;			/* is it an inducing point? */
	CtCandidates candidates;
} CtBlockPoint;

/* At most CT_BLOCK points, and the pairs that are yet to be evaluated. */
typedef struct CtBlock
{
	int			n;
	CtBlockPoint *points[CT_BLOCK];
	uint64_t   *pairs;			/* by row, a bit for each point; for whole marks */
	bool	   *paired;			/* of CT_PAIRED_ROWS rows each: may some have any? */

	/* what ct_block_prepare() brings into columns */
	double	   *memory;			/* ct_block_size() doubles */
	const double *packs[CT_BLOCK / CT_PACK];	/* features */
	double	   *places;			/* dims columns of CT_BLOCK coordinates */
	double		scale[CT_BLOCK];	/* 1 / sqrt(p), infinite at the floor */
} CtBlock;

/* Memory of a thread: this many bytes, aligned to a cache line. */
typedef struct CtBlockWork CtBlockWork;

extern size_t ct_block_work_bytes(const CtBlockRows *rows, int room);

/* Puts the points of a block side by side; they are set, and its memory. */
extern void ct_block_prepare(const CtModel *model, CtBlock *block);
extern size_t ct_block_size(const CtModel *model);

/* A point's list of candidates has room for so many. */
extern int	ct_block_room(int k);

/* candidates is memory for the list. */
extern void ct_block_point_init(const double *record, int number,
								uint64_t self, int k, void *candidates,
								CtBlockPoint *point);

/* Makes a point ready for these rows. */
extern void ct_block_point_admit(const CtBlockRows *rows, CtBlockPoint *point);

/*
 * Gives a block's points cuts, by the rows of the leaves nearest in space to each
 * point, so many of them.  Their lists have to be cleared afterwards.
 */
extern void ct_block_prime(const CtBlockRows *rows, CtBlock *block, int nnear,
						   CtBlockWork *work);

/*
 * Collects the candidates of a block's points among all rows.  The first leaves
 * looked at are those nearest in space to each point, so many of them.
 */
extern void ct_block_collect(const CtBlockRows *rows, CtBlock *block,
							 int nnear, CtBlockWork *work);

/*
 * Sets the pairs of a block that are to be evaluated first: of points whose
 * lists have lost wanted rows, the candidates of largest estimate.
 */
extern void ct_block_pair_first(const CtBlockRows *rows, CtBlock *block,
								CtBlockWork *work);

/*
 * Sets the pairs of a block that are to be evaluated next, in blocks of points
 * that have all lost wanted rows, or none of them.  Of the former those are all
 * rows that bounds do not rule out, and nothing is left.  Of the latter they
 * are the candidates of largest estimate, and then the others that are still
 * wanted: two rounds.
 */
extern void ct_block_pair_next(const CtBlockRows *rows, CtBlock *block,
							   CtBlockWork *work);

/* May any of n rows from number first on have pairs? */
static inline bool
ct_block_is_paired(const CtBlock *block, size_t first, int n)
{
	bool		any = false;

	for (size_t i = first / CT_PAIRED_ROWS;
		 i <= (first + n - 1) / CT_PAIRED_ROWS; i++)
		any |= block->paired[i];
	return any;
}

/* Sets needed for each row that has a pair; different blocks at the same time. */
extern void ct_block_need(const CtBlockRows *rows, const CtBlock *block,
						  bool *needed);

/*
 * How many rows will a point be paired with?  A class, of which the first has
 * most.  Where points of one class are together, their pairs are with the same
 * rows.  Points of the last class have lost no candidate that is wanted.
 */
#define CT_BLOCK_CLASSES	10
#define CT_BLOCK_COMPLETE	(CT_BLOCK_CLASSES - 1)

extern int	ct_block_point_class(const CtBlockPoint *point);

/* -------- ct_block_pairs.c -------- */

/* Memory of a thread that evaluates pairs: this many bytes. */
typedef struct CtPairWork CtPairWork;

extern size_t ct_pairs_work_bytes(const CtModel *model);

/* Forgets what a point has found. */
extern void ct_found_clear(CtFound *found);

/*
 * Brings together what n threads have found for a point, which stands at every
 * stride-th place: the first has all of it then, the others nothing.  The point's
 * cut follows.
 */
extern void ct_found_join(CtBlockPoint *point, CtFound *found, size_t stride,
						  int n);

/* Sorts neighbours, nearest first. */
extern void ct_found_sort(CtFound *found);

/*
 * Evaluates the pairs of a block and n rows from number first on, no more than a
 * leaf has, whose records are there; found[number] gets what each point finds.
 * Different rows at the same time, with a work area and found of their own.
 * Returns the number of distances computed.
 */
extern size_t ct_pairs_evaluate(const CtBlockRows *rows, CtBlock *block,
								size_t first, int n, CtFound *found,
								CtPairWork *work);

#endif							/* CT_BLOCK_H */
