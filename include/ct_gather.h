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

typedef struct CtGatherWriter CtGatherWriter;
typedef struct CtGatherReader CtGatherReader;

extern CtGatherWriter *ct_gather_create(FileSet *files, CtGatherKind kind,
										int process);
extern void ct_gather_add(CtGatherWriter *writer, const void *vector,
						  size_t vector_bytes, const ItemPointerData *tid);
extern uint64 ct_gather_export(CtGatherWriter *writer);

extern CtGatherReader *ct_gather_open(FileSet *files, CtGatherKind kind,
									  int nprocesses, const uint64 *rows,
									  size_t vector_bytes);
extern const char *ct_gather_next(CtGatherReader *reader,
								  ItemPointerData *tid);
extern void ct_gather_close(CtGatherReader *reader);

#endif							/* CT_GATHER_H */
