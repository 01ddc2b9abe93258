/*-------------------------------------------------------------------------
 *
 * ct_meta.c
 *	  The metapage and the open index that is derived from it.
 *
 * IDENTIFICATION
 *	  src/page/ct_meta.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "utils/memutils.h"
#include "utils/rel.h"

#include "ct_page.h"
#include "ct_point.h"

void
ct_meta_init_page(Page page, const CtMetaData *meta)
{
	ct_page_init(page, CT_PAGE_META, 0);
	*ct_meta(page) = *meta;
}

/* Largest dimension: one vector must fit a page. */
int
ct_max_dims(CtElement element)
{
	int			fitting = (BLCKSZ - CT_VECTOR_OFFSET - sizeof(CtSpecialData)) /
		ct_element_size(element);

	return Min(fitting, CT_MAX_DIMS);
}

/* -------- the model of a residual index -------- */

int
ct_model_page_count(const CtModel *model)
{
	return (model->bytes + CT_MODEL_SPACE - 1) / CT_MODEL_SPACE;
}

/* Fills page number part of a model. */
void
ct_model_write_page(Page page, const CtModel *model, int part)
{
	size_t		from = (size_t) part * CT_MODEL_SPACE;

	ct_page_init(page, CT_PAGE_MODEL, 1);
	memcpy((char *) page + CT_NODE_OFFSET, (const char *) model + from,
		   Min(model->bytes - from, CT_MODEL_SPACE));
}

static const CtModel *
read_model(CtIndex *index)
{
	CtMetaData *meta = &index->meta;
	char	   *image = MemoryContextAllocHuge(CurrentMemoryContext,
											   meta->model_bytes);
	const CtModel *model;

	for (uint32 part = 0; part < meta->model_pages; part++)
	{
		BlockNumber block = CT_ROOT_BLOCK + 1 + part;
		CtPin		pin = ct_pin(index, block, CT_LOCK_SHARE);
		size_t		from = (size_t) part * CT_MODEL_SPACE;

		if (ct_page_kind(ct_pin_page(pin)) != CT_PAGE_MODEL)
			ct_page_corrupted(index, block, "A part of the model is not there.");
		memcpy(image + from, (char *) ct_pin_page(pin) + CT_NODE_OFFSET,
			   Min(meta->model_bytes - from, CT_MODEL_SPACE));
		ct_unpin(pin);
	}
	model = ct_model_keep((CtModel *) image, meta->model_bytes);
	if (model == NULL ||
		memcmp(model->fingerprint, meta->model_fingerprint,
			   CT_FINGERPRINT_BYTES) != 0)
		ct_page_corrupted(index, CT_ROOT_BLOCK + 1,
						  "The index's copy of its model is damaged.");
	pfree(image);
	return model;
}

/*
 * The model of a residual index, for points of its dimension if that is known.
 * Valid until the end of the transaction.
 */
const CtModel *
ct_index_model(CtIndex *index)
{
	const CtModel *model = ct_model_cached(index->meta.model_fingerprint,
										   index->meta.dims);

	if (model)
		return model;
	model = index->meta.model_pages > 0 ? read_model(index) :
		ct_model_by_name(ct_option_model(index->rel));
	if (index->meta.dims > 0 && model->dims != index->meta.dims)
		model = ct_model_for_dims(model, index->meta.dims, NULL);
	return model;
}

/*
 * How wrong a correlation may be that was computed for rows of the index:
 * most for the smallest residual variance.
 */
static void
set_slack(CtIndex *index)
{
	const CtModel *model = index->space.model;
	double		variance = Min(index->meta.min_variance, model->variance);

	index->space.slack = ct_model_slack(model, variance, variance);
	index->cover.slack = index->space.slack;
	if (index->shape.model)
		index->shape.slack = index->space.slack;
}

/*
 * Takes note of rows with smaller residual variances that were added since.
 * Whoever computes a radius asks after having read the pivot: a row can be
 * read only after its variance was noted.  True if something has changed.
 */
bool
ct_index_follow_variance(CtIndex *index)
{
	double		variance;

	if (index->space.model == NULL)
		return false;
	variance = ct_peek_variance(index);
	if (!(variance < index->meta.min_variance))
		return false;
	index->meta.min_variance = variance;
	set_slack(index);
	return true;
}

