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
 * This file has the loop, and what its callers see.  What becomes of a page is in
 * ct_search_page.c, of the rows of a leaf in ct_search_leaf.c (near rows, codes)
 * and ct_search_residual.c (bases); queue and branches are in ct_search_queue.c,
 * cursors in ct_search_cursor.c.
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

#include "utils/memutils.h"

#include "ct_search_private.h"

/* memory of a search that has ended, for the next one; or NULL */
static MemoryContext spare_context = NULL;

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
	cursor = ct_cursor_new(search, near->n);
	memcpy(cursor->keys, near->keys, sizeof(double) * near->n);
	memcpy(cursor->tids, near->tids, sizeof(ItemPointerData) * near->n);
	near->n = 0;
	ct_cursor_enqueue(search, number, false);
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
		Cursor	   *cursor = ct_cursor_new(search, rows);

		memset(cursor->keys, 0, sizeof(double) * rows);
		memcpy(cursor->tids, tids + from, sizeof(ItemPointerData) * rows);
		ct_cursor_sort(search, cursor);
		ct_cursor_enqueue(search, number, false);
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
	ct_search_push_page(search, 0.0, &root, -1, LEAF_NEW, NULL);
}

/* The same, because what is in the queue may be stale. */
static void
begin_again(CtSearch *search, const PageVisit *visit)
{
	if (++search->restarts > MAX_RESTARTS)
		ct_page_corrupted(search->index, visit->block,
						  "The page never agrees with the link to it.");
	search->restarted = true;
	restart(search);
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

/* Takes a copy of the query, and what the search has to know of it. */
static void
set_query(CtSearch *search, const double *query)
{
	CtIndex    *index = search->index;

	search->query = NULL;
	search->space = index->space;
	search->seen = NULL;
	search->known = NULL;
	search->nknown = 0;
	search->known_generation = 0;
	if (query == NULL)
		return;
	search->query = palloc(sizeof(double) * index->point_size);
	memcpy(search->query, query, sizeof(double) * index->point_size);
	if (index->space.model)
	{
		search->space.slack =
			ct_model_slack(index->space.model,
						   query[index->space.model->dims],
						   Min(index->meta.min_variance,
							   index->space.model->variance));
		search->knot = ct_knot_find(index->space.model, query,
									index->meta.min_variance);
		search->seen = locators_create(search->context, 1024, NULL);
	}
	if (index->coded)
	{
		search->codes.codes = palloc(sizeof(int16) *
									 ct_code_columns(index->meta.dims));
		search->sums = palloc(sizeof(int32) *
							  TYPEALIGN(CT_CODE_ROWS, index->leaf.capacity));
	}
	if (index->box_dims > 0)
		ct_box_query(index, search->query, &search->place);
}

/* Room for the queue, and for what is computed of a page at a time. */
static void
make_room(CtSearch *search)
{
	CtIndex    *index = search->index;
	int			capacity = Max(Max(index->routing.capacity,
								   index->leaf.capacity), 1);

	search->copy = NULL;
	search->queue_size = 64;
	search->queue = palloc(sizeof(QueueItem) * search->queue_size);
	search->branches_size = 32;
	search->branches = palloc(sizeof(Branch) * search->branches_size);
	search->cursors_size = 32;
	search->cursors = palloc(sizeof(Cursor) * search->cursors_size);
	search->dist = palloc(sizeof(double) * capacity);
	search->bounds = palloc(sizeof(double) * capacity);
	search->chosen = palloc(sizeof(uint16) * Max(index->leaf.capacity, 1));
	search->last_point = search->keep_points && search->query ?
		palloc(sizeof(double) * index->point_size) : NULL;
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
	set_query(search, query);
	make_room(search);
	search->nlazy = search->nevaluated = 0;
	search->restarts = 0;
	search->restarted = false;
	memset(&search->near, 0, sizeof(search->near));
	if (index->meta.dims > 0 && !index->external && report != CT_REPORT_NULL &&
		!search->keep_points && search->expected <= CT_NEAR_MOST)
		ct_near_start(&search->near, search->expected);
	search->no_dims = index->meta.dims == 0;
	search->root_read = search->outdated = false;
	search->last.key = -INFINITY;
	ItemPointerSetInvalid(&search->last.tid);
	search->in_nulls = report == CT_REPORT_NULL;
	search->nulls = NULL;
	search->nnulls = search->next_null = 0;
	memset(&search->stats, 0, sizeof(search->stats));
	restart(search);
	MemoryContextSwitchTo(old);
}

/* Lets the caller see the point of a row that it gets, if points are kept. */
static void
take_point(CtSearch *search, const Cursor *cursor, int i, CtResult *result)
{
	if (!search->keep_points || cursor->points == NULL)
		return;
	memcpy(search->last_point, ct_cursor_point(search, cursor, i),
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
			ct_cursor_front(search, cursor);

		if (cursor->keys[i] != search->queue[0].key ||
			ItemPointerCompare(&cursor->tids[i], &search->queue[0].tid) != 0)
		{
			/* a bound became a distance: the cursor's place has changed */
			search->queue[0].key = cursor->keys[i];
			search->queue[0].tid = cursor->tids[i];
			ct_queue_sift_down(search, 0);
			return false;
		}
		result->tid = cursor->tids[i];
		result->dist = cursor->keys[i];
		if (cursor->locators)
			result->locator = cursor->locators[i];
		take_point(search, cursor, i, result);
		ct_cursor_remove(search, cursor, i);
		left = cursor->n > 0;
		if (left && !cursor->lazy && ++cursor->taken >= CURSOR_SORT_AFTER)
			ct_cursor_sort(search, cursor);
	}
	if (left)
		ct_cursor_enqueue(search, number, true);
	else
		ct_queue_pop(search);
	return true;
}

/*
 * Is a row to be returned?  If its place is before the last one that was, or it
 * is that one: after a restart such rows have been returned before.  Without one
 * they came while the search ran, and are not visible to it.  No row is returned
 * twice in succession in any case.
 */
static inline bool
accept_row(CtSearch *search, double key, const ItemPointerData *tid)
{
	CtNearRow  *last = &search->last;

	if (unlikely(key < last->key ||
				 (key == last->key &&
				  ItemPointerCompare((ItemPointer) tid, &last->tid) <= 0)))
	{
		if (search->restarted ||
			ItemPointerEquals((ItemPointer) tid, &last->tid))
			return false;
	}
	else
	{
		last->key = key;
		last->tid = *tid;
	}
	search->restarts = 0;
	search->nreturned++;
	return true;
}

/* The next of the rows whose turn has come. */
static inline bool
next_ready(CtSearch *search, CtResult *result)
{
	CtNear	   *near = &search->near;

	while (near->next < near->nready)
	{
		const CtNearRow *row = &near->ready[near->next++];

		result->tid = row->tid;
		result->dist = row->key;
		if (accept_row(search, row->key, &row->tid))
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

/* Works on the queue until there is a row to return; false at the end. */
static pg_noinline bool
search_on(CtSearch *search, CtResult *result)
{
	MemoryContext old = MemoryContextSwitchTo(search->context);
	bool		found = false;

	while (!found && !search->outdated &&
		   (search->nqueue > 0 || search->near.n > 0))
	{
		CHECK_FOR_INTERRUPTS();
		if (sort_ready(search))
			found = next_ready(search, result);
		else if (search->queue[0].kind != ITEM_BRANCH)
			found = take_row(search, result) &&
				accept_row(search, result->dist, &result->tid);
		else if (search->near.active && is_beyond(search))
		{
			if (search->near.n > CT_NEAR_POOL ||
				!ct_near_expect_more(&search->near))
				leave_near(search);
		}
		else
		{
			PageVisit	visit;

			ct_search_take_page(search, &visit);
			search->stats.subtrees_pruned--;
			if (!ct_search_put_off_unread(search, &visit) &&
				!ct_search_visit_page(search, &visit))
				begin_again(search, &visit);
		}
	}
	if (!found && !search->outdated)
		found = next_null(search, result);
	MemoryContextSwitchTo(old);
	return found;
}

/* Gets the next row; false at the end. */
bool
ct_search_next(CtSearch *search, CtResult *result)
{
	result->isnull = search->report == CT_REPORT_NULL;
	result->point = NULL;
	return next_ready(search, result) || search_on(search, result);
}

/*
 * Of the next rows, as far as they are known, one that this has not told before;
 * NULL if the rows up to CT_ROWS_AHEAD have been.  The search may pass over it.
 */
const ItemPointerData *
ct_search_ahead(CtSearch *search)
{
	CtNear	   *near = &search->near;

	near->told = Max(near->told, near->next);
	if (near->told >= Min(near->nready, near->next + CT_ROWS_AHEAD))
		return NULL;
	return &near->ready[near->told++].tid;
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
