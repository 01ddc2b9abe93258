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
	tree->bytes += sizeof(CtKnnPart) + sizeof(float) * columns * n +
		sizeof(CtKnnNode) * n;
	for (int j = 0; j < columns; j++)
		memcpy(part->boxes + j * n,
			   node->boxes + j * node->layout->max_children,
			   sizeof(float) * n);
	part->first = add_nodes(tree, node->links, n, node->header->height - 1);
	return part;
}

/* -------- leaves -------- */

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

/* A column of the rows that are being divided. */
static inline const char *
raw_column(const CtKnnTree *tree, int j)
{
	const CtIndex *index = tree->knn->index;

	return tree->raw + (size_t) j * index->leaf.capacity *
		ct_element_size(index->space.element);
}

static inline double
element_at(CtElement element, const char *column, uint32 row)
{
	return element == CT_ELEMENT_FLOAT8 ? ((const double *) column)[row] :
		((const float *) column)[row];
}

/* The limits of n > 0 elements; two of each kind, whose chains overlap. */
static inline void
find_limits(CtElement element, const char *elements, int n, double *lower,
			double *upper)
{
	double		first = element_at(element, elements, 0);
	double		least[2] = {first, first};
	double		most[2] = {first, first};

	for (int i = n % 2; i < n; i += 2)
	{
		double		x = element_at(element, elements, i);
		double		y = element_at(element, elements, i + 1);

		least[0] = x < least[0] ? x : least[0];
		least[1] = y < least[1] ? y : least[1];
		most[0] = x > most[0] ? x : most[0];
		most[1] = y > most[1] ? y : most[1];
	}
	*lower = Min(least[0], least[1]);
	*upper = Max(most[0], most[1]);
}

/* Fills a block with n rows, and its box. */
static void
fill_block(CtKnnTree *tree, CtKnnPart *part, int block, const uint64 *rows,
		   int n)
{
	const CtIndex *index = tree->knn->index;
	CtElement	element = index->space.element;
	int			dims = index->meta.dims;
	size_t		column_bytes = CT_KNN_BLOCK * ct_element_size(element);
	char	   *to = part->points + (size_t) block * dims * column_bytes;

	part->counts[block] = n;
	for (int i = 0; i < n; i++)
		part->keys[block * CT_KNN_BLOCK + i] = tree->raw_keys[(uint32) rows[i]];
	for (int j = 0; j < dims; j++, to += column_bytes)
	{
		const char *column = raw_column(tree, j);
		double		lower;
		double		upper;

		for (int i = 0; i < n && element == CT_ELEMENT_FLOAT8; i++)
			((double *) to)[i] = ((const double *) column)[(uint32) rows[i]];
		for (int i = 0; i < n && element == CT_ELEMENT_FLOAT4; i++)
			((float *) to)[i] = ((const float *) column)[(uint32) rows[i]];
		find_limits(element, to, n, &lower, &upper);
		part->boxes[j * part->n + block] = ct_float_down(lower);
		part->boxes[(dims + j) * part->n + block] = ct_float_up(upper);
	}
}

/*
 * Moves the k smallest of n numbers, all of them different, to the front.  The
 * loop has no branch that depends on a comparison.
 */
static void
select_numbers(uint64 *numbers, int n, int k)
{
	int			low = 0;
	int			high = n;

	while (high - low > 3)
	{
		uint64		a = numbers[low];
		uint64		b = numbers[low + (high - low) / 2];
		uint64		c = numbers[high - 1];
		uint64		pivot = Max(Min(a, b), Min(Max(a, b), c));
		int			left = low;

		for (int i = low; i < high; i++)
		{
			uint64		number = numbers[i];

			numbers[i] = numbers[left];
			numbers[left] = number;
			left += number < pivot;
		}
		/* one of the three is less than the median, which is on the right */
		if (k < left)
			high = left;
		else
			low = left;
	}
	for (int i = low + 1; i < high; i++)
		for (int j = i; j > low && numbers[j] < numbers[j - 1]; j--)
		{
			uint64		number = numbers[j];

			numbers[j] = numbers[j - 1];
			numbers[j - 1] = number;
		}
}

/* A coordinate as an integer with the same order, nearly. */
static inline uint64
order_of(double x)
{
	float		f = (float) x;
	uint32		bits;

	memcpy(&bits, &f, sizeof(bits));
	return bits & 0x80000000 ? ~bits : bits | 0x80000000;
}

/*
 * Divides n rows into nblocks blocks of equal size, as ct_halve.c would: at the
 * median of the widest coordinate, and again.  The limits of the rows are known
 * at first; afterwards only those that a cut sets are looked at, for the others
 * will do.  The lower half of each element of rows is the number of a row, the
 * upper half is used to order them.
 */
