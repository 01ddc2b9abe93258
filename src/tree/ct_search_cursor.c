/*-------------------------------------------------------------------------
 *
 * ct_search_cursor.c
 *	  Cursors: the rows of leaves that were read.
 *
 * IDENTIFICATION
 *	  src/tree/ct_search_cursor.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "ct_search_private.h"

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
double *
ct_cursor_point(const CtSearch *search, const Cursor *cursor, int i)
{
	return cursor->points + (size_t) i * search->index->point_size;
}

/* the reported distance of a lazy cursor's row */
static double
cursor_evaluate(CtSearch *search, Cursor *cursor, int i)
{
	double		rho;

	/* many a row is also a pivot */
	if (search->seen && ct_search_known_pivot(search, cursor->locators[i], &rho))
		return ct_correlation_distance(rho);
	search->stats.distances++;
	search->nevaluated++;
	if (search->report == CT_REPORT_HYPOT)
		return ct_hypot_distance(ct_cursor_point(search, cursor, i), search->query);
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
int
ct_cursor_front(CtSearch *search, Cursor *cursor)
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
void
ct_cursor_remove(CtSearch *search, Cursor *cursor, int i)
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
		memmove(ct_cursor_point(search, cursor, i),
				ct_cursor_point(search, cursor, last),
				sizeof(double) * search->index->point_size);
}

void
ct_cursor_sort(CtSearch *search, Cursor *cursor)
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
	i = ct_cursor_front(search, cursor);
	*tid = cursor->tids[i];
	return cursor->keys[i];
}

/* Puts a cursor with rows left into the queue. */
void
ct_cursor_enqueue(CtSearch *search, int number, bool at_top)
{
	QueueItem	item = {0};
	Cursor	   *cursor = &search->cursors[number];

	item.kind = ITEM_CURSOR;
	item.number = number;
	item.key = cursor_key(search, cursor, &item.tid);
	if (at_top)
	{
		search->queue[0] = item;
		ct_queue_sift_down(search, 0);
	}
	else
		ct_queue_push(search, &item);
}

Cursor *
ct_cursor_new(CtSearch *search, int n)
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
