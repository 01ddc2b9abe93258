/*-------------------------------------------------------------------------
 *
 * ct_knn_tree.c
 *	  The part of a tree that a bulk search has in memory.
 *
 * Nodes are loaded when queries ask for them.  Of a routing page that is its
 * links and their boxes; of a leaf, the rows that the snapshot sees, divided
 * into blocks of neighbours with boxes of their own: a leaf has the size that
 * suits a page, and a search that has it in memory wants smaller ones.
 *
 * IDENTIFICATION
 *	  src/tree/ct_knn_tree.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "utils/memutils.h"

#include "ct_knn_tree.h"

/* a page being loaded */
typedef struct Loading
{
	CtKnnTree  *tree;
	uint32		number;			/* of the node */
	CtKnnPart **last;			/* where the next part goes */
} Loading;

/* -------- routing pages -------- */

/* Adds a node for each link of a page; returns the first one's number. */
static uint32
add_nodes(CtKnnTree *tree, const CtLink *links, int n, int height)
{
	uint32		first = tree->nnodes;

	if (tree->nnodes + n > tree->size)
	{
		tree->size = Max(2 * tree->size, tree->nnodes + n);
		tree->nodes = repalloc_huge(tree->nodes,
									sizeof(CtKnnNode) * tree->size);
	}
	for (int i = 0; i < n; i++)
	{
		CtKnnNode  *node = &tree->nodes[tree->nnodes++];

		node->link = links[i];
		node->height = height;
		node->loaded = false;
		node->parts = NULL;
	}
	return first;
}

static CtKnnPart *
load_routing(CtKnnTree *tree, const CtNode *node)
{
	int			n = node->header->nchildren;
	int			columns = 2 * tree->knn->index->meta.dims;
	CtKnnPart  *part = MemoryContextAllocZero(tree->nodes_context,
											  sizeof(CtKnnPart));

	part->n = n;
	part->boxes = MemoryContextAlloc(tree->nodes_context,
									 sizeof(float) * columns * n);
	for (int j = 0; j < columns; j++)
		memcpy(part->boxes + j * n,
			   node->boxes + j * node->layout->max_children,
			   sizeof(float) * n);
	part->first = add_nodes(tree, node->links, n, node->header->height - 1);
	return part;
}

/* -------- leaves -------- */

static inline double
raw_coordinate(const CtKnnTree *tree, int j, uint32 row)
{
	const CtIndex *index = tree->knn->index;
	size_t		at = (size_t) j * index->leaf.capacity + row;

	return index->space.element == CT_ELEMENT_FLOAT8 ?
		((const double *) tree->raw)[at] : ((const float *) tree->raw)[at];
}

/* Collects the visible rows of a leaf by column; returns their number. */
static int
collect_rows(CtKnnTree *tree, const CtNode *node, const ItemPointerData *seen)
{
	const CtIndex *index = tree->knn->index;
	size_t		size = ct_element_size(index->space.element);
	size_t		stride = index->leaf.capacity * size;
	int			n = 0;

	for (int i = 0; i < node->header->nentries; i++)
		if (ItemPointerIsValid(&seen[i]))
		{
			if (ItemPointerGetBlockNumberNoCheck(&seen[i]) !=
				ItemPointerGetBlockNumberNoCheck(&node->tids[i]))
				tree->mismatch = true;
			tree->rows[n] = i;
			tree->raw_keys[n++] = ct_knn_key(&node->tids[i], &seen[i]);
		}
	for (int j = 0; j < index->meta.dims; j++)
	{
		char	   *to = tree->raw + j * stride;
		const char *from = node->points + j * stride;

		if (n == node->header->nentries)
			memcpy(to, from, n * size);
		else
			for (int i = 0; i < n; i++)
				memcpy(to + i * size, from + tree->rows[i] * size, size);
	}
	return n;
}

/* Puts a row into the next place of its block, whose box grows. */
static void
place_row(CtKnnTree *tree, CtKnnPart *part, uint32 row)
{
	const CtIndex *index = tree->knn->index;
	int			dims = index->meta.dims;
	int			block = tree->owner[row];
	size_t		at = (size_t) block * CT_KNN_BLOCK * dims + part->counts[block];

	part->keys[block * CT_KNN_BLOCK + part->counts[block]++] =
		tree->raw_keys[row];
	for (int j = 0; j < dims; j++)
	{
		double		x = raw_coordinate(tree, j, row);
		float	   *lower = &part->boxes[j * part->n + block];
		float	   *upper = &part->boxes[(dims + j) * part->n + block];

		if (index->space.element == CT_ELEMENT_FLOAT8)
			((double *) part->points)[at + j * CT_KNN_BLOCK] = x;
		else
			((float *) part->points)[at + j * CT_KNN_BLOCK] = (float) x;
		*lower = Min(*lower, ct_float_down(x));
		*upper = Max(*upper, ct_float_up(x));
	}
}

