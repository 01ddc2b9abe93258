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

#include "utils/memutils.h"

#include "ct_search_private.h"

/* memory of a search that has ended, for the next one; or NULL */
static MemoryContext spare_context = NULL;

/* -------- pages -------- */

/*
 * Puts a leaf with codes back into the queue, if it can wait, by the least bound
 * of its rows, whose sums it leaves in search->sums.
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
	return ct_search_put_back(search, node->header->version, visit, key,
							  LEAF_BOUNDED);
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
		ct_search_projection_keys(search, cursor, node, visit);
		return;
	}
	if (node->codes == NULL)
		return;
	ct_code_bounds(&search->space, node->grid, &search->codes, cursor->n,
				   search->sums, search->bounds);
	for (int i = 0; i < cursor->n; i++)
		cursor->keys[i] = Max(cursor->keys[i], search->bounds[i]);
}

/* A row was chosen: its distance has to be a number. */
static inline void
check_finite(CtSearch *search, const PageVisit *visit, double dist)
{
	if (unlikely(isnan(dist)))
		ct_page_corrupted(search->index, visit->block,
						  "A point is not finite.");
}

/*
 * Of the distances of a leaf's rows, whose points are on the page, chooses those
 * above visit->taken and at most limit.  Returns their number.
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
		check_finite(search, visit, search->dist[search->chosen[i]]);
	return count;
}

/*
 * Chooses near rows of a leaf, by all distances, and notes up to where; returns
 * their number.
 */
static int
choose_near(CtSearch *search, const CtNode *node, PageVisit *visit)
{
	double		limit = INFINITY;
	int			count;

	ct_node_distances(search->index, node, search->query, search->dist);
	if (visit->branch >= 0)
		limit = ct_near_limit(&search->near, search->index->space.kernels,
							  search->dist, node->header->nentries,
							  visit->taken);
	count = choose_rows(search, node, visit, limit);
	if (visit->rest == INFINITY && limit < INFINITY)
	{
		/* nothing is left, but perhaps at a distance that is no number */
		limit = INFINITY;
		count = choose_rows(search, node, visit, limit);
	}
	visit->taken = limit;
	return count;
}

/*
 * The same, but draws the roots of no more squares than may be of rows chosen,
 * since roots are what takes most time.  Returns -1 where squares do not tell.
 */
static int
choose_near_by_squares(CtSearch *search, const CtNode *node,
					   PageVisit *visit)
{
	const CtKernelTable *kernels = search->index->space.kernels;
	int			n = node->header->nentries;
	double	   *squares = search->bounds;
	double		limit = INFINITY;
	int			chosen = 0;
	int			count;

	if (!ct_node_squares(search->index, node, search->query, squares))
		return -1;
	if (visit->branch >= 0)
		limit = search->near.limit < INFINITY ? search->near.limit :
			sqrt(ct_near_limit(&search->near, kernels, squares, n,
							   ct_square_up(visit->taken)));
	count = kernels->choose_f64(squares, n, ct_square_down(visit->taken),
								ct_square_up(limit), search->chosen,
								&visit->rest);
	visit->rest = sqrt(visit->rest);
	for (int i = 0; i < count; i++)
	{
		int			slot = search->chosen[i];
		double		dist = sqrt(squares[slot]);

		check_finite(search, visit, dist);
		if (dist > limit)
			visit->rest = Min(visit->rest, dist);
		else if (dist > visit->taken)
		{
			search->dist[slot] = dist;
			search->chosen[chosen++] = slot;
		}
	}
	visit->taken = limit;
	return chosen;
}

/*
 * Adds rows of a leaf that are near enough to the pool; visit->rest becomes a
 * bound of those that the leaf keeps.
 */
static void
read_near(CtSearch *search, const CtNode *node, PageVisit *visit)
{
	CtNear	   *near = &search->near;
	int			count;

	if (node->header->nentries == 0)
		return;
	search->stats.distances += node->header->nentries;
	count = choose_near_by_squares(search, node, visit);
	if (count < 0)
		count = choose_near(search, node, visit);
	if (search->report == CT_REPORT_HYPOT)
	{
		for (int i = 0; i < count; i++)
		{
			int			slot = search->chosen[i];
			double		point[2];

			ct_node_get_point(search->index, node, slot, point);
			search->dist[slot] = ct_hypot_distance(point, search->query);
		}
		if (visit->rest < INFINITY)
			visit->rest = ct_lower_bound(&search->space, visit->rest, 0.0);
	}
	if (count == 0)
		return;
	ct_near_add(near, search->dist, node->tids, search->chosen, count);
	ct_near_tighten(near, search->index->space.kernels);
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
	cursor = ct_cursor_new(search, n);
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
							  ct_cursor_point(search, cursor, i));
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
	cursor = ct_cursor_new(search, n);
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

static void
expand_routing(CtSearch *search, const CtNode *node, const PageVisit *visit)
{
	int			n = node->header->nchildren;
	Branch	   *branch;

	if (n == 0)
		return;
	branch = ct_branch_new(search, n, node->header->height - 1);
	memcpy(branch->links, node->links, sizeof(CtLink) * n);
	if (search->report == CT_REPORT_NULL)
		memset(branch->keys, 0, sizeof(double) * n);
	else if (node->boxes)
		ct_box_bounds(search->index, node, &search->place, branch->keys);
	else
		ct_search_ball_bounds(search, node, visit, branch->keys);
	for (int c = 0; c < n; c++)
		branch->keys[c] = Max(branch->keys[c], visit->key);
	if (search->seen && branch->height == 0)
		ct_search_glance_at_leaves(search, branch);
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

	ct_search_push_page(search, visit->key, right, visit->height, LEAF_NEW, NULL);
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
		!(node.basis && ct_search_basis_correlations(search, &node, false)))
	{
		copy_page(search, &node);
		ct_unpin(pin);
		pin = CT_NO_PIN;
		if (node.basis)
			ct_search_basis_correlations(search, &node, true);
	}
	if (node.basis && node.basis->n > 0 && visit->shares == NULL &&
		search->report != CT_REPORT_NULL)
		ct_search_learn_shares(search, &node, visit);
	if (kind == CT_PAGE_ROUTING)
		expand_routing(search, &node, visit);
	else if (search->report == CT_REPORT_NULL ||
			 !(node.codes ? put_off_coded(search, &node, visit) :
			   ct_search_put_off(search, &node, visit)))
		read_leaf(search, &node, visit);
	version = node.header->version;
	if (pin != CT_NO_PIN)
		ct_unpin(pin);

	if (visit->branch >= 0)
		ct_search_leave_page(search, visit, version);
	if (kind == CT_PAGE_ROUTING && search->nbranches > nbranches)
		ct_branch_enqueue(search, nbranches, false);
	if (right.block != InvalidBlockNumber)
		push_right(search, visit, &right, taken);
	if (search->ncursors > ncursors)
		ct_cursor_enqueue(search, ncursors, false);
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
		search->seen = locators_create(search->context, 1024, NULL);
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
	search->last.key = -INFINITY;
	ItemPointerSetInvalid(&search->last.tid);
	search->last_point = search->keep_points && query ?
		palloc(sizeof(double) * index->point_size) : NULL;
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
			if (!ct_search_put_off_unread(search, &visit))
				visit_page(search, &visit);
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