static void
divide(CtKnnTree *tree, CtKnnPart *part, uint64 *rows, int n, int block,
	   int nblocks)
{
	const CtIndex *index = tree->knn->index;
	CtElement	element = index->space.element;
	int			widest = 0;
	int			left = n * (nblocks / 2) / nblocks;
	const char *column;
	double		cut;
	double		limit;

	if (nblocks == 1)
	{
		fill_block(tree, part, block, rows, n);
		return;
	}
	for (int j = 1; j < index->meta.dims; j++)
		if (tree->upper[j] / 2.0 - tree->lower[j] / 2.0 >
			tree->upper[widest] / 2.0 - tree->lower[widest] / 2.0)
			widest = j;
	column = raw_column(tree, widest);
	for (int i = 0; i < n; i++)
	{
		uint32		row = (uint32) rows[i];

		rows[i] = order_of(element_at(element, column, row)) << 32 | row;
	}
	select_numbers(rows, n, left);
	cut = element_at(element, column, (uint32) rows[left]);

	limit = tree->upper[widest];
	tree->upper[widest] = cut;
	divide(tree, part, rows, left, block, nblocks / 2);
	tree->upper[widest] = limit;

	limit = tree->lower[widest];
	tree->lower[widest] = cut;
	divide(tree, part, rows + left, n - left, block + nblocks / 2,
		   nblocks - nblocks / 2);
	tree->lower[widest] = limit;
}

/* Makes room for the blocks of a leaf. */
static CtKnnPart *
new_leaf(CtKnnTree *tree, int nblocks)
{
	const CtIndex *index = tree->knn->index;
	size_t		rows = (size_t) nblocks * CT_KNN_BLOCK;
	size_t		boxes = sizeof(float) * 2 * index->meta.dims * nblocks;
	size_t		bytes = MAXALIGN(sizeof(CtKnnPart)) +
		MAXALIGN(index->vector_bytes * rows) + sizeof(CtKnnKey) * rows + boxes +
		nblocks;
	char	   *memory = MemoryContextAlloc(tree->leaves_context, bytes);
	CtKnnPart  *part = (CtKnnPart *) memory;

	part->next = NULL;
	part->leaf = true;
	part->n = nblocks;
	part->first = 0;
	memory += MAXALIGN(sizeof(CtKnnPart));
	part->points = memory;
	memory += MAXALIGN(index->vector_bytes * rows);
	part->keys = (CtKnnKey *) memory;
	memory += sizeof(CtKnnKey) * rows;
	part->boxes = (float *) memory;
	part->counts = (uint8 *) (memory + boxes);
	tree->bytes += bytes;
	tree->leaf_bytes += bytes;
	return part;
}

static CtKnnPart *
load_leaf(CtKnnTree *tree, const CtNode *node, const ItemPointerData *seen)
{
	int			n = collect_rows(tree, node, seen);
	int			nblocks = (n + CT_KNN_BLOCK - 1) / CT_KNN_BLOCK;
	CtKnnPart  *part;

	if (n == 0)
		return NULL;
	part = new_leaf(tree, nblocks);
	for (int i = 0; i < n; i++)
		tree->rows[i] = i;
	for (int j = 0; j < tree->knn->index->meta.dims; j++)
		find_limits(tree->knn->index->space.element, raw_column(tree, j), n,
					&tree->lower[j], &tree->upper[j]);
	divide(tree, part, tree->rows, n, 0, nblocks);
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
	tree->bytes = tree->leaf_bytes = 0;
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
	tree->bytes -= tree->leaf_bytes;
	tree->leaf_bytes = 0;
	for (uint32 i = 0; i < tree->nnodes; i++)
		if (tree->nodes[i].height == 0)
		{
			tree->nodes[i].loaded = false;
			tree->nodes[i].parts = NULL;
		}
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
												ALLOCSET_SMALL_SIZES);
	tree->leaves_context = AllocSetContextCreate(CurrentMemoryContext,
												 "Bulk search: rows",
												 ALLOCSET_SMALL_SIZES);
	tree->rows = palloc(sizeof(uint64) * capacity);
	tree->raw = palloc(knn->index->vector_bytes * capacity);
	tree->raw_keys = palloc(sizeof(CtKnnKey) * capacity);
	tree->lower = palloc(sizeof(double) * knn->index->meta.dims);
	tree->upper = palloc(sizeof(double) * knn->index->meta.dims);
	ct_knn_tree_clear(tree);
	return tree;
}
