/*-------------------------------------------------------------------------
 *
 * ct_gather.h
 *	  Rows of a build on their way from the processes that read the table to
 *	  the one that builds the tree.
 *
 * IDENTIFICATION
 *	  include/ct_gather.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_GATHER_H
#define CT_GATHER_H

#include "ct_compat.h"

#include "storage/fileset.h"
#include "storage/itemptr.h"

/* Two files a process: rows with a point, rows whose point is NULL. */
typedef enum CtGatherKind
{
	CT_GATHER_ROWS,
	CT_GATHER_NULLS
} CtGatherKind;

/*
 * Records in memory whose rows follow each other in the table.  A record is a
 * vector and the row's TID behind it.
 */
typedef struct CtGatherRun
{
	const char *records;
	size_t		first;			/* records in the runs before this one */
	size_t		n;
} CtGatherRun;

typedef struct CtGatherWriter CtGatherWriter;
typedef struct CtGatherReader CtGatherReader;

/* Bytes of a record. */
static inline size_t
ct_gather_record_bytes(size_t vector_bytes)
{
	return MAXALIGN(vector_bytes + sizeof(ItemPointerData));
}

/* The first rows of a process that reads them itself, which need not be in its file. */
typedef struct CtGatherKept
{
	char	   *records;		/* or NULL */
	size_t		n;
} CtGatherKept;

extern CtGatherWriter *ct_gather_create(FileSet *files, CtGatherKind kind,
										int process, size_t keep);
extern void ct_gather_add(CtGatherWriter *writer, const void *vector,
						  size_t vector_bytes, const ItemPointerData *tid);
extern uint64 ct_gather_export(CtGatherWriter *writer, CtGatherKept *kept);

extern CtGatherReader *ct_gather_open(FileSet *files, CtGatherKind kind,
									  int nprocesses, const uint64 *rows,
									  const CtGatherKept *kept,
									  size_t vector_bytes, size_t memory);
extern int	ct_gather_next(CtGatherReader *reader, const CtGatherRun **runs);
extern void ct_gather_close(CtGatherReader *reader);

#endif							/* CT_GATHER_H */