/*
 * Notes that a row with this residual variance is going to be added.  The
 * caller holds no lock.
 */
void
ct_meta_lower_variance(CtIndex *index, double variance)
{
	CtPin		pin;

	if (variance >= ct_peek_variance(index))
		return;
	pin = ct_pin(index, CT_META_BLOCK, CT_LOCK_EXCLUSIVE);
	if (variance < ct_meta(ct_pin_page(pin))->min_variance)
	{
		CtEdit	   *edit = ct_edit_begin(index);

		ct_meta(ct_edit_page(edit, pin, false))->min_variance = variance;
		ct_edit_commit(edit);
	}
	ct_unpin(pin);
}

/* -------- the open index -------- */

/*
 * Makes points of the index (n x point_size) of locations (n x dims): for the
 * residual metric, records.
 */
void
ct_index_expand(CtIndex *index, size_t n, const double *locations,
				double *points)
{
	const CtModel *model = index->space.model;
	double	   *work;

	if (model == NULL)
	{
		memcpy(points, locations, sizeof(double) * n * index->point_size);
		return;
	}
	work = palloc(sizeof(double) * ct_model_work_size(model));
	ct_model_expand(model, index->space.kernels, n, locations, points, work);
	pfree(work);
}

/* Prepares the spaces of a residual index. */
static void
set_residual_spaces(CtIndex *index)
{
	const CtModel *model = ct_index_model(index);
	bool		proxy = index->meta.strategy == CT_STRATEGY_SPATIAL_PROXY;

	ct_space_set_model(&index->space, model);
	index->cover = index->space;
	index->shape = index->space;
	if (proxy)
		ct_space_init(&index->shape, &ct_metric_euclidean, index->space.kernels,
					  CT_ELEMENT_FLOAT8, index->meta.dims, index->meta.base);
	else
		index->shape.without_nugget = model->nugget > 0.0;
	index->shape_is_cover = !proxy && !index->shape.without_nugget;
	set_slack(index);
}

/* Fixes dimension and all that follows from it. */
void
ct_index_set_shape(CtIndex *index, int dims)
{
	const CtMetric *metric = ct_metric_lookup(index->meta.metric);
	bool		residual = index->meta.metric == CT_METRIC_RESIDUAL;

	index->meta.dims = dims;
	ct_space_init(&index->space, metric, ct_kernels(),
				  residual ? CT_ELEMENT_FLOAT8 :
				  (CtElement) index->meta.element, dims, index->meta.base);
	index->cover = index->space;
	index->cover.element = CT_ELEMENT_FLOAT8;
	index->shape = index->cover;
	index->shape_is_cover = true;
	if (residual && dims > 0)
		set_residual_spaces(index);
	index->point_size = index->space.size;
	index->vector_bytes = index->point_size *
		ct_element_size(index->space.element);
	if (dims > 0)
		ct_layout_init(index);
}

static void
check_meta(CtIndex *index, const CtMetaData *meta)
{
	if (meta->magic != CT_MAGIC)
		ct_page_corrupted(index, CT_META_BLOCK,
						  "The metapage is not that of a covertree index.");
	if (meta->version != CT_FORMAT_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has format version %u",
						RelationGetRelationName(index->rel), meta->version),
				 errdetail("This version of covertree reads format version %d.",
						   CT_FORMAT_VERSION),
				 errhint("Please REINDEX it.")));
	if (ct_metric_lookup(meta->metric) == NULL ||
		(meta->element != CT_ELEMENT_FLOAT8 &&
		 meta->element != CT_ELEMENT_FLOAT4) ||
		(meta->metric == CT_METRIC_EUCLIDEAN &&
		 meta->dims > ct_max_dims((CtElement) meta->element)) ||
		meta->dims > CT_MAX_DIMS || meta->strategy > CT_STRATEGY_SPATIAL_PROXY ||
		(meta->metric == CT_METRIC_RESIDUAL &&
		 ((meta->model_pages > 0 && meta->model_bytes < sizeof(CtModel)) ||
		  meta->model_bytes > (uint64) meta->model_pages * CT_MODEL_SPACE ||
		  !(meta->min_variance > 0.0))) ||
		!(meta->base >= CT_MIN_BASE && meta->base <= CT_MAX_BASE))
		ct_page_corrupted(index, CT_META_BLOCK,
						  "The metapage describes no valid index.");
}

