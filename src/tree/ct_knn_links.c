/*-------------------------------------------------------------------------
 *
 * ct_knn_links.c
 *	  Bulk search by codes: links to leaves, and the leaves in memory.
 *
 * Links are all those to leaves, as many at a time as there is room for, in the
 * order of the tree.  Leaves are copied when they are wanted, and kept until
 * others need the room.
 *
 * IDENTIFICATION
 *	  src/tree/ct_knn_links.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "ct_knn_codes.h"

/* products of coordinates in a parallel region, not much more */
#define REGION_WORK			2e8

/* Makes room for links, for so many blocks of queries, and for leaves. */
void
ct_codes_create_links(CtCodes *engine, size_t memory, size_t leaf_memory,
					  int nblocks)
{
	CtCodesLinks *links = &engine->links;

	links->size = memory / (sizeof(CtCodeLink) + sizeof(CtLink) +
							2 * sizeof(uint64) * nblocks);
	links->size = Min(links->size, ct_block_count(engine->index));
	links->size = Max(links->size, 1);
	links->entries = ct_allocate(engine->context, links->size,
								 sizeof(CtCodeLink));
	links->where = ct_allocate(engine->context, links->size, sizeof(CtLink));
	links->wanted = ct_allocate(engine->context, links->size * nblocks,
								2 * sizeof(uint64));
	links->limit = leaf_memory;
	links->context = AllocSetContextCreate(engine->context,
										   "Covertree bulk search leaves",
										   ALLOCSET_DEFAULT_SIZES);
}

/* -------- leaves -------- */

/* A leaf that is being read. */
typedef struct Loading
{
	CtCodes    *engine;
	CtCodeLink *link;
	bool		stale;			/* it was no leaf */
} Loading;

/* Copies the rows of a leaf that the snapshot sees. */
static void
load_page(void *arg, const CtNode *node, const ItemPointerData *seen)
{
	Loading    *loading = arg;
	CtIndex    *index = loading->engine->index;
	CtCodesLinks *links = &loading->engine->links;
	CtGridView	view;
	CtCodeLeaf *leaf;
	int			kept[CT_CODE_LEAF_ROWS];
	int			n = 0;
	size_t		bytes;

	if (node->header->height > 0)
	{
		loading->stale = true;	/* the root has grown */
		return;
	}
	for (int i = 0; i < node->header->nentries; i++)
		if (ItemPointerIsValid(&seen[i]))
			kept[n++] = i;
	if (n == 0)
		return;
	ct_leaf_grid(index, node, &view);
	bytes = ct_code_leaf_bytes(index->meta.dims, n);
	leaf = ct_code_leaf_make(ct_allocate_lines(links->context, bytes),
							 index->space.kernels, &view,
							 loading->engine->origin, node->codes,
							 node->layout->capacity, node->header->nentries,
							 n, kept);
	for (int i = 0; i < n; i++)
	{
		leaf->keys[i] = ct_knn_key(&node->tids[kept[i]], &seen[kept[i]]);
		leaf->places[i] = ct_codes_place(node->locators[kept[i]]);
	}
	leaf->next = loading->link->leaf;
	loading->link->leaf = leaf;
	links->bytes += bytes + CT_CACHE_LINE;
}

static void
drop_leaves(CtCodesLinks *links)
{
	for (size_t l = 0; l < links->n; l++)
	{
		links->entries[l].loaded = false;
		links->entries[l].leaf = NULL;
	}
	MemoryContextReset(links->context);
	links->bytes = 0;
}

/* Pairs of queries and links that are wanted, of one link. */
static int64
count_wanted(const CtCodes *engine, size_t number)
{
	int64		n = 0;

	for (int b = 0; b < engine->group.nblocks; b++)
		n += pg_popcount64(engine->group.blocks[b].wanted[number]);
	return n;
}

/*
 * Loads leaves that are wanted, from number first on, until memory is full or
 * this is work enough; *last becomes the number of the next one, and *work how
 * many products of coordinates there are.  False if links are stale.
 */
