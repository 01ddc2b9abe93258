/*-------------------------------------------------------------------------
 *
 * ct_knn_search.c
 *	  The nearest rows of one query, in a tree that is in memory.
 *
 * Best-first, as in ct_search.c, with the same bounds, but no root is taken of
 * the squares of a box's distance; and k is known.  Rows
 * found are collected, somewhat more than k of them, and then reduced to about
 * k by vector instructions: that costs less than a heap, whose branches nobody
 * can foresee.
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

/* so many rows are ordered by comparing each with all others */
#define RANKED_MOST		192

/* so many places of a branch are ordered at once */
#define ORDERED_MOST	16

/* guesses of the distance of the row in place k, at once */
#define GUESSES			6

/* -------- rows found -------- */

/* Rows that are collected before their number is reduced to about k again. */
static inline int
collected_most(int k)
{
	return k + Max(k / 4, 24);
}

/* Room for rows found. */
int
ct_knn_found_size(int k)
{
	return collected_most(k) + CT_KNN_BLOCK + 8;
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

/* Orders the rows found, into worker->sorted. */
static void
sort_rows(CtKnnWorker *worker)
{
	const CtSpace *space = &worker->tree->knn->index->space;
	CtKnnFound *sorted = worker->sorted;
	uint32		ranks[RANKED_MOST];
	int			n = worker->nfound;

	if (n > RANKED_MOST)
	{
		for (int i = 0; i < n; i++)
		{
			sorted[i].dist = worker->dist[i];
			sorted[i].key = worker->keys[i];
		}
		sort_found(sorted, n);
		return;
	}
	space->kernels->ranks_f64(worker->dist, n, ranks);
	for (int i = 0; i < n; i++)
	{
		sorted[ranks[i]].dist = worker->dist[i];
		sorted[ranks[i]].key = worker->keys[i];
	}
	/* rows at the same distance, by their keys */
	for (int i = 1; i < n; i++)
		for (int j = i; j > 0 && found_before(&sorted[j], &sorted[j - 1]); j--)
		{
			CtKnnFound	later = sorted[j - 1];

			sorted[j - 1] = sorted[j];
			sorted[j] = later;
		}
}

static inline void
set_worst(CtKnnWorker *worker, double worst)
{
	worker->worst = worst;
	worker->limit = ct_space_box_limit(&worker->tree->knn->index->space, worst);
}

/* Keeps exactly the k nearest rows. */
static void
keep_nearest(CtKnnWorker *worker)
{
	sort_rows(worker);
	worker->nfound = worker->k;
	for (int i = 0; i < worker->k; i++)
	{
		worker->dist[i] = worker->sorted[i].dist;
		worker->keys[i] = worker->sorted[i].key;
	}
	set_worst(worker, worker->dist[worker->k - 1]);
}

static double
largest(const double *dist, int n)
{
	double		result = dist[0];

	for (int i = 1; i < n; i++)
		result = dist[i] > result ? dist[i] : result;
	return result;
}

/*
 * Reduces the rows found, of which there are at least k, to little more than k
 * of the nearest: whatever distance has at least k rows within it is a limit of
 * what is worth looking at.  The first guess is that of rows spread evenly.
 */
static void
narrow(CtKnnWorker *worker)
{
	const CtSpace *space = &worker->tree->knn->index->space;
	const CtKernelTable *kernels = space->kernels;
	int			n = worker->nfound;
	int			within = n;
	double		lower = 0.0;
	double		upper = worker->worst < INFINITY ? worker->worst :
		largest(worker->dist, n);
	double		guess = upper *
		(1.0 - (1.0 - (double) worker->k / n) / space->dims);

	for (int i = 0; i < GUESSES && within > worker->k + worker->k / 8; i++)
	{
		int			count = kernels->count_f64(worker->dist, n, guess);

		if (count >= worker->k)
		{
			upper = guess;
			within = count;
		}
		else
			lower = guess;
		guess = lower + (upper - lower) / 2;
	}
	set_worst(worker, upper);
	worker->nfound = kernels->keep_at_most(worker->dist, worker->keys, n,
										   upper, worker->dist, worker->keys);
	if (worker->nfound > worker->k + Max(worker->k / 8, 12))
		keep_nearest(worker);	/* many at the same distance, it seems */
}

/* Collects what is worth it of a block of rows. */
static void
look_at_block(CtKnnWorker *worker, const CtKnnPart *part, int block,
			  const double *query)
{
	const CtIndex *index = worker->tree->knn->index;
	int			n = part->counts[block];
	double		dist[CT_KNN_BLOCK];

	index->space.metric->distances(&index->space, query,
								   part->points + (size_t) block *
								   CT_KNN_BLOCK * index->vector_bytes,
								   CT_KNN_BLOCK, n, dist);
	worker->distances += n;
	worker->nfound +=
		index->space.kernels->keep_at_most(dist,
										   part->keys + block * CT_KNN_BLOCK,
										   n, worker->worst,
										   worker->dist + worker->nfound,
										   worker->keys + worker->nfound);
	if (worker->nfound >= (worker->worst == INFINITY ? worker->k :
						   collected_most(worker->k)))
		narrow(worker);
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
			worker->queue[child + 1].square < worker->queue[child].square)
			child++;
		if (!(worker->queue[child].square < item.square))
			break;
		worker->queue[position] = worker->queue[child];
		position = child;
	}
	worker->queue[position] = item;
}

