/*-------------------------------------------------------------------------
 *
 * ct_grow.c
 *	  Who opens which range of the rows of a build, and when.
 *
 * Opening a range (ct_open_range) makes it smaller and gives nodes for the
 * ranges divided off, in any thread.  Whatever the order in which ranges are
 * opened, the nodes are the same, and are sorted in the end.
 *
 * IDENTIFICATION
 *	  src/tree/ct_grow.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "ct_bulk.h"

/*
 * A range is opened by all threads together where it has more rows than a
 * thread's share divided by SHARED_SHARE, for other threads would wait for the
 * one that opens it; or more than SHARED_MAX, for a thread does not look at
 * interrupts before it is done.  Otherwise threads open ranges side by side,
 * since it costs time to bring them together; those of more than
 * bulk->large_range rows step by step, so that there is always enough to do.
 */
#define SHARED_SHARE	2
#define SHARED_MAX		2097152

/* Adds an empty node.  Returns NULL when out of memory. */
CtBulkNode *
ct_add_node(CtNodeList *list)
{
	if (list->n == list->size)
	{
		size_t		size = list->size ? 2 * list->size : 64;
		CtBulkNode *nodes = realloc(list->nodes, size * sizeof(CtBulkNode));

		if (nodes == NULL)
		{
			list->failed = true;
			return NULL;
		}
		list->nodes = nodes;
		list->size = size;
	}
	memset(&list->nodes[list->n], 0, sizeof(CtBulkNode));
	return &list->nodes[list->n++];
}

static int
compare_nodes(const void *a, const void *b)
{
	const CtBulkNode *left = a;
	const CtBulkNode *right = b;

	/* ranges of cells do not overlap */
	return left->first < right->first ? -1 : left->first > right->first;
}

/* Sorts nodes into the order of their cells and adjusts parent numbers. */
static void
sort_nodes(CtBulk *bulk)
{
	size_t		n = bulk->nnodes;
	uint32	   *place = MemoryContextAllocHuge(bulk->tree_context,
											   sizeof(uint32) * n);

	for (size_t i = 0; i < n; i++)
		bulk->nodes[i].number = i;
	qsort(bulk->nodes, n, sizeof(CtBulkNode), compare_nodes);
	for (size_t i = 0; i < n; i++)
		place[bulk->nodes[i].number] = i;
	for (size_t i = 0; i < n; i++)
		bulk->nodes[i].parent = place[bulk->nodes[i].parent];
	pfree(place);
}

/*
 * Joins the nodes of all large ranges (list) with those found below each of
 * them (parts) in bulk->nodes.
 */
static void
join_nodes(CtBulk *bulk, const CtNodeList *list, CtNodeList *parts)
{
	size_t		nlarge = list->n;
	size_t		total = nlarge;
	size_t		base = nlarge;

	for (size_t i = 0; i < nlarge; i++)
		total += parts[i].n - 1;
	bulk->nodes = MemoryContextAllocHuge(bulk->tree_context,
										 sizeof(CtBulkNode) * total);
	bulk->nnodes = total;
	for (size_t i = 0; i < nlarge; i++)
	{
		bulk->nodes[i] = parts[i].nodes[0];
		for (size_t j = 1; j < parts[i].n; j++)
		{
			CtBulkNode *node = &bulk->nodes[base + j - 1];

			*node = parts[i].nodes[j];
			node->parent = node->parent == 0 ? i : base + node->parent - 1;
		}
		base += parts[i].n - 1;
		free(parts[i].nodes);
		parts[i].nodes = NULL;
	}
}

/*
 * The nodes opened so far, and for some of them, by number, lists in which
 * threads open them further: node 0 of such a list is the node itself.
 */
typedef struct Growth
{
	CtNodeList	list;
	CtNodeList *parts;
	size_t		nparts;
} Growth;

static void
free_parts(Growth *growth)
{
	for (size_t i = 0; i < growth->nparts; i++)
		free(growth->parts[i].nodes);
	if (growth->parts)
		pfree(growth->parts);
	growth->parts = NULL;
	growth->nparts = 0;
}

static void
start_parts(const CtBulk *bulk, Growth *growth)
{
	Size		bytes = sizeof(CtNodeList) * growth->list.n;

	growth->nparts = growth->list.n;
	growth->parts = MemoryContextAllocExtended(bulk->tree_context, bytes,
											   MCXT_ALLOC_HUGE |
											   MCXT_ALLOC_ZERO);
}

/*
 * Opens a node, the first of a list, until it has no more rows than floor, or
 * (floor 0) all that is below it, too.  Stops when an interrupt is pending,
 * which only the main thread can serve, but not before something has been
 * opened.  Returns whether there is more to do.
 */
