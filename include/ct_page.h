/*-------------------------------------------------------------------------
 *
 * ct_page.h
 *	  Pages for the tree: pins, checked reads, logged edits, allocation.
 *
 * Layer 3.  The tree sees pins and node views, never a Buffer and never the
 * write-ahead log.
 *
 * IDENTIFICATION
 *	  include/ct_page.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_PAGE_H
#define CT_PAGE_H

#include <math.h>

#include "ct_format.h"
#include "ct_model_cache.h"

#include "utils/relcache.h"

/* An open index: cached metadata and everything derived from it. */
typedef struct CtIndex
{
	Relation	rel;
	CtMetaData	meta;			/* shape fields are current; counts are not */

	/*
	 * Valid when meta.dims > 0.  A point in memory is point_size doubles: the
	 * coordinates, or the record of the residual metric.
	 */
	int			point_size;
	CtSpace		space;			/* index's metric, query and stored point */
	CtSpace		cover;			/* the same for two points in memory */
	CtSpace		shape;			/* distances that shape the tree, likewise */
	bool		shape_is_cover;

	int			box_dims;		/* of boxes around links; 0: there are none */
	bool		coded;			/* Euclidean, of more dimensions than boxes:
								 * boxes are around sketches, leaves have codes */
	const CtFrame *frame;		/* that sketches are made by, or NULL: not yet */
	MemoryContext context;		/* that this lives in */
	bool		external;		/* points live in vector pages */
	size_t		vector_bytes;
	int			vector_offset;	/* of vectors in their pages */
	size_t		vector_space;	/* for them in each */
	int			vectors_per_group;
	int			group_pages;
	CtLayout	leaf;
	CtLayout	routing;
	bool		unlogged_build; /* edits are not logged: whole pages are, in
								 * the end, or: */
	bool		straight;		/* pages go straight to the file, and are
								 * logged at once, or by who is told here */
	void		(*pages_written) (void *arg, BlockNumber end);
	void	   *pages_written_arg;
	BlockNumber vector_hint;	/* vector page filled last, or invalid */
	BlockNumber nblocks;		/* the index had at least so many pages */
	int64		scan_rows;		/* about what scans lately returned, or 0 */
} CtIndex;

/* A pinned and locked page. */
typedef int CtPin;

#define CT_NO_PIN	0

typedef enum CtLockMode
{
	CT_LOCK_SHARE,
	CT_LOCK_EXCLUSIVE
} CtLockMode;

/* Pointers to the columns of a node in memory or in a buffer. */
typedef struct CtNode
{
	CtNodeHeader *header;
	const CtLayout *layout;
	char	   *points;			/* column-wise coordinates, or NULL */
	CtLocator  *locators;		/* or NULL */
	CtGrid	   *grid;			/* these two: leaves with codes, else NULL */
	uint8	   *codes;
	CtBasis    *basis;			/* these four: residual leaves, else NULL */
	uint8	   *knots;
	float	   *rests;
	int8	   *shares;			/* by column, in units (ct_projection.h) */
	double	   *radii;
	CtLink	   *links;
	float	   *boxes;			/* of links, by column, or NULL */
	CtEntryMeta *metas;
	ItemPointerData *tids;
	uint8	   *cells;
} CtNode;

/* A box with limits in each of up to CT_BOX_DIMS dimensions. */
typedef struct CtBox
{
	float		lower[CT_BOX_DIMS];
	float		upper[CT_BOX_DIMS];
} CtBox;

/* Where a query, or a new row, is for boxes.  Not to be copied. */
typedef struct CtBoxQuery
{
	const double *point;
	bool		known;			/* else boxes say nothing, and limits are
								 * infinite */
	const double *lower;		/* limits of the point, in box_dims dimensions */
	const double *upper;
	const double *at;			/* the middle between them */
	double		slack;			/* the query is within that of it */
	double		own[CT_BOX_DIMS];
	CtSketch	sketch;
} CtBoxQuery;

/* The greatest float that is not above x, and the least not below it. */
static inline float
ct_float_down(double x)
{
	float		f = (float) x;

	return f > x ? nextafterf(f, -INFINITY) : f;
}

static inline float
ct_float_up(double x)
{
	float		f = (float) x;

	return f < x ? nextafterf(f, INFINITY) : f;
}

