/*-------------------------------------------------------------------------
 *
 * ct_spool.c
 *	  Rows of a build on disk, in parts.
 *
 * All parts share one temporary file, whose extents are used again when the
 * part that they belonged to has been read.  So a part that nobody reads or
 * writes costs a few bytes of memory for each extent, and dividing rows over
 * and over again takes hardly more disk space than they do.
 *
 * The file lies in a temporary tablespace and belongs to the resource owner of
 * the build, which removes it should the build fail.
 *
 * IDENTIFICATION
 *	  src/tree/ct_spool.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "utils/memutils.h"

#include "ct_gather.h"
#include "ct_spool.h"

/* An extent has about extent_bytes, and room for one record at least. */
CtSpool *
ct_spool_create(size_t vector_bytes, size_t extent_bytes)
{
	CtSpool    *spool = palloc0(sizeof(CtSpool));

	spool->context = CurrentMemoryContext;
	spool->vector_bytes = vector_bytes;
	spool->record_bytes = ct_gather_record_bytes(vector_bytes);
	extent_bytes = Max(extent_bytes, spool->record_bytes);
	spool->extent_bytes = TYPEALIGN(BLCKSZ, extent_bytes);
	spool->extent_rows = spool->extent_bytes / spool->record_bytes;
	spool->file = BufFileCreateTemp(false);
	return spool;
}

void
ct_spool_destroy(CtSpool *spool)
{
	BufFileClose(spool->file);
	if (spool->free)
		pfree(spool->free);
	pfree(spool);
}

static void
seek(CtSpool *spool, uint32 extent, size_t offset)
{
	if (BufFileSeek(spool->file, 0,
					(off_t) extent * spool->extent_bytes + offset,
					SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not seek in temporary file of an index build")));
}

static void
read_bytes(CtSpool *spool, char *to, size_t bytes)
{
	if (BufFileRead(spool->file, to, bytes) != bytes)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read from temporary file of an index build")));
}

/* Appends a number to a list that grows; returns the list. */
static uint32 *
append_number(CtSpool *spool, uint32 *list, uint32 *n, uint32 *size,
			  uint32 number)
{
	if (*n == *size)
	{
		*size = *size ? *size * 2 : 16;
		list = list ? repalloc_huge(list, sizeof(uint32) * *size) :
			MemoryContextAlloc(spool->context, sizeof(uint32) * *size);
	}
	list[(*n)++] = number;
	return list;
}

/* Writes the extent that a part has in memory. */
static void
flush(CtSpool *spool, CtSpoolPart *part)
{
	uint32		extent;

	if (spool->nfree > 0)
		extent = spool->free[--spool->nfree];
	else
	{
		if (spool->nextents == PG_UINT32_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("too many rows for maintenance_work_mem"),
					 errhint("Increase maintenance_work_mem.")));
		extent = spool->nextents++;
	}
	seek(spool, extent, 0);
	BufFileWrite(spool->file, part->buffer, spool->extent_bytes);
	part->extents = append_number(spool, part->extents, &part->nextents,
								  &part->extents_size, extent);
}

/* Adds a row to a part. */
void
ct_spool_add(CtSpool *spool, CtSpoolPart *part, const void *vector,
			 const ItemPointerData *tid)
{
	size_t		at = part->n % spool->extent_rows;
	char	   *record;

	if (part->buffer == NULL)
		part->buffer = MemoryContextAllocExtended(spool->context,
												  spool->extent_bytes,
												  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	record = part->buffer + at * spool->record_bytes;
	memcpy(record, vector, spool->vector_bytes);
	memcpy(record + spool->vector_bytes, tid, sizeof(ItemPointerData));
	part->n++;
	if (at == spool->extent_rows - 1)
		flush(spool, part);
}

/* All rows have been added. */
void
ct_spool_complete(CtSpool *spool, CtSpoolPart *part)
{
	if (part->buffer == NULL)
		return;
	if (part->n % spool->extent_rows != 0)
		flush(spool, part);
	pfree(part->buffer);
	part->buffer = NULL;
}

/* Reads the records of an extent; returns how many there are. */
size_t
ct_spool_read(CtSpool *spool, const CtSpoolPart *part, uint32 number,
			  char *records)
{
	size_t		first = number * spool->extent_rows;
	size_t		n = Min(spool->extent_rows, part->n - first);

	seek(spool, part->extents[number], 0);
	read_bytes(spool, records, n * spool->record_bytes);
	return n;
}

/* Reads one record. */
void
ct_spool_read_row(CtSpool *spool, const CtSpoolPart *part, size_t row,
				  char *record)
{
	seek(spool, part->extents[row / spool->extent_rows],
		 row % spool->extent_rows * spool->record_bytes);
	read_bytes(spool, record, spool->record_bytes);
}

/* An extent has been read for the last time. */
void
ct_spool_release(CtSpool *spool, CtSpoolPart *part, uint32 number)
{
	spool->free = append_number(spool, spool->free, &spool->nfree,
								&spool->free_size, part->extents[number]);
}

/* Distributes the extents of a part, which is given up, over n pieces. */
void
ct_spool_split(CtSpool *spool, CtSpoolPart *part, int n, CtSpoolPart *pieces)
{
	memset(pieces, 0, sizeof(CtSpoolPart) * n);
	for (int i = 0; i < n; i++)
	{
		uint32		from = (uint64) part->nextents * i / n;
		uint32		to = (uint64) part->nextents * (i + 1) / n;
		size_t		rows = (to - from) * spool->extent_rows;

		for (uint32 e = from; e < to; e++)
			pieces[i].extents = append_number(spool, pieces[i].extents,
											  &pieces[i].nextents,
											  &pieces[i].extents_size,
											  part->extents[e]);
		pieces[i].n = Min(rows, part->n - from * spool->extent_rows);
		pieces[i].same = part->same;
	}
	ct_spool_forget(part);
}

/* Gives up the list of a part's extents. */
void
ct_spool_forget(CtSpoolPart *part)
{
	if (part->extents)
		pfree(part->extents);
	part->extents = NULL;
	part->nextents = part->extents_size = 0;
}
