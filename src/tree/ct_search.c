/*-------------------------------------------------------------------------
 *
 * ct_search.c
 *	  Best-first search: all rows in the order of their distance.
 *
 * One priority queue (Hjaltason & Samet 1999, "Distance browsing in spatial
 * databases") holds branches and cursors.  A branch is a routing page that was
 * read: it keeps the links to its child pages, each with a lower bound of
 * everything behind it.  A cursor is a leaf that was read: it keeps a key for
 * each of its rows, either the row's distance or, where that is costly, a lower
 * bound of it.  Both stand in the queue once, with their smallest key.  At
 * equal keys branches come before cursors and bounds before distances, since
 * either may hide a row with the same distance and a smaller TID; cursors
 * compare by TID.
 *
 * Where points are on the page, leaves do not become cursors at first: they give
 * up near rows only, to a pool (ct_near.h), and stay in their branch with the
 * least distance of the others.
 *
 * In a residual index every leaf has a basis of pivots.  Their correlations
 * with the query, mostly known from routing pages, give all rows of the leaf a
 * bound (ct_projection.h), which a table of pivots seen makes cheap.
 *
 * No pin or lock survives a call.  What makes this safe is told in
 * src/README.md under "Scans".
 *
 * IDENTIFICATION
 *	  src/tree/ct_search.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "ct_near.h"
#include "ct_tree.h"

/* items with the same key leave the queue in this order */
typedef enum ItemKind
{
	ITEM_BRANCH,
	ITEM_CURSOR
} ItemKind;

/* what the key of a residual leaf comes from; see put_off() */
typedef enum LeafStage
{
	LEAF_NEW,					/* the link that leads to it, and perhaps what
								 * the first pivots of its basis say */
	LEAF_GLANCED,				/* what its basis says of all rows together */
	LEAF_BOUNDED				/* the least bound of its rows */
} LeafStage;

/* a page that is to be visited */
typedef struct PageVisit
{
	double		key;
	BlockNumber block;			/* the link that led here */
	uint32		incarnation;
	uint32		version;
	int			height;			/* expected, or -1 */
	const CtShares *shares;		/* of the query by a residual leaf's basis as
								 * it is in this version, or NULL */
	LeafStage	stage;
	/* a leaf that may keep rows: where it is in the queue, or -1 */
	int			branch;
	int			child;
	double		taken;			/* its rows up to here have been read before */
	double		rest;			/* bound of those that it keeps, or INFINITY */
} PageVisit;

/* the child pages of a routing page that was read */
typedef struct Branch
{
	int			n;
	int			front;			/* child with the smallest key */
	double	   *keys;			/* INFINITY: visited, or nothing there */
	double	   *taken;			/* of leaves that may keep rows: up to where
								 * they were read, or -1; or NULL */
	CtLink	   *links;
	int			height;			/* of the children */
	const CtShares *shares;		/* of a single leaf: see PageVisit */
	LeafStage	stage;
} Branch;

typedef struct QueueItem
{
	double		key;
	ItemKind	kind;
	ItemPointerData tid;		/* cursors: TID of the smallest row */
	uint32		number;			/* of the cursor or branch */
} QueueItem;

/* a pivot that has no copy, and whose correlation with the query is known */
typedef struct SeenPivot
{
	CtLocator	locator;
	uint32		hash;
	char		status;			/* for simplehash */
	double		rho;
} SeenPivot;

#define SH_PREFIX		seen
#define SH_ELEMENT_TYPE	SeenPivot
#define SH_KEY_TYPE		CtLocator
#define SH_KEY			locator
#define SH_HASH_KEY(tb, key) \
	murmurhash32((key).block * 64 + (key).slot)
#define SH_EQUAL(tb, a, b) \
	((a).block == (b).block && (a).slot == (b).slot)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) ((a)->hash)
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* vacuum cannot free pages under one search more often than this */
#define MAX_RESTARTS		10000

/*
 * After so many rows a cursor is sorted: sorting costs as much as finding the
 * smallest key some hundred times.
 */
#define CURSOR_SORT_AFTER	64

/*
 * Bounds are weak when so many rows, and so large a share of those in cursors,
 * had to be evaluated.
 */
#define WEAK_AFTER			1000
#define WEAK_SHARE			0.25

/* rows without a point in one cursor, for a NULL query */
#define NULLS_CURSOR_ROWS	65536

typedef struct CursorRow
{
	double		key;
	ItemPointerData tid;
	uint16		slot;
} CursorRow;

typedef struct Cursor
{
	int			n;				/* rows left */
	int			taken;
	int			front;			/* row to return next, or -1 if not known */
	bool		lazy;			/* some keys may be bounds */
	double	   *keys;
	ItemPointerData *tids;
	bool	   *exact;			/* lazy cursors */
	CtLocator  *locators;
	double	   *points;			/* if they are kept: point_size a row */
	BlockNumber block;			/* for error messages */
	int			next;			/* when sorted: position in sorted[] */
	CursorRow  *sorted;			/* or NULL */
} Cursor;

struct CtSearch
{
	CtIndex    *index;
	MemoryContext context;		/* reset by each start */
	double	   *query;
	CtReport	report;

	QueueItem  *queue;			/* binary heap */
	int			nqueue;
	int			queue_size;
	Branch	   *branches;
	int			nbranches;
	int			branches_size;
	Cursor	   *cursors;
	int			ncursors;
	int			cursors_size;
	double	   *dist;			/* room for one node */
	double	   *bounds;			/* likewise */
	uint16	   *chosen;			/* likewise: slots */
	CtNear		near;
	int64		expected;		/* rows, by what earlier searches returned */

	/* of rows whose points are costly to read */
	int64		nlazy;			/* in cursors */
	int64		nevaluated;

	CtSpace		space;			/* its slack is that of this query */
	CtBoxQuery	place;			/* where it is, for boxes */
	/* leaves with codes: room for those of the query, and for sums */
	CtQueryCodes codes;
	int32	   *sums;
	/* residual index: the query's correlations with pivots */
	double	   *known;			/* with copies, by number; NAN: not yet */
	int			nknown;
	uint64		known_generation;
	seen_hash  *seen;			/* with others; or NULL */
	double		rho[CT_BASIS_SIZE]; /* with those of a leaf's basis */
	PGAlignedBlock *copy;		/* of a page, or NULL */

