/*-------------------------------------------------------------------------
 *
 * ct_pack_write.c
 *	  Writing the pages of a tree that is being built (ct_pack.c).
 *
 * IDENTIFICATION
 *	  src/tree/ct_pack_write.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "utils/memutils.h"

#include "ct_pack_private.h"

/*
 * Leaves filled together, by all threads, at most, as long as they take no more
 * than a share of the memory.
 */
#define LEAF_BATCH			512
#define LEAF_SHARE			32

/* Stores the vectors of all rows; returns their addresses in tree order. */
static CtLocator *
store_vectors(CtPack *pack, ItemList *list)
{
	CtBulk	   *bulk = pack->bulk;
	CtLocator  *locators = ct_pack_allocate(pack, sizeof(CtLocator) * bulk->n);
	uint8	   *states = ct_pack_allocate(pack, bulk->n);
	CtVectors	vectors = {bulk->n, bulk->vectors, bulk->order, states};

	for (size_t row = 0; row < bulk->n; row++)
		states[row] = bulk->landmarks &&
			ct_landmarks_contain(bulk->landmarks, row) ? CT_VECTOR_PIVOT :
			CT_VECTOR_ROW;
	for (size_t i = list->nstubs; i < list->n; i++)
		if (list->items[i].n > 0)
			states[list->items[i].pivot] = CT_VECTOR_PIVOT;
	ct_vector_store_all(bulk->index, &vectors, locators, bulk->nthreads);
	for (size_t i = list->nstubs; i < list->n; i++)
		list->items[i].locator = locators[list->items[i].pivot];
	pfree(states);
	return locators;
}

/* first row of a leaf; cells follow each other in the order of rows */
static size_t
leaf_start(const ItemList *list, const PageRange *range)
{
	return list->items[range->first].first;
}

static int
leaf_rows(const ItemList *list, const PageRange *range)
{
	const PackItem *last = &list->items[range->first + range->n - 1];

	return last->first + last->n - leaf_start(list, range);
}

/* Chooses the bases of a residual index's leaves, now that these are known. */
void
ct_pack_choose_landmarks(CtBulk *bulk, const ItemList *list, const PageRange *ranges,
				 size_t npages)
{
	size_t	   *starts = MemoryContextAllocHuge(bulk->context,
												sizeof(size_t) * (npages + 1));

	for (size_t p = 0; p < npages; p++)
		starts[p] = leaf_start(list, &ranges[p]);
	starts[npages] = bulk->n;
	bulk->landmarks = ct_landmarks_choose(bulk, npages, starts);
	pfree(starts);
}

/* Writes a leaf's basis and its rows' shares. */
static void
put_basis(CtNode *node, const CtBulk *bulk, size_t leaf, size_t first_row,
		  const CtLocator *row_locators)
{
	const CtLandmarks *landmarks = bulk->landmarks;
	const CtLeafBasis *basis = ct_landmarks_basis(landmarks, leaf);
	CtLocator	pivots[CT_BASIS_SIZE];

	for (int k = 0; k < basis->fit.n; k++)
		pivots[k] = row_locators[basis->rows[k]];
	ct_basis_form(&basis->fit, pivots, node->basis);
	memcpy(node->knots, ct_landmarks_knots(bulk, leaf),
		   ct_knot_limits(bulk->index->space.model));
	ct_node_put_all_shares(node, ct_landmarks_shares(landmarks, first_row));
}

/* Writes the codes of a leaf's rows, and measures the box around these. */
static void
put_codes(CtPack *pack, const ItemList *list, PageRange *range, CtNode *node)
{
	CtIndex    *index = pack->bulk->index;
	size_t		first = leaf_start(list, range);
	int			n = node->header->nentries;
	double	   *points = palloc(sizeof(double) * index->point_size * n);

	for (int i = 0; i < n; i++)
		ct_bulk_point(pack->bulk, first + i,
					  points + (size_t) i * index->point_size);
	ct_leaf_code_all(index, node, points);
	ct_box_of_points(index, n, points, &range->box);
	pfree(points);
}

/* Copies the coordinates of rows [first, first + n) to a leaf's columns. */
static void
put_columns(const CtBulk *bulk, size_t first, int n, CtNode *node)
{
	size_t		element = bulk->element_size;
	size_t		stride = element * node->layout->capacity;

	for (int j = 0; j < bulk->index->point_size; j++)
		memcpy(node->points + j * stride,
			   bulk->columns + (j * bulk->size + first) * element,
			   n * element);
}

/*
 * Fills an empty leaf with the rows of a range, and measures the box around
 * points in columns; locators (by row) tells where external points are.  Runs
 * in any thread.
 */
static void
form_leaf(const CtPack *pack, const ItemList *list, PageRange *range,
		  const CtLocator *locators, CtNode *node)
{
	const CtBulk *bulk = pack->bulk;
	CtIndex    *index = bulk->index;
	size_t		first = leaf_start(list, range);
	int			n = leaf_rows(list, range);
	int			slot = 0;

	if (locators)
		memcpy(node->locators, locators + first, sizeof(CtLocator) * n);
	else
		put_columns(bulk, first, n, node);
	for (int i = 0; i < n; i++)
		node->tids[i] = bulk->tids[bulk->order[first + i]];
	for (size_t i = 0; i < range->n; i++)
	{
		const PackItem *item = &list->items[range->first + i];

		memset(node->cells + slot, item->root, item->n);
		slot += item->n;
	}
	node->header->nentries = n;
	if (index->routing.boxes && !index->external)
		ct_box_of_page(index, node, &range->box);
}

