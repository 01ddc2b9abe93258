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
 * Nothing here allocates memory or fails, so that threads can do it: different
 * blocks at the same time, with work areas of their own.
 *
 * IDENTIFICATION
 *	  include/ct_block.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_BLOCK_H
#define CT_BLOCK_H

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

/* key of a row that is nobody's neighbour */
#define CT_NO_KEY			UINT64_MAX

/* A leaf, whose rows are consecutive. */
typedef struct CtBlockLeaf
{
	int			n;
	size_t		first;			/* number of its first row */
	CtProjection basis;			/* perhaps of no pivots */
	const uint32_t *pivots;		/* numbers of landmarks */
	float		most_rest;
	CtRowShares shares;
} CtBlockLeaf;

typedef struct CtBlockRows
{
	const CtSpace *space;		/* that of the index, with its model */
	double		min_variance;	/* no row or landmark has less */
	size_t		nlandmarks;
	const double *const *landmarks; /* records */
	size_t		nleaves;
	const CtBlockLeaf *leaves;
	const double *centres;		/* by column: places of leaves, in lengthscales */
	const uint64_t *keys;		/* of rows */
	const double *const *records;	/* of rows, as far as they are needed */
} CtBlockRows;

/* A point that looks for its k nearest rows. */
typedef struct CtBlockPoint
{
	const double *record;
	uint64_t	self;			/* a row that does not count, or CT_NO_KEY */
	double		slack;			/* of correlations with any row or landmark */
	int			k;
	int			nfound;
	CtNeighbour *found;			/* heap, the worst one first */
	double		cut;			/* rows with less correlation are not wanted */
	double		seed_dist;		/* how near the nearest seed so far was */
	int			nseeds;
	int		   *seeds;			/* leaves whose rows are evaluated first */
} CtBlockPoint;

/* At most CT_BLOCK points, and the pairs that are yet to be evaluated. */
typedef struct CtBlock
{
	int			n;
	CtBlockPoint *points[CT_BLOCK];
	uint64_t   *pairs;			/* by row, a bit for each point */

	/* what ct_block_prepare() brings into columns */
	double	   *memory;			/* ct_block_size() doubles */
	const double *packs[CT_BLOCK / CT_PACK];	/* features */
	double	   *places;			/* dims columns of CT_BLOCK coordinates */
	double		scale[CT_BLOCK];	/* 1 / sqrt(p), infinite at the floor */
} CtBlock;

/* Memory of a thread: this many bytes, aligned to a cache line. */
typedef struct CtBlockWork CtBlockWork;

extern size_t ct_block_work_bytes(const CtModel *model, size_t nlandmarks);

/* Puts the points of a block side by side; they are set, and its memory. */
extern void ct_block_prepare(const CtModel *model, CtBlock *block);
extern size_t ct_block_size(const CtModel *model);

/* Makes a point ready, for rows with no less variance than this. */
extern void ct_block_point_init(const CtSpace *space, double min_variance,
								const double *record, uint64_t self, int k,
								CtNeighbour *found, int *seeds,
								CtBlockPoint *point);

extern void ct_block_point_admit(const CtSpace *space, double min_variance,
								 CtBlockPoint *point);

/*
 * Chooses up to n seeds of a point, the leaves nearest in space, unless seeds of
 * other rows were nearer and have told enough.  dist has room for all leaves.
 */
extern void ct_block_choose_seeds(const CtBlockRows *rows, int n,
								  CtBlockPoint *point, double *dist);

/* Sets the pairs of a block: all rows of the seeds. */
extern void ct_block_pair_seeds(const CtBlockRows *rows, CtBlock *block);

/*
 * Sets the pairs of a block: those of other rows that bounds do not rule out.
 */
extern void ct_block_pair_rows(const CtBlockRows *rows, CtBlock *block,
							   CtBlockWork *work);

/*
 * Evaluates the pairs of leaves first .. last - 1, whose records are there.
 * Returns the number of distances computed.
 */
extern size_t ct_block_evaluate(const CtBlockRows *rows, CtBlock *block,
								size_t first, size_t last, CtBlockWork *work);

/*
 * How many rows will a point be paired with?  A class, of which the first has
 * most.  Where points of one class are together, their pairs are with the same
 * rows.
 */
#define CT_BLOCK_CLASSES	9

extern int	ct_block_point_class(const CtBlockPoint *point);

/* Sorts what a point has found, nearest first. */
extern void ct_block_sort(CtBlockPoint *point);

#endif							/* CT_BLOCK_H */
