/*-------------------------------------------------------------------------
 *
 * ct_knn_search.c
 *	  The nearest rows of one query, in a tree that is in memory.
 *
 * Best-first, as in ct_search.c, with the same bounds; but k is known.  Rows
 * found are collected, more than k of them, until it pays to select the k
 * smallest, of which the largest is then the limit of what is worth looking
 * at: collecting costs a comparison a row, where a heap costs log k.
 *
 * Runs in any thread: no PostgreSQL function is called here, and no memory
 * allocated.
 *
 * IDENTIFICATION
 *	  src/tree/ct_knn_search.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "ct_knn_tree.h"

/*
 * A node that is missing is taken to have so many rows, when the question is
 * how many nodes are wanted before anything is known.
 */
#define ROWS_EXPECTED	64

/* pages opened between two looks at InterruptPending */
#define INTERRUPT_STEPS 256

/* -------- rows found -------- */

/* Room for rows found: k, and those that are collected before a selection. */
int
ct_knn_found_size(int k)
{
	return k + Max(k / 2, 32) + CT_KNN_BLOCK;
}

static inline bool
found_before(const CtKnnFound *a, const CtKnnFound *b)
{
	return a->dist < b->dist || (a->dist == b->dist && a->key < b->key);
}

#define ST_SORT			sort_found
#define ST_ELEMENT_TYPE CtKnnFound
#define ST_COMPARE(a, b) \
	(found_before(a, b) ? -1 : found_before(b, a))
#define ST_SCOPE		static
#define ST_DEFINE
#include "lib/sort_template.h"

static inline void
swap(CtKnnFound *a, CtKnnFound *b)
{
	CtKnnFound	c = *a;

	*a = *b;
	*b = c;
}

/*
 * Moves the k smallest to the front (Hoare's selection; no two are equal), and
 * the largest of them to place k - 1.
 */
static void
select_smallest(CtKnnFound *found, int n, int k)
{
	int			low = 0;
	int			high = n - 1;

	while (low < high)
	{
		CtKnnFound *middle = &found[low + (high - low) / 2];
		CtKnnFound	pivot;
		int			left = low;
		int			right = high;

		/* the median of three, for sorted input */
		if (found_before(&found[high], &found[low]))
			swap(&found[high], &found[low]);
		if (found_before(middle, &found[low]))
			swap(middle, &found[low]);
		else if (found_before(&found[high], middle))
			swap(&found[high], middle);
		pivot = *middle;
		while (left <= right)
		{
			while (found_before(&found[left], &pivot))
				left++;
			while (found_before(&pivot, &found[right]))
				right--;
			if (left <= right)
				swap(&found[left++], &found[right--]);
		}
		if (k - 1 <= right)
			high = right;
		else if (k - 1 >= left)
			low = left;
		else
			return;
	}
}

/* Keeps the k smallest of the rows found, which are more. */
static void
shorten(CtKnnWorker *worker)
{
	select_smallest(worker->found, worker->nfound, worker->k);
	worker->nfound = worker->k;
	worker->worst = worker->found[worker->k - 1].dist;
}

/* Collects what is worth it of a block of rows. */
static void
look_at_block(CtKnnWorker *worker, const CtKnnPart *part, int block,
			  const double *query, CtKnnKey self)
{
	const CtIndex *index = worker->tree->knn->index;
	const CtKnnKey *keys = part->keys + block * CT_KNN_BLOCK;
	const char *points = part->points +
		(size_t) block * CT_KNN_BLOCK * index->vector_bytes;
	CtKnnFound *end = worker->found + worker->nfound;
	int			n = part->counts[block];
	double		worst = worker->worst;
	double		dist[CT_KNN_BLOCK];

	index->space.metric->distances(&index->space, query, points, CT_KNN_BLOCK,
								   n, dist);
	worker->distances += n;
	for (int i = 0; i < n; i++)
		if (dist[i] <= worst && !ct_knn_same_row(keys[i], self))
		{
			end->dist = dist[i];
			end->key = keys[i];
			end++;
		}
	worker->nfound = end - worker->found;
	if (worker->nfound >= worker->k &&
		(worst == INFINITY ||
		 worker->nfound + CT_KNN_BLOCK > ct_knn_found_size(worker->k)))
		shorten(worker);
}

/* -------- branches -------- */

static void
sift_down(CtKnnWorker *worker)
{
	CtKnnItem	item = worker->queue[0];
	int			position = 0;

	for (;;)
	{
		int			child = 2 * position + 1;

		if (child >= worker->nqueue)
			break;
		if (child + 1 < worker->nqueue &&
			worker->queue[child + 1].key < worker->queue[child].key)
			child++;
		if (!(worker->queue[child].key < item.key))
			break;
		worker->queue[position] = worker->queue[child];
		position = child;
	}
	worker->queue[position] = item;
}

static void
push(CtKnnWorker *worker, double key, uint32 branch)
{
	int			position = worker->nqueue++;

	while (position > 0 &&
		   key < worker->queue[(position - 1) / 2].key)
	{
		worker->queue[position] = worker->queue[(position - 1) / 2];
		position = (position - 1) / 2;
	}
	worker->queue[position].key = key;
	worker->queue[position].branch = branch;
}

