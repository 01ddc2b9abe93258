/*-------------------------------------------------------------------------
 *
 * ct_knn_slab.h
 *	  Leaves of a residual index, and records, in memory (ct_knn_slab.c).
 *
 * IDENTIFICATION
 *	  src/tree/ct_knn_slab.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_KNN_SLAB_H
#define CT_KNN_SLAB_H

#include "ct_block.h"
#include "ct_knn_memory.h"
#include "ct_locators.h"
#include "ct_page.h"

/* How records stand in an array: their features on cache lines. */
typedef struct CtRecords
{
	size_t		stride;			/* doubles */
	size_t		offset;			/* of the first */
} CtRecords;

/* Leaves as they are, but for the records of their rows. */
typedef struct CtSlab
{
	MemoryContext context;
	CtIndex    *index;
	CtRecords	form;
	size_t		bytes;			/* in use, without what pairs need */
	size_t		nleaves;
	size_t		leaves_size;
	CtBlockLeaf *leaves;
	char	   *images;			/* memory for the pages of images_left leaves */
	size_t		images_left;
	double	   *centres;

	locators_hash *numbers;
	size_t		nlandmarks;
	size_t		landmarks_size;
	CtLocator  *locators;		/* of landmarks */
	double	  **landmarks;		/* NULL: the slab is not complete */

	size_t		nrows;
	size_t		rows_size;
	CtLocator  *row_locators;
	uint64	   *keys;
	double	  **records;		/* where they are, if they are in memory */
} CtSlab;

static inline size_t
ct_record_bytes(const CtRecords *form)
{
	return form->stride * sizeof(double);
}

/* The place of record number i in an array of such. */
static inline double *
ct_record_at(const CtRecords *form, double *records, size_t i)
{
	return records + i * form->stride + form->offset;
}

static inline double *
ct_allocate_records(const CtRecords *form, MemoryContext context, size_t n)
{
	return ct_allocate_lines(context, n * ct_record_bytes(form));
}

extern CtRecords ct_records_form(const CtIndex *index);
extern void ct_records_read(const CtKnn *knn, size_t n, const CtLocator *from,
							double *const *records);

/* What a slab's memory is for. */
extern size_t ct_slab_row_bytes(void);
extern size_t ct_slab_landmark_bytes(const CtRecords *form);

extern void ct_slab_create(CtSlab *slab, CtIndex *index, MemoryContext context);
extern void ct_slab_clear(CtSlab *slab);
extern void ct_slab_add(CtSlab *slab, const CtNode *node,
						const ItemPointerData *seen);
extern void ct_slab_complete(CtSlab *slab, const CtKnn *knn,
							 CtBlockRows *rows);

#endif							/* CT_KNN_SLAB_H */