	int64		restarts;		/* in a row, without a row returned */
	bool		restarted;		/* ever: rows may come again */
	bool		no_dims;		/* no row but NULLs when the search began */
	bool		root_read;		/* and was of the shape that is known */
	bool		outdated;		/* see ct_search_is_outdated() */
	bool		returned_any;
	int64		nreturned;		/* rows */
	CtResult	last;			/* row returned last */
	bool		keep_points;	/* see ct_search_keep_points() */
	double	   *last_point;		/* then: that of the row taken last */

	bool		in_nulls;
	ItemPointerData *nulls;
	int64		nnulls;
	int64		next_null;

	CtSearchStats stats;
};

/* memory of a search that has ended, for the next one; or NULL */
static MemoryContext spare_context = NULL;

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

static void
queue_sift_down(CtSearch *search, int position)
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

static void
queue_push(CtSearch *search, const QueueItem *item)
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

static void
queue_pop(CtSearch *search)
{
	search->queue[0] = search->queue[--search->nqueue];
	if (search->nqueue > 0)
		queue_sift_down(search, 0);
}

/* -------- branches -------- */

/* A branch of n children; the caller sets keys and links. */
static Branch *
branch_new(CtSearch *search, int n, int height)
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
		queue_push(search, &item);
	else if (at_top && item.key != INFINITY)
	{
		search->queue[0] = item;
		queue_sift_down(search, 0);
	}
	else if (at_top)
		queue_pop(search);
}

static void
branch_enqueue(CtSearch *search, int number, bool at_top)
{
	find_front(search, &search->branches[number]);
	enqueue_front(search, number, at_top);
}

/* A branch of a single page. */
static void
push_page(CtSearch *search, double key, const CtLink *link, int height,
		  LeafStage stage, const CtShares *shares)
{
	Branch	   *branch = branch_new(search, 1, height);

	branch->keys[0] = key;
	branch->links[0] = *link;
	branch->stage = stage;
	branch->shares = shares;
	branch_enqueue(search, search->nbranches - 1, false);
	search->stats.subtrees_pruned++;
}

/*
 * Takes the child with the smallest key from the branch at the queue's top.  A
 * leaf that may keep rows stays there until leave_page().
 */
static void
take_page(CtSearch *search, PageVisit *visit)
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
		branch_enqueue(search, number, true);
}

/* Puts what a leaf keeps back into the queue, in its place at the top. */
static void
leave_page(CtSearch *search, const PageVisit *visit, uint32 version)
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

/* -------- correlations with pivots -------- */

/* The copies of pivots, with room for the query's correlation with each. */
static const CtPivotCopies *
pivot_copies(CtSearch *search)
{
	const CtPivotCopies *copies = ct_cache_pivots(search->index);

	if (copies->generation != search->known_generation)
		search->nknown = 0;
	search->known_generation = copies->generation;
	if (copies->n > search->nknown)
	{
		/* by doubling, for they come one by one */
		int			size = Max(copies->n, 2 * search->nknown);
		Size		bytes = sizeof(double) * size;

		search->known = search->known ? repalloc_huge(search->known, bytes) :
			MemoryContextAllocHuge(search->context, bytes);
		while (search->nknown < size)
			search->known[search->nknown++] = NAN;
	}
	return copies;
}

/* The query's correlation with a pivot that has a copy. */
static double
copied_correlation(CtSearch *search, const CtPivotCopies *copies, int number)
{
	const CtSpace *space = &search->index->space;

	if (isnan(search->known[number]))
	{
		search->known[number] =
			ct_model_correlation(space->model, space->kernels, search->query,
								 copies->vectors[number]);
		search->stats.distances++;
	}
	return search->known[number];
}

/*
 * Sees to it that the query's correlations with so many pivots that have copies
 * are known; together they cost less than one by one.
 */
static void
learn_correlations(CtSearch *search, const CtPivotCopies *copies, int n,
				   const uint32 *numbers)
{
	const CtSpace *space = &search->index->space;
	const double *vectors[CT_BASIS_SIZE];
	uint32		unknown[CT_BASIS_SIZE];
	double		rho[CT_BASIS_SIZE];
	int			count = 0;

	for (int i = 0; i < n; i++)
		if (isnan(search->known[numbers[i]]))
		{
			unknown[count] = numbers[i];
			vectors[count++] = copies->vectors[numbers[i]];
		}
	if (count == 0)
		return;
	ct_model_correlations(space->model, space->kernels, search->query, count,
						  vectors, rho);
	search->stats.distances += count;
	for (int i = 0; i < count; i++)
		search->known[unknown[i]] = rho[i];
}

/* Is the query's correlation with the pivot known? */
static bool
known_pivot(CtSearch *search, CtLocator locator, double *rho)
{
	int			number = ct_cache_number(search->index, locator);
	SeenPivot  *seen;

	if (number >= 0)
	{
		*rho = copied_correlation(search, pivot_copies(search), number);
		return true;
	}
	seen = seen_lookup(search->seen, locator);
	if (seen)
		*rho = seen->rho;
	return seen != NULL;
}

/* Correlation of the query and a pivot: known, or computed and noted. */
static double
pivot_correlation(CtSearch *search, CtLocator locator)
{
	double		rho;
	int			number;

	if (known_pivot(search, locator, &rho))
		return rho;
	rho = ct_pivot_correlation(search->index, locator, search->query);
	search->stats.distances++;
	number = ct_cache_number(search->index, locator);
	if (number >= 0)
	{
		pivot_copies(search);
		search->known[number] = rho;
	}
	else
		seen_insert(search->seen, locator, &(bool) {false})->rho = rho;
	return rho;
}

/* -------- cursors -------- */

static int
cursor_row_compare(const void *a, const void *b)
{
	const CursorRow *left = a;
	const CursorRow *right = b;

	if (left->key != right->key)
		return left->key < right->key ? -1 : 1;
	return ItemPointerCompare((ItemPointer) &left->tid,
							  (ItemPointer) &right->tid);
}

/* A row's point, where points are kept. */
static double *
cursor_point(const CtSearch *search, const Cursor *cursor, int i)
{
	return cursor->points + (size_t) i * search->index->point_size;
}

