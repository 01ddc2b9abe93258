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

#include "ct_am.h"
#include "ct_page.h"

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

/* Fixes dimension and all that follows from it. */
void
ct_index_set_shape(CtIndex *index, int dims)
{
	const CtMetric *metric = ct_metric_lookup(index->meta.metric);

	index->meta.dims = dims;
	ct_space_init(&index->space, metric, ct_kernels(),
				  (CtElement) index->meta.element, dims, index->meta.base);
	index->vector_bytes = dims * ct_element_size(index->space.element);
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
		meta->dims > ct_max_dims((CtElement) meta->element) ||
		!(meta->base >= CT_MIN_BASE && meta->base <= CT_MAX_BASE))
		ct_page_corrupted(index, CT_META_BLOCK,
						  "The metapage describes no valid index.");
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
	index->meta = meta;
	ct_index_set_shape(index, meta.dims);
}

/*
 * Opens an index for the tree.  The result lives in the current memory
 * context; the relation cache keeps the metadata until it is invalidated.
 */
CtIndex *
ct_index_open(Relation rel)
{
	CtIndex    *index = palloc0(sizeof(CtIndex));
	CtIndex    *cached = rel->rd_amcache;

	if (cached && cached->meta.dims > 0)
	{
		*index = *cached;
		index->rel = rel;
		index->space.kernels = ct_kernels();
		return index;
	}

	index->rel = rel;
	index->vector_hint = InvalidBlockNumber;
	ct_index_refresh(index);
	if (cached == NULL)
		rel->rd_amcache = cached = MemoryContextAlloc(rel->rd_indexcxt,
													  sizeof(CtIndex));
	*cached = *index;
	cached->rel = NULL;
	return index;
}

/*
 * Fixes the dimension of a still empty index, unless another backend has
 * done so first; the caller compares index->meta.dims afterwards.
 */
void
ct_meta_set_dims(CtIndex *index, int dims)
{
	CtPin		pin = ct_pin(index, CT_META_BLOCK, CT_LOCK_EXCLUSIVE);

	if (ct_meta(ct_pin_page(pin))->dims == 0)
	{
		CtEdit	   *edit = ct_edit_begin(index);

		ct_meta(ct_edit_page(edit, pin, false))->dims = dims;
		ct_edit_commit(edit);
	}
	dims = ct_meta(ct_pin_page(pin))->dims;
	ct_unpin(pin);
	ct_index_set_shape(index, dims);
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
