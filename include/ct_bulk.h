/*-------------------------------------------------------------------------
 *
 * ct_bulk.h
 *	  A cover tree in memory, between ct_bulk.c (build) and ct_pack.c (pages).
 *
 * IDENTIFICATION
 *	  include/ct_bulk.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_BULK_H
#define CT_BULK_H

#include "ct_tree.h"

/*
 * A pivot with its cell.  A node is opened in steps, each of which divides
 * off children and leaves the pivot a smaller range; what is left in the end
 * is the cell.
 */
typedef struct CtBulkNode
{
	size_t		number;
	size_t		parent;
	size_t		first;			/* rows of the cell; the first is the pivot */
	size_t		n;
	int			level;			/* highest level of the pivot */
	int			step;			/* of the parent, by which this arose */
	int			nsteps;			/* steps of its own */
	uint8		flags;			/* of the entry */
	double		top_radius;		/* of the whole subtree */
	double		self_radius;	/* of the cell */
	double		parent_radius;	/* what the parent kept after that step */
} CtBulkNode;

typedef struct CtLandmarks CtLandmarks;

struct CtBulk
{
	CtIndex    *index;
	MemoryContext context;
	MemoryContext row_context;
	int			nthreads;
	void		(*phase) (int);
	size_t		n;				/* rows gathered */
	size_t		size;
	size_t		limit;			/* rows that fit the memory */
	bool		written;

	ItemPointerData *tids;		/* in the order of arrival */
	double	   *locations;		/* residual index: likewise, n x dims */
	char	   *vectors;		/* likewise, row by row, as they are stored */
	char	   *columns;		/* coordinates by column, in tree order */
	size_t		element_size;
	uint32	   *order;			/* arrival number of each row in tree order */
	double	   *dist;			/* to the pivot of the row's cell */
	uint16	   *owner;			/* working arrays, one element a row */
	uint32	   *target;
	double	   *scratch;

	CtLandmarks *landmarks;		/* residual index */
	CtBulkNode *nodes;			/* in the order of a walk through the tree */
	size_t		nnodes;
};

/* phases of a build, in the order of their occurrence */
#define CT_BULK_FEATURES	3
#define CT_BULK_TREE		4
#define CT_BULK_RADII		5
#define CT_BULK_WRITE		6

extern const CtSpace *ct_bulk_shape(const CtBulk *bulk);
extern const double *ct_bulk_record(const CtBulk *bulk, size_t row);
extern void ct_bulk_point(const CtBulk *bulk, size_t row, double *point);
extern void ct_pack(CtBulk *bulk);

/* ct_landmarks.c */
extern CtLandmarks *ct_landmarks_choose(CtBulk *bulk);
extern bool ct_landmarks_contain(const CtLandmarks *landmarks, size_t row);
extern void ct_landmarks_refine(CtBulk *bulk, CtLandmarks *landmarks,
								size_t nleaves, const size_t *starts);
extern bool ct_landmarks_fit(const CtBulk *bulk, const CtLandmarks *landmarks,
							 size_t first, int n, CtProjectionFit *fit,
							 size_t *candidates, int *ncandidates,
							 CtShares *shares);
extern void ct_landmarks_free(CtLandmarks *landmarks);

#endif							/* CT_BULK_H */
