/*-------------------------------------------------------------------------
 *
 * ct_knn_codes.h
 *	  What the files of bulk search by codes share (ct_knn_codes.c).
 *
 * The main thread calls everything here, outside of OpenMP regions.
 *
 * IDENTIFICATION
 *	  src/tree/ct_knn_codes.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_KNN_CODES_H
#define CT_KNN_CODES_H

#include "ct_code_block.h"
#include "ct_knn.h"
#include "ct_knn_memory.h"
#include "ct_knn_tree.h"

/*
 * Threads share the work on so many points or coordinates.  Where others use the
 * processor too, threads wait for each other for milliseconds.
 */
#define CT_SHARED_POINTS		512
#define CT_SHARED_COORDINATES	2e6

/* The queries in work. */
typedef struct CtCodesGroup
{
	int			size;
	int			n;
	CtKnnQuery *queries;
	double	   *locations;
	CtLocator  *locators;
	CtCodePoint *points;
	CtCodeRow  *rows;			/* room for each */
	int			room;
	double	   *uppers;			/* k for each */
	CtKnnRow   *answer;
	int			nblocks;
	CtCodeBlock *blocks;
} CtCodesGroup;

/* Links to leaves, and those leaves that are in memory. */
typedef struct CtCodesLinks
{
	size_t		size;
	size_t		n;
	CtCodeLink *entries;
	CtLink	   *where;
	int			height;			/* of what links lead to; -1: the root */
	uint64	   *wanted;			/* and seeds of each block, by link */
	bool		complete;		/* these are all links of the index */
	bool		flushed;		/* the walk has used some of them already */

	MemoryContext context;		/* of leaves */
	size_t		limit;			/* bytes */
	size_t		bytes;			/* in use */
} CtCodesLinks;

/* A candidate whose distance is wanted. */
typedef struct CtCodesPair
{
	uint64		place;			/* of its vector */
	CtCodeRow  *row;
	const double *query;
	const void *vector;
} CtCodesPair;

typedef struct CtCodes
{
	MemoryContext context;
	CtKnn	   *knn;
	CtIndex    *index;
	const double *origin;		/* from which points are seen */
	size_t		work_bytes;
	char	   *work;			/* of each thread */
	int			nseeds;
	bool		sorted;			/* points are in the order of links */
	CtCodesGroup group;
	CtCodesLinks links;
	size_t		npairs;
	size_t		pairs_size;
	CtCodesPair *pairs;
	size_t		vectors_size;
	size_t		vector_stride;
	char	   *vectors;
} CtCodes;

/* The place of a vector as CtCodeRow has it, in the order of pages. */
static inline uint64
ct_codes_place(CtLocator locator)
{
	return (uint64) locator.block << 16 | locator.slot;
}

/* ct_knn_codes.c */
extern bool ct_codes_search_links(CtCodes *engine);

/* ct_knn_links.c */
extern void ct_codes_create_links(CtCodes *engine, size_t memory,
								  size_t leaf_memory, int nblocks);
extern bool ct_codes_load_leaves(CtCodes *engine, size_t first, size_t *last,
								 double *work);
extern bool ct_codes_walk_links(CtCodes *engine);

/* ct_knn_settle.c */
extern size_t ct_codes_candidate_bytes(const CtIndex *index);
extern void ct_codes_create_pairs(CtCodes *engine, size_t memory);
extern void ct_codes_settle(CtCodes *engine, bool only_full);

#endif							/* CT_KNN_CODES_H */
