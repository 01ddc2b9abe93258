/*-------------------------------------------------------------------------
 *
 * ct_knn_distances.h
 *	  Distances of blocks of queries and rows of a slab, whose records are read.
 *
 * IDENTIFICATION
 *	  src/tree/ct_knn_distances.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_KNN_DISTANCES_H
#define CT_KNN_DISTANCES_H

#include "ct_knn.h"
#include "ct_knn_slab.h"

/* Rows of a leaf, of which a thread computes distances. */
typedef struct CtRowPart
{
	int			vector;			/* number of the first one's in the batch */
	int			n;
} CtRowPart;

typedef struct CtDistances
{
	CtKnn	   *knn;
	CtVectorBatch *batch;
	size_t	   *batch_rows;		/* numbers of its rows in the slab */
	CtRowPart  *parts;			/* of the batch */
	int			nparts;
	int			next_part;		/* that no thread has yet */
	int			broken;			/* number of a vector that is not there, or -1 */
	int			nthreads;		/* that there is memory for */
	size_t		store_size;		/* records of a thread */
	double	   *store;
	size_t		work_bytes;
	char	   *work;			/* CtPairWork of each thread */
} CtDistances;

extern void ct_distances_create(CtDistances *distances, CtKnn *knn,
								size_t store_bytes);
extern void ct_distances_compute(CtDistances *distances, CtSlab *slab,
								 const CtBlockRows *rows, int nblocks,
								 CtBlock *blocks, const bool *needed,
								 CtFound *found, size_t stride);

#endif							/* CT_KNN_DISTANCES_H */