/* the reported distance of a lazy cursor's row */
static double
cursor_evaluate(CtSearch *search, Cursor *cursor, int i)
{
	double		rho;

	/* many a row is also a pivot */
	if (search->seen && known_pivot(search, cursor->locators[i], &rho))
		return ct_correlation_distance(rho);
	search->stats.distances++;
	search->nevaluated++;
	if (search->report == CT_REPORT_HYPOT)
		return ct_hypot_distance(cursor_point(search, cursor, i), search->query);
	return ct_vector_distance(search->index, cursor->locators[i],
							  search->query);
}

/*
 * Do bounds say so little that most rows will be evaluated?  Then it is cheaper
 * to evaluate all rows of a leaf together.  Should the search end soon after
 * all, that has cost no more than a few times what it had before.
 */
static inline bool
bounds_are_weak(const CtSearch *search)
{
	return search->nevaluated > WEAK_AFTER &&
		search->nevaluated > search->nlazy * WEAK_SHARE;
}

typedef struct RowToRead
{
	CtLocator	locator;
	int			row;
} RowToRead;

static int
row_to_read_compare(const void *a, const void *b)
{
	const CtLocator *left = &((const RowToRead *) a)->locator;
	const CtLocator *right = &((const RowToRead *) b)->locator;

	if (left->block != right->block)
		return left->block < right->block ? -1 : 1;
	return (int) left->slot - (int) right->slot;
}

/* Replaces all bounds of a lazy cursor by distances, in the order of pages. */
static void
cursor_evaluate_all(CtSearch *search, Cursor *cursor)
{
	RowToRead  *rows = palloc(sizeof(RowToRead) * cursor->n);
	CtLocator  *locators = palloc(sizeof(CtLocator) * cursor->n);
	double	   *dist = palloc(sizeof(double) * cursor->n);
	int			n = 0;

	for (int i = 0; i < cursor->n; i++)
		if (!cursor->exact[i])
		{
			rows[n].locator = cursor->locators[i];
			rows[n++].row = i;
		}
	qsort(rows, n, sizeof(RowToRead), row_to_read_compare);
	for (int i = 0; i < n; i++)
		locators[i] = rows[i].locator;
	ct_vector_distances(search->index, n, locators, search->query, dist);
	for (int i = 0; i < n; i++)
	{
		cursor->keys[rows[i].row] = dist[i];
		cursor->exact[rows[i].row] = true;
	}
	search->stats.distances += n;
	search->nevaluated += n;
	pfree(rows);
	pfree(locators);
	pfree(dist);
}

/*
 * Position of the row to return next, its key being a distance.  Bounds that
 * stand in the way are replaced by distances.
 */
static int
cursor_front(CtSearch *search, Cursor *cursor)
{
	const CtKernelTable *kernels = search->index->space.kernels;

	for (;;)
	{
		int			best = kernels->argmin_f64(cursor->keys, cursor->n);
		double		key = cursor->keys[best];
		bool		bound = false;
		int			i = best;

		if (isnan(key))
			ct_page_corrupted(search->index, cursor->block,
							  "A point is not finite.");
		/* all rows with this key */
		for (;;)
		{
			if (cursor->lazy && !cursor->exact[i] && cursor->locators &&
				bounds_are_weak(search))
			{
				cursor_evaluate_all(search, cursor);
				bound = true;
				break;
			}
			else if (cursor->lazy && !cursor->exact[i])
			{
				cursor->keys[i] = cursor_evaluate(search, cursor, i);
				cursor->exact[i] = true;
				bound = true;
			}
			else if (ItemPointerCompare(&cursor->tids[i],
										&cursor->tids[best]) < 0)
				best = i;
			if (++i >= cursor->n)
				break;
			i += kernels->argmin_f64(cursor->keys + i, cursor->n - i);
			if (!(cursor->keys[i] <= key))
				break;
		}
		if (!bound)
			return cursor->front = best;
	}
}

/* Moves a row out of an unsorted cursor. */
static void
cursor_remove(CtSearch *search, Cursor *cursor, int i)
{
	int			last = --cursor->n;

	cursor->front = -1;
	cursor->keys[i] = cursor->keys[last];
	cursor->tids[i] = cursor->tids[last];
	if (cursor->lazy)
	{
		cursor->exact[i] = cursor->exact[last];
		if (cursor->locators)
			cursor->locators[i] = cursor->locators[last];
	}
	if (cursor->points)
		memmove(cursor_point(search, cursor, i),
				cursor_point(search, cursor, last),
				sizeof(double) * search->index->point_size);
}

static void
cursor_sort(CtSearch *search, Cursor *cursor)
{
	cursor->sorted = MemoryContextAllocHuge(search->context,
											sizeof(CursorRow) * cursor->n);
	for (int i = 0; i < cursor->n; i++)
	{
		cursor->sorted[i].key = cursor->keys[i];
		cursor->sorted[i].tid = cursor->tids[i];
		cursor->sorted[i].slot = i;
	}
	qsort(cursor->sorted, cursor->n, sizeof(CursorRow), cursor_row_compare);
	cursor->next = 0;
}

/* The cursor's smallest key, which need not be a distance yet. */
static double
cursor_key(CtSearch *search, Cursor *cursor, ItemPointer tid)
{
	int			i;

	if (cursor->sorted)
	{
		*tid = cursor->sorted[cursor->next].tid;
		return cursor->sorted[cursor->next].key;
	}
	if (cursor->lazy)
	{
		/* a bound stands before every distance of the same value */
		double		key;

		i = search->index->space.kernels->argmin_f64(cursor->keys, cursor->n);
		key = cursor->keys[i];
		for (int j = i; j < cursor->n; j++)
			if (cursor->keys[j] == key && !cursor->exact[j])
			{
				ItemPointerSet(tid, 0, InvalidOffsetNumber);
				return key;
			}
	}
	i = cursor_front(search, cursor);
	*tid = cursor->tids[i];
	return cursor->keys[i];
}

/* Puts a cursor with rows left into the queue. */
static void
cursor_enqueue(CtSearch *search, int number, bool at_top)
{
	QueueItem	item = {0};
	Cursor	   *cursor = &search->cursors[number];

	item.kind = ITEM_CURSOR;
	item.number = number;
	item.key = cursor_key(search, cursor, &item.tid);
	if (at_top)
	{
		search->queue[0] = item;
		queue_sift_down(search, 0);
	}
	else
		queue_push(search, &item);
}

