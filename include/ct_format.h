/*-------------------------------------------------------------------------
 *
 * ct_format.h
 *	  What is on a covertree page.
 *
 * Every page ends with a CtSpecialData.  Nodes (routing pages and leaves)
 * begin with a CtNodeHeader at CT_NODE_OFFSET, followed by columns: one array
 * per attribute, each with room for the page's capacity, so that one vector
 * instruction serves several entries.  Which columns there are, and where,
 * follows from the dimension and element type (CtLayout).  Points of up to
 * CT_BOX_DIMS dimensions stand in the columns themselves; larger ones are
 * stored once, in vector pages, and entries hold their address.
 *
 * IDENTIFICATION
 *	  include/ct_format.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_FORMAT_H
#define CT_FORMAT_H

#include "ct_compat.h"

#include "storage/bufpage.h"
#include "storage/itemptr.h"

#include "ct_codes.h"
#include "ct_frame.h"
#include "ct_knots.h"
#include "ct_metric.h"
#include "ct_projection.h"

#define CT_MAGIC			0x43765472
#define CT_FORMAT_VERSION	2
#define CT_PAGE_ID			0xFF93

#define CT_META_BLOCK		0
#define CT_ROOT_BLOCK		1

typedef enum CtPageKind
{
	CT_PAGE_META = 1,
	CT_PAGE_ROUTING,			/* entries of the cover tree */
	CT_PAGE_LEAF,				/* rows, in cells */
	CT_PAGE_VECTOR,				/* points too large for the columns */
	CT_PAGE_NULLS,				/* rows whose point is NULL */
	CT_PAGE_FREE,
	CT_PAGE_MODEL,				/* part of a residual index's model */
	CT_PAGE_FRAME				/* part of the frame of points with many
								 * dimensions */
} CtPageKind;

typedef struct CtSpecialData
{
	/*
	 * Counts the lives of this block: a link that names another incarnation
	 * is stale, and its holder must start again from the root.
	 */
	uint32		incarnation;
	uint8		kind;			/* CtPageKind */
	uint8		version;		/* CT_FORMAT_VERSION */
	uint16		unused1;
	uint32		shape;			/* nodes, vectors: CtMetaData.shape when made */
	uint16		unused2;
	uint16		page_id;		/* CT_PAGE_ID, for pg_filedump and friends */
} CtSpecialData;

StaticAssertDecl(sizeof(CtSpecialData) == 16, "CtSpecialData must be 16 bytes");

/* values are on disk */
typedef enum CtStrategy
{
	CT_STRATEGY_EXACT_METRIC,
	CT_STRATEGY_SPATIAL_PROXY
} CtStrategy;

typedef struct CtMetaData
{
	uint32		magic;
	uint32		version;
	uint32		metric;			/* CtMetricId */
	uint32		element;		/* CtElement */
	uint32		dims;			/* 0 until the first row that is not NULL */
	uint32		strategy;		/* CtStrategy */
	double		base;
	BlockNumber nulls_head;		/* chain of CT_PAGE_NULLS */
	BlockNumber nulls_tail;
	uint32		nulls_head_incarnation;
	uint32		shape;			/* how often the dimension has been freed */

	/* as of the last build or vacuum; for statistics and cost estimates */
	double		rows;
	double		nulls;
	uint32		routing_pages;
	uint32		leaf_pages;

	/* freed pages are not to be used now; may be left over by a crash */
	uint32		vacuuming;

	/* residual metric: the model, on consecutive pages behind the root */
	uint32		model_pages;
	uint64		model_bytes;
	uint8		model_fingerprint[16];

	/* smallest residual variance of any row; it only falls */
	double		min_variance;

	/*
	 * first of the frame's pages, whose number follows from the dimension; set
	 * once, 0 while there is none
	 */
	BlockNumber frame_block;
	uint32		unused2;
} CtMetaData;

/* address of a point in a vector page */
typedef struct CtLocator
{
	BlockNumber block;
	uint16		slot;
	uint16		unused;
} CtLocator;

StaticAssertDecl(sizeof(CtLocator) == 8, "CtLocator must be 8 bytes");

typedef struct CtNodeHeader
{
	/*
	 * version counts the changes of this page's cells or roots;
	 * split_version is its value at the last split.  A link carries the
	 * version its holder knows: a smaller one than split_version tells that
	 * part of what the link stood for has moved to the right sibling.
	 */
	uint32		version;
	uint32		split_version;
	BlockNumber right;
	uint32		right_incarnation;
	uint16		height;			/* 0 for leaves */
	uint16		nentries;
	uint16		nchildren;		/* routing pages: links in use */
	uint16		unused1;
	uint64		unused2[2];
} CtNodeHeader;

StaticAssertDecl(sizeof(CtNodeHeader) == 40, "CtNodeHeader must be 40 bytes");

#define CT_NODE_OFFSET		MAXALIGN(SizeOfPageHeaderData)
#define CT_COLUMNS_OFFSET	(CT_NODE_OFFSET + sizeof(CtNodeHeader))

StaticAssertDecl(CT_COLUMNS_OFFSET == 64, "columns begin on a cache line");

/* link of a routing page to a child page */
typedef struct CtLink
{
	BlockNumber block;
	uint32		incarnation;
	uint32		version;
	uint32		unused;
} CtLink;

/*
 * An entry of a routing page stands for one pivot p of the cover tree, from
 * the level at which p first appears down to where p's cell leaves the page.
 * Its children are the entries whose parent it is: entry j is a child of the
 * node (p, level[j] + 1).
 */
