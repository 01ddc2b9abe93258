/*-------------------------------------------------------------------------
 *
 * ct_tree.h
 *	  Operations on the cover tree.
 *
 * Layer 4.
 *
 * IDENTIFICATION
 *	  include/ct_tree.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_TREE_H
#define CT_TREE_H

#include <signal.h>

#include "ct_gather.h"
#include "ct_page.h"

/* counters of one scan */
typedef struct CtSearchStats
{
	int64		pages_read;
	int64		distances;
	int64		subtrees_pruned;
} CtSearchStats;

/* which distance a search reports */
typedef enum CtReport
{
	CT_REPORT_METRIC,			/* that of <~> */
	CT_REPORT_HYPOT,			/* core's point <-> point */
	CT_REPORT_NULL				/* the query is NULL: so are all distances */
} CtReport;

typedef struct CtSearch CtSearch;

typedef struct CtResult
{
	ItemPointerData tid;
	double		dist;
	bool		isnull;
	CtLocator	locator;		/* where points are in vector pages */
	const double *point;		/* else, if points are kept: until the next
								 * call */
} CtResult;

/* a distance by which rows are ordered */
typedef struct CtOrder
{
	CtReport	report;
	const double *query;		/* a point of the index, or NULL */
} CtOrder;

/* so many rows ahead the executor's memory accesses are begun */
#define CT_ROWS_AHEAD	4

/* ct_search.c */
extern CtSearch *ct_search_create(CtIndex *index);
extern void ct_search_start(CtSearch *search, const double *query,
							CtReport report);
extern bool ct_search_next(CtSearch *search, CtResult *result);
extern bool ct_search_is_outdated(const CtSearch *search);
extern void ct_search_keep_points(CtSearch *search, bool keep);
extern double ct_search_distance(CtSearch *search, const CtResult *result,
								 const CtOrder *order);
extern const ItemPointerData *ct_search_ahead(CtSearch *search);
extern void ct_search_destroy(CtSearch *search);
extern CtSearchStats *ct_search_stats(CtSearch *search);

/* ct_ties.c */
typedef struct CtTies CtTies;

extern CtTies *ct_ties_create(CtIndex *index, CtSearch *search,
							  int max_orders);
extern void ct_ties_start(CtTies *ties, int norders, const CtOrder *orders);
extern bool ct_ties_next(CtTies *ties, CtResult *result,
						 const double **dists);
extern void ct_ties_destroy(CtTies *ties);

/* a cell with more rows is opened: its level gains a net of its own */
#define CT_CELL_ROWS	96

/*
 * Rows for a pivot where distances are residual ones: in these spaces most
 * points are far from each other, so nets have no end, and each pivot costs
 * every scan a distance, while rows are told apart by projection bounds.
 */
#define CT_RESIDUAL_CELL	32

/* with boxes, one with more than a leaf's capacity less this share of it */
#define CT_CELL_ROOM	25

extern int	ct_cell_rows(const CtIndex *index);
extern int	ct_crowded_rows(const CtIndex *index);

/* opening a node may add at most capacity / CT_OPEN_SHARE entries to a page */
#define CT_OPEN_SHARE	6

/* coordinate j of row i is number j * stride + i */
typedef struct CtColumns
{
	const char *base;
	size_t		stride;
	CtElement	element;
	int			dims;
} CtColumns;

/* ct_halve.c */
extern void ct_halve(const CtColumns *columns, uint32 *rows, uint32 *scratch,
					 size_t n, int nparts, int nthreads, uint16 *owner,
					 uint32 *pivots);

extern int	ct_halving_dims(const CtIndex *index);
extern void ct_halving_place(CtIndex *index, const double *point,
							 double *place);

/* ct_frame_tree.c */
extern void ct_frame_from_leaves(CtIndex *index);

/* ct_insert.c */
extern bool ct_insert(CtIndex *index, const double *point, ItemPointer tid);

/* ct_split.c */
extern bool ct_split_leaf(CtIndex *index, CtPin parent_pin, int link,
						  CtPin pin, int crowded_root);
extern bool ct_split_routing(CtIndex *index, CtPin parent_pin, int link,
							 CtPin pin);
extern void ct_grow_root(CtIndex *index, CtPin root_pin);

/*
 * Keeps the `limit` nearest of candidates that come one by one, nearest first.
 * Returns how many are kept by now, having been `found`.
 */
