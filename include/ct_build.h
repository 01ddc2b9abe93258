/*-------------------------------------------------------------------------
 *
 * ct_build.h
 *	  Reading a table for a build: between ct_build.c and
 *	  ct_build_parallel.c, which has several processes do it.
 *
 * IDENTIFICATION
 *	  include/ct_build.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_BUILD_H
#define CT_BUILD_H

#include "ct_compat.h"

#include "access/tableam.h"
#include "nodes/execnodes.h"

#include "ct_am.h"
#include "ct_gather.h"

/* Where rows go. */
typedef struct CtRowSink
{
	/*
	 * Takes a row: its point in the form in which a build stores it, and the
	 * dimension, which is 0 for NULL.
	 */
	void		(*take) (struct CtRowSink *sink, int dims, const void *vector,
						 ItemPointer tid);

	/* Takes points that several processes have read, likewise. */
	void		(*take_runs) (struct CtRowSink *sink, int dims, int nruns,
							  const CtGatherRun *runs);

	double		expected;		/* rows, if that is known, else 0 */
} CtRowSink;

/* Who reads a table. */
typedef struct CtTableReader
{
	Relation	heap;
	Relation	rel;			/* the index */
	struct IndexInfo *info;
	CtRowSink  *sink;
	pg_atomic_uint64 *seen;		/* rows read so far, by all processes */
	bool		progress;		/* report them */

	/* private to ct_build_read */
	const CtOpclass *opclass;
	uint64		pending;		/* rows that seen lacks */
} CtTableReader;

/* ct_build.c */
extern double ct_build_read(CtTableReader *reader, TableScanDesc scan);

/* ct_build_parallel.c */
typedef struct CtParallelBuild CtParallelBuild;

extern CtParallelBuild *ct_parallel_begin(Relation heap, Relation rel,
										  struct IndexInfo *info,
										  int nworkers, bool log);
extern double ct_parallel_read(CtParallelBuild *build, CtRowSink *sink);
extern BlockNumber ct_parallel_write(CtParallelBuild *build,
									  struct CtIndex *index);
extern BlockNumber ct_parallel_complete(CtParallelBuild *build);
extern void ct_parallel_end(CtParallelBuild *build);

#endif							/* CT_BUILD_H */