static Cursor *
cursor_new(CtSearch *search, int n)
{
	Cursor	   *cursor;

	if (search->ncursors == search->cursors_size)
	{
		search->cursors_size *= 2;
		search->cursors = repalloc_huge(search->cursors,
										sizeof(Cursor) * search->cursors_size);
	}
	cursor = &search->cursors[search->ncursors++];
	memset(cursor, 0, sizeof(Cursor));
	cursor->n = n;
	cursor->front = -1;
	cursor->keys = palloc(sizeof(double) * n);
	cursor->tids = palloc(sizeof(ItemPointerData) * n);
	return cursor;
}

/* -------- pages -------- */

/*
 * Puts the correlations of the query and the pivots of a leaf's basis into
 * search->rho.  Unless it may read vectors, returns false when it had to.
 */
static bool
basis_correlations(CtSearch *search, const CtNode *node, bool may_read)
{
	for (int i = 0; i < node->basis->n && i < CT_BASIS_SIZE; i++)
	{
		CtLocator	locator = node->basis->pivots[i];

		if (may_read)
			search->rho[i] = pivot_correlation(search, locator);
		else if (!known_pivot(search, locator, &search->rho[i]))
			return false;
	}
	return true;
}

/*
 * The query's shares by a leaf's basis, whose pivots' correlations are in
 * search->rho.
 */
static void
query_shares(CtSearch *search, const CtProjection *basis, double min_variance,
			 CtShares *shares)
{
	const CtModel *model = search->space.model;

	ct_projection_shares(&search->space, basis, search->rho,
						 ct_model_slack(model, search->query[model->dims],
										min_variance), shares);
}

/* The query's shares by the first n pivots of a basis that has a copy. */
static void
shares_by_copy(CtSearch *search, const CtBasisCopy *basis, int n,
			   CtShares *shares)
{
	const CtPivotCopies *copies = pivot_copies(search);
	CtProjection projection = basis->projection;

	projection.n = n;
	learn_correlations(search, copies, n, basis->numbers);
	for (int i = 0; i < n; i++)
		search->rho[i] = search->known[basis->numbers[i]];
	query_shares(search, &projection, basis->min_variance, shares);
}

/*
 * What the copies of the bases of residual leaves say of the query at first
 * sight: raises the bounds of the children of a branch.  Leaves that have no
 * copy, or have changed since, tell when they are visited.
 */
static void
glance_at_leaves(CtSearch *search, Branch *branch)
{
	for (int c = 0; c < branch->n; c++)
	{
		const CtBasisCopy *basis = ct_cache_basis(search->index,
												  &branch->links[c]);
		CtShares	shares;
		double		bound;

		if (basis == NULL || branch->keys[c] == INFINITY)
			continue;
		shares_by_copy(search, basis, basis->nglance, &shares);
		bound = ct_projection_glance(&search->space, &shares,
									 basis->glance_rest);
		branch->keys[c] = Max(branch->keys[c], bound);
	}
}

/*
 * Computes the query's shares by the basis of a leaf, whose pivots'
 * correlations are in search->rho.  Keeps a copy of the basis for other scans.
 */
static void
learn_shares(CtSearch *search, const CtNode *node, PageVisit *visit)
{
	CtShares   *shares = palloc(sizeof(CtShares));
	CtProjection projection;

	ct_node_projection(node, &projection);
	query_shares(search, &projection, node->basis->min_variance, shares);
	visit->shares = shares;
	ct_cache_keep_basis(search->index, visit->block, visit->incarnation, node);
}

/* Bounds for the rows of a residual leaf. */
static void
projection_keys(CtSearch *search, Cursor *cursor, const CtNode *node,
				const PageVisit *visit)
{
	CtRowShares rows;

	ct_node_row_shares(node, &rows);
	ct_projection_bounds(&search->space, visit->shares, &rows, cursor->n,
						 search->bounds);
	for (int i = 0; i < cursor->n; i++)
		cursor->keys[i] = Max(cursor->keys[i], search->bounds[i]);
}

/*
 * Puts a residual leaf, as it was in that version, back into the queue, unless
 * it is in front all the same.
 */
static bool
put_back(CtSearch *search, uint32 version, const PageVisit *visit,
		 double key, LeafStage stage)
{
	CtLink		link = {0};

	if (!(key > visit->key && key > search->queue[0].key))
		return false;
	/* splits so far have been dealt with */
	link.block = visit->block;
	link.incarnation = visit->incarnation;
	link.version = version;
	push_page(search, key, &link, 0, stage, visit->shares);
	return true;
}

/*
 * Puts a residual leaf off, if it can be, first by what its basis says of all
 * rows together, and when it comes again by the least bound of its rows.  Most
 * leaves are never seen again: to make a cursor of each would cost more than
 * its bounds, and these cost more than a glance.
 */
static bool
put_off(CtSearch *search, const CtNode *node, const PageVisit *visit)
{
	CtRowShares rows;
	double		key;

	if (visit->stage == LEAF_BOUNDED || visit->shares == NULL ||
		search->nqueue == 0)
		return false;
	if (visit->stage == LEAF_NEW)
	{
		key = ct_projection_glance(&search->space, visit->shares,
								   node->basis->most_rest);
		if (put_back(search, node->header->version, visit, key, LEAF_GLANCED))
			return true;
	}
	ct_node_row_shares(node, &rows);
	key = ct_projection_least(&search->space, visit->shares, &rows,
							  node->header->nentries, search->bounds);
	return put_back(search, node->header->version, visit, key, LEAF_BOUNDED);
}

/* The same for a leaf that has not been read, by the copy of its basis. */
static bool
put_off_unread(CtSearch *search, PageVisit *visit)
{
	CtLink		link = {visit->block, visit->incarnation, visit->version, 0};
	const CtBasisCopy *basis;
	CtShares   *shares;

	if (search->seen == NULL || visit->height != 0 || visit->stage != LEAF_NEW)
		return false;
	basis = ct_cache_basis(search->index, &link);
	if (basis == NULL)
		return false;
	shares = palloc(sizeof(CtShares));
	shares_by_copy(search, basis, basis->projection.n, shares);
	visit->shares = shares;
	visit->stage = LEAF_GLANCED;
	return search->nqueue > 0 &&
		put_back(search, visit->version, visit,
				 ct_projection_glance(&search->space, shares, basis->most_rest),
				 LEAF_GLANCED);
}

/*
 * The same for a leaf with codes, whose sums it leaves in search->sums.
 */
