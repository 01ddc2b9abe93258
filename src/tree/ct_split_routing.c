/*-------------------------------------------------------------------------
 *
 * ct_split_routing.c
 *	  Making room in routing pages, and growing the root page (ct_split.c).
 *
 * IDENTIFICATION
 *	  src/tree/ct_split_routing.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "ct_split_private.h"

/* is slot equal to or below top? */
static bool
descends_from(const CtNode *node, int slot, int top)
{
	while (slot != CT_NO_PARENT && slot != top)
		slot = node->metas[slot].parent;
	return slot == top;
}

/* Radius around the pivot of slot center that covers all marked entries. */
static double
radius_of(CtIndex *index, const CtNode *node, int center, const bool *marked)
{
	double	   *query = palloc(sizeof(double) * index->point_size);
	double	   *dist = palloc(sizeof(double) * node->header->nentries);
	double		radius = 0.0;

	ct_node_get_point(index, node, center, query);
	ct_node_distances(index, node, query, dist);
	ct_index_follow_variance(index);
	for (int i = 0; i < node->header->nentries; i++)
		if (marked[i] && node->metas[i].child != CT_NO_CHILD)
			radius = Max(radius, i == center ? node->radii[i] :
						 ct_radius_sum(&index->cover, dist[i], node->radii[i]));
	pfree(query);
	pfree(dist);
	return radius;
}

/*
 * Chooses entries to group so that the page falls into two parts of similar
 * size, whatever the shape of its tree: walks down to where no child holds
 * more than two thirds of the entries, and takes a child with a third, or
 * several that together have one.  Fills moving with their slots and returns
 * how many they are.
 */
static int
balanced_group(const CtNode *node, int root, int *moving)
{
	int			n = node->header->nentries;
	int		   *weight = palloc0(sizeof(int) * n);
	int			top = root;
	int			nmoving = 0;
	int			sum = 0;

	for (int i = 0; i < n; i++)
		for (int slot = i; slot != CT_NO_PARENT; slot = node->metas[slot].parent)
			weight[slot]++;
	for (;;)
	{
		int			heavy = -1;

		for (int i = 0; i < n; i++)
			if (node->metas[i].parent == top &&
				(heavy < 0 || weight[i] > weight[heavy]))
				heavy = i;
		if (heavy < 0)
			break;
		if (3 * weight[heavy] > 2 * n)
		{
			top = heavy;
			continue;
		}
		if (3 * weight[heavy] >= n)
		{
			moving[nmoving++] = heavy;
			break;
		}
		for (int i = 0; i < n && 3 * sum < n; i++)
			if (node->metas[i].parent == top)
			{
				moving[nmoving++] = i;
				sum += weight[i];
			}
		break;
	}
	pfree(weight);
	return nmoving;
}

/* Entries in the subtrees of the given slots, and of those marked. */
static int
subtree_weight(const CtNode *node, const int *moving, int nmoving,
			   const bool *marked)
{
	int			sum = 0;

	for (int i = 0; i < node->header->nentries; i++)
		for (int slot = i; slot != CT_NO_PARENT; slot = node->metas[slot].parent)
		{
			bool		found = marked[slot];

			for (int m = 0; m < nmoving && !found; m++)
				found = moving[m] == slot;
			if (found)
			{
				sum++;
				break;
			}
		}
	return sum;
}

/*
 * Where boxes count: halves the groups below a root.  Fills moving with the
 * part farther from the root's pivot, its central entry first, and returns how
 * many these are, or 0.
 */
static int
halve_groups(CtIndex *index, const CtNode *node, int root, int *moving)
{
	int			n = node->header->nentries;
	RootSide   *sides = palloc(sizeof(RootSide) * (n + 1));
	int		   *weight = palloc0(sizeof(int) * n);
	int			nsides = 1;
	int			at = 0;
	int			cut;
	int			first;
	int			nmoving = 0;

	for (int i = 0; i < n; i++)
		for (int slot = i; slot != CT_NO_PARENT; slot = node->metas[slot].parent)
			weight[slot]++;
	/* the root stands for its own cell */
	sides[0].slot = root;
	sides[0].weight = 1;
	for (int i = 0; i < n; i++)
		if (node->metas[i].parent == root &&
			(node->metas[i].flags & CT_ENTRY_GROUP))
		{
			sides[nsides].slot = i;
			sides[nsides++].weight = weight[i];
		}
	pfree(weight);
	if (nsides == 1)
		return 0;
	cut = ct_split_divide(index, node, sides, nsides);
	while (sides[at].slot != root)
		at++;
	first = at < cut ? cut : 0;
	cut = at < cut ? nsides : cut;
	moving[nmoving++] = sides[(first + cut) / 2].slot;
	for (int i = first; i < cut; i++)
		if (i != (first + cut) / 2)
			moving[nmoving++] = sides[i].slot;
	return nmoving;
}

/*
 * Opens the only root of a routing page: children of its highest level become
 * roots, with entries in the parent.  When there are too many of them, those
 * nearer to one of them than to the root are grouped under it, and only that
 * one becomes a root; so too when the children would take too little with
 * them.  Returns false if the parent has no room.
 */