typedef struct CtEntryMeta
{
	uint16		parent;			/* slot in this page, or CT_NO_PARENT */
	int16		level;			/* highest level of this pivot */
	uint8		child;			/* link number, or CT_NO_CHILD */
	uint8		child_root;		/* number of the cell or root in the child */
	uint8		root;			/* own number, when this is a root */
	uint8		flags;
} CtEntryMeta;

StaticAssertDecl(sizeof(CtEntryMeta) == 8, "CtEntryMeta must be 8 bytes");

#define CT_NO_PARENT		0xFFFF
#define CT_NO_CHILD			0xFF
#define CT_MAX_ROOTS		255
#define CT_MAX_CHILDREN		255

/* intermediate pivot: groups rows or children, not part of a level's net */
#define CT_ENTRY_GROUP		0x01

typedef struct CtLayout
{
	int			capacity;
	int			max_children;	/* routing pages only */
	int			usable_children;	/* but for separate_children() */
	int			points;			/* offsets of columns; 0: no such column */
	int			locators;
	int			grid;			/* leaf of points with codes: a CtGrid */
	int			codes;			/* and the codes (ct_codes.h) */
	int			basis;			/* residual leaf: a CtBasis */
	int			knots;			/* and limits for all its rows (ct_knots.h) */
	int			rests;			/* and what it says of each row */
	int			shares;
	int			radii;
	int			links;
	int			boxes;			/* by link; 0 in residual indexes */
	int			metas;
	int			tids;
	int			cells;
} CtLayout;

/*
 * The basis of a residual leaf: pivots of the neighbourhood, by whose
 * correlations with the query all rows of the leaf get a bound
 * (ct_projection.h).
 */
typedef struct CtBasis
{
	uint16		n;				/* pivots, at most CT_BASIS_SIZE */
	uint16		nglance;		/* of them tell enough for a first look */
	float		error;			/* of any row's shares as they are stored */
	float		most_rest;		/* largest of rests */
	float		glance_rest;	/* the same by the first nglance pivots */
	float		norm;			/* of inverse, rounded up */
	float		min_variance;	/* smallest residual variance of a pivot */
	CtLocator	pivots[CT_BASIS_SIZE];
	float		scales[CT_BASIS_SIZE];	/* of the rows' shares */
	float		inverse[CT_GROUPED_SIZE(CT_BASIS_SIZE)];
} CtBasis;

/*
 * Vector pages.  Vectors that would waste much of a page share the space of
 * a group of consecutive pages as if it were one; the first page's header
 * counts the vectors, the others' have nslots = 0.
 */
#define CT_VECTOR_SLOTS		56

/* slots where more vectors than that fit a page */
#define CT_VECTOR_MANY		120

typedef struct CtVectorHeader
{
	uint16		nslots;
	uint16		nused;
	uint32		vector_bytes;
	uint8		state[CT_VECTOR_SLOTS];	/* CT_VECTOR_... by slot; there may be
										 * CT_VECTOR_MANY of them */
} CtVectorHeader;

StaticAssertDecl(CT_NODE_OFFSET + sizeof(CtVectorHeader) == 88 &&
				 CT_VECTOR_MANY % 8 == CT_VECTOR_SLOTS % 8,
				 "vectors begin at a multiple of eight");

#define CT_VECTOR_OFFSET	(CT_NODE_OFFSET + sizeof(CtVectorHeader))
#define CT_VECTOR_SPACE		(BLCKSZ - CT_VECTOR_OFFSET - sizeof(CtSpecialData))
#define CT_MAX_GROUP		4	/* pages */
#define CT_VECTOR_FREE		0
#define CT_VECTOR_ROW		1	/* belongs to a row */
#define CT_VECTOR_PIVOT		2	/* some entry's pivot: never freed by itself */

/* pages of NULL rows */
typedef struct CtNullsHeader
{
	BlockNumber next;
	uint32		next_incarnation;
	uint32		ntids;
	uint32		unused;
} CtNullsHeader;

/* pages of a model or a frame: plain bytes */
#define CT_MODEL_SPACE		(BLCKSZ - CT_NODE_OFFSET - sizeof(CtSpecialData))

#define CT_NULLS_OFFSET		(CT_NODE_OFFSET + sizeof(CtNullsHeader))
#define CT_NULLS_CAPACITY \
	((BLCKSZ - CT_NULLS_OFFSET - sizeof(CtSpecialData)) / sizeof(ItemPointerData))

static inline CtSpecialData *
ct_special(Page page)
{
	return (CtSpecialData *) PageGetSpecialPointer(page);
}

static inline CtNodeHeader *
ct_node_header(Page page)
{
	return (CtNodeHeader *) ((char *) page + CT_NODE_OFFSET);
}

static inline CtMetaData *
ct_meta(Page page)
{
	return (CtMetaData *) ((char *) page + CT_NODE_OFFSET);
}

static inline CtVectorHeader *
ct_vector_header(Page page)
{
	return (CtVectorHeader *) ((char *) page + CT_NODE_OFFSET);
}

static inline CtNullsHeader *
ct_nulls_header(Page page)
{
	return (CtNullsHeader *) ((char *) page + CT_NODE_OFFSET);
}

static inline ItemPointer
ct_nulls_tids(Page page)
{
	return (ItemPointer) ((char *) page + CT_NULLS_OFFSET);
}

#endif							/* CT_FORMAT_H */
