/*-------------------------------------------------------------------------
 *
 * ct_build.c
 *	  Index build callbacks.
 *
 * IDENTIFICATION
 *	  src/am/ct_build.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "access/xloginsert.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "storage/bufmgr.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "ct_build.h"
#include "ct_tree.h"

/* rows read between two reports of progress */
#define REPORT_ROWS		1024

/* The sink of a build: takes rows, in the order of the table, for the tree. */
typedef struct BuildState
{
	CtRowSink	sink;
	CtIndex    *index;
	CtBulk	   *bulk;
	MemoryContext context;
	int			nworkers;		/* wanted */
	double		rows;
	double		nulls;
} BuildState;

/*
 * Fills the metadata of a new index.  Returns the model of a residual index,
 * else NULL.
 *
 * pg_upgrade restores indexes while the table of models is still empty: its
 * file comes later, as does that of the index.  What is made then stays only in
 * the init fork of an unlogged index, without a model (see ct_meta.c).
 */
static const CtModel *
fill_meta(Relation rel, const CtOpclass *opclass, CtMetaData *meta)
{
	const CtModel *model = NULL;

	memset(meta, 0, sizeof(CtMetaData));
	meta->magic = CT_MAGIC;
	meta->version = CT_FORMAT_VERSION;
	meta->metric = opclass->metric;
	meta->element = opclass->element;
	meta->strategy = ct_option_strategy(rel);
	meta->base = ct_option_base(rel);
	meta->nulls_head = InvalidBlockNumber;
	meta->nulls_tail = InvalidBlockNumber;
	if (opclass->metric == CT_METRIC_RESIDUAL)
	{
		const char *name = ct_option_model(rel);

		meta->min_variance = get_float8_infinity();
		if (IsBinaryUpgrade)
			return NULL;
		model = ct_model_by_name(name);
		meta->model_bytes = model->bytes;
		meta->model_pages = ct_model_page_count(model);
		memcpy(meta->model_fingerprint, model->fingerprint,
			   CT_FINGERPRINT_BYTES);
		meta->min_variance = model->variance + model->nugget;
	}
	return model;
}

/*
 * Writes metapage, root page and model (or NULL) of an empty index into a
 * fork.
 */
static void
write_empty(Relation rel, ForkNumber fork, const CtMetaData *meta,
			const CtModel *model, bool log)
{
	for (BlockNumber block = CT_META_BLOCK;
		 block <= CT_ROOT_BLOCK + meta->model_pages; block++)
	{
		Buffer		buffer = ReadBufferExtended(rel, fork, P_NEW, RBM_NORMAL, NULL);
		Page		page = BufferGetPage(buffer);

		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		Assert(BufferGetBlockNumber(buffer) == block);
		START_CRIT_SECTION();
		if (block == CT_META_BLOCK)
			ct_meta_init_page(page, meta);
		else if (block == CT_ROOT_BLOCK)
			ct_root_init_page(page, meta->shape);
		else
			ct_model_write_page(page, model, block - CT_ROOT_BLOCK - 1);
		MarkBufferDirty(buffer);
		if (log)
			log_newpage_buffer(buffer, false);
		END_CRIT_SECTION();
		UnlockReleaseBuffer(buffer);
	}
}

void
ctbuildempty(Relation rel)
{
	CtMetaData	meta;
	const CtModel *model = fill_meta(rel, ct_opclass(rel), &meta);

	write_empty(rel, INIT_FORKNUM, &meta, model, true);
}

static void
report_phase(int phase)
{
	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, phase);
}

/* -------- reading the table -------- */

/* Counts rows; tells who watches how many there are by now. */
static void
report_rows(CtTableReader *reader)
{
	uint64		seen = pg_atomic_add_fetch_u64(reader->seen, reader->pending);

	reader->pending = 0;
	if (reader->progress)
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, seen);
}

static void
read_row(Relation rel, ItemPointer tid, Datum *values, bool *isnull,
		 bool alive, void *arg)
{
	CtTableReader *reader = arg;
	CtPointRef	point;

	if (isnull[0])
		reader->sink->take(reader->sink, 0, NULL, tid);
	else
	{
		bool		as_float;

		ct_point_open(values[0], reader->opclass->column_type, &point);
		as_float = reader->opclass->element == CT_ELEMENT_FLOAT4 &&
			reader->opclass->metric != CT_METRIC_RESIDUAL;
		reader->sink->take(reader->sink, point.dim, as_float ?
						   (const void *) point.f32 : ct_point_f64(&point),
						   tid);
		ct_point_close(&point);
	}
	if (++reader->pending == REPORT_ROWS)
		report_rows(reader);
}

/*
 * Hands the rows of the table, or of one process's share of a parallel scan, to
 * the reader's sink.  The order does not depend on where other scans are, so
 * that the tree does not either.  Returns how many live rows there are.
 */
