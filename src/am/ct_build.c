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

#include <unistd.h>

#include "access/tableam.h"
#include "access/xloginsert.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "nodes/execnodes.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "ct_am.h"
#include "ct_tree.h"

typedef struct BuildState
{
	Relation	heap;
	Relation	rel;
	CtIndex    *index;
	const CtOpclass *opclass;
	CtBulk	   *bulk;
	MemoryContext context;
	int			nthreads;
	double	   *point;
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

static void
build_row(Relation rel, ItemPointer tid, Datum *values, bool *isnull,
		  bool alive, void *arg)
{
	BuildState *state = arg;
	CtIndex    *index = state->index;
	int			dims;

	if (isnull[0])
	{
		ct_nulls_insert(index, tid);
		state->nulls++;
		return;
	}
	dims = ct_point_read(values[0], state->opclass->column_type, state->point);
	if (index->meta.dims == 0)
	{
		MemoryContext old = MemoryContextSwitchTo(state->context);

		ct_check_dims(index, dims);
		ct_meta_set_dims(index, dims);
		state->bulk = ct_bulk_begin(index, maintenance_work_mem * (Size) 1024,
									state->nthreads);
		MemoryContextSwitchTo(old);
	}
	if (dims != index->meta.dims)
		ct_dims_mismatch(index->meta.dims, dims);
	ct_bulk_add(state->bulk, state->point, tid);
	state->rows++;
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE,
								 (int64) (state->rows + state->nulls));
}

IndexBuildResult *
ctbuild(Relation heap, Relation rel, struct IndexInfo *info)
{
	IndexBuildResult *result = palloc0(sizeof(IndexBuildResult));
	BuildState	state = {0};
	CtMetaData	meta;
	const CtModel *model;
	double		rows;

	if (RelationGetNumberOfBlocks(rel) != 0)
		elog(ERROR, "index \"%s\" already contains data",
			 RelationGetRelationName(rel));

	state.heap = heap;
	state.rel = rel;
	state.opclass = ct_opclass(rel);
	state.context = AllocSetContextCreate(CurrentMemoryContext,
										  "Cover tree build context",
										  ALLOCSET_DEFAULT_SIZES);
	state.nthreads = 1 +
		plan_create_index_workers(RelationGetRelid(heap), RelationGetRelid(rel));
	state.nthreads = Min(state.nthreads,
						 Max((int) sysconf(_SC_NPROCESSORS_ONLN), 1));
	state.point = palloc(sizeof(double) * CT_MAX_DIMS);

	model = fill_meta(rel, state.opclass, &meta);
	write_empty(rel, MAIN_FORKNUM, &meta, model, false);
	state.index = ct_index_open(rel);
	state.index->unlogged_build = true;

	report_phase(CT_PHASE_LOAD);
	rows = table_index_build_scan(heap, rel, info, true, true, build_row,
								  &state, NULL);
	if (state.bulk)
	{
		MemoryContext old = MemoryContextSwitchTo(state.context);

		ct_bulk_finish(state.bulk, report_phase);
		MemoryContextSwitchTo(old);
	}
	ct_meta_update_counts(state.index, state.rows, state.nulls, 0, 0);
	report_phase(CT_PHASE_LOG);
	ct_log_build(state.index);
	pfree(state.point);
	MemoryContextDelete(state.context);

	result->heap_tuples = rows;
	result->index_tuples = state.rows + state.nulls;
	return result;
}