static bool
put_off_coded(CtSearch *search, const CtNode *node, const PageVisit *visit)
{
	double		key;

	ct_leaf_code_sums(search->index, node, search->query, &search->codes,
					  search->sums);
	if (visit->stage == LEAF_BOUNDED || search->nqueue == 0)
		return false;
	key = ct_code_least(&search->space, node->grid, &search->codes,
						node->header->nentries, search->sums);
	return put_back(search, node->header->version, visit, key, LEAF_BOUNDED);
}

/*
 * Keys for the rows of a leaf whose points are costly to read: what their codes
 * say, or in a residual index the basis.
 */
static void
lazy_keys(CtSearch *search, Cursor *cursor, const CtNode *node,
		  const PageVisit *visit)
{
	cursor->lazy = true;
	search->nlazy += cursor->n;
	cursor->exact = palloc0(sizeof(bool) * cursor->n);
	cursor->locators = palloc(sizeof(CtLocator) * cursor->n);
	memcpy(cursor->locators, node->locators, sizeof(CtLocator) * cursor->n);
	for (int i = 0; i < cursor->n; i++)
		cursor->keys[i] = visit->key;
	if (visit->shares)
	{
		projection_keys(search, cursor, node, visit);
		return;
	}
	if (node->codes == NULL)
		return;
	ct_code_bounds(&search->space, node->grid, &search->codes, cursor->n,
				   search->sums, search->bounds);
	for (int i = 0; i < cursor->n; i++)
		cursor->keys[i] = Max(cursor->keys[i], search->bounds[i]);
}

/*
 * Computes the distances of a leaf's rows, whose points are on the page, and
 * chooses those above visit->taken and at most limit.  Returns their number.
 */
static int
choose_rows(CtSearch *search, const CtNode *node, PageVisit *visit,
			double limit)
{
	const CtKernelTable *kernels = search->index->space.kernels;
	int			n = node->header->nentries;
	int			count;

	count = kernels->choose_f64(search->dist, n, visit->taken, limit,
								search->chosen, &visit->rest);
	for (int i = 0; i < count; i++)
		if (isnan(search->dist[search->chosen[i]]))
			ct_page_corrupted(search->index, visit->block,
							  "A point is not finite.");
	return count;
}

/*
 * Adds rows of a leaf that are near enough to the pool; visit->rest becomes a
 * bound of those that the leaf keeps.
 */
static void
read_near(CtSearch *search, const CtNode *node, PageVisit *visit)
{
	CtNear	   *near = &search->near;
	const CtKernelTable *kernels = search->index->space.kernels;
	int			n = node->header->nentries;
	double		limit = INFINITY;
	int			count;

	if (n == 0)
		return;
	ct_node_distances(search->index, node, search->query, search->dist);
	search->stats.distances += n;
	if (visit->branch >= 0)
		limit = ct_near_limit(near, kernels, search->dist, n, visit->taken);
	count = choose_rows(search, node, visit, limit);
	if (visit->rest == INFINITY && limit < INFINITY)
	{
		/* nothing is left, but perhaps at a distance that is no number */
		limit = INFINITY;
		count = choose_rows(search, node, visit, limit);
	}
	visit->taken = limit;
	for (int i = 0; i < count; i++)
	{
		int			slot = search->chosen[i];
		double		key = search->dist[slot];
		double		point[2];

		if (search->report == CT_REPORT_HYPOT)
		{
			ct_node_get_point(search->index, node, slot, point);
			key = ct_hypot_distance(point, search->query);
		}
		ct_near_add(near, key, &node->tids[slot]);
	}
	if (search->report == CT_REPORT_HYPOT && visit->rest < INFINITY)
		visit->rest = ct_lower_bound(&search->space, visit->rest, 0.0);
	if (count > 0)
		ct_near_tighten(near, kernels);
}

/* A cursor over the rows of a leaf with points that were not taken before. */
static void
read_rows(CtSearch *search, const CtNode *node, PageVisit *visit)
{
	bool		hypot = search->report == CT_REPORT_HYPOT;
	int			n = node->header->nentries;
	Cursor	   *cursor;

	ct_node_distances(search->index, node, search->query, search->dist);
	search->stats.distances += n;
	n = choose_rows(search, node, visit, INFINITY);
	if (n == 0)
		return;
	cursor = cursor_new(search, n);
	cursor->block = visit->block;
	if (hypot)
	{
		cursor->lazy = true;
		cursor->exact = palloc0(sizeof(bool) * n);
	}
	if (hypot || search->keep_points)
		cursor->points = palloc(sizeof(double) * search->index->point_size * n);
	for (int i = 0; i < n; i++)
	{
		int			slot = search->chosen[i];

		cursor->tids[i] = node->tids[slot];
		cursor->keys[i] = search->dist[slot];
		if (hypot)
			cursor->keys[i] = ct_lower_bound(&search->space, cursor->keys[i],
											 0.0);
		if (cursor->points)
			ct_node_get_point(search->index, node, slot,
							  cursor_point(search, cursor, i));
	}
}

static void
read_leaf(CtSearch *search, const CtNode *node, PageVisit *visit)
{
	int			n = node->header->nentries;
	Cursor	   *cursor;

	if (n == 0)
		return;
	if (node->points && search->report != CT_REPORT_NULL)
	{
		if (search->near.active)
			read_near(search, node, visit);
		else
			read_rows(search, node, visit);
		return;
	}
	cursor = cursor_new(search, n);
	cursor->block = visit->block;
	memcpy(cursor->tids, node->tids, sizeof(ItemPointerData) * n);
	if (search->report == CT_REPORT_NULL)
		memset(cursor->keys, 0, sizeof(double) * n);
	else
		lazy_keys(search, cursor, node, visit);
}

/* From now on leaves that are read become cursors; so do the rows in the pool. */
static void
leave_near(CtSearch *search)
{
	CtNear	   *near = &search->near;
	int			number = search->ncursors;
	Cursor	   *cursor;

	near->active = false;
	if (near->n == 0)
		return;
	cursor = cursor_new(search, near->n);
	memcpy(cursor->keys, near->keys, sizeof(double) * near->n);
	memcpy(cursor->tids, near->tids, sizeof(ItemPointerData) * near->n);
	near->n = 0;
	cursor_enqueue(search, number, false);
}

/*
 * Is the page at the queue's top beyond the rows that are expected, or the pool
 * full?
 */
