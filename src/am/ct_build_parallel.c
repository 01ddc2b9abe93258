/*-------------------------------------------------------------------------
 *
 * ct_build_parallel.c
 *	  Reading a table for a build by several processes.
 *
 * This process (the leader) and its workers share one scan.  Each writes the
 * rows that it reads to temporary files (ct_gather.c); when the table has
 * been read, the leader merges them and hands the rows to the tree, in the
 * order in which it would have met them alone.  So the index is the same
 * whatever the number of workers.
 *
 * A value that is no point raises its error where it is read; the leader
 * raises it again for the client.  The dimension is that of the row that
 * comes first in any process.
 *
 * When the table has been read workers end, but for one, which logs pages that
 * the leader has written while the leader writes others.  When all are written
 * both log what is left.
 *
 * IDENTIFICATION
 *	  src/am/ct_build_parallel.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "access/parallel.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "executor/instrument.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "storage/bufmgr.h"
#include "storage/condition_variable.h"
#include "storage/sharedfileset.h"
#include "tcop/tcopprot.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#include "ct_build.h"
#include "ct_tree.h"

#define KEY_SHARED		UINT64CONST(0xC711000000000001)
#define KEY_SCAN		UINT64CONST(0xC711000000000002)
#define KEY_QUERY		UINT64CONST(0xC711000000000003)
#define KEY_WAL			UINT64CONST(0xC711000000000004)
#define KEY_BUFFERS		UINT64CONST(0xC711000000000005)

/*
 * Pages that are logged at once while others are still written, and how many
 * come before the first such batch.  Smaller ones would often wake the worker,
 * on the leader's processor as likely as not, and have it run there instead of
 * the leader.
 */
#define LOG_BATCH		512
#define LOG_FIRST		128

/* pages that a process takes upon itself to log at a time */
#define LOG_SHARE		128

/*
 * A worker ends when no more pages are left to log than one for so many pages of the
 * table.  It takes long to, for the kernel has to unmap the buffers that it has
 * read; the leader, which has to wait for that, logs the rest meanwhile.
 */
#define PAGES_LEFT		10

/* share of maintenance_work_mem for reading the files of all processes */
#define MERGE_SHARE		16

/* what one process has read; the leader looks when all have done so */
typedef struct Outcome
{
	double		rows;			/* alive in the table */
	uint64		points;			/* in its files */
	uint64		nulls;
	bool		broken_hot_chain;
} Outcome;

typedef struct BuildShared
{
	Oid			heap;
	Oid			rel;
	bool		concurrent;
	bool		log;			/* a worker is to log pages */
	pg_atomic_uint32 dims;		/* of the first point seen, or 0 */
	pg_atomic_uint64 seen;
	SharedFileSet files;

	ConditionVariable changed;	/* any of the next three */
	pg_atomic_uint32 nread;		/* processes that have read their share */
	pg_atomic_uint32 written;	/* pages before this one will not change */
	pg_atomic_uint32 complete;	/* written no longer grows */
	pg_atomic_uint32 straight;	/* pages from this one on went straight to the
								 * file; set before written grows */
	pg_atomic_uint32 logged;	/* pages before this one have a logger */
	Outcome		outcomes[FLEXIBLE_ARRAY_MEMBER];	/* leader, workers */
} BuildShared;

/* The sink of one process. */
typedef struct Participant
{
	CtRowSink	sink;
	BuildShared *shared;
	CtIndex    *index;
	CtGatherWriter *points;
	CtGatherWriter *nulls;
	int			dims;			/* 0 before the first point */
	size_t		vector_bytes;
} Participant;

struct CtParallelBuild
{
	Relation	heap;
	Relation	rel;			/* the index */
	struct IndexInfo *info;
	int			nprocesses;		/* this one, and workers that were wanted */
	Snapshot	snapshot;
	ParallelContext *context;
	BuildShared *shared;
	BlockNumber next_batch;		/* workers are told when so many are written */
};

PGDLLEXPORT void covertree_build_worker(dsm_segment *segment, shm_toc *toc);

/* -------- all processes -------- */