/* A set of at most CT_EDIT_PAGES pages changed together, atomically. */
#define CT_EDIT_PAGES	4

typedef struct CtEdit CtEdit;

/* ct_meta.c */
extern CtIndex *ct_index_open(Relation rel);
extern void ct_index_keep_scan_rows(CtIndex *index, int64 rows);
extern void ct_index_refresh(CtIndex *index);
extern void ct_index_set_shape(CtIndex *index, int dims);
extern int	ct_max_dims(CtElement element);
extern void ct_meta_init_page(Page page, const CtMetaData *meta);
extern void ct_meta_update_counts(CtIndex *index, double rows, double nulls,
								  uint32 routing_pages, uint32 leaf_pages);
extern void ct_meta_set_dims(CtIndex *index, int dims);
extern bool ct_meta_free_dims(CtIndex *index);
extern bool ct_index_has_dims(CtIndex *index, int dims);
extern void ct_root_init_page(Page page, uint32 shape);
extern void ct_meta_lower_variance(CtIndex *index, double variance);
extern void ct_index_expand(CtIndex *index, size_t n,
							const double *locations, double *points);
extern bool ct_index_follow_variance(CtIndex *index);
extern const CtModel *ct_index_model(CtIndex *index);
extern void ct_model_write_page(Page page, const CtModel *model, int part);
extern int	ct_model_page_count(const CtModel *model);
extern void ct_meta_set_vacuuming(CtIndex *index, bool vacuuming);

/* ct_frame_pages.c */
extern bool ct_index_find_frame(CtIndex *index);
extern bool ct_index_install_frame(CtIndex *index, const CtFrame *frame);
extern bool ct_frame_is_lost(CtIndex *index, Page page, BlockNumber block);
extern void ct_index_copy_frame(CtIndex *index, const CtFrame *frame);

/* ct_page.c */
extern CtPin ct_pin(CtIndex *index, BlockNumber block, CtLockMode mode);
extern CtPin ct_pin_unlocked(CtIndex *index, BlockNumber block);
extern CtPin ct_pin_new_allowed(CtIndex *index, BlockNumber block,
								CtLockMode mode);
extern bool ct_page_is_new(Page page);
extern void ct_unpin(CtPin pin);
extern void ct_release(CtPin pin);
extern CtPin ct_read_table(Relation table, BlockNumber block);
extern void ct_prefetch_pin(CtIndex *index, BlockNumber block);
extern void ct_prefetch_leaf(CtIndex *index, BlockNumber block);
extern Page ct_pin_page(CtPin pin);
extern BlockNumber ct_pin_block(CtPin pin);
extern void ct_page_init(Page page, CtPageKind kind, uint32 incarnation);
extern void ct_page_check(CtIndex *index, Page page, BlockNumber block);
pg_noreturn extern void ct_page_corrupted(CtIndex *index, BlockNumber block,
										  const char *detail);

/* Where vectors end on the last page of a group. */
static inline int
ct_vector_end(const CtIndex *index)
{
	return index->vector_offset +
		(int) (index->vectors_per_group * index->vector_bytes -
			   (index->group_pages - 1) * index->vector_space);
}

extern CtPageKind ct_page_kind(Page page);
extern bool ct_page_has_shape(const CtIndex *index, Page page);
extern bool ct_page_has_vectors(const CtIndex *index, Page page);
extern CtPin ct_new_page(CtIndex *index);
extern void ct_new_group(CtIndex *index, int npages, CtPin *pins);
extern uint32 ct_next_incarnation(CtPin pin);
extern void ct_free_page(CtIndex *index, BlockNumber block);
extern void ct_finish_free_space(CtIndex *index);
extern BlockNumber ct_block_count(CtIndex *index);
extern BlockNumber ct_block_count_locked(CtIndex *index);
extern double ct_peek_variance(CtIndex *index);
extern BlockNumber ct_peek_frame(CtIndex *index);
extern bool ct_shape_is_current(CtIndex *index);

/* ct_page_wal.c */
extern CtEdit *ct_edit_begin(CtIndex *index);
extern Page ct_edit_page(CtEdit *edit, CtPin pin, bool whole);
extern void ct_edit_commit(CtEdit *edit);
extern BlockNumber ct_append_straight(CtIndex *index,
									  void (*written) (void *arg, BlockNumber end),
									  void *arg);