static CtKnnPart *
load_leaf(CtKnnTree *tree, const CtNode *node, const ItemPointerData *seen)
{
	const CtIndex *index = tree->knn->index;
	int			dims = index->meta.dims;
	int			n = collect_rows(tree, node, seen);
	int			nblocks = (n + CT_KNN_BLOCK - 1) / CT_KNN_BLOCK;
	CtColumns	columns = {tree->raw, index->leaf.capacity,
	index->space.element, dims};
	CtKnnPart  *part;

	if (n == 0)
		return NULL;
	for (int i = 0; i < n; i++)
		tree->rows[i] = i;
	ct_halve(&columns, tree->rows, n, nblocks, tree->owner, tree->pivots);
	part = MemoryContextAllocZero(tree->leaves_context, sizeof(CtKnnPart));
	part->leaf = true;
	part->n = nblocks;
	part->points = MemoryContextAllocZero(tree->leaves_context,
										  index->vector_bytes *
										  CT_KNN_BLOCK * nblocks);
	part->keys = MemoryContextAlloc(tree->leaves_context,
									sizeof(CtKnnKey) * CT_KNN_BLOCK * nblocks);
	part->boxes = MemoryContextAlloc(tree->leaves_context,
									 sizeof(float) * 2 * dims * nblocks);
	part->counts = MemoryContextAllocZero(tree->leaves_context, nblocks);
	for (int i = 0; i < dims * nblocks; i++)
	{
		part->boxes[i] = INFINITY;
		part->boxes[dims * nblocks + i] = -INFINITY;
	}
	for (int i = 0; i < n; i++)
		place_row(tree, part, tree->rows[i]);
	return part;
}

/* -------- interface -------- */

static void
load_page(void *arg, const CtNode *node, const ItemPointerData *seen)
{
	Loading    *loading = arg;
	CtKnnTree  *tree = loading->tree;
	CtKnnPart  *part = NULL;

	if (node->header->height == 0)
		part = load_leaf(tree, node, seen);
	else if (node->header->nchildren > 0)
		part = load_routing(tree, node);
	if (part == NULL)
		return;
	*loading->last = part;
	loading->last = &part->next;
}

/*
 * Loads a node.  False if a page was freed that a link led to: then all nodes
 * are stale, and the tree has to be cleared.
 */
bool
ct_knn_tree_load(CtKnnTree *tree, uint32 number)
{
	CtKnnPart  *parts = NULL;
	Loading		loading = {tree, number, &parts};
	CtLink		link = tree->nodes[number].link;

	if (!ct_knn_read(tree->knn, &link, tree->nodes[number].height, load_page,
					 &loading))
		return false;
	/* the array may have moved */
	tree->nodes[number].parts = parts;
	tree->nodes[number].loaded = true;
	return true;
}

/* Forgets everything but that there is a root. */
void
ct_knn_tree_clear(CtKnnTree *tree)
{
	CtLink		root = ct_knn_root();

	MemoryContextReset(tree->leaves_context);
	MemoryContextReset(tree->nodes_context);
	tree->size = 64;
	tree->nodes = MemoryContextAlloc(tree->nodes_context,
									 sizeof(CtKnnNode) * tree->size);
	tree->nnodes = 0;
	add_nodes(tree, &root, 1, -1);
}

/* Makes room: forgets all leaves. */
void
ct_knn_tree_drop_leaves(CtKnnTree *tree)
{
	MemoryContextReset(tree->leaves_context);
	for (uint32 i = 0; i < tree->nnodes; i++)
		if (tree->nodes[i].height == 0)
		{
			tree->nodes[i].loaded = false;
			tree->nodes[i].parts = NULL;
		}
}

Size
ct_knn_tree_bytes(const CtKnnTree *tree)
{
	return MemoryContextMemAllocated(tree->nodes_context, false) +
		MemoryContextMemAllocated(tree->leaves_context, false);
}

/* A tree of which nothing is loaded, for so many bytes. */
CtKnnTree *
ct_knn_tree_create(CtKnn *knn, Size limit)
{
	CtKnnTree  *tree = palloc0(sizeof(CtKnnTree));
	int			capacity = knn->index->leaf.capacity;

	tree->knn = knn;
	tree->limit = limit;
	tree->nodes_context = AllocSetContextCreate(CurrentMemoryContext,
												"Bulk search: links",
												ALLOCSET_DEFAULT_SIZES);
	tree->leaves_context = AllocSetContextCreate(CurrentMemoryContext,
												 "Bulk search: rows",
												 0, 64 * 1024,
												 ALLOCSET_DEFAULT_MAXSIZE);
	tree->rows = palloc(sizeof(uint32) * capacity);
	tree->owner = palloc(sizeof(uint16) * capacity);
	tree->pivots = palloc(sizeof(uint32) * capacity);
	tree->raw = palloc(knn->index->vector_bytes * capacity);
	tree->raw_keys = palloc(sizeof(CtKnnKey) * capacity);
	ct_knn_tree_clear(tree);
	return tree;
}