/*
 * Takes over what the metapage says.  A residual index without a model is one
 * that a crash has reset to what pg_upgrade left (ct_build.c): it has that of its
 * name, which the table of models keeps as long as the index names it.
 */
static void
adopt_meta(CtIndex *index, const CtMetaData *meta)
{
	index->meta = *meta;
	if (meta->metric == CT_METRIC_RESIDUAL && meta->model_pages == 0 &&
		!IsBinaryUpgrade)
		memcpy(index->meta.model_fingerprint,
			   ct_model_by_name(ct_option_model(index->rel))->fingerprint,
			   CT_FINGERPRINT_BYTES);
	ct_index_set_shape(index, meta->dims);
}

/* Leaves what is known of the index, with its frame, for the next to open it. */
static void
remember(CtIndex *index)
{
	Relation	rel = index->rel;
	size_t		frame_bytes = index->frame ? ct_frame_bytes(index->meta.dims) : 0;
	CtIndex    *cached = MemoryContextAlloc(rel->rd_indexcxt,
											MAXALIGN(sizeof(CtIndex)) + frame_bytes);

	*cached = *index;
	cached->rel = NULL;
	cached->context = NULL;
	cached->unlogged_build = false;
	cached->straight = false;
	if (index->frame)
	{
		cached->frame = (CtFrame *) ((char *) cached + MAXALIGN(sizeof(CtIndex)));
		memcpy((void *) cached->frame, index->frame, frame_bytes);
	}
	if (rel->rd_amcache)
		pfree(rel->rd_amcache);
	rel->rd_amcache = cached;
}

/* Reads the metapage again. */
void
ct_index_refresh(CtIndex *index)
{
	CtPin		pin = ct_pin(index, CT_META_BLOCK, CT_LOCK_SHARE);
	CtMetaData	meta;
	Page		page = ct_pin_page(pin);

	meta = *ct_meta(page);
	ct_unpin(pin);
	check_meta(index, &meta);
	if (meta.shape != index->meta.shape)
	{
		index->vector_hint = InvalidBlockNumber;
		index->frame = NULL;
	}
	adopt_meta(index, &meta);
	remember(index);
}

/*
 * Has the index this dimension?  What is known of it may be out of date, so the
 * metapage is asked before the answer is no.
 */
bool
ct_index_has_dims(CtIndex *index, int dims)
{
	if (index->meta.dims != dims)
		ct_index_refresh(index);
	return index->meta.dims == dims;
}

/*
 * Opens an index for the tree.  The result lives in the current memory
 * context; the relation cache keeps the metadata until it is invalidated.
 * They may be out of date when the dimension has been freed since, which the
 * root page tells (ct_page_has_shape).  That of a residual index is read each
 * time, since it is small against any work with a model and tells how small
 * residual variances have become.
 */
CtIndex *
ct_index_open(Relation rel)
{
	CtIndex    *index = palloc0(sizeof(CtIndex));
	CtIndex    *cached = rel->rd_amcache;

	if (cached && cached->meta.dims > 0 &&
		cached->meta.metric == CT_METRIC_EUCLIDEAN)
	{
		*index = *cached;
		index->rel = rel;
		index->context = CurrentMemoryContext;
		index->frame = NULL;
		if (cached->frame)
			ct_index_copy_frame(index, cached->frame);
		else if (index->coded && ct_index_find_frame(index))
			remember(index);
		index->space.kernels = ct_kernels();
		index->cover.kernels = index->shape.kernels = index->space.kernels;
		return index;
	}

	index->rel = rel;
	index->context = CurrentMemoryContext;
	index->vector_hint = cached ? cached->vector_hint : InvalidBlockNumber;
	index->nblocks = cached ? cached->nblocks : 0;
	if (cached)
		index->meta.shape = cached->meta.shape;
	ct_index_refresh(index);
	if (index->coded && ct_index_find_frame(index))
		remember(index);
	return index;
}