static bool
open_part(CtBulk *bulk, CtNodeList *part, size_t floor)
{
	for (; part->opened < (floor > 0 ? 1 : part->n) && !part->failed;
		 part->opened++)
		while (part->nodes[part->opened].n > floor &&
			   ct_open_range(bulk, part, part->opened, false))
			if (InterruptPending)
				return true;
	return false;
}

typedef struct SizedNode
{
	size_t		number;
	size_t		n;
} SizedNode;

static int
compare_sizes(const void *a, const void *b)
{
	const SizedNode *left = a;
	const SizedNode *right = b;

	return left->n > right->n ? -1 : left->n < right->n;
}

/*
 * Opens nodes [first, end) of the list, as far as they have more rows than
 * floor, in parts: see open_part.  The largest come first, so that all threads
 * end at about the same time.
 */
static void
open_side_by_side(CtBulk *bulk, Growth *growth, size_t first, size_t end,
				  size_t floor)
{
	const CtBulkNode *nodes = growth->list.nodes;
	SizedNode  *sorted = MemoryContextAllocHuge(bulk->tree_context,
												sizeof(SizedNode) *
												(end - first));
	size_t		n = 0;
	bool		failed = false;
	bool		pending = true;

	for (size_t i = first; i < end; i++)
		if (nodes[i].n > floor)
			sorted[n++] = (SizedNode) {i, nodes[i].n};
	qsort(sorted, n, sizeof(SizedNode), compare_sizes);
	start_parts(bulk, growth);
	while (n > 0 && pending && !failed)
	{
		pending = false;
		CHECK_FOR_INTERRUPTS();
#pragma omp parallel for num_threads(bulk->nthreads) schedule(dynamic) reduction(||:failed, pending)
		for (size_t i = 0; i < n; i++)
		{
			CtNodeList *part = &growth->parts[sorted[i].number];
			CtBulkNode *own = part->n == 0 ? ct_add_node(part) : NULL;

			if (own)
				*own = nodes[sorted[i].number];
			pending = open_part(bulk, part, floor) || pending;
			failed = part->failed || failed;
		}
	}
	pfree(sorted);
	if (failed)
		ct_bulk_out_of_memory();
}

/* Adds to the list what its nodes from number first on have got in parts. */
static void
take_children(Growth *growth, size_t first)
{
	for (size_t i = first; i < growth->nparts; i++)
	{
		const CtNodeList *part = &growth->parts[i];

		if (part->n > 0)
			growth->list.nodes[i] = part->nodes[0];
		for (size_t j = 1; j < part->n; j++)
		{
			CtBulkNode *node = ct_add_node(&growth->list);

			if (node == NULL)
				ct_bulk_out_of_memory();
			*node = part->nodes[j];
			node->parent = i;
		}
	}
	free_parts(growth);
}

/* Opens all ranges of more than large_range rows, a generation at a time. */
static void
open_large(CtBulk *bulk, Growth *growth)
{
	CtNodeList *list = &growth->list;
	size_t		limit = bulk->n / bulk->nthreads / SHARED_SHARE;

	limit = Max(Min(limit, SHARED_MAX), bulk->large_range);
	for (size_t first = 0; first < list->n;)
	{
		size_t		next = list->n;

		for (size_t i = first; i < next && !list->failed; i++)
			while (list->nodes[i].n > limit &&
				   ct_open_range(bulk, list, i, true))
				CHECK_FOR_INTERRUPTS();
		if (list->failed)
			ct_bulk_out_of_memory();
		open_side_by_side(bulk, growth, first, next, bulk->large_range);
		take_children(growth, first);
		first = next;
	}
}

/* Opens all ranges; fills bulk->nodes. */
void
ct_grow_nodes(CtBulk *bulk)
{
	Growth		growth = {0};
	CtBulkNode *root = ct_add_node(&growth.list);

	if (root == NULL)
		ct_bulk_out_of_memory();
	root->n = bulk->n;
	root->top_radius = ct_range_radius(bulk, 0, bulk->n, true);
	root->self_radius = root->top_radius;
	root->level = ct_level_of(&bulk->index->shape, root->top_radius);

	PG_TRY();
	{
		open_large(bulk, &growth);
		open_side_by_side(bulk, &growth, 0, growth.list.n, 0);
		join_nodes(bulk, &growth.list, growth.parts);
	}
	PG_FINALLY();
	{
		free_parts(&growth);
		free(growth.list.nodes);
	}
	PG_END_TRY();
	sort_nodes(bulk);
}