static bool
open_root(CtIndex *index, CtPin parent_pin, int link, CtPin pin, int root)
{
	CtNode		parent;
	CtNode		node;
	CtEdit	   *edit;
	int			n;
	int			exit;
	int			level = PG_INT32_MIN;
	int			nmoving = 0;
	bool		groups = false;
	int		   *moving;
	double	   *radius;
	double		rest_radius;
	bool	   *marked;
	bool	   *rest;
	bool		used[CT_MAX_ROOTS + 1];
	int			nused = 0;
	bool		grouping = false;
	bool	   *regroup;

	ct_node_view(index, ct_pin_page(parent_pin), &parent);
	ct_node_view(index, ct_pin_page(pin), &node);
	n = node.header->nentries;
	exit = ct_split_exit_for(index, &parent, link, node.metas[root].root,
					ct_pin_block(pin));
	moving = palloc(sizeof(int) * n);
	radius = palloc(sizeof(double) * n);
	marked = palloc(sizeof(bool) * n);
	rest = palloc(sizeof(bool) * n);
	regroup = palloc0(sizeof(bool) * n);

	/* groups first, else the net of the highest level */
	for (int i = 0; i < n; i++)
		if (node.metas[i].parent == root)
		{
			if (node.metas[i].flags & CT_ENTRY_GROUP)
				groups = true;
			else
				level = Max(level, node.metas[i].level);
		}
	for (int i = 0; i < n; i++)
		if (node.metas[i].parent == root &&
			((node.metas[i].flags & CT_ENTRY_GROUP) != 0) == groups &&
			(groups || node.metas[i].level == level))
			moving[nmoving++] = i;
	if (nmoving == 0)
		ct_page_corrupted(index, ct_pin_block(pin),
						  "A full page has a root without children.");

	ct_split_used_numbers(&parent, link, used);
	for (int i = 0; i <= CT_MAX_ROOTS; i++)
		nused += used[i];
	if (node.boxes && groups)
	{
		nmoving = halve_groups(index, &node, root, moving);
		for (int m = 1; m < nmoving; m++)
			regroup[moving[m]] = true;
		nmoving = 1;
		grouping = true;
	}
	else if (nmoving > parent.layout->capacity / CT_OPEN_SHARE)
	{
		/* group the nearer half of them around the one farthest away */
		double	   *query = palloc(sizeof(double) * index->point_size);
		double	   *from_root = palloc(sizeof(double) * n);
		double	   *from_far = palloc(sizeof(double) * n);
		int			far = 0;

		ct_node_get_point(index, &node, root, query);
		ct_node_group_distances(index, &node, query, from_root);
		for (int i = 1; i < nmoving; i++)
			if (from_root[moving[i]] > from_root[moving[far]])
				far = i;
		ct_node_get_point(index, &node, moving[far], query);
		ct_node_group_distances(index, &node, query, from_far);
		grouping = true;
		for (int i = 0; i < nmoving; i++)
			if (i != far &&
				(from_far[moving[i]] < from_root[moving[i]] ||
				 (from_far[moving[i]] == from_root[moving[i]] && i % 2 == 1)))
				regroup[moving[i]] = true;
		moving[0] = moving[far];
		nmoving = 1;
	}
	if (4 * subtree_weight(&node, moving, nmoving, regroup) < n)
	{
		nmoving = balanced_group(&node, root, moving);
		if (nmoving == 0)
			ct_page_corrupted(index, ct_pin_block(pin),
							  "A full page has a root without children.");
		memset(regroup, 0, sizeof(bool) * n);
		for (int m = 1; m < nmoving; m++)
			regroup[moving[m]] = true;
		nmoving = 1;
		grouping = true;
	}
	if (parent.header->nentries + nmoving > parent.layout->capacity ||
		nused + nmoving > CT_MAX_ROOTS)
		return false;

	for (int i = 0; i < n; i++)
		rest[i] = true;
	for (int m = 0; m < nmoving; m++)
	{
		for (int i = 0; i < n; i++)
		{
			marked[i] = descends_from(&node, i, moving[m]);
			if (grouping && !marked[i])
				for (int j = 0; j < n; j++)
					if (regroup[j] && descends_from(&node, i, j))
						marked[i] = true;
			if (marked[i])
				rest[i] = false;
		}
		radius[m] = radius_of(index, &node, moving[m], marked);
		if (!groups && !grouping && index->shape_is_cover)
			radius[m] = Min(radius[m],
							ct_radius_up(&index->cover,
										 ct_level_radius(&index->shape, level)));
	}
	rest_radius = Min(radius_of(index, &node, root, rest),
					  parent.radii[exit]);
	if (!groups && !grouping && index->shape_is_cover)
		rest_radius = Min(rest_radius,
						  ct_radius_up(&index->cover,
									   ct_level_radius(&index->shape, level)));

	edit = ct_edit_begin(index);
	ct_node_view(index, ct_edit_page(edit, parent_pin, false), &parent);
	ct_node_view(index, ct_edit_page(edit, pin, false), &node);
	ct_node_new_version(&parent, link, &node);
	parent.radii[exit] = rest_radius;
	for (int m = 0; m < nmoving; m++)
	{
		int			slot = moving[m];
		int			number = ct_split_take_number(used);
		int			flags = grouping ? CT_ENTRY_GROUP :
			node.metas[slot].flags & CT_ENTRY_GROUP;
		int			entry = ct_split_add_entry(&parent,
									  flags ? ct_split_group_parent(index, &parent, exit) : exit,
									  node.metas[slot].level, link, number,
									  radius[m], flags);
		CtEntryMeta meta = parent.metas[entry];

		ct_node_copy_slot(index, &parent, entry, &node, slot);
		parent.metas[entry] = meta;
		parent.radii[entry] = radius[m];
		node.metas[slot].parent = CT_NO_PARENT;
		node.metas[slot].root = number;
	}
	for (int i = 0; i < n; i++)
		if (regroup[i])
		{
			node.metas[i].parent = moving[0];
			node.metas[i].flags |= CT_ENTRY_GROUP;
		}
	ct_edit_commit(edit);
	return true;
}

