/*-------------------------------------------------------------------------
 *
 * ct_knn_tree.h
 *	  The part of a tree that a bulk search has in memory: points of few
 *	  dimensions, with boxes.
 *
 * The main thread loads and drops nodes, outside of OpenMP regions; in a region
 * all threads read them.
 *
 * IDENTIFICATION
 *	  include/ct_knn_tree.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_KNN_TREE_H
#define CT_KNN_TREE_H

#include "ct_knn.h"

/* rows of a block; a multiple of what a vector instruction serves */
#define CT_KNN_BLOCK	32

/*
 * A row, so that rows are ordered as by their TIDs in the index: block, offset
 * in the index, and offset of the version that the snapshot sees.
 */
typedef uint64 CtKnnKey;

#define CT_KNN_NO_KEY	PG_UINT64_MAX

static inline CtKnnKey
ct_knn_key(const ItemPointerData *tid, const ItemPointerData *seen)
{
	return (uint64) ItemPointerGetBlockNumberNoCheck(tid) << 32 |
		(uint64) ItemPointerGetOffsetNumberNoCheck(tid) << 16 |
		ItemPointerGetOffsetNumberNoCheck(seen);
}

/* The version that the snapshot sees. */
static inline ItemPointerData
ct_knn_seen(CtKnnKey key)
{
	ItemPointerData tid;

	ItemPointerSet(&tid, (BlockNumber) (key >> 32),
				   (OffsetNumber) (key & 0xFFFF));
	return tid;
}

/* The row of a key as a neighbour at some distance. */
static inline CtKnnRow
ct_knn_neighbour(CtKnnKey key, double dist)
{
	return (CtKnnRow) {.dist = dist,.tid = ct_knn_seen(key)};
}

/* Do both keys stand for the same row of the index? */
static inline bool
ct_knn_same_row(CtKnnKey a, CtKnnKey b)
{
	return (a ^ b) >> 16 == 0;
}

/* What one page holds of a node. */
typedef struct CtKnnPart
{
	struct CtKnnPart *next;		/* a right sibling's */
	bool		leaf;
	int			n;				/* children, or blocks of rows */
	float	   *boxes;			/* of these, by limit and dimension */
	uint32		first;			/* routing page: the first child's number */
	/* leaf: by block, columns of CT_KNN_BLOCK, of which some are in use */
	char	   *points;
	CtKnnKey   *keys;
	uint8	   *counts;
} CtKnnPart;

/* What is behind a link. */
typedef struct CtKnnNode
{
	CtLink		link;
	int			height;			/* -1: the root, not known */
	bool		loaded;
	CtKnnPart  *parts;			/* NULL also where nothing is to be seen */
} CtKnnNode;

typedef struct CtKnnTree
{
	CtKnn	   *knn;
	MemoryContext nodes_context;	/* nodes and routing pages */
	MemoryContext leaves_context;
	Size		bytes;			/* in both */
	Size		leaf_bytes;
	Size		limit;			/* what bytes should not exceed */
	CtKnnNode  *nodes;			/* the root is number 0 */
	uint32		nnodes;
	uint32		size;
	bool		mismatch;		/* rows that a CtKnnKey cannot describe */
	/* a leaf that is being divided: rows, their columns and keys, limits */
	uint64	   *rows;
	char	   *raw;
	CtKnnKey   *raw_keys;
	double	   *lower;
	double	   *upper;
} CtKnnTree;

/* ct_knn_tree.c */
extern CtKnnTree *ct_knn_tree_create(CtKnn *knn, Size limit);
extern void ct_knn_tree_clear(CtKnnTree *tree);
extern void ct_knn_tree_drop_leaves(CtKnnTree *tree);
extern bool ct_knn_tree_load(CtKnnTree *tree, uint32 number);

/* -------- ct_knn_search.c: in any thread -------- */

typedef struct CtKnnFound
{
	double		dist;
	CtKnnKey	key;
} CtKnnFound;

typedef struct CtKnnBranch
{
	const CtKnnPart *part;
	int			n;				/* places that it leads to */
	double	   *squares;		/* of their distances; INFINITY: visited */
	uint16	   *order;			/* their numbers in the part, and squares rise;
								 * or NULL: neither */
	int			front;			/* the least of those left */
} CtKnnBranch;

typedef struct CtKnnItem
{
	double		square;
	uint32		branch;
} CtKnnItem;

typedef enum CtKnnOutcome
{
	CT_KNN_DONE,
	CT_KNN_MISSING,				/* nodes are wanted */
	CT_KNN_FULL,				/* the worker needs more memory */
	CT_KNN_INTERRUPTED
} CtKnnOutcome;

/* What one thread works with. */
typedef struct CtKnnWorker
{
	const CtKnnTree *tree;
	int			k;				/* rows to find: one more than asked for where
								 * the query is a row, which finds itself */
	double	   *dist;			/* of rows found */
	CtKnnKey   *keys;
	int			nfound;
	CtKnnFound *sorted;
	double		worst;			/* no further row is needed, as far as known */
	double		limit;			/* the same for squares of boxes */

	/* branches that are open; those with something left are in the queue */
	CtKnnItem  *queue;			/* binary heap */
	int			nqueue;
	CtKnnBranch *branches;
	int			nbranches;
	int			branches_size;	/* of the queue, too */
	double	   *squares;		/* of all branches */
	uint16	   *order;
	size_t		nsquares;
	size_t		squares_size;

	/* nodes that are missing: of this query, then of all so far */
	uint32	   *wanted;
	int			nwanted;
	int			wanted_before;
	int			wanted_size;
	double	   *wanted_squares; /* of this query's */
	double		least_wanted;	/* the least of them */

	int64		distances;

	/* no other thread's worker is in the same lines of a cache */
	char		padding[PG_CACHE_LINE_SIZE];
} CtKnnWorker;

extern int	ct_knn_found_size(int k);
extern CtKnnOutcome ct_knn_search(CtKnnWorker *worker, const double *query,
								  CtKnnKey self, CtKnnRow *rows, int *n);

#endif							/* CT_KNN_TREE_H */