extern BlockNumber ct_append_pages(CtIndex *index, int n,
								   PGAlignedBlock *images);
extern void ct_log_pages(Relation rel, BlockNumber from, BlockNumber to);
extern void ct_log_straight(Relation rel, BlockNumber from, BlockNumber to);
extern void ct_log_build(CtIndex *index, BlockNumber end);

/* ct_node.c */
extern void ct_layout_init(CtIndex *index);
extern void ct_node_view(CtIndex *index, Page page, CtNode *node);
extern void ct_node_check_entries(CtIndex *index, const CtNode *node,
								  BlockNumber block);
extern void ct_node_init(CtIndex *index, Page page, CtPageKind kind,
						 uint32 incarnation, int height, CtNode *node);
extern void ct_node_copy_slot(CtIndex *index, CtNode *to, int to_slot,
							  const CtNode *from, int from_slot);
extern void ct_node_put_point(CtIndex *index, CtNode *node, int slot,
							  const double *point, CtLocator locator);
extern void ct_node_get_point(CtIndex *index, const CtNode *node, int slot,
							  double *point);
extern bool ct_node_squares(CtIndex *index, const CtNode *node,
							const double *query, double *squares);
extern void ct_node_distances(CtIndex *index, const CtNode *node,
							  const double *query, double *dist);
extern void ct_node_shape_distances(CtIndex *index, const CtNode *node,
									const double *query, double *dist);
extern void ct_node_group_distances(CtIndex *index, const CtNode *node,
									const double *query, double *dist);
extern void ct_node_new_version(CtNode *parent, int link, CtNode *child);
extern void ct_node_projection(const CtNode *node, CtProjection *projection);
extern void ct_node_row_shares(const CtNode *node, CtRowShares *rows);
extern void ct_node_put_shares(CtNode *node, int slot, const CtShares *shares);
extern bool ct_node_admits(const CtNode *node, const CtShares *shares);
extern void ct_node_admit(CtNode *node, const CtShares *shares, float ahead);
extern void ct_node_copy_basis(CtIndex *index, CtNode *to, const CtNode *from);
extern void ct_node_put_all_shares(CtNode *node, const CtShares *shares);

/* ct_leaf_codes.c */
extern void ct_leaf_grid(CtIndex *index, const CtNode *leaf, CtGridView *view);
extern void ct_leaf_put_code(CtIndex *index, CtNode *leaf, int slot,
							 const double *point);
extern void ct_leaf_code_all(CtIndex *index, CtNode *leaf,
							 const double *points);
extern void ct_leaf_points(CtIndex *index, const CtNode *leaf, double *points);
extern void ct_leaf_code_sums(CtIndex *index, const CtNode *leaf,
							  const double *query, CtQueryCodes *codes,
							  int32 *sums);

/* ct_box.c */
extern void ct_box_get(CtIndex *index, const CtNode *node, int link,
					   CtBox *box);
extern void ct_box_put(CtIndex *index, CtNode *node, int link,
					   const CtBox *box);
extern void ct_box_clear(CtIndex *index, CtNode *node, int link);
extern void ct_box_copy(CtIndex *index, CtNode *to, int to_link,
						const CtNode *from, int from_link);
extern bool ct_box_contains(CtIndex *index, const CtNode *node, int link,
							CtBoxQuery *place);
extern void ct_box_widen(CtIndex *index, CtNode *node, int link,
						 CtBoxQuery *place);
extern void ct_box_of_page(CtIndex *index, const CtNode *node, CtBox *box);
extern void ct_box_of_points(CtIndex *index, int n, const double *points,
							 CtBox *box);
extern void ct_box_measure(CtIndex *index, CtNode *node, int link,
						   const CtNode *child);
extern bool ct_box_is_loose(CtIndex *index, const CtNode *node, int link,
							const CtNode *child);
extern bool ct_box_covers(CtIndex *index, const CtNode *node, int link,
						  const CtNode *child);
extern void ct_box_query(CtIndex *index, const double *point,
						 CtBoxQuery *query);
extern void ct_box_bounds(CtIndex *index, const CtNode *node,
						  CtBoxQuery *query, double *bounds);