static inline bool
is_beyond(const CtSearch *search)
{
	const QueueItem *top = &search->queue[0];
	const Branch *branch = &search->branches[top->number];

	return search->near.n > CT_NEAR_POOL ||
		top->key > search->near.limit ||
		(branch->taken && branch->taken[branch->front] >= search->near.limit);
}

/* What is kept of a page whose pivots are read without its lock. */
static void
copy_page(CtSearch *search, CtNode *node)
{
	if (search->copy == NULL)
		search->copy = MemoryContextAlloc(search->context,
										  sizeof(PGAlignedBlock));
	memcpy(search->copy->data, (char *) node->header - CT_NODE_OFFSET, BLCKSZ);
	ct_node_view(search->index, (Page) search->copy->data, node);
}

/*
 * Bounds of what is behind each link of a residual index, by the balls around
 * the entries.
 */
static void
ball_bounds(CtSearch *search, const CtNode *node, const PageVisit *visit,
			double *bounds)
{
	int			n = node->header->nentries;
	int			nchildren = node->header->nchildren;

	for (int i = 0; i < n; i++)
		search->dist[i] = ct_radius_decides(&search->space, node->radii[i]) ?
			ct_correlation_angle(pivot_correlation(search,
												   node->locators[i])) : 0.0;
	ct_lower_bounds(&search->space, n, search->dist, node->radii,
					search->bounds);
	/* a child without entries is on its way out; it has no rows */
	for (int c = 0; c < nchildren; c++)
		bounds[c] = INFINITY;
	for (int i = 0; i < n; i++)
	{
		const CtEntryMeta *meta = &node->metas[i];

		if (meta->child == CT_NO_CHILD)
			continue;
		if (meta->child >= nchildren)
			ct_page_corrupted(search->index, visit->block,
							  "Entry refers to nothing.");
		bounds[meta->child] = Min(bounds[meta->child], search->bounds[i]);
	}
}

static void
expand_routing(CtSearch *search, const CtNode *node, const PageVisit *visit)
{
	int			n = node->header->nchildren;
	Branch	   *branch;

	if (n == 0)
		return;
	branch = branch_new(search, n, node->header->height - 1);
	memcpy(branch->links, node->links, sizeof(CtLink) * n);
	if (search->report == CT_REPORT_NULL)
		memset(branch->keys, 0, sizeof(double) * n);
	else if (node->boxes)
		ct_box_bounds(search->index, node, &search->place, branch->keys);
	else
		ball_bounds(search, node, visit, branch->keys);
	for (int c = 0; c < n; c++)
		branch->keys[c] = Max(branch->keys[c], visit->key);
	if (search->seen && branch->height == 0)
		glance_at_leaves(search, branch);
	search->stats.subtrees_pruned += n;
}

static void restart(CtSearch *search);

/*
 * The right sibling of a page that was split after its link was read.  It has
 * rows of that page, of which those up to the distance taken have been read.
 */
static void
push_right(CtSearch *search, const PageVisit *visit, const CtLink *right,
		   double taken)
{
	Branch	   *branch;

	push_page(search, visit->key, right, visit->height, LEAF_NEW, NULL);
	branch = &search->branches[search->nbranches - 1];
	if (branch->taken == NULL && taken >= 0.0)
		branch->taken = palloc(sizeof(double));
	if (branch->taken)
		branch->taken[0] = taken;
}

/* Reads a page; its children or its rows take its place in the queue. */
static void
visit_page(CtSearch *search, PageVisit *visit)
{
	CtIndex    *index = search->index;
	CtPin		pin = ct_pin(index, visit->block, CT_LOCK_SHARE);
	Page		page = ct_pin_page(pin);
	CtNode		node;
	CtLink		right = {InvalidBlockNumber, 0, 0, 0};
	bool		is_root = visit->block == CT_ROOT_BLOCK;
	CtPageKind	kind = ct_page_kind(page);
	int			ncursors = search->ncursors;
	int			nbranches = search->nbranches;
	double		taken = visit->taken;
	uint32		version;

	search->stats.pages_read++;
	if (ct_special(page)->incarnation != visit->incarnation && !is_root)
	{
		/* freed, and perhaps in use for something else: links are stale */
		ct_unpin(pin);
		if (++search->restarts > MAX_RESTARTS)
			ct_page_corrupted(index, visit->block,
							  "The page never agrees with the link to it.");
		search->restarted = true;
		restart(search);
		return;
	}
	if (kind != CT_PAGE_ROUTING && kind != CT_PAGE_LEAF)
		ct_page_corrupted(index, visit->block, "A link leads to no node.");
	if (!ct_page_has_shape(index, page))
	{
		/*
		 * The dimension was freed: there is nothing to be found any more, or
		 * there never was and what was known of the index is out of date.
		 */
		if (!is_root)
			ct_page_corrupted(index, visit->block,
							  "The page has not the shape of the index.");
		ct_unpin(pin);
		search->outdated = !search->root_read;
		return;
	}
	search->root_read = true;
	ct_node_view(index, page, &node);
	if (visit->height >= 0 && node.header->height != visit->height)
		ct_page_corrupted(index, visit->block,
						  "The page has another height than its parent says.");

	if (!is_root && node.header->split_version > visit->version &&
		search->stats.pages_read > MAX_RESTARTS + 4 * (int64) ct_block_count(index))
		ct_page_corrupted(index, visit->block, "Right links form a circle.");
	if (!is_root && node.header->split_version > visit->version)
	{
		right.block = node.header->right;
		right.incarnation = node.header->right_incarnation;
		right.version = visit->version;
	}

	if (visit->version != node.header->version)
		visit->shares = NULL;
	if (search->seen && visit->shares == NULL &&
		!(node.basis && basis_correlations(search, &node, false)))
	{
		copy_page(search, &node);
		ct_unpin(pin);
		pin = CT_NO_PIN;
		if (node.basis)
			basis_correlations(search, &node, true);
	}
	if (node.basis && node.basis->n > 0 && visit->shares == NULL &&
		search->report != CT_REPORT_NULL)
		learn_shares(search, &node, visit);
	if (kind == CT_PAGE_ROUTING)
		expand_routing(search, &node, visit);
	else if (search->report == CT_REPORT_NULL ||
			 !(node.codes ? put_off_coded(search, &node, visit) :
			   put_off(search, &node, visit)))
		read_leaf(search, &node, visit);
	version = node.header->version;
	if (pin != CT_NO_PIN)
		ct_unpin(pin);

	if (visit->branch >= 0)
		leave_page(search, visit, version);
	if (kind == CT_PAGE_ROUTING && search->nbranches > nbranches)
		branch_enqueue(search, nbranches, false);
	if (right.block != InvalidBlockNumber)
		push_right(search, visit, &right, taken);
	if (search->ncursors > ncursors)
		cursor_enqueue(search, ncursors, false);
}