/* Tells later scans of this backend how many rows one has returned. */
void
ct_index_keep_scan_rows(CtIndex *index, int64 rows)
{
	CtIndex    *cached = index->rel->rd_amcache;

	index->scan_rows = rows;
	if (cached)
		cached->scan_rows = rows;
}

/*
 * Fixes the dimension of a still empty index, unless another backend has
 * done so first; the caller compares index->meta.dims afterwards.
 */
void
ct_meta_set_dims(CtIndex *index, int dims)
{
	CtPin		pin = ct_pin(index, CT_META_BLOCK, CT_LOCK_EXCLUSIVE);
	CtMetaData	meta;

	if (ct_meta(ct_pin_page(pin))->dims == 0)
	{
		CtEdit	   *edit = ct_edit_begin(index);

		ct_meta(ct_edit_page(edit, pin, false))->dims = dims;
		ct_edit_commit(edit);
	}
	meta = *ct_meta(ct_pin_page(pin));
	ct_unpin(pin);
	adopt_meta(index, &meta);
}

/* An empty root page; columns do not exist before the dimension is known. */
void
ct_root_init_page(Page page, uint32 shape)
{
	ct_page_init(page, CT_PAGE_ROUTING, 1);
	ct_special(page)->shape = shape;
	ct_node_header(page)->height = 1;
	ct_node_header(page)->version = 1;
	ct_node_header(page)->right = InvalidBlockNumber;
}

/*
 * Frees the dimension of an index if its tree is empty (see src/README.md,
 * "Freeing the dimension"); true if it was.  Vector pages are of another shape
 * then, and to be freed by the caller.  For vacuum, of which there is one at a
 * time; it holds no page lock.
 */
bool
ct_meta_free_dims(CtIndex *index)
{
	CtPin		meta_pin = ct_pin(index, CT_META_BLOCK, CT_LOCK_EXCLUSIVE);
	CtPin		root_pin = ct_pin(index, CT_ROOT_BLOCK, CT_LOCK_EXCLUSIVE);
	bool		empty;

	empty = ct_meta(ct_pin_page(meta_pin))->dims > 0 &&
		ct_page_kind(ct_pin_page(root_pin)) == CT_PAGE_ROUTING &&
		ct_node_header(ct_pin_page(root_pin))->nchildren == 0;
	if (empty)
	{
		CtEdit	   *edit = ct_edit_begin(index);
		CtMetaData *meta = ct_meta(ct_edit_page(edit, meta_pin, false));

		meta->dims = 0;
		meta->frame_block = 0;
		meta->shape++;
		ct_root_init_page(ct_edit_page(edit, root_pin, true), meta->shape);
		ct_edit_commit(edit);
	}
	ct_unpin(root_pin);
	ct_unpin(meta_pin);
	if (empty)
		ct_index_refresh(index);
	return empty;
}

/* Tells other backends whether freed pages may be used again. */
void
ct_meta_set_vacuuming(CtIndex *index, bool vacuuming)
{
	CtPin		pin = ct_pin(index, CT_META_BLOCK, CT_LOCK_EXCLUSIVE);

	if (ct_meta(ct_pin_page(pin))->vacuuming != (uint32) vacuuming)
	{
		CtEdit	   *edit = ct_edit_begin(index);

		ct_meta(ct_edit_page(edit, pin, false))->vacuuming = vacuuming;
		ct_edit_commit(edit);
	}
	ct_unpin(pin);
}

/* Records what a build or vacuum has counted. */
void
ct_meta_update_counts(CtIndex *index, double rows, double nulls,
					  uint32 routing_pages, uint32 leaf_pages)
{
	CtPin		pin = ct_pin(index, CT_META_BLOCK, CT_LOCK_EXCLUSIVE);
	CtEdit	   *edit = ct_edit_begin(index);
	CtMetaData *meta = ct_meta(ct_edit_page(edit, pin, false));

	meta->rows = rows;
	meta->nulls = nulls;
	meta->routing_pages = routing_pages;
	meta->leaf_pages = leaf_pages;
	ct_edit_commit(edit);
	ct_unpin(pin);
}