double
ct_build_read(CtTableReader *reader, TableScanDesc scan)
{
	double		rows;

	reader->opclass = ct_opclass(reader->rel);
	reader->pending = 0;
	rows = table_index_build_scan(reader->heap, reader->rel, reader->info,
								  scan != NULL, reader->progress, read_row,
								  reader, scan);
	report_rows(reader);
	return rows;
}

/* -------- building -------- */

/* A point of this dimension is about to come: checks it, or settles it. */
static void
expect_dims(BuildState *state, int dims)
{
	CtIndex    *index = state->index;

	if (index->meta.dims == 0)
	{
		MemoryContext old = MemoryContextSwitchTo(state->context);

		ct_check_dims(index, dims);
		ct_meta_set_dims(index, dims);
		state->bulk = ct_bulk_begin(index, maintenance_work_mem * (Size) 1024,
									state->nworkers, state->sink.expected,
									!ct_option_nets(index->rel));
		MemoryContextSwitchTo(old);
	}
	if (dims != index->meta.dims)
		ct_dims_mismatch(index->meta.dims, dims);
}

static void
take_row(CtRowSink *sink, int dims, const void *vector, ItemPointer tid)
{
	BuildState *state = (BuildState *) sink;

	if (dims == 0)
	{
		ct_nulls_insert(state->index, tid);
		state->nulls++;
		return;
	}
	expect_dims(state, dims);
	ct_bulk_add(state->bulk, vector, tid);
	state->rows++;
}

static void
take_runs(CtRowSink *sink, int dims, int nruns, const CtGatherRun *runs)
{
	BuildState *state = (BuildState *) sink;

	expect_dims(state, dims);
	ct_bulk_add_runs(state->bulk, nruns, runs);
	state->rows += runs[nruns - 1].first + runs[nruns - 1].n;
}

/* Reads the table without other processes. */
static double
read_alone(Relation heap, Relation rel, struct IndexInfo *info,
		   CtRowSink *sink)
{
	CtTableReader reader = {heap, rel, info, sink};
	pg_atomic_uint64 seen;

	pg_atomic_init_u64(&seen, 0);
	reader.seen = &seen;
	reader.progress = true;
	return ct_build_read(&reader, NULL);
}

IndexBuildResult *
ctbuild(Relation heap, Relation rel, struct IndexInfo *info)
{
	IndexBuildResult *result = palloc0(sizeof(IndexBuildResult));
	BuildState	state = {0};
	CtMetaData	meta;
	const CtModel *model;
	CtParallelBuild *parallel = NULL;
	BlockNumber unlogged = InvalidBlockNumber;
	double		rows;

	if (RelationGetNumberOfBlocks(rel) != 0)
		elog(ERROR, "index \"%s\" already contains data",
			 RelationGetRelationName(rel));

	state.sink.take = take_row;
	state.sink.take_runs = take_runs;
	state.sink.expected = Max(heap->rd_rel->reltuples, 0.0);
	state.context = AllocSetContextCreate(CurrentMemoryContext,
										  "Cover tree build context",
										  ALLOCSET_DEFAULT_SIZES);
	state.nworkers = plan_create_index_workers(RelationGetRelid(heap),
											   RelationGetRelid(rel));

	model = fill_meta(rel, ct_opclass(rel), &meta);
	write_empty(rel, MAIN_FORKNUM, &meta, model, false);
	state.index = ct_index_open(rel);
	state.index->unlogged_build = true;

	report_phase(CT_PHASE_LOAD);
	if (state.nworkers > 0)
		parallel = ct_parallel_begin(heap, rel, info, state.nworkers,
									 RelationNeedsWAL(rel));
	rows = parallel ? ct_parallel_read(parallel, &state.sink) :
		read_alone(heap, rel, info, &state.sink);
	if (state.bulk)
	{
		MemoryContext old = MemoryContextSwitchTo(state.context);

		/* no page that a residual or a plain build has written changes any more */
		if (RelationNeedsWAL(rel) && !state.index->coded)
			unlogged = parallel ? ct_parallel_write(parallel, state.index) :
				ct_append_straight(state.index, NULL, NULL);
		ct_bulk_finish(state.bulk, report_phase);
		MemoryContextSwitchTo(old);
	}
	/* the memory of the rows serves the log's files */
	if (state.bulk)
		ct_bulk_end(state.bulk);
	report_phase(CT_PHASE_LOG);
	if (parallel)
		unlogged = ct_parallel_complete(parallel);
	ct_meta_update_counts(state.index, state.rows, state.nulls, 0, 0);
	ct_log_build(state.index, unlogged);
	MemoryContextDelete(state.context);
	if (parallel)
		ct_parallel_end(parallel);

	result->heap_tuples = rows;
	result->index_tuples = state.rows + state.nulls;
	return result;
}