/* Bytes of a point in the form in which a build takes it. */
static size_t
bytes_of_point(const CtOpclass *opclass, int dims)
{
	bool		as_float = opclass->element == CT_ELEMENT_FLOAT4 &&
		opclass->metric != CT_METRIC_RESIDUAL;

	return dims * (as_float ? sizeof(float) : sizeof(double));
}

/* The dimension of the first point; all processes must agree on it. */
static void
settle_dims(Participant *participant, int dims)
{
	uint32		first = 0;

	ct_check_dims(participant->index, dims);
	if (!pg_atomic_compare_exchange_u32(&participant->shared->dims, &first,
										dims) && first != (uint32) dims)
		ct_dims_mismatch(first, dims);
	participant->dims = dims;
	participant->vector_bytes =
		bytes_of_point(ct_opclass(participant->index->rel), dims);
}

static void
write_row(CtRowSink *sink, int dims, const void *vector, ItemPointer tid)
{
	Participant *participant = (Participant *) sink;

	if (dims == 0)
	{
		ct_gather_add(participant->nulls, NULL, 0, tid);
		return;
	}
	if (participant->dims == 0)
		settle_dims(participant, dims);
	if (dims != participant->dims)
		ct_dims_mismatch(participant->dims, dims);
	ct_gather_add(participant->points, vector, participant->vector_bytes, tid);
}

/*
 * Reads this process's share of the table.  Rows that fit into so many bytes need not
 * go to its file.
 */
static void
participate(BuildShared *shared, ParallelTableScanDesc scan, Relation heap,
			Relation rel, struct IndexInfo *info, int process, Size keep,
			CtGatherKept *kept)
{
	Participant participant = {{write_row}, shared};
	CtTableReader reader = {heap, rel, info, &participant.sink, &shared->seen};
	Outcome    *outcome = &shared->outcomes[process];
	CtGatherKept no_nulls;
	FileSet    *files = &shared->files.fs;

	participant.index = ct_index_open(rel);
	participant.points = ct_gather_create(files, CT_GATHER_ROWS, process, keep);
	participant.nulls = ct_gather_create(files, CT_GATHER_NULLS, process, 0);
	reader.progress = process == 0;
	outcome->rows = ct_build_read(&reader,
								  table_beginscan_parallel(heap, scan));
	outcome->points = ct_gather_export(participant.points, kept);
	outcome->nulls = ct_gather_export(participant.nulls, &no_nulls);
	outcome->broken_hot_chain = info->ii_BrokenHotChain;
	pfree(participant.index);
	pg_atomic_fetch_add_u32(&shared->nread, 1);
	ConditionVariableBroadcast(&shared->changed);
}

/*
 * Logs some pages that are written, and that no other process logs.  False: there
 * are none.
 */
static bool
log_share(BuildShared *shared, Relation rel)
{
	uint32		from = pg_atomic_read_u32(&shared->logged);
	uint32		to;

	do
	{
		uint32		written = pg_atomic_read_u32(&shared->written);

		if (from >= written)
			return false;
		pg_read_barrier();
		to = Min(from + LOG_SHARE, written);
	} while (!pg_atomic_compare_exchange_u32(&shared->logged, &from, to));
	if (from >= pg_atomic_read_u32(&shared->straight))
		ct_log_straight(rel, from, to);
	else
		ct_log_pages(rel, from, to);
	return true;
}

/*
 * Logs pages as soon as they are written, many at a time, until there are no
 * more to come and few are left.  Those, and what may change in the end (metapage
 * and root), are the leader's.  Once there is a page, the rows have left the temporary files:
 * these are deleted here, where the leader need not wait for it.
 */