/* Finds the least bound of a branch. */
static double
find_front(CtKnnWorker *worker, CtKnnBranch *branch)
{
	const CtSpace *space = &worker->tree->knn->index->space;

	branch->front = space->kernels->argmin_f64(branch->bounds, branch->part->n);
	return branch->bounds[branch->front];
}

/* Opens a node; false if there is no room. */
static bool
open_node(CtKnnWorker *worker, const CtKnnNode *node, const double *query)
{
	const CtSpace *space = &worker->tree->knn->index->space;

	for (const CtKnnPart *part = node->parts; part; part = part->next)
	{
		CtKnnBranch *branch = &worker->branches[worker->nbranches];
		double		key;

		if (worker->nbranches == worker->branches_size ||
			worker->nbounds + part->n > worker->bounds_size)
			return false;
		branch->part = part;
		branch->bounds = worker->bounds + worker->nbounds;
		ct_space_box_bounds(space, query, part->boxes, part->n, part->n,
							branch->bounds);
		key = find_front(worker, branch);
		if (key > worker->worst)
			continue;
		push(worker, key, worker->nbranches++);
		worker->nbounds += part->n;
	}
	return true;
}

/* Takes what has the least bound of all; returns the branch that led there. */
static const CtKnnPart *
take_front(CtKnnWorker *worker, int *number)
{
	CtKnnBranch *branch = &worker->branches[worker->queue[0].branch];

	*number = branch->front;
	branch->bounds[branch->front] = INFINITY;
	worker->queue[0].key = find_front(worker, branch);
	if (worker->queue[0].key > worker->worst ||
		worker->queue[0].key == INFINITY)
		worker->queue[0] = worker->queue[--worker->nqueue];
	sift_down(worker);
	return branch->part;
}

/* -------- nodes that are missing -------- */

/*
 * Notes a node that is missing.  A list that is full does no harm: the query
 * will ask again.
 */
static void
want(CtKnnWorker *worker, uint32 number, double bound)
{
	if (worker->nwanted == worker->wanted_size)
		return;
	worker->wanted_bounds[worker->nwanted - worker->wanted_before] = bound;
	worker->wanted[worker->nwanted++] = number;
}

/* Of the nodes that this query wanted, keeps those that it still wants. */
static void
review_wanted(CtKnnWorker *worker)
{
	int			n = worker->wanted_before;

	for (int i = worker->wanted_before; i < worker->nwanted; i++)
		if (worker->wanted_bounds[i - worker->wanted_before] <= worker->worst)
			worker->wanted[n++] = worker->wanted[i];
	worker->nwanted = worker->wanted_before = n;
}

/* -------- the search -------- */

static void
begin(CtKnnWorker *worker)
{
	worker->nfound = 0;
	worker->worst = INFINITY;
	worker->nqueue = 0;
	worker->nbranches = 0;
	worker->nbounds = 0;
	worker->wanted_before = worker->nwanted;
}

/* The answer: the k nearest rows, in order. */
static int
finish(CtKnnWorker *worker, CtKnnRow *rows)
{
	int			n;

	if (worker->nfound > worker->k)
		shorten(worker);
	n = worker->nfound;
	sort_found(worker->found, n);
	for (int i = 0; i < n; i++)
	{
		CtKnnKey	key = worker->found[i].key;

		rows[i].dist = worker->found[i].dist;
		rows[i].isnull = false;
		ItemPointerSet(&rows[i].tid, key >> 32, key & 0xFFFF);
	}
	return n;
}

/*
 * Finds the k nearest rows of a query, but for the row self if that is one;
 * n becomes their number, less than k if there are no more.  When nodes are
 * missing that might have such rows, notes them instead, and the query has to
 * be asked again when they have been loaded.
 */
CtKnnOutcome
ct_knn_search(CtKnnWorker *worker, const double *query, CtKnnKey self,
			  CtKnnRow *rows, int *n)
{
	const CtKnnNode *nodes = worker->tree->nodes;
	int			expected = 0;	/* rows of missing nodes */
	bool		missing = !nodes[0].loaded;
	int			steps = 0;

	begin(worker);
	if (missing)
		want(worker, 0, 0.0);
	else if (!open_node(worker, &nodes[0], query))
		return CT_KNN_FULL;
	while (worker->nqueue > 0 && worker->queue[0].key <= worker->worst)
	{
		double		key = worker->queue[0].key;
		int			child;
		const CtKnnPart *part = take_front(worker, &child);
		uint32		number = part->first + child;

		if (part->leaf)
			look_at_block(worker, part, child, query, self);
		else if (nodes[number].loaded)
		{
			if (!open_node(worker, &nodes[number], query))
				return CT_KNN_FULL;
			if (++steps % INTERRUPT_STEPS == 0 && InterruptPending)
				return CT_KNN_INTERRUPTED;
		}
		else
		{
			want(worker, number, key);
			missing = true;
			expected += nodes[number].height == 0 ? ROWS_EXPECTED : worker->k;
			if (worker->worst == INFINITY &&
				worker->nfound + expected >= worker->k)
				break;
		}
	}
	if (missing)
	{
		review_wanted(worker);
		return CT_KNN_MISSING;
	}
	*n = finish(worker, rows);
	return CT_KNN_DONE;
}