bool
ct_codes_load_leaves(CtCodes *engine, size_t first, size_t *last, double *work)
{
	CtCodesLinks *links = &engine->links;
	double		most = REGION_WORK * engine->knn->nthreads;
	double		pair = (double) engine->index->leaf.capacity *
		engine->index->meta.dims;
	size_t		l = first;

	*work = 0.0;
	for (; l < links->n && *work < most; l++)
	{
		Loading		loading = {engine, &links->entries[l]};
		int64		wanted = count_wanted(engine, l);

		if (wanted == 0)
			continue;
		if (!loading.link->loaded && links->bytes >= links->limit)
		{
			/* those that were found wanted before come first */
			if (*work > 0.0)
				break;
			drop_leaves(links);
		}
		*work += wanted * pair;
		if (loading.link->loaded)
			continue;
		if (!ct_knn_read(engine->knn, &links->where[l], links->height,
						 load_page, &loading) || loading.stale)
			return false;
		loading.link->loaded = true;
	}
	*last = l;
	return true;
}

/* -------- links -------- */

/* Forgets all links. */
static void
clear_links(CtCodesLinks *links)
{
	drop_leaves(links);
	links->n = 0;
	links->complete = false;
}

/*
 * Adds a link.  Where there is no room, those that are there are searched, and
 * make way.  False if links are stale.
 */
static bool
add_link(CtCodes *engine, const CtLink *link, int height, const CtBox *box)
{
	CtCodesLinks *links = &engine->links;
	CtCodeLink *entry;

	if (links->n == links->size)
	{
		if (!ct_codes_search_links(engine))
			return false;
		clear_links(links);
		links->flushed = true;
	}
	links->height = height;
	links->where[links->n] = *link;
	entry = &links->entries[links->n++];
	memset(entry, 0, sizeof(CtCodeLink));
	memcpy(entry->box, box->lower, sizeof(box->lower));
	memcpy(entry->box + CT_BOX_DIMS, box->upper, sizeof(box->upper));
	return true;
}

/* The children of a link. */
typedef struct Children
{
	CtIndex    *index;
	int			height;			/* of the node; -1: not read */
	int			n;
	CtLink	   *links;
	CtBox	   *boxes;
} Children;

static void
list_children(void *arg, const CtNode *node, const ItemPointerData *seen)
{
	Children   *children = arg;
	int			n = node->header->height > 0 ? node->header->nchildren : 0;

	children->height = node->header->height;
	if (n == 0)
		return;
	children->links = children->links ?
		repalloc(children->links, sizeof(CtLink) * (children->n + n)) :
		palloc(sizeof(CtLink) * n);
	children->boxes = children->boxes ?
		repalloc(children->boxes, sizeof(CtBox) * (children->n + n)) :
		palloc(sizeof(CtBox) * n);
	for (int c = 0; c < n; c++)
	{
		children->links[children->n] = node->links[c];
		ct_box_get(children->index, node, c, &children->boxes[children->n++]);
	}
}

/* Adds all leaves behind a link of a page of height + 1; false as above. */
static bool
add_leaves(CtCodes *engine, const CtLink *link, int height)
{
	Children	children = {engine->index, -1};
	bool		good = ct_knn_read(engine->knn, link, height, list_children,
								   &children);

	check_stack_depth();
	if (good && height < 0 && children.height == 0)
	{
		CtBox		box;

		for (int j = 0; j < CT_BOX_DIMS; j++)
		{
			box.lower[j] = -INFINITY;
			box.upper[j] = INFINITY;
		}
		good = add_link(engine, link, height, &box);
	}
	for (int c = 0; good && c < children.n; c++)
		good = children.height == 1 ?
			add_link(engine, &children.links[c], 0, &children.boxes[c]) :
			add_leaves(engine, &children.links[c], children.height - 1);
	if (children.n > 0)
	{
		pfree(children.links);
		pfree(children.boxes);
	}
	return good;
}

/*
 * Lists the links of the whole index.  Where there is no room for all of them,
 * only the last ones are there at the end, and the others have been searched.
 * False if links are stale.
 */
bool
ct_codes_walk_links(CtCodes *engine)
{
	CtCodesLinks *links = &engine->links;
	CtLink		root = ct_knn_root();
	bool		good;

	clear_links(links);
	links->flushed = false;
	good = add_leaves(engine, &root, -1);
	links->complete = good && !links->flushed;
	return good;
}
