/*-------------------------------------------------------------------------
 *
 * ct_ties.c
 *	  Rows in the order of several distances.
 *
 * A search gives rows by one distance, then by TID.  Where a scan has further
 * distances to order by, rows that tie in the first are gathered until one
 * comes that does not, and sorted by the others, then by TID.  Rows stay in
 * memory while their tie lasts, as their leaves' rows do in the search.
 *
 * IDENTIFICATION
 *	  src/tree/ct_ties.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "utils/memutils.h"

#include "ct_tree.h"

/* a row, with its distances from the further queries */
typedef struct TiedRow
{
	CtResult	result;
	double		dists[FLEXIBLE_ARRAY_MEMBER];
} TiedRow;

struct CtTies
{
	CtIndex    *index;
	CtSearch   *search;
	int			norders;		/* without the search's own */
	const CtOrder *orders;
	MemoryContext context;		/* rows; reset by each start */
	Size		row_size;
	char	   *rows;			/* of the tie in hand */
	int64		nrows;
	int64		rows_size;
	int64		next;
	CtResult	ahead;			/* the row behind them, the search's last */
	bool		has_ahead;
};

/*
 * Makes room for ordering the rows of a search by up to max_orders further
 * distances.
 */
CtTies *
ct_ties_create(CtIndex *index, CtSearch *search, int max_orders)
{
	CtTies	   *ties = palloc0(sizeof(CtTies));

	ties->index = index;
	ties->search = search;
	ties->context = AllocSetContextCreate(CurrentMemoryContext,
										  "Cover tree ties context",
										  ALLOCSET_SMALL_SIZES);
	ties->row_size = MAXALIGN(offsetof(TiedRow, dists) +
							  sizeof(double) * max_orders);
	return ties;
}

/*
 * To be called before the search starts.  The orders, none of them with a NULL
 * query, must stay as they are as long as rows are taken.
 */
void
ct_ties_start(CtTies *ties, int norders, const CtOrder *orders)
{
	MemoryContextReset(ties->context);
	ties->norders = norders;
	ties->orders = orders;
	ties->rows = NULL;
	ties->nrows = ties->rows_size = ties->next = 0;
	ties->has_ahead = false;
	ct_search_keep_points(ties->search, norders > 0);
}

static TiedRow *
tied_row(const CtTies *ties, int64 i)
{
	return (TiedRow *) (ties->rows + i * ties->row_size);
}

/* Adds a row that the search has just returned to the tie in hand. */
static void
add_row(CtTies *ties, const CtResult *result)
{
	TiedRow    *row;

	if (ties->nrows == ties->rows_size)
	{
		ties->rows_size = Max(64, 2 * ties->rows_size);
		ties->rows = ties->rows ?
			repalloc_huge(ties->rows, ties->rows_size * ties->row_size) :
			MemoryContextAllocHuge(ties->context,
								   ties->rows_size * ties->row_size);
	}
	row = tied_row(ties, ties->nrows++);
	row->result = *result;
	row->result.point = NULL;
	if (!result->isnull)
		for (int o = 0; o < ties->norders; o++)
			row->dists[o] = ct_search_distance(ties->search, result,
											   &ties->orders[o]);
}

static int
compare_rows(const void *a, const void *b, void *arg)
{
	const TiedRow *left = a;
	const TiedRow *right = b;
	const CtTies *ties = arg;

	for (int o = 0; o < ties->norders; o++)
		if (left->dists[o] != right->dists[o])
			return left->dists[o] < right->dists[o] ? -1 : 1;
	return ct_compare_tids(&left->result.tid, &right->result.tid);
}

/* Gathers the next tie: sets nrows, and leaves the row behind it in ahead. */
static void
gather(CtTies *ties)
{
	CtResult	result = ties->ahead;
	bool		found = ties->has_ahead ||
		ct_search_next(ties->search, &result);

	ties->has_ahead = false;
	ties->nrows = ties->next = 0;
	if (!found)
		return;
	add_row(ties, &result);
	/* without a point there are no distances: such rows come by TID */
	while (!result.isnull)
	{
		double		dist = result.dist;

		if (!ct_search_next(ties->search, &result))
			break;
		if (result.isnull || result.dist != dist)
		{
			ties->ahead = result;
			ties->has_ahead = true;
			break;
		}
		add_row(ties, &result);
	}
	if (ties->nrows > 1)
		qsort_interruptible(ties->rows, ties->nrows, ties->row_size,
							compare_rows, ties);
}

/*
 * Gets the next row, and its distances from the further queries (unless the row
 * has no point), which stay until the next call.  False at the end.
 */
bool
ct_ties_next(CtTies *ties, CtResult *result, const double **dists)
{
	TiedRow    *row;

	if (ties->norders == 0)
		return ct_search_next(ties->search, result);
	if (ties->next >= ties->nrows)
		gather(ties);
	if (ties->next >= ties->nrows)
		return false;
	row = tied_row(ties, ties->next++);
	*result = row->result;
	*dists = row->dists;
	return true;
}

void
ct_ties_destroy(CtTies *ties)
{
	MemoryContextDelete(ties->context);
	pfree(ties);
}
