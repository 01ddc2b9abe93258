/*-------------------------------------------------------------------------
 *
 * ct_spool.h
 *	  Rows of a build on disk, in parts.
 *
 * IDENTIFICATION
 *	  include/ct_spool.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_SPOOL_H
#define CT_SPOOL_H

#include "ct_compat.h"

#include "storage/buffile.h"
#include "storage/itemptr.h"

/*
 * A temporary file of extents of equal size, each of which belongs to one
 * part or is free.  A record is a vector, as it arrives from the heap, and the
 * row's TID.
 */
typedef struct CtSpool
{
	MemoryContext context;
	BufFile    *file;
	size_t		vector_bytes;
	size_t		record_bytes;
	size_t		extent_bytes;
	size_t		extent_rows;
	uint32		nextents;
	uint32	   *free;
	uint32		nfree;
	uint32		free_size;
} CtSpool;

/* Some of the rows, in the order in which they were added. */
typedef struct CtSpoolPart
{
	size_t		n;
	uint32	   *extents;
	uint32		nextents;
	uint32		extents_size;
	char	   *buffer;			/* the extent being filled, or NULL */

	/* for who divides the rows */
	size_t		pivot;			/* number of a row */
	bool		same;			/* all rows are at one place */
} CtSpoolPart;

static inline ItemPointer
ct_spool_tid(const CtSpool *spool, const char *record)
{
	return (ItemPointer) (record + spool->vector_bytes);
}

extern CtSpool *ct_spool_create(size_t vector_bytes, size_t extent_bytes);
extern void ct_spool_destroy(CtSpool *spool);
extern void ct_spool_add(CtSpool *spool, CtSpoolPart *part,
						 const void *vector, const ItemPointerData *tid);
extern void ct_spool_complete(CtSpool *spool, CtSpoolPart *part);
extern size_t ct_spool_read(CtSpool *spool, const CtSpoolPart *part,
							uint32 number, char *records);
extern void ct_spool_read_row(CtSpool *spool, const CtSpoolPart *part,
							  size_t row, char *record);
extern void ct_spool_release(CtSpool *spool, CtSpoolPart *part,
							 uint32 number);
extern void ct_spool_split(CtSpool *spool, CtSpoolPart *part, int n,
						   CtSpoolPart *pieces);
extern void ct_spool_forget(CtSpoolPart *part);

#endif							/* CT_SPOOL_H */