static void
log_pages(BuildShared *shared, Relation heap, Relation rel)
{
	uint32		left = RelationGetNumberOfBlocks(heap) / PAGES_LEFT;
	bool		deleted = false;

	for (;;)
	{
		bool		complete = pg_atomic_read_u32(&shared->complete) != 0;

		pg_read_barrier();
		if (!deleted && pg_atomic_read_u32(&shared->written) > 0)
		{
			SharedFileSetDeleteAll(&shared->files);
			deleted = true;
		}
		if (complete && pg_atomic_read_u32(&shared->written) <=
			pg_atomic_read_u32(&shared->logged) + left)
			break;
		if (!log_share(shared, rel))
			ConditionVariableSleep(&shared->changed,
								   WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
	}
	ConditionVariableCancelSleep();
}

/* The main function of a worker. */
void
covertree_build_worker(dsm_segment *segment, shm_toc *toc)
{
	BuildShared *shared = shm_toc_lookup(toc, KEY_SHARED, false);
	WalUsage   *wal = shm_toc_lookup(toc, KEY_WAL, false);
	BufferUsage *buffers = shm_toc_lookup(toc, KEY_BUFFERS, false);
	LOCKMODE	heap_lock = shared->concurrent ? ShareUpdateExclusiveLock :
		ShareLock;
	LOCKMODE	index_lock = shared->concurrent ? RowExclusiveLock :
		AccessExclusiveLock;
	struct IndexInfo *info;
	Relation	heap;
	Relation	rel;
	CtGatherKept kept;

	debug_query_string = shm_toc_lookup(toc, KEY_QUERY, true);
	pgstat_report_activity(STATE_RUNNING, debug_query_string);
	heap = table_open(shared->heap, heap_lock);
	rel = index_open(shared->rel, index_lock);
	info = BuildIndexInfo(rel);
	info->ii_Concurrent = shared->concurrent;
	SharedFileSetAttach(&shared->files, segment);

	InstrStartParallelQuery();
	participate(shared, shm_toc_lookup(toc, KEY_SCAN, false), heap, rel, info,
				ParallelWorkerNumber + 1, 0, &kept);
	if (shared->log && ParallelWorkerNumber == 0)
		log_pages(shared, heap, rel);
	InstrEndParallelQuery(&buffers[ParallelWorkerNumber],
						  &wal[ParallelWorkerNumber]);
	index_close(rel, index_lock);
	table_close(heap, heap_lock);
}

/* -------- the leader -------- */

/* Adds a chunk of shared memory to those that will be allocated. */
static void
estimate(ParallelContext *context, Size bytes)
{
	shm_toc_estimate_chunk(&context->estimator, bytes);
	shm_toc_estimate_keys(&context->estimator, 1);
}

static void *
allocate(ParallelContext *context, uint64 key, Size bytes)
{
	void	   *chunk = shm_toc_allocate(context->toc, bytes);

	memset(chunk, 0, bytes);
	shm_toc_insert(context->toc, key, chunk);
	return chunk;
}

/*
 * Makes a parallel context with all that workers need.  Without shared memory
 * to be had, its seg is NULL.
 */
static ParallelContext *
make_context(Relation heap, Relation rel, bool concurrent, bool log,
			 Snapshot snapshot, int nworkers)
{
	ParallelContext *context = CreateParallelContext("covertree",
													 "covertree_build_worker",
													 nworkers);
	Size		shared_bytes = offsetof(BuildShared, outcomes) +
		sizeof(Outcome) * (nworkers + 1);
	Size		scan_bytes = table_parallelscan_estimate(heap, snapshot);
	Size		query_bytes = debug_query_string ?
		strlen(debug_query_string) + 1 : 0;
	ParallelTableScanDesc scan;
	BuildShared *shared;

	estimate(context, shared_bytes);
	estimate(context, scan_bytes);
	estimate(context, query_bytes);
	estimate(context, sizeof(WalUsage) * nworkers);
	estimate(context, sizeof(BufferUsage) * nworkers);
	InitializeParallelDSM(context);
	if (context->seg == NULL)
		return context;

	shared = allocate(context, KEY_SHARED, shared_bytes);
	shared->heap = RelationGetRelid(heap);
	shared->rel = RelationGetRelid(rel);
	shared->concurrent = concurrent;
	shared->log = log;
	pg_atomic_init_u32(&shared->dims, 0);
	pg_atomic_init_u64(&shared->seen, 0);
	SharedFileSetInit(&shared->files, context->seg);
	ConditionVariableInit(&shared->changed);
	pg_atomic_init_u32(&shared->nread, 0);
	pg_atomic_init_u32(&shared->written, 0);
	pg_atomic_init_u32(&shared->complete, 0);
	pg_atomic_init_u32(&shared->straight, InvalidBlockNumber);
	pg_atomic_init_u32(&shared->logged, CT_ROOT_BLOCK + 1);

	/* from the first block on, so that every process gets rising ones */
	scan = allocate(context, KEY_SCAN, scan_bytes);
	table_parallelscan_initialize(heap, scan, snapshot);
	scan->phs_syncscan = false;
	if (query_bytes > 0)
		memcpy(allocate(context, KEY_QUERY, query_bytes), debug_query_string,
			   query_bytes);
	allocate(context, KEY_WAL, sizeof(WalUsage) * nworkers);
	allocate(context, KEY_BUFFERS, sizeof(BufferUsage) * nworkers);
	return context;
}

/* Memory for what is merged. */
static Size
merge_bytes(void)
{
	return maintenance_work_mem * (Size) 1024 / MERGE_SHARE;
}

/* Opens the files of one kind that all processes have written. */
static CtGatherReader *
open_files(BuildShared *shared, int nprocesses, CtGatherKind kind,
		   const CtGatherKept *kept, size_t vector_bytes)
{
	uint64	   *counts = palloc(sizeof(uint64) * nprocesses);
	CtGatherReader *reader;

	for (int p = 0; p < nprocesses; p++)
		counts[p] = kind == CT_GATHER_ROWS ? shared->outcomes[p].points :
			shared->outcomes[p].nulls;
	reader = ct_gather_open(&shared->files.fs, kind, nprocesses, counts, kept,
							vector_bytes, merge_bytes());
	pfree(counts);
	return reader;
}

/*
 * Hands what all processes have written, and this one has kept, to the sink, points
 * first.
 */
static void
merge(BuildShared *shared, int nprocesses, const CtOpclass *opclass,
	  const CtGatherKept *kept, CtRowSink *sink)
{
	const CtGatherKept no_nulls = {NULL};
	int			dims = pg_atomic_read_u32(&shared->dims);
	CtGatherReader *reader;
	const CtGatherRun *runs;
	int			nruns;

	sink->expected = 0.0;
	for (int p = 0; p < nprocesses; p++)
		sink->expected += shared->outcomes[p].points;

	reader = open_files(shared, nprocesses, CT_GATHER_ROWS, kept,
						bytes_of_point(opclass, dims));
	while ((nruns = ct_gather_next(reader, &runs)) > 0)
		sink->take_runs(sink, dims, nruns, runs);
	ct_gather_close(reader);

	reader = open_files(shared, nprocesses, CT_GATHER_NULLS, &no_nulls, 0);
	while ((nruns = ct_gather_next(reader, &runs)) > 0)
		for (int r = 0; r < nruns; r++)
			for (size_t i = 0; i < runs[r].n; i++)
				sink->take(sink, 0, NULL, (ItemPointer)
						   (runs[r].records + i * ct_gather_record_bytes(0)));
	ct_gather_close(reader);
}

/* Adds what the workers did to this process's own counters. */
static void
add_usage(ParallelContext *context)
{
	WalUsage   *wal = shm_toc_lookup(context->toc, KEY_WAL, false);
	BufferUsage *buffers = shm_toc_lookup(context->toc, KEY_BUFFERS, false);

	for (int i = 0; i < context->nworkers_launched; i++)
		InstrAccumParallelQuery(&buffers[i], &wal[i]);
}

/*
 * Starts up to nworkers workers for reading the table and, if `log`, logging
 * pages.  Returns NULL if none is to be had.  The transaction is in parallel
 * mode from here to ct_parallel_end().
 */
CtParallelBuild *
ct_parallel_begin(Relation heap, Relation rel, struct IndexInfo *info,
				  int nworkers, bool log)
{
	CtParallelBuild *build = palloc(sizeof(CtParallelBuild));

	build->heap = heap;
	build->rel = rel;
	build->info = info;
	build->nprocesses = nworkers + 1;
	build->snapshot = SnapshotAny;
	EnterParallelMode();
	if (info->ii_Concurrent)
		build->snapshot = RegisterSnapshot(GetTransactionSnapshot());
	build->context = make_context(heap, rel, info->ii_Concurrent, log,
								  build->snapshot, nworkers);
	if (build->context->seg != NULL)
		LaunchParallelWorkers(build->context);
	if (build->context->nworkers_launched > 0)
	{
		build->shared = shm_toc_lookup(build->context->toc, KEY_SHARED, false);
		return build;
	}
	ct_parallel_end(build);
	return NULL;
}

/* Waits until all processes have read their shares. */
static void
wait_for_readers(CtParallelBuild *build)
{
	uint32		nreaders = build->context->nworkers_launched + 1;

	/* or else we would wait for ever for one that did not start */
	WaitForParallelWorkersToAttach(build->context);
	while (pg_atomic_read_u32(&build->shared->nread) < nreaders)
		ConditionVariableSleep(&build->shared->changed,
							   WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
	ConditionVariableCancelSleep();
}

/*
 * Reads the table by all processes, and hands the rows to the sink in the order
 * of the table.  Returns how many live rows there are.
 */
double
ct_parallel_read(CtParallelBuild *build, CtRowSink *sink)
{
	BuildShared *shared = build->shared;
	CtGatherKept kept;
	double		rows = 0.0;

	participate(shared, shm_toc_lookup(build->context->toc, KEY_SCAN, false),
				build->heap, build->rel, build->info, 0, merge_bytes(), &kept);
	wait_for_readers(build);
	for (int p = 0; p < build->nprocesses; p++)
	{
		rows += shared->outcomes[p].rows;
		if (shared->outcomes[p].broken_hot_chain)
			build->info->ii_BrokenHotChain = true;
	}
	merge(shared, build->nprocesses, ct_opclass(build->rel), &kept, sink);
	if (kept.records)
		pfree(kept.records);
	return rows;
}

/* Tells that pages before this one may be logged, when there are enough. */
static void
pages_written(void *arg, BlockNumber end)
{
	CtParallelBuild *build = arg;

	if (end < build->next_batch)
		return;
	build->next_batch = end + LOG_BATCH;
	pg_atomic_write_u32(&build->shared->written, end);
	ConditionVariableBroadcast(&build->shared->changed);
}

/*
 * Has pages of the index go straight to the file from here on, and a worker log
 * them.  Returns the first of them.
 */
BlockNumber
ct_parallel_write(CtParallelBuild *build, CtIndex *index)
{
	BuildShared *shared = build->shared;
	BlockNumber first = ct_append_straight(index, pages_written, build);

	/* what is in the server's buffers is left to this process */
	pg_atomic_write_u32(&shared->straight, first);
	pg_atomic_write_u32(&shared->logged, first);
	pg_write_barrier();
	build->next_batch = first + LOG_FIRST;
	return first;
}

/*
 * Tells that there are no more pages to come, so that workers end, and logs what
 * is left together with the first of them.  Returns the page from which on all
 * have been logged, or will be before the workers end.
 */
BlockNumber
ct_parallel_complete(CtParallelBuild *build)
{
	BuildShared *shared = build->shared;
	BlockNumber straight = pg_atomic_read_u32(&shared->straight);

	if (shared->log)
		pg_atomic_write_u32(&shared->written,
							RelationGetNumberOfBlocks(build->rel));
	pg_write_barrier();
	pg_atomic_write_u32(&shared->complete, 1);
	ConditionVariableBroadcast(&shared->changed);
	while (log_share(shared, build->rel))
		CHECK_FOR_INTERRUPTS();
	return straight == InvalidBlockNumber ? CT_ROOT_BLOCK + 1 : straight;
}

/* Waits for the workers to end.  If they fail, so does this. */
void
ct_parallel_end(CtParallelBuild *build)
{
	if (build->context->nworkers_launched > 0)
	{
		WaitForParallelWorkersToFinish(build->context);
		add_usage(build->context);
	}
	if (build->info->ii_Concurrent)
		UnregisterSnapshot(build->snapshot);
	DestroyParallelContext(build->context);
	ExitParallelMode();
	pfree(build);
}