/*
 * With a NULL query all distances are NULL, so rows without a point stand
 * among the others, by TID.
 */
static void
enqueue_nulls(CtSearch *search)
{
	ItemPointerData *tids;
	int64		n = ct_nulls_collect(search->index, &tids);

	for (int64 from = 0; from < n; from += NULLS_CURSOR_ROWS)
	{
		int			rows = Min(n - from, NULLS_CURSOR_ROWS);
		int			number = search->ncursors;
		Cursor	   *cursor = cursor_new(search, rows);

		memset(cursor->keys, 0, sizeof(double) * rows);
		memcpy(cursor->tids, tids + from, sizeof(ItemPointerData) * rows);
		cursor_sort(search, cursor);
		cursor_enqueue(search, number, false);
	}
}

/* Begins at the root; rows up to the last one returned will be passed over. */
static void
restart(CtSearch *search)
{
	CtLink		root = {CT_ROOT_BLOCK, 0, 0, 0};

	search->nqueue = 0;
	search->ncursors = 0;
	search->nbranches = 0;
	if (search->near.active)
		ct_near_clear(&search->near);
	if (search->report == CT_REPORT_NULL)
		enqueue_nulls(search);
	if (search->no_dims)
		return;					/* rows that came later are not visible */
	push_page(search, 0.0, &root, -1, LEAF_NEW, NULL);
}

/* -------- interface -------- */

/*
 * Memory for a search, which is a child of the current context.  That of an
 * earlier one is used again: a statement that gives back and takes so much
 * makes the C library return memory to the kernel and ask for it again, page
 * fault by page fault.
 */
static MemoryContext
search_context(void)
{
	MemoryContext context = spare_context;

	if (context == NULL)
		return AllocSetContextCreate(CurrentMemoryContext,
									 "Cover tree scan context",
									 0, 64 * 1024, 1024 * 1024);
	spare_context = NULL;
	MemoryContextSetParent(context, CurrentMemoryContext);
	return context;
}

CtSearch *
ct_search_create(CtIndex *index)
{
	CtSearch   *search = palloc0(sizeof(CtSearch));

	search->index = index;
	search->expected = index->scan_rows > 0 ? index->scan_rows : CT_NEAR_GUESS;
	search->context = search_context();
	return search;
}

/* What does the search that ends tell about the number of rows of the next? */
static void
expect_rows(CtSearch *search)
{
	if (search->nreturned > 0)
		search->expected = Max(search->nreturned,
							   search->expected - search->expected / 4);
	search->nreturned = 0;
}

/*
 * Starts (or starts again) a search.  query is a point of the index
 * (point_size doubles) and is copied; it may be NULL for CT_REPORT_NULL.  The
 * metadata of a residual index must be fresh, as ct_index_open() reads it.
 */
void
ct_search_start(CtSearch *search, const double *query, CtReport report)
{
	MemoryContext old;
	CtIndex    *index = search->index;

	MemoryContextReset(search->context);
	old = MemoryContextSwitchTo(search->context);
	expect_rows(search);
	search->report = report;
	search->query = NULL;
	if (query)
	{
		search->query = palloc(sizeof(double) * index->point_size);
		memcpy(search->query, query, sizeof(double) * index->point_size);
	}
	search->copy = NULL;
	search->space = index->space;
	search->seen = NULL;
	search->nlazy = search->nevaluated = 0;
	search->known = NULL;
	search->nknown = 0;
	search->known_generation = 0;
	if (index->space.model && query)
	{
		search->space.slack =
			ct_model_slack(index->space.model,
						   query[index->space.model->dims],
						   Min(index->meta.min_variance,
							   index->space.model->variance));
		search->seen = seen_create(search->context, 1024, NULL);
	}
	if (index->coded && query)
	{
		search->codes.codes = palloc(sizeof(int16) *
									 ct_code_columns(index->meta.dims));
		search->sums = palloc(sizeof(int32) *
							  TYPEALIGN(CT_CODE_ROWS, index->leaf.capacity));
	}
	if (index->box_dims > 0 && query)
		ct_box_query(index, search->query, &search->place);
	search->queue_size = 64;
	search->queue = palloc(sizeof(QueueItem) * search->queue_size);
	search->branches_size = 32;
	search->branches = palloc(sizeof(Branch) * search->branches_size);
	search->cursors_size = 32;
	search->cursors = palloc(sizeof(Cursor) * search->cursors_size);
	search->dist = palloc(sizeof(double) *
						  Max(Max(index->routing.capacity,
								  index->leaf.capacity), 1));
	search->restarts = 0;
	search->restarted = false;
	search->bounds = palloc(sizeof(double) *
							Max(Max(index->routing.capacity,
									index->leaf.capacity), 1));
	search->chosen = palloc(sizeof(uint16) * Max(index->leaf.capacity, 1));
	memset(&search->near, 0, sizeof(search->near));
	if (index->meta.dims > 0 && !index->external && report != CT_REPORT_NULL &&
		!search->keep_points && search->expected <= CT_NEAR_MOST)
		ct_near_start(&search->near, search->expected);
	search->no_dims = index->meta.dims == 0;
	search->root_read = search->outdated = false;
	search->returned_any = false;
	search->last_point = search->keep_points && query ?
		palloc(sizeof(double) * index->point_size) : NULL;
	search->in_nulls = report == CT_REPORT_NULL;
	search->nulls = NULL;
	search->nnulls = search->next_null = 0;
	memset(&search->stats, 0, sizeof(search->stats));
	restart(search);
	MemoryContextSwitchTo(old);
}

/* Does this row belong before the last one returned, or is it that one? */
static bool
is_behind(const CtSearch *search, const CtResult *result)
{
	if (!search->returned_any)
		return false;
	if (result->dist != search->last.dist)
		return result->dist < search->last.dist;
	return ItemPointerCompare((ItemPointer) &result->tid,
							  (ItemPointer) &search->last.tid) <= 0;
}

