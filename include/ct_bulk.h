/*-------------------------------------------------------------------------
 *
 * ct_bulk.h
 *	  A cover tree on its way from rows to pages: between ct_bulk.c (build in
 *	  memory), ct_divide.c (rows that do not fit) and ct_pack.c (pages).
 *
 * IDENTIFICATION
 *	  include/ct_bulk.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_BULK_H
#define CT_BULK_H

#include "ct_spool.h"
#include "ct_tree.h"

/*
 * A pivot with its cell.  A node is opened in steps, each of which divides
 * off children and leaves the pivot a smaller range; what is left in the end
 * is the cell.
 */
typedef struct CtBulkNode
{
	uint32		number;
	uint32		parent;
	uint32		first;			/* rows of the cell; the first is the pivot */
	uint32		n;
	int			level;			/* highest level of the pivot */
	int			step;			/* of the parent, by which this arose */
	int			nsteps;			/* steps of its own */
	uint8		flags;			/* of the entry */
	double		top_radius;		/* of the whole subtree */
	double		self_radius;	/* of the cell */
	double		parent_radius;	/* what the parent kept after that step */
} CtBulkNode;

/* a growing list of nodes that threads can use without PostgreSQL */
typedef struct CtNodeList
{
	CtBulkNode *nodes;
	size_t		n;
	size_t		size;
	size_t		opened;			/* this many are cells by now */
	bool		failed;			/* out of memory */
} CtNodeList;

/*
 * A pivot above the trees of several parts of the rows, or above other
 * branches, all of which are its children by grouping entries.  Its pivot is
 * that of the first tree below it, and its own cell is empty.
 */
typedef struct CtBranch
{
	struct CtBranch *parent;	/* NULL: this is the root */
	int			depth;			/* 0 for the root */
	bool		packed;			/* ct_pack.c has got it */
	int			nwaiting;		/* children that ct_pack.c has not got */
	double	   *point;			/* set when packed */
	double		radius;			/* of what has been packed below */
	double		kept;			/* of what its own way out covers, if anything */
} CtBranch;

typedef struct CtLandmarks CtLandmarks;

/* The basis of one leaf of a residual index on its way to the page. */
typedef struct CtLeafBasis
{
	CtProjectionFit fit;
	size_t		rows[CT_BASIS_SIZE];	/* its pivots */
} CtLeafBasis;

struct CtBulk
{
	CtIndex    *index;
	MemoryContext context;		/* of the build */
	MemoryContext tree_context; /* of one tree in memory */
	int			nthreads;
	size_t		large_range;	/* see CT_LARGE_RANGE */
	bool		even;			/* where there are boxes, no nets */
	void		(*phase) (int);
	Size		memory;
	size_t		limit;			/* rows that fit the memory */

	size_t		n;				/* rows gathered */
	size_t		size;			/* room for them; stride of columns */
	ItemPointerData *tids;		/* in the order of arrival */
	double	   *locations;		/* residual index: likewise, n x dims; kept */
	char	   *vectors;		/* external: likewise, as they are stored */
	char	   *columns;		/* else: coordinates by column, in tree order */
	size_t		element_size;
	size_t		arriving;		/* bytes of a vector as it arrives */
	char	   *arrival;		/* one such vector */
	uint32	   *order;			/* arrival number of each row in tree order */
	double	   *dist;			/* to the pivot of the row's cell */
	uint16	   *owner;			/* working arrays, one element a row */
	uint32	   *target;
	double	   *scratch;

	CtLandmarks *landmarks;		/* residual index */
	CtBulkNode *nodes;			/* in the order of a walk through the tree */
	size_t		nnodes;

	CtSpool    *spool;			/* where there are more rows than fit, */
	CtSpoolPart spooled;		/* all rows */
};