extern void ct_box_sketch(CtIndex *index, const double *point,
						  double *sketch);

/* ct_cache.c */
typedef struct CtCache CtCache;

/* a backend's copies of pivots' vectors; others get numbers behind these */
typedef struct CtPivotCopies
{
	uint64		generation;		/* numbers mean the same as long as this does */
	int			n;
	const void **vectors;		/* by number */
	const CtLocator *locators;	/* likewise */
} CtPivotCopies;

/* and of a leaf's basis */
typedef struct CtBasisCopy
{
	size_t		bytes;
	uint32		incarnation;	/* of the leaf when it was copied */
	uint32		version;
	int			nglance;		/* as in CtBasis */
	float		most_rest;
	float		glance_rest;
	float		min_variance;
	uint32		numbers[CT_BASIS_SIZE]; /* of the pivots' copies */
	CtProjection projection;
	float		inverse[FLEXIBLE_ARRAY_MEMBER];
} CtBasisCopy;

extern const CtPivotCopies *ct_cache_pivots(CtIndex *index);
extern int	ct_cache_number(CtIndex *index, CtLocator locator);
extern void ct_cache_keep_pivot(CtIndex *index, CtLocator locator,
								const void *vector);
extern const CtBasisCopy *ct_cache_basis(CtIndex *index, const CtLink *link);
extern void ct_cache_keep_basis(CtIndex *index, BlockNumber block,
								uint32 incarnation, const CtNode *leaf);

/* ct_vector.c */

/* the vectors of a build, in the order in which they are to stand */
typedef struct CtVectors
{
	size_t		n;
	const char *data;			/* all vectors, as they are stored */
	const uint32 *order;		/* number of each in data */
	const uint8 *states;		/* CT_VECTOR_... */
} CtVectors;

extern void ct_vector_store_all(CtIndex *index, const CtVectors *vectors,
								CtLocator *locators, int nthreads);
extern CtLocator ct_vector_store(CtIndex *index, const double *point,
								 int state);
extern void ct_vector_mark_pivot(CtIndex *index, CtLocator locator);
extern double ct_vector_shape_distance(CtIndex *index, CtLocator locator,
									   const double *query);
extern void ct_vector_location(CtIndex *index, CtLocator locator,
							   double *location);
extern void ct_vector_read(CtIndex *index, CtLocator locator, double *point);
extern void ct_vector_copy(CtIndex *index, int n, const CtLocator *locators,
						   void *const *vectors);
/*
 * Copies of vectors made by several threads.  The main one adds vectors while
 * there is room; then threads copy them, each those that it wants; then the main
 * one releases the pages, which it has held pinned and not locked.  Only for
 * vectors of rows that the snapshot sees, and pivots, where there are such rows
 * (ct_vector.c).
 */
typedef struct CtVectorBatch CtVectorBatch;

extern CtVectorBatch *ct_vector_batch_create(CtIndex *index);
extern void ct_vector_batch_free(CtVectorBatch *batch);
extern int	ct_vector_batch_room(const CtVectorBatch *batch);
extern int	ct_vector_batch_size(const CtVectorBatch *batch);
extern bool ct_vector_batch_add(CtVectorBatch *batch, CtLocator locator);
extern bool ct_vector_batch_copy(const CtVectorBatch *batch, int i,
								 void *vector);
extern void ct_vector_batch_prefetch(const CtVectorBatch *batch, int i);
pg_noreturn extern void ct_vector_batch_complain(const CtVectorBatch *batch,
												 int i);
extern void ct_vector_batch_release(CtVectorBatch *batch);

extern void ct_vector_read_records(CtIndex *index, int n,
								   const CtLocator *locators,
								   double *const *records);
extern double ct_vector_cover_distance(CtIndex *index, CtLocator locator,
									   const double *query);
extern double ct_pivot_correlation(CtIndex *index, CtLocator locator,
								   const double *query);
extern void ct_vector_distances(CtIndex *index, int n,
								const CtLocator *locators,
								const double *query, double *dist);
extern double ct_vector_distance(CtIndex *index, CtLocator locator,
								 const double *query);
extern void ct_vector_free(CtIndex *index, CtLocator *locators, int n);

#endif							/* CT_PAGE_H */