/*
 * Makes room in a routing page.  Locks and result as for ct_split_leaf.
 */
bool
ct_split_routing(CtIndex *index, CtPin parent_pin, int link, CtPin pin)
{
	CtNode		parent;
	CtNode		node;
	RootSide   *sides;
	int			nsides = 0;
	int			weight[CT_MAX_ROOTS + 1] = {0};
	bool		moving[CT_MAX_ROOTS + 1] = {false};
	int			only = -1;
	uint8	   *roots;
	int			cut;

	ct_node_view(index, ct_pin_page(parent_pin), &parent);
	ct_node_view(index, ct_pin_page(pin), &node);
	if (ct_split_links_full(&parent))
		return false;
	ct_node_check_entries(index, &node, ct_pin_block(pin));
	roots = palloc(node.header->nentries + 1);
	ct_split_find_roots(index, &node, ct_pin_block(pin), roots);
	for (int i = 0; i < node.header->nentries; i++)
		weight[roots[i]]++;
	sides = palloc(sizeof(RootSide) * (CT_MAX_ROOTS + 1));
	for (int i = 0; i < node.header->nentries; i++)
		if (node.metas[i].parent == CT_NO_PARENT)
		{
			sides[nsides].slot = ct_split_exit_for(index, &parent, link,
										  node.metas[i].root,
										  ct_pin_block(pin));
			sides[nsides].weight = weight[node.metas[i].root];
			nsides++;
			only = i;
		}
	if (nsides >= 2)
	{
		cut = ct_split_divide(index, &parent, sides, nsides);
		for (int i = cut; i < nsides; i++)
			moving[parent.metas[sides[i].slot].child_root] = true;
		ct_split_separate_children(index, pin, moving);
		/* its slots are as before, its links are not */
		ct_split_page(index, parent_pin, link, pin, roots, moving);
		return true;
	}
	return open_root(index, parent_pin, link, pin, only);
}

/*
 * Raises the tree by one page: the content of the root page moves to a new
 * child.  The caller holds the root page exclusively.
 */
void
ct_grow_root(CtIndex *index, CtPin root_pin)
{
	CtPin		child_pin = ct_new_page(index);
	uint32		incarnation = ct_next_incarnation(child_pin);
	CtEdit	   *edit = ct_edit_begin(index);
	Page		root_page = ct_edit_page(edit, root_pin, false);
	Page		child_page = ct_edit_page(edit, child_pin, true);
	CtNode		root;
	CtNode		child;
	CtEntryMeta meta;
	int			slot = -1;
	bool	   *all;

	ct_node_view(index, root_page, &root);
	ct_node_check_entries(index, &root, CT_ROOT_BLOCK);
	memcpy(child_page, root_page, BLCKSZ);
	ct_special(child_page)->incarnation = incarnation;
	ct_node_view(index, child_page, &child);
	all = palloc(sizeof(bool) * child.header->nentries);
	for (int i = 0; i < child.header->nentries; i++)
	{
		all[i] = true;
		if (child.metas[i].parent == CT_NO_PARENT)
			slot = i;
	}
	if (slot < 0)
		ct_page_corrupted(index, CT_ROOT_BLOCK, "The root page has no root.");
	child.header->version = 1;
	child.header->split_version = 0;
	child.header->right = InvalidBlockNumber;

	root.header->version++;
	root.header->height++;
	root.header->nentries = 1;
	root.header->nchildren = 1;
	ct_node_copy_slot(index, &root, 0, &child, slot);
	root.radii[0] = radius_of(index, &child, slot, all);
	meta = child.metas[slot];
	meta.child = 0;
	meta.child_root = child.metas[slot].root;
	root.metas[0] = meta;
	memset(&root.links[0], 0, sizeof(CtLink));
	root.links[0].block = ct_pin_block(child_pin);
	root.links[0].incarnation = incarnation;
	root.links[0].version = child.header->version;
	ct_box_measure(index, &root, 0, &child);
	ct_edit_commit(edit);
	ct_unpin(child_pin);
}