/* ct_bulk.c */
extern const CtSpace *ct_bulk_shape(const CtBulk *bulk);
extern const CtSpace *ct_bulk_cover(const CtBulk *bulk);
extern const double *ct_bulk_record(const CtBulk *bulk, size_t row);
extern void ct_bulk_point(const CtBulk *bulk, size_t row, double *point);
extern void ct_bulk_phase(const CtBulk *bulk, int phase);
extern void ct_bulk_chain(const CtSpace *space, int k, size_t size,
						  const double *points, int *rank);
extern void ct_bulk_start(CtBulk *bulk, size_t size);
extern void ct_bulk_store(CtBulk *bulk, const char *vector,
						  const ItemPointerData *tid);
extern void ct_bulk_swap_first(CtBulk *bulk, size_t row);
extern void ct_bulk_build(CtBulk *bulk);
extern double ct_bulk_radius(const CtBulk *bulk, const double *point);
extern void ct_bulk_reset(CtBulk *bulk);
pg_noreturn extern void ct_bulk_out_of_memory(void);
extern bool ct_open_range(CtBulk *bulk, CtNodeList *list, size_t number,
						  bool shared);

/* ct_range.c */

/*
 * Ranges of more rows than this can be shared by all threads; of records, whose
 * distances take longer, the second.
 */
#define CT_LARGE_RANGE		65536
#define CT_LARGE_RECORDS	2048

extern void ct_range_deciding_distances(const CtBulk *bulk,
										const CtSpace *space,
										const double *query, size_t first,
										size_t n, double *dist);
extern void ct_range_cover_distances(const CtBulk *bulk, const CtSpace *space,
									 const double *query, size_t first, size_t n,
									 double *dist);
extern void ct_range_distances(const CtBulk *bulk, const double *query,
							   size_t first, size_t n, bool by_place,
							   double *dist);
extern void ct_range_start(CtBulk *bulk, double *query);
extern void ct_range_measure(CtBulk *bulk, size_t first, size_t n,
							 double *query, bool shared);
extern size_t ct_range_add_pivot(CtBulk *bulk, size_t first, size_t n,
								 int number, size_t pivot, double *query,
								 bool shared, bool by_place);
extern size_t ct_range_farthest(CtBulk *bulk, size_t first, size_t n,
								bool shared);
extern double ct_range_radius(CtBulk *bulk, size_t first, size_t n,
							  bool shared);
extern bool ct_range_permute(CtBulk *bulk, size_t first, size_t n, int k,
							 const int *rank, const uint32 *pivots,
							 size_t *start, bool shared);

/* ct_grow.c */
extern CtBulkNode *ct_add_node(CtNodeList *list);
extern void ct_grow_nodes(CtBulk *bulk);

/* ct_divide.c */
extern size_t ct_divide_extent(const CtBulk *bulk);
extern void ct_divide(CtBulk *bulk);

/* ct_pack.c */
typedef struct CtPack CtPack;

extern CtPack *ct_pack_begin(CtBulk *bulk);
extern void ct_pack_tree(CtPack *pack, CtBranch *above);
extern void ct_pack_end(CtPack *pack);

/* ct_landmarks.c, which in a residual index may use this part of the memory */
#define CT_LANDMARKS_SHARE	4

/* besides this for each row: its shares, and its part of the leaf's basis */
#define CT_BASIS_BYTES_PER_ROW	(sizeof(CtShares) + 128)

extern CtLandmarks *ct_landmarks_choose(CtBulk *bulk, size_t nleaves,
										const size_t *starts);
extern bool ct_landmarks_contain(const CtLandmarks *landmarks, size_t row);
extern const uint8 *ct_landmarks_knots(const CtBulk *bulk, size_t leaf);
extern const CtLeafBasis *ct_landmarks_basis(const CtLandmarks *landmarks,
											 size_t leaf);
extern const CtShares *ct_landmarks_shares(const CtLandmarks *landmarks,
										   size_t row);
extern void ct_landmarks_free(CtLandmarks *landmarks);

#endif							/* CT_BULK_H */
