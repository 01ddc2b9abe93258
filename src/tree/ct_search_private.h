/*-------------------------------------------------------------------------
 *
 * ct_search_private.h
 *	  What the files of the search share among themselves.
 *
 * ct_search.c tells how a search works.
 *
 * IDENTIFICATION
 *	  src/tree/ct_search_private.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_SEARCH_PRIVATE_H
#define CT_SEARCH_PRIVATE_H

#include "ct_locators.h"
#include "ct_near.h"
#include "ct_tree.h"

/* items with the same key leave the queue in this order */
typedef enum ItemKind
{
	ITEM_BRANCH,
	ITEM_CURSOR
} ItemKind;

/* what the key of a residual leaf comes from; see ct_search_put_off() */
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
	locators_hash  *seen;			/* with others; or NULL */
	double		rho[CT_BASIS_SIZE]; /* with those of a leaf's basis */
	CtKnot		knot;			/* is the query an inducing point? */
	PGAlignedBlock *copy;		/* of a page, or NULL */

	int64		restarts;		/* in a row, without a row returned */
	bool		restarted;		/* ever: rows may come again */
	bool		no_dims;		/* no row but NULLs when the search began */
	bool		root_read;		/* and was of the shape that is known */
	bool		outdated;		/* see ct_search_is_outdated() */
	int64		nreturned;		/* rows */
	CtNearRow	last;			/* row returned last */
	bool		keep_points;	/* see ct_search_keep_points() */
	double	   *last_point;		/* then: that of the row taken last */

	bool		in_nulls;
	ItemPointerData *nulls;
	int64		nnulls;
	int64		next_null;

	CtSearchStats stats;
};

/* ct_search_page.c */
extern bool ct_search_visit_page(CtSearch *search, PageVisit *visit);

/* ct_search_leaf.c */
extern bool ct_search_put_off_coded(CtSearch *search, const CtNode *node,
					const PageVisit *visit);
extern void ct_search_read_leaf(CtSearch *search, const CtNode *node,
					PageVisit *visit);

/* ct_search_queue.c */
extern void ct_queue_sift_down(CtSearch *search, int position);
extern void ct_queue_push(CtSearch *search, const QueueItem *item);
extern void ct_queue_pop(CtSearch *search);
extern Branch *ct_branch_new(CtSearch *search, int n, int height);
extern void ct_branch_enqueue(CtSearch *search, int number, bool at_top);
extern void ct_search_push_page(CtSearch *search, double key,
					const CtLink *link, int height, LeafStage stage,
					const CtShares *shares);
extern void ct_search_take_page(CtSearch *search, PageVisit *visit);
extern void ct_search_leave_page(CtSearch *search, const PageVisit *visit,
					uint32 version);
extern bool ct_search_put_back(CtSearch *search, uint32 version,
					const PageVisit *visit, double key, LeafStage stage);

/* ct_search_residual.c */
extern bool ct_search_known_pivot(CtSearch *search, CtLocator locator,
					double *rho);
extern bool ct_search_basis_correlations(CtSearch *search,
					const CtNode *node, bool may_read);
extern void ct_search_glance_at_leaves(CtSearch *search, Branch *branch);
extern void ct_search_learn_shares(CtSearch *search, const CtNode *node,
					PageVisit *visit);
extern void ct_search_projection_keys(CtSearch *search, Cursor *cursor,
					const CtNode *node, const PageVisit *visit);
extern bool ct_search_put_off(CtSearch *search, const CtNode *node,
					const PageVisit *visit);
extern bool ct_search_put_off_unread(CtSearch *search, PageVisit *visit);
extern void ct_search_ball_bounds(CtSearch *search, const CtNode *node,
					const PageVisit *visit, double *bounds);

/* ct_search_cursor.c */
extern int ct_cursor_front(CtSearch *search, Cursor *cursor);
extern void ct_cursor_remove(CtSearch *search, Cursor *cursor, int i);
extern void ct_cursor_sort(CtSearch *search, Cursor *cursor);
extern void ct_cursor_enqueue(CtSearch *search, int number, bool at_top);
extern Cursor *ct_cursor_new(CtSearch *search, int n);
extern double *ct_cursor_point(const CtSearch *search, const Cursor *cursor,
					int i);

#endif							/* CT_SEARCH_PRIVATE_H */