/* Fills n pages with the rows of leaves; empty is a leaf without rows. */
static void
form_leaves(const CtPack *pack, const ItemList *list, PageRange *ranges, int n,
			const CtLocator *locators, const PGAlignedBlock *empty,
			PGAlignedBlock *pages)
{
#pragma omp parallel for num_threads(pack->bulk->nthreads) schedule(dynamic, 8) if(n > 8)
	for (int i = 0; i < n; i++)
	{
		CtNode		node;

		memcpy(&pages[i], empty, BLCKSZ);
		ct_node_view(pack->bulk->index, pages[i].data, &node);
		form_leaf(pack, list, &ranges[i], locators, &node);
	}
}

/* How many leaves are filled together. */
static int
leaf_batch(const CtBulk *bulk)
{
	Size		room = bulk->memory / LEAF_SHARE / BLCKSZ;

	return Max(Min(room, LEAF_BATCH), 1);
}

/*
 * Writes leaves.  Cells follow each other in the order of rows, so that a leaf
 * is little more than copied.
 */
void
ct_pack_write_leaves(CtPack *pack, ItemList *list, PageRange *ranges, size_t npages)
{
	CtBulk	   *bulk = pack->bulk;
	CtIndex    *index = bulk->index;
	int			batch = Min(leaf_batch(bulk), npages);
	CtLocator  *locators = index->external ? store_vectors(pack, list) : NULL;
	PGAlignedBlock *pages = ct_pack_allocate(pack, sizeof(PGAlignedBlock) * batch);
	PGAlignedBlock empty;
	CtNode		node;

	ct_node_init(index, empty.data, CT_PAGE_LEAF, 1, 0, &node);
	for (size_t p = 0; p < npages; p += batch)
	{
		int			n = Min(batch, npages - p);
		BlockNumber block;

		form_leaves(pack, list, ranges + p, n, locators, &empty, pages);
		for (int i = 0; i < n; i++)
		{
			PageRange  *range = &ranges[p + i];

			CHECK_FOR_INTERRUPTS();
			ct_node_view(index, pages[i].data, &node);
			if (bulk->landmarks)
				put_basis(&node, bulk, p + i, leaf_start(list, range),
						  locators);
			if (index->coded)
				put_codes(pack, list, range, &node);
		}
		block = ct_append_pages(index, n, pages);
		for (int i = 0; i < n; i++)
			ranges[p + i].block = block + i;
	}
	pfree(pages);
	if (locators)
		pfree(locators);
}

/* Fills an empty routing page with the items of a range, and measures its box. */
static void
form_routing(CtPack *pack, ItemList *list, PageRange *range, CtNode *node)
{
	CtIndex    *index = pack->bulk->index;
	double	   *point = palloc(sizeof(double) * index->point_size);
	size_t		first = range->first;
	uint32		first_child = list->items[first].page;

	for (size_t i = 0; i < range->n; i++)
	{
		PackItem   *item = &list->items[first + i];
		CtEntryMeta *meta = &node->metas[i];
		uint32		link = item->page - first_child;

		if (!index->external)
			ct_pack_item_point(pack, list, first + i, point);
		ct_node_put_point(index, node, i, point, item->locator);
		node->radii[i] = item->radius;
		memset(meta, 0, sizeof(CtEntryMeta));
		meta->parent = item->promoted ? CT_NO_PARENT : item->parent - first;
		meta->level = item->level;
		meta->child = link;
		meta->child_root = item->child_root;
		meta->root = item->promoted ? item->root : 0;
		meta->flags = item->flags;
		if (link >= node->header->nchildren)
		{
			node->header->nchildren = link + 1;
			memset(&node->links[link], 0, sizeof(CtLink));
			node->links[link].block = list->blocks[item->page];
			node->links[link].incarnation = 1;
			node->links[link].version = 1;
			if (node->boxes)
				ct_box_put(index, node, link, &list->boxes[item->page]);
		}
	}
	node->header->nentries = range->n;
	if (node->boxes)
		ct_box_of_page(index, node, &range->box);
	pfree(point);
}

/* Writes one routing page with the items of a range; its number is put there. */
void
ct_pack_write_routing(CtPack *pack, ItemList *list, PageRange *range, int height)
{
	CtIndex    *index = pack->bulk->index;
	PGAlignedBlock page;
	CtNode		node;

	ct_node_init(index, page.data, CT_PAGE_ROUTING, 1, height, &node);
	form_routing(pack, list, range, &node);
	range->block = ct_append_pages(index, 1, &page);
}

/* Writes the root page with all items of a list. */
void
ct_pack_write_root(CtPack *pack, ItemList *list, int height)
{
	CtIndex    *index = pack->bulk->index;
	CtPin		pin = ct_pin(index, CT_ROOT_BLOCK, CT_LOCK_EXCLUSIVE);
	CtEdit	   *edit = ct_edit_begin(index);
	PageRange	all = {0};
	CtNode		node;

	all.n = list->n;
	ct_node_init(index, ct_edit_page(edit, pin, true), CT_PAGE_ROUTING, 1,
				 height, &node);
	form_routing(pack, list, &all, &node);
	ct_edit_commit(edit);
	ct_unpin(pin);
}