static inline int
ct_keep_nearest(double *kept, size_t *nearest, int found, int limit,
				double dist, size_t number)
{
	int			rank;

	if (found == limit && !(dist < kept[limit - 1]))
		return found;
	rank = found < limit ? found++ : limit - 1;
	for (; rank > 0 && kept[rank - 1] > dist; rank--)
	{
		kept[rank] = kept[rank - 1];
		nearest[rank] = nearest[rank - 1];
	}
	kept[rank] = dist;
	nearest[rank] = number;
	return found;
}

/* ct_basis.c */

/* the basis of a residual leaf is chosen anew when it has so many rows more */
#define CT_RENEW_ROWS	12

typedef struct CtBasisFit CtBasisFit;

extern void ct_basis_shares(CtIndex *index, const CtNode *leaf,
							const double *point, CtShares *shares);
extern void ct_basis_form(const CtProjectionFit *fit,
						  const CtLocator *pivots, CtBasis *basis);
extern CtBasisFit *ct_basis_for_leaf(CtIndex *index, const CtNode *leaf);
extern void ct_basis_renew(CtIndex *index, CtPin parent_pin, int link,
						   CtPin leaf_pin);
extern void ct_basis_install(CtIndex *index, CtNode *leaf,
							 const CtBasisFit *fit);
extern void ct_basis_admit(CtIndex *index, CtPin parent_pin, int link,
						   CtPin leaf_pin, const CtShares *shares);

/* ct_nulls.c */
extern void ct_nulls_insert(CtIndex *index, ItemPointer tid);
extern int	ct_compare_tids(const void *a, const void *b);
extern int64 ct_nulls_collect(CtIndex *index, ItemPointerData **tids);

/* ct_threads.c */
extern void ct_threads_block(sigset_t *before);
extern void ct_threads_unblock(const sigset_t *before);
extern void ct_threads_start(int nthreads);
extern void ct_threads_stop(void);

/* ct_large_pages.c */
extern void ct_prefer_large_pages(void *memory, Size bytes);

/* phases of pg_stat_progress_create_index, after core's initial one */
#define CT_PHASE_LOAD		2
#define CT_PHASE_DIVIDE		3
#define CT_PHASE_FEATURES	4
#define CT_PHASE_TREE		5
#define CT_PHASE_RADII		6
#define CT_PHASE_WRITE		7
#define CT_PHASE_LOG		8

/* ct_bulk.c */
typedef struct CtBulk CtBulk;

extern CtBulk *ct_bulk_begin(CtIndex *index, Size memory, int nworkers,
							 double expected, bool even);
extern void ct_bulk_add(CtBulk *bulk, const void *vector,
						const ItemPointerData *tid);
extern void ct_bulk_add_runs(CtBulk *bulk, int nruns,
							 const CtGatherRun *runs);
extern void ct_bulk_finish(CtBulk *bulk, void (*phase) (int));
extern void ct_bulk_end(CtBulk *bulk);

/* ct_vacuum.c */
typedef bool (*CtDeadCallback) (ItemPointer tid, void *state);

typedef struct CtVacuumCounts
{
	double		rows;
	double		nulls;
	double		removed;
	BlockNumber pages;
	BlockNumber freed;
	BlockNumber free_pages;
	uint32		routing_pages;
	uint32		leaf_pages;
	uint32		vector_pages;
	uint32		null_pages;
} CtVacuumCounts;

extern void ct_vacuum(CtIndex *index, CtDeadCallback dead, void *state,
					  CtVacuumCounts *counts);

/* ct_check.c */
typedef void (*CtRowCallback) (ItemPointer tid, const double *point,
							   void *state);

extern void ct_check(CtIndex *index, CtRowCallback row, void *state);

/* ct_stats.c */
typedef struct CtLevelStats
{
	int			level;
	int64		nodes;
	int64		children;
	double		radius_sum;
	double		radius_max;
} CtLevelStats;

typedef struct CtTreeStats
{
	int			height;
	int64		entries;
	int64		exits;
	int			max_fanout;
	double		overlap;
	int			nlevels;
	CtLevelStats *levels;		/* by falling level */
} CtTreeStats;

extern void ct_tree_stats(CtIndex *index, CtTreeStats *stats);

#endif							/* CT_TREE_H */
