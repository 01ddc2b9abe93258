/*-------------------------------------------------------------------------
 *
 * ct_search_queue.c
 *	  The queue of a search, and the branches in it.
 *
 * IDENTIFICATION
 *	  src/tree/ct_search_queue.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "ct_search_private.h"

/* -------- the queue -------- */

static inline bool
item_before(const QueueItem *a, const QueueItem *b)
{
	if (a->key != b->key)
		return a->key < b->key;
	if (a->kind != b->kind)
		return a->kind < b->kind;
	if (a->kind == ITEM_CURSOR)
		return ItemPointerCompare((ItemPointer) &a->tid,
								  (ItemPointer) &b->tid) < 0;
	return false;
}

void
ct_queue_sift_down(CtSearch *search, int position)
{
	QueueItem	item = search->queue[position];

	for (;;)
	{
		int			child = 2 * position + 1;

		if (child >= search->nqueue)
			break;
		if (child + 1 < search->nqueue &&
			item_before(&search->queue[child + 1], &search->queue[child]))
			child++;
		if (!item_before(&search->queue[child], &item))
			break;
		search->queue[position] = search->queue[child];
		position = child;
	}
	search->queue[position] = item;
}

void
ct_queue_push(CtSearch *search, const QueueItem *item)
{
	int			position = search->nqueue++;

	if (search->nqueue > search->queue_size)
	{
		search->queue_size *= 2;
		search->queue = repalloc_huge(search->queue,
									  sizeof(QueueItem) * search->queue_size);
	}
	while (position > 0)
	{
		int			parent = (position - 1) / 2;

		if (!item_before(item, &search->queue[parent]))
			break;
		search->queue[position] = search->queue[parent];
		position = parent;
	}
	search->queue[position] = *item;
}

void
ct_queue_pop(CtSearch *search)
{
	search->queue[0] = search->queue[--search->nqueue];
	if (search->nqueue > 0)
		ct_queue_sift_down(search, 0);
}

/* -------- branches -------- */

/* A branch of n children; the caller sets keys and links. */
Branch *
ct_branch_new(CtSearch *search, int n, int height)
{
	Branch	   *branch;

	if (search->nbranches == search->branches_size)
	{
		search->branches_size *= 2;
		search->branches = repalloc_huge(search->branches,
										 sizeof(Branch) * search->branches_size);
	}
	branch = &search->branches[search->nbranches++];
	branch->n = n;
	branch->height = height;
	branch->keys = palloc(sizeof(double) * n);
	branch->links = palloc(sizeof(CtLink) * n);
	branch->taken = NULL;
	if (search->near.active && height == 0)
	{
		branch->taken = palloc(sizeof(double) * n);
		for (int i = 0; i < n; i++)
			branch->taken[i] = -1.0;
	}
	branch->shares = NULL;
	branch->stage = LEAF_NEW;
	return branch;
}

static inline void
find_front(CtSearch *search, Branch *branch)
{
	branch->front = search->index->space.kernels->argmin_f64(branch->keys,
															 branch->n);
}

/*
 * Puts a branch whose front is known into the queue (at_top: back where it is),
 * if it has a child that was not visited.
 */
static void
enqueue_front(CtSearch *search, int number, bool at_top)
{
	QueueItem	item = {0};
	Branch	   *branch = &search->branches[number];

	item.kind = ITEM_BRANCH;
	item.number = number;
	item.key = branch->keys[branch->front];
	if (!at_top && item.key != INFINITY)
		ct_queue_push(search, &item);
	else if (at_top && item.key != INFINITY)
	{
		search->queue[0] = item;
		ct_queue_sift_down(search, 0);
	}
	else if (at_top)
		ct_queue_pop(search);
}

void
ct_branch_enqueue(CtSearch *search, int number, bool at_top)
{
	find_front(search, &search->branches[number]);
	enqueue_front(search, number, at_top);
}

/* A branch of a single page. */
void
ct_search_push_page(CtSearch *search, double key, const CtLink *link, int height,
		  LeafStage stage, const CtShares *shares)
{
	Branch	   *branch = ct_branch_new(search, 1, height);

	branch->keys[0] = key;
	branch->links[0] = *link;
	branch->stage = stage;
	branch->shares = shares;
	ct_branch_enqueue(search, search->nbranches - 1, false);
	search->stats.subtrees_pruned++;
}

/*
 * Takes the child with the smallest key from the branch at the queue's top.  A
 * leaf that may keep rows stays there until ct_search_leave_page().
 */
void
ct_search_take_page(CtSearch *search, PageVisit *visit)
{
	int			number = search->queue[0].number;
	Branch	   *branch = &search->branches[number];
	int			child = branch->front;

	visit->key = branch->keys[child];
	visit->block = branch->links[child].block;
	visit->incarnation = branch->links[child].incarnation;
	visit->version = branch->links[child].version;
	visit->height = branch->height;
	visit->shares = branch->shares;
	visit->stage = branch->stage;
	visit->taken = branch->taken ? branch->taken[child] : -1.0;
	visit->rest = INFINITY;
	visit->branch = -1;
	branch->keys[child] = INFINITY;
	if (search->near.active && branch->taken)
	{
		visit->branch = number;
		visit->child = child;
		find_front(search, branch);
		if (branch->keys[branch->front] <= search->near.limit)
			ct_prefetch_leaf(search->index,
							 branch->links[branch->front].block);
	}
	else
		ct_branch_enqueue(search, number, true);
}

/* Puts what a leaf keeps back into the queue, in its place at the top. */
void
ct_search_leave_page(CtSearch *search, const PageVisit *visit, uint32 version)
{
	Branch	   *branch = &search->branches[visit->branch];

	Assert(search->queue[0].number == visit->branch);
	branch->keys[visit->child] = visit->rest;
	branch->taken[visit->child] = visit->taken;
	branch->links[visit->child].version = version;
	if (visit->rest < branch->keys[branch->front])
		branch->front = visit->child;
	enqueue_front(search, visit->branch, true);
}

/*
 * Puts a residual leaf, as it was in that version, back into the queue, unless
 * it is in front all the same.
 */
bool
ct_search_put_back(CtSearch *search, uint32 version, const PageVisit *visit,
		 double key, LeafStage stage)
{
	CtLink		link = {0};

	if (!(key > visit->key && key > search->queue[0].key))
		return false;
	/* splits so far have been dealt with */
	link.block = visit->block;
	link.incarnation = visit->incarnation;
	link.version = version;
	ct_search_push_page(search, key, &link, 0, stage, visit->shares);
	return true;
}
