/*-------------------------------------------------------------------------
 *
 * ct_split_private.h
 *	  What the files that divide pages share among themselves.
 *
 * ct_split.c tells how pages are divided.
 *
 * IDENTIFICATION
 *	  src/tree/ct_split_private.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_SPLIT_PRIVATE_H
#define CT_SPLIT_PRIVATE_H

#include "ct_tree.h"

/* a root of a page that is to be divided */
typedef struct RootSide
{
	int			slot;			/* of the parent's entry */
	double		key;
	int			weight;
} RootSide;

/* ct_split.c */
extern void ct_split_used_numbers(const CtNode *parent, int link, bool *used);
extern int ct_split_take_number(bool *used);
extern int ct_split_exit_for(CtIndex *index, const CtNode *parent, int link,
				int root, BlockNumber block);
extern int ct_split_add_entry(CtNode *parent, int exit, int level, int link,
				int number, double radius, int flags);
extern int ct_split_divide(CtIndex *index, const CtNode *node,
				RootSide *sides, int n);
extern void ct_split_find_roots(CtIndex *index, const CtNode *node,
				BlockNumber block, uint8 *roots);
extern void ct_split_page(CtIndex *index, CtPin parent_pin, int link,
				CtPin pin, const uint8 *roots, const bool *moving);
extern void ct_split_separate_children(CtIndex *index, CtPin pin,
				const bool *moving);
extern bool ct_split_links_full(const CtNode *node);
extern int ct_split_group_parent(const CtIndex *index, const CtNode *parent,
				int entry);

#endif							/* CT_SPLIT_PRIVATE_H */