/* Lets the caller see the point of a row that it gets, if points are kept. */
static void
take_point(CtSearch *search, const Cursor *cursor, int i, CtResult *result)
{
	if (!search->keep_points || cursor->points == NULL)
		return;
	memcpy(search->last_point, cursor_point(search, cursor, i),
		   sizeof(double) * search->index->point_size);
	result->point = search->last_point;
}

/* Takes the first row of the cursor at the top of the queue, if it is exact. */
static bool
take_row(CtSearch *search, CtResult *result)
{
	int			number = search->queue[0].number;
	Cursor	   *cursor = &search->cursors[number];
	bool		left;

	if (cursor->sorted)
	{
		result->tid = cursor->sorted[cursor->next].tid;
		result->dist = cursor->sorted[cursor->next].key;
		take_point(search, cursor, cursor->sorted[cursor->next].slot, result);
		left = ++cursor->next < cursor->n;
	}
	else
	{
		int			i = cursor->front >= 0 ? cursor->front :
			cursor_front(search, cursor);

		if (cursor->keys[i] != search->queue[0].key ||
			ItemPointerCompare(&cursor->tids[i], &search->queue[0].tid) != 0)
		{
			/* a bound became a distance: the cursor's place has changed */
			search->queue[0].key = cursor->keys[i];
			search->queue[0].tid = cursor->tids[i];
			queue_sift_down(search, 0);
			return false;
		}
		result->tid = cursor->tids[i];
		result->dist = cursor->keys[i];
		if (cursor->locators)
			result->locator = cursor->locators[i];
		take_point(search, cursor, i, result);
		cursor_remove(search, cursor, i);
		left = cursor->n > 0;
		if (left && !cursor->lazy && ++cursor->taken >= CURSOR_SORT_AFTER)
			cursor_sort(search, cursor);
	}
	if (left)
		cursor_enqueue(search, number, true);
	else
		queue_pop(search);
	return true;
}

/*
 * Is a row to be returned?  After a restart these rows have been returned
 * before.  Without one they came while the search ran, and are not visible to
 * it.  No row is returned twice in succession in any case.
 */
static bool
accept_row(CtSearch *search, CtResult *result)
{
	bool		behind = is_behind(search, result);

	if (behind && (search->restarted ||
				   ItemPointerEquals(&result->tid, &search->last.tid)))
		return false;
	result->isnull = search->report == CT_REPORT_NULL;
	if (!behind)
		search->last = *result;
	search->restarts = 0;
	search->returned_any = true;
	search->nreturned++;
	return true;
}

/* The next of the rows whose turn has come. */
static bool
next_ready(CtSearch *search, CtResult *result)
{
	CtNear	   *near = &search->near;

	while (near->next < near->nready)
	{
		const CtNearRow *row = &near->ready[near->next++];

		result->tid = row->tid;
		result->dist = row->key;
		if (accept_row(search, result))
			return true;
	}
	return false;
}

/*
 * Has the turn come for rows in the pool?  At equal keys pages come first,
 * since they may hide a row with the same distance and a smaller TID.
 */
static bool
sort_ready(CtSearch *search)
{
	CtNear	   *near = &search->near;
	bool		all = search->nqueue == 0;

	if (near->n == 0 || !(all || near->least < search->queue[0].key))
		return false;
	ct_near_sort(near, search->index->space.kernels, search->queue[0].key, all);
	return true;
}

/* The rows whose point is NULL, by TID. */
static bool
next_null(CtSearch *search, CtResult *result)
{
	if (!search->in_nulls)
	{
		search->in_nulls = true;
		search->nnulls = ct_nulls_collect(search->index, &search->nulls);
		search->next_null = 0;
	}
	if (search->next_null >= search->nnulls)
		return false;
	result->tid = search->nulls[search->next_null++];
	result->isnull = true;
	result->dist = 0.0;
	return true;
}

/*
 * Did the search find, before it had a row to return, that the index's dimension
 * had been freed since the index was opened?  Then ct_search_next() returns
 * false; the caller refreshes the index and starts again.
 */
bool
ct_search_is_outdated(const CtSearch *search)
{
	return search->outdated;
}

/*
 * Shall results have points, so that ct_search_distance() can be asked?  To be
 * called before ct_search_start().
 */
void
ct_search_keep_points(CtSearch *search, bool keep)
{
	search->keep_points = keep;
}

/*
 * The distance of another query to a row with a point that ct_search_next() has
 * just returned.
 */
double
ct_search_distance(CtSearch *search, const CtResult *result,
				   const CtOrder *order)
{
	CtIndex    *index = search->index;

	search->stats.distances++;
	if (result->point == NULL)
		return ct_vector_distance(index, result->locator, order->query);
	if (order->report == CT_REPORT_HYPOT)
		return ct_hypot_distance(result->point, order->query);
	return index->cover.metric->distance(&index->cover, order->query,
										 result->point);
}

/* Gets the next row; false at the end. */
bool
ct_search_next(CtSearch *search, CtResult *result)
{
	MemoryContext old;
	bool		found = next_ready(search, result);

	result->point = NULL;
	if (found)
		return true;
	old = MemoryContextSwitchTo(search->context);
	while (!found && !search->outdated &&
		   (search->nqueue > 0 || search->near.n > 0))
	{
		CHECK_FOR_INTERRUPTS();
		if (sort_ready(search))
			found = next_ready(search, result);
		else if (search->queue[0].kind != ITEM_BRANCH)
			found = take_row(search, result) && accept_row(search, result);
		else if (search->near.active && is_beyond(search))
		{
			if (search->near.n > CT_NEAR_POOL ||
				!ct_near_expect_more(&search->near))
				leave_near(search);
		}
		else
		{
			PageVisit	visit;

			take_page(search, &visit);
			search->stats.subtrees_pruned--;
			if (!put_off_unread(search, &visit))
				visit_page(search, &visit);
		}
	}
	if (!found && !search->outdated)
		found = next_null(search, result);
	MemoryContextSwitchTo(old);
	return found;
}

CtSearchStats *
ct_search_stats(CtSearch *search)
{
	return &search->stats;
}

void
ct_search_destroy(CtSearch *search)
{
	expect_rows(search);
	ct_index_keep_scan_rows(search->index, search->expected);
	if (spare_context)
		MemoryContextDelete(search->context);
	else
	{
		MemoryContextReset(search->context);
		MemoryContextSetParent(search->context, TopMemoryContext);
		spare_context = search->context;
	}
	pfree(search);
}