static void
push(CtKnnWorker *worker, double square, uint32 branch)
{
	int			position = worker->nqueue++;

	while (position > 0 &&
		   square < worker->queue[(position - 1) / 2].square)
	{
		worker->queue[position] = worker->queue[(position - 1) / 2];
		position = (position - 1) / 2;
	}
	worker->queue[position].square = square;
	worker->queue[position].branch = branch;
}

/*
 * Orders the places of a branch, so that each next one is at hand.  When it is
 * known how far away they may be, of many places few are left, as a rule;
 * otherwise many stay without an order.
 */
static void
order_places(CtKnnWorker *worker, CtKnnBranch *branch, uint16 *order)
{
	const CtKernelTable *kernels = worker->tree->knn->index->space.kernels;
	double		squares[ORDERED_MOST];
	uint16		places[ORDERED_MOST + CT_KNN_BLOCK];
	uint32		ranks[ORDERED_MOST];
	int			n = branch->n;

	if (n <= ORDERED_MOST)
		for (int i = 0; i < n; i++)
			places[i] = i;
	else
	{
		double		rest;

		if (worker->limit == INFINITY ||
			kernels->count_f64(branch->squares, n,
							   worker->limit) > ORDERED_MOST)
			return;
		n = kernels->choose_f64(branch->squares, n, -1.0, worker->limit,
								places, &rest);
	}
	branch->n = n;
	branch->order = order;
	if (n <= 0)
		return;
	for (int i = 0; i < n; i++)
		squares[i] = branch->squares[places[i]];
	kernels->ranks_f64(squares, n, ranks);
	for (int i = 0; i < n; i++)
	{
		branch->squares[ranks[i]] = squares[i];
		order[ranks[i]] = places[i];
	}
}

/* Finds what is left of a branch with the least square; returns that. */
static inline double
find_front(CtKnnWorker *worker, CtKnnBranch *branch)
{
	const CtSpace *space = &worker->tree->knn->index->space;

	if (branch->order == NULL)
		branch->front = space->kernels->argmin_f64(branch->squares, branch->n);
	else if (branch->front == branch->n)
		return INFINITY;
	return branch->squares[branch->front];
}

/* Opens a node; false if there is no room. */
static bool
open_node(CtKnnWorker *worker, const CtKnnNode *node, const double *query)
{
	const CtSpace *space = &worker->tree->knn->index->space;

	for (const CtKnnPart *part = node->parts; part; part = part->next)
	{
		CtKnnBranch *branch = &worker->branches[worker->nbranches];
		double		square;

		if (worker->nbranches == worker->branches_size ||
			worker->nsquares + part->n > worker->squares_size)
			return false;
		branch->part = part;
		branch->n = part->n;
		branch->squares = worker->squares + worker->nsquares;
		branch->order = NULL;
		branch->front = 0;
		space->kernels->box_squares(query, part->boxes, part->n, part->n,
									space->dims, branch->squares);
		order_places(worker, branch, worker->order + worker->nsquares);
		square = find_front(worker, branch);
		if (square > worker->limit || square == INFINITY)
			continue;
		push(worker, square, worker->nbranches++);
		worker->nsquares += branch->n;
	}
	return true;
}

