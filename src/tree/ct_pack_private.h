/*-------------------------------------------------------------------------
 *
 * ct_pack_private.h
 *	  What the files that pack a tree into pages share among themselves.
 *
 * ct_pack.c tells how a tree is packed.
 *
 * IDENTIFICATION
 *	  src/tree/ct_pack_private.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_PACK_PRIVATE_H
#define CT_PACK_PRIVATE_H

#include "ct_bulk.h"

/* no tree is higher */
#define MAX_HEIGHT			32

typedef struct PackItem
{
	CtBranch   *branch;			/* or NULL */
	double		radius;			/* of the way out */
	double		top_radius;		/* of the subtree */
	double		parent_radius;	/* what the parent kept after step */
	CtLocator	locator;		/* of the pivot */
	uint32		parent;			/* the root item is its own parent */
	uint32		end;			/* first item behind the subtree */
	uint32		first;			/* height 0: rows of the cell */
	uint32		n;
	uint32		pivot;			/* height 0: row */
	uint32		page;			/* page of the lower height it leads to */
	uint32		own_page;		/* page of this height that holds it */
	int			step;
	int			depth;
	int			level;
	uint8		flags;
	uint8		root;			/* promoted: number in its own page */
	uint8		child_root;		/* number in the page it leads to */
	bool		promoted;
} PackItem;

/* The items of one height, or a segment of them. */
typedef struct ItemList
{
	PackItem   *items;
	double	   *points;			/* their pivots, above height 0, or NULL */
	size_t		n;
	size_t		size;
	size_t		nstubs;
	BlockNumber *blocks;		/* of the pages that items lead to */
	CtBox	   *boxes;			/* around what these hold, or NULL */
	uint32		nblocks;
	uint32		blocks_size;
	uint32	   *last;			/* by depth: item of the last branch */
	int			last_size;
	size_t		total;			/* items of all segments */
	bool		cut;			/* there were earlier segments */
} ItemList;

struct CtPack
{
	CtBulk	   *bulk;
	ItemList	lists[MAX_HEIGHT];
	size_t		enough;			/* items for a segment */
};

typedef struct PageRange
{
	size_t		first;			/* items */
	size_t		n;
	BlockNumber block;
	CtBox		box;
} PageRange;

/* ct_pack.c */
extern void *ct_pack_allocate(CtPack *pack, Size bytes);
extern void ct_pack_item_point(CtPack *pack, const ItemList *list,
				size_t item, double *point);

/* ct_pack_write.c */
extern void ct_pack_choose_landmarks(CtBulk *bulk, const ItemList *list,
				const PageRange *ranges, size_t npages);
extern void ct_pack_write_leaves(CtPack *pack, ItemList *list,
				PageRange *ranges, size_t npages);
extern void ct_pack_write_routing(CtPack *pack, ItemList *list,
				PageRange *range, int height);
extern void ct_pack_write_root(CtPack *pack, ItemList *list, int height);

#endif							/* CT_PACK_PRIVATE_H */
