/*-------------------------------------------------------------------------
 *
 * ct_knn.h
 *	  Bulk search: the nearest rows of many queries at once.
 *
 * A bulk search is a CtKnn.  The SQL functions fill it in and provide what
 * only they know: which rows the snapshot sees, and where results go.  An
 * engine, chosen by the kind of the index, answers the queries.  All engines
 * read the tree through ct_knn_walk() and ct_knn_read(), which follow the
 * protocol of scans (src/README.md, "Bulk search").
 *
 * Everything here is called by the main thread, outside of OpenMP regions,
 * unless it says otherwise.
 *
 * IDENTIFICATION
 *	  include/ct_knn.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_KNN_H
#define CT_KNN_H

#include "portability/instr_time.h"

#include "ct_tree.h"

/* A neighbour. */
typedef struct CtKnnRow
{
	double		dist;			/* the operator's; NULL if isnull */
	ItemPointerData tid;		/* of the version that the snapshot sees */
	bool		isnull;			/* the row has no point */
} CtKnnRow;

/*
 * Who asks: one of the given locations, or a row of the index.  Ties are
 * broken by the TIDs that the index has, as in a scan; reported are those of
 * the versions that the snapshot sees.  They differ where a row was updated in
 * place (HOT).
 */
typedef struct CtKnnQuery
{
	int64		number;			/* of a location, from 1; 0 for a row */
	ItemPointerData index_tid;	/* of a row; not among its own neighbours */
	ItemPointerData tid;		/* of a row, as the snapshot sees it */
} CtKnnQuery;

/* A parallel region of a search, by the main thread's clock. */
typedef struct CtKnnRegion
{
	instr_time	begun;
	instr_time	done;			/* its own share */
} CtKnnRegion;

typedef struct CtKnn
{
	CtIndex    *index;			/* metadata are fresh */
	MemoryContext context;		/* lives as long as the search */
	int64		k;				/* > 0 */
	int			nthreads;		/* including the main one */
	Size		memory;			/* that an engine may use, in bytes */

	/* queries: nqueries x dims coordinates, or (NULL) all rows with a point */
	int64		nqueries;
	const double *locations;

	/*
	 * Finds the versions that the snapshot sees of n rows of the index.
	 * seen[i] is invalid where it sees none.  The caller holds no page lock.
	 */
	void		(*see) (void *arg, int n, const ItemPointerData *tids,
						ItemPointerData *seen);

	/*
	 * Takes n neighbours of a query, the first of which has this rank.  Those
	 * of a query come in order and without others between them; queries come
	 * in any order.  Engines use ct_knn_answer().
	 */
	void		(*emit) (void *arg, const CtKnnQuery *query, int64 rank, int64 n,
						 const CtKnnRow *rows);

	/* Shows progress; called now and then. */
	void		(*report) (void *arg);
	void	   *arg;

	/* for who watches; engines add to distances */
	int64		answered;
	int64		total;			/* queries; 0 while not known */
	int64		pages;
	int64		distances;

	/* private to ct_knn.c and ct_knn_copy.c */
	double		worked;			/* seconds of the main thread in parallel regions, */
	double		waited;			/* and at their ends */
	instr_time	begun;			/* when there were threads, */
	long		preempted;		/* and how often it had lost its processor */
	CtSearch   *search;			/* for ct_knn_one_by_one(), or NULL */
	int			restarts;
	CtKnnRow   *nulls;			/* rows without a point, by TID, or NULL */
	int64		nnulls;
} CtKnn;

/*
 * Takes a copy of a page that belongs to a link.  The node's columns may be
 * read as long as the function runs; no lock is held, so that vectors may be
 * read too.  Of a leaf, seen has the versions of its rows that the snapshot
 * sees, or invalid ones; it is NULL for a routing page.  Leaves without rows,
 * which a vacuum has not yet freed, do not come.
 */
typedef void (*CtKnnPage) (void *arg, const CtNode *node,
						   const ItemPointerData *seen);

/* ct_knn_copy.c */
extern CtLink ct_knn_root(void);
extern bool ct_knn_read(CtKnn *knn, const CtLink *link, int height,
						CtKnnPage page, void *arg);
extern bool ct_knn_walk(CtKnn *knn, CtKnnPage page, void *arg);

/*
 * ct_knn_source.c: the queries, neighbours one after the other.  Locations are
 * sorted along a curve; rows are listed by a walk, and come in its order, from
 * a temporary file if need be.
 */
typedef struct CtKnnSource CtKnnSource;

extern CtKnnSource *ct_knn_source_open(CtKnn *knn);
extern int	ct_knn_source_next(CtKnnSource *source, int most,
							   CtKnnQuery *queries, double *locations,
							   CtLocator *locators);
extern void ct_knn_source_close(CtKnnSource *source);

/* ct_knn.c */
extern void ct_knn_run(CtKnn *knn);
extern void ct_knn_answer(CtKnn *knn, const CtKnnQuery *query, int64 n,
						  const CtKnnRow *rows);
extern void ct_knn_own_threads(void);
extern void ct_knn_start_threads(CtKnn *knn);
extern void ct_knn_region_begin(CtKnnRegion *region);
extern void ct_knn_region_share_done(CtKnnRegion *region);
extern void ct_knn_region_end(CtKnn *knn, const CtKnnRegion *region);
extern void ct_knn_one_by_one(CtKnn *knn, const CtKnnQuery *query,
							  const double *point);

/*
 * Engines.  Each tells whether it can serve a search, and then answers all
 * queries; those for which it has not enough memory it may leave to
 * ct_knn_one_by_one(), which needs little.
 */
extern bool ct_knn_columns_can(const CtKnn *knn);
extern void ct_knn_columns(CtKnn *knn);
extern bool ct_knn_codes_can(const CtKnn *knn);
extern void ct_knn_codes(CtKnn *knn);
extern bool ct_knn_residual_can(const CtKnn *knn);
extern void ct_knn_residual(CtKnn *knn);

#endif							/* CT_KNN_H */