/* Takes what is nearest of all; returns the branch that led there. */
static const CtKnnPart *
take_front(CtKnnWorker *worker, int *number)
{
	CtKnnBranch *branch = &worker->branches[worker->queue[0].branch];

	if (branch->order)
		*number = branch->order[branch->front++];
	else
	{
		*number = branch->front;
		branch->squares[branch->front] = INFINITY;
	}
	worker->queue[0].square = find_front(worker, branch);
	if (worker->queue[0].square > worker->limit ||
		worker->queue[0].square == INFINITY)
		worker->queue[0] = worker->queue[--worker->nqueue];
	sift_down(worker);
	return branch->part;
}

/* -------- nodes that are missing -------- */

/*
 * Notes a node that is missing.  A list that is full does no harm: the query
 * will be asked again, when what others want has been loaded.
 */
static void
want(CtKnnWorker *worker, uint32 number, double square)
{
	worker->least_wanted = Min(worker->least_wanted, square);
	if (worker->nwanted == worker->wanted_size)
		return;
	worker->wanted_squares[worker->nwanted - worker->wanted_before] = square;
	worker->wanted[worker->nwanted++] = number;
}

/* Of the nodes that this query wanted, keeps those that it still wants. */
static void
review_wanted(CtKnnWorker *worker)
{
	int			n = worker->wanted_before;

	for (int i = worker->wanted_before; i < worker->nwanted; i++)
		if (worker->wanted_squares[i - worker->wanted_before] <= worker->limit)
			worker->wanted[n++] = worker->wanted[i];
	worker->nwanted = worker->wanted_before = n;
}

/* -------- the search -------- */

static void
begin(CtKnnWorker *worker)
{
	worker->nfound = 0;
	set_worst(worker, INFINITY);
	worker->nqueue = 0;
	worker->nbranches = 0;
	worker->nsquares = 0;
	worker->wanted_before = worker->nwanted;
	worker->least_wanted = INFINITY;
}

/* The answer: the nearest rows but self, in order. */
static int
finish(CtKnnWorker *worker, CtKnnKey self, CtKnnRow *rows)
{
	int			k = (int) worker->tree->knn->k;
	int			n = 0;

	if (worker->nfound > worker->k + worker->k / 8)
		narrow(worker);
	sort_rows(worker);
	for (int i = 0; i < worker->nfound && n < k; i++)
	{
		CtKnnKey	key = worker->sorted[i].key;

		if (ct_knn_same_row(key, self))
			continue;
		rows[n++] = ct_knn_neighbour(key, worker->sorted[i].dist);
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
	int			steps = 0;

	begin(worker);
	if (!nodes[0].loaded)
		want(worker, 0, 0.0);
	else if (!open_node(worker, &nodes[0], query))
		return CT_KNN_FULL;
	while (worker->nqueue > 0 && worker->queue[0].square <= worker->limit)
	{
		double		square = worker->queue[0].square;
		int			child;
		const CtKnnPart *part = take_front(worker, &child);
		uint32		number = part->first + child;

		if (part->leaf)
			look_at_block(worker, part, child, query);
		else if (nodes[number].loaded)
		{
			if (!open_node(worker, &nodes[number], query))
				return CT_KNN_FULL;
			if (++steps % INTERRUPT_STEPS == 0 && InterruptPending)
				return CT_KNN_INTERRUPTED;
		}
		else
		{
			want(worker, number, square);
			if (worker->worst < INFINITY)
				continue;
			expected += nodes[number].height == 0 ? ROWS_EXPECTED : worker->k;
			if (worker->nfound + expected >= worker->k)
				break;
		}
	}
	review_wanted(worker);
	if (worker->least_wanted <= worker->limit &&
		worker->least_wanted < INFINITY)
		return CT_KNN_MISSING;
	*n = finish(worker, self, rows);
	return CT_KNN_DONE;
}
