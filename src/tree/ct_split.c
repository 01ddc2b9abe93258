/*-------------------------------------------------------------------------
 *
 * ct_split.c
 *	  Making room: opening nodes, dividing pages, growing the root.
 *
 * A page holds one or more roots (a leaf: cells), each of which an entry of
 * the parent page leads to.  A page with several roots is divided by giving
 * some of them to a new right sibling; the entries of the parent only change
 * the link they use.  A page with one root is opened first: the children of
 * the root's highest level move up, as entries, into the parent.  Either way
 * nothing changes in the cover tree itself, only where it is cut into pages,
 * and all pages involved change in one atomic edit.
 *
 * Where opening would give the parent too many entries (in high dimension
 * most points of a cell may be farther apart than the next level's distance),
 * or cannot help (copies of one point), the root's children are grouped under
 * two pivots instead; entries that arose so carry CT_ENTRY_GROUP and are
 * not bound to the separation and covering of a level.
 *
 * IDENTIFICATION
 *	  src/tree/ct_split.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "ct_split_private.h"

/* Rows of a cell that a build leaves undivided: with boxes, those of a leaf. */
int
ct_cell_rows(const CtIndex *index)
{
	if (index->routing.boxes || index->space.model)
		return index->leaf.capacity - index->leaf.capacity / CT_CELL_ROOM;
	return ct_crowded_rows(index);
}

/*
 * Rows above which an insertion opens a cell.  Where there are boxes, cells are
 * halved, and that is not before their leaf is full.
 */
int
ct_crowded_rows(const CtIndex *index)
{
	return Min(CT_CELL_ROWS, index->leaf.capacity / 2);
}

/*
 * Farthest-first traversal: chooses among n points pivots that are more than
 * base^level apart, beginning with the given one, so that each point is
 * within base^level of its nearest pivot.  points is n x point_size.  Fills
 * pivots[1..] with indexes (pivots[0] stands for the given pivot), owner[i]
 * with the number of the nearest pivot and dist[i] with its distance, all
 * in the distance that shapes the tree.
 * Returns the number of pivots, or 0 if there would be more than limit.
 * (Gonzalez 1985, "Clustering to minimize the maximum intercluster distance")
 */
static int
cell_net(CtIndex *index, const double *points, int n, const double *pivot,
			int level, int limit, int *pivots, int *owner, double *dist)
{
	int			size = index->point_size;
	double		reach = ct_level_radius(&index->shape, level);
	int			k = 1;

	for (int i = 0; i < n; i++)
	{
		dist[i] = ct_cover_distance(&index->shape, pivot,
									points + (size_t) i * size);
		owner[i] = 0;
	}
	for (;;)
	{
		int			far = 0;

		for (int i = 1; i < n; i++)
			if (dist[i] > dist[far])
				far = i;
		if (n == 0 || dist[far] <= reach)
			return k;
		if (k >= limit)
			return 0;
		pivots[k] = far;
		for (int i = 0; i < n; i++)
		{
			double		d = ct_cover_distance(&index->shape,
											  points + (size_t) far * size,
											  points + (size_t) i * size);

			if (d < dist[i] || i == far)
			{
				dist[i] = d;
				owner[i] = k;
			}
		}
		k++;
	}
}

/* numbers in use by the entries that lead through a link */
void
ct_split_used_numbers(const CtNode *parent, int link, bool *used)
{
	memset(used, 0, CT_MAX_ROOTS + 1);
	for (int i = 0; i < parent->header->nentries; i++)
		if (parent->metas[i].child == link)
			used[parent->metas[i].child_root] = true;
}

int
ct_split_take_number(bool *used)
{
	for (int i = 0; i < CT_MAX_ROOTS; i++)
		if (!used[i])
		{
			used[i] = true;
			return i;
		}
	return -1;
}

/* the parent's entry for this root; an error if there is none */
int
ct_split_exit_for(CtIndex *index, const CtNode *parent, int link, int root,
		 BlockNumber block)
{
	for (int i = 0; i < parent->header->nentries; i++)
		if (parent->metas[i].child == link &&
			parent->metas[i].child_root == root)
			return i;
	ct_page_corrupted(index, block, "No entry of the parent leads here.");
}

/* Adds an entry below slot exit of the parent page; returns its slot. */
int
ct_split_add_entry(CtNode *parent, int exit, int level, int link, int number,
		  double radius, int flags)
{
	int			slot = parent->header->nentries++;

	parent->radii[slot] = radius;
	memset(&parent->metas[slot], 0, sizeof(CtEntryMeta));
	parent->metas[slot].parent = exit;
	parent->metas[slot].level = level;
	parent->metas[slot].child = link;
	parent->metas[slot].child_root = number;
	parent->metas[slot].flags = flags;
	return slot;
}

/*
 * Registers a new right sibling of child in parent; both are in the edit.
 * Returns its link number.
 */
static int
link_sibling(CtNode *parent, int link, CtNode *child, CtNode *sibling,
			 CtPin sibling_pin, uint32 incarnation)
{
	int			number = parent->header->nchildren++;

	ct_node_new_version(parent, link, child);
	sibling->header->version = child->header->version;
	sibling->header->split_version = child->header->split_version;
	sibling->header->right = child->header->right;
	sibling->header->right_incarnation = child->header->right_incarnation;
	child->header->split_version = child->header->version;
	child->header->right = ct_pin_block(sibling_pin);
	child->header->right_incarnation = incarnation;
	memset(&parent->links[number], 0, sizeof(CtLink));
	parent->links[number].block = ct_pin_block(sibling_pin);
	parent->links[number].incarnation = incarnation;
	parent->links[number].version = sibling->header->version;
	return number;
}

/* -------- dividing the roots of a page among two -------- */

static int
root_side_compare(const void *a, const void *b)
{
	const RootSide *left = a;
	const RootSide *right = b;

	if (left->key != right->key)
		return left->key < right->key ? -1 : 1;
	return left->slot - right->slot;
}

/*
 * Where boxes count: the dimension in which the pivots of n entries of a page
 * extend most, and as keys their coordinates in it.
 */
static void
spatial_keys(CtIndex *index, const CtNode *node, RootSide *sides, int n)
{
	int			dims = index->box_dims;
	double	   *point = palloc(sizeof(double) * index->point_size);
	double	   *sketches = palloc(sizeof(double) * dims * n);
	double		lower[CT_BOX_DIMS];
	double		upper[CT_BOX_DIMS];
	int			widest = 0;

	for (int i = 0; i < n; i++)
	{
		double	   *sketch = sketches + (size_t) i * dims;

		ct_node_get_point(index, node, sides[i].slot, point);
		ct_box_sketch(index, point, sketch);
		for (int j = 0; j < dims; j++)
		{
			lower[j] = i == 0 ? sketch[j] : Min(lower[j], sketch[j]);
			upper[j] = i == 0 ? sketch[j] : Max(upper[j], sketch[j]);
		}
	}
	for (int j = 1; j < dims; j++)
		if (upper[j] / 2.0 - lower[j] / 2.0 > upper[widest] / 2.0 - lower[widest] / 2.0)
			widest = j;
	for (int i = 0; i < n; i++)
		sides[i].key = sketches[(size_t) i * dims + widest];
	pfree(sketches);
	pfree(point);
}

/*
 * Else: the plane between two distant pivots, and as keys how much nearer each
 * pivot is to the one.
 */
static void
metric_keys(CtIndex *index, const CtNode *node, RootSide *sides, int n)
{
	double	   *query = palloc(sizeof(double) * index->point_size);
	double	   *dist = palloc(sizeof(double) * node->header->nentries);
	double	   *other = palloc(sizeof(double) * node->header->nentries);
	int			far = 0;

	ct_node_get_point(index, node, sides[0].slot, query);
	ct_node_group_distances(index, node, query, dist);
	for (int i = 1; i < n; i++)
		if (dist[sides[i].slot] > dist[sides[far].slot])
			far = i;
	ct_node_get_point(index, node, sides[far].slot, query);
	ct_node_group_distances(index, node, query, dist);
	for (int i = 0; i < n; i++)
		if (dist[sides[i].slot] > dist[sides[far].slot])
			far = i;
	ct_node_get_point(index, node, sides[far].slot, query);
	ct_node_group_distances(index, node, query, other);
	for (int i = 0; i < n; i++)
	{
		double		a = dist[sides[i].slot];
		double		b = other[sides[i].slot];

		/* differences of infinities would be NaN */
		sides[i].key = (isinf(a) ? 1e300 : Min(a, 1e300)) -
			(isinf(b) ? 1e300 : Min(b, 1e300));
	}
	pfree(query);
	pfree(dist);
	pfree(other);
}

/*
 * Divides n >= 2 entries of a page in space, about half by weight.  sides holds
 * their slots and weights; on return those from the result on are one part.
 */
int
ct_split_divide(CtIndex *index, const CtNode *node, RootSide *sides, int n)
{
	int			total = 0;
	int			sum = 0;
	int			cut;

	if (node->boxes)
		spatial_keys(index, node, sides, n);
	else
		metric_keys(index, node, sides, n);
	qsort(sides, n, sizeof(RootSide), root_side_compare);
	for (int i = 0; i < n; i++)
		total += sides[i].weight;
	for (cut = 0; cut < n - 1; cut++)
	{
		if (cut > 0 && 2 * sum >= total)
			break;
		sum += sides[cut].weight;
	}
	return Max(cut, 1);
}

/* Copies those slots of a leaf whose cell is marked. */
static void
copy_cells(CtIndex *index, CtNode *to, const CtNode *from, const bool *wanted)
{
	for (int i = 0; i < from->header->nentries; i++)
		if (wanted[from->cells[i]])
			ct_node_copy_slot(index, to, to->header->nentries++, from, i);
	if (to->basis)
		ct_node_copy_basis(index, to, from);
}

/* Lays the grid of a leaf anew, and gives the link to it its box. */
static void
recode_leaf(CtIndex *index, CtNode *parent, int link, CtNode *leaf)
{
	int			n = leaf->header->nentries;
	double	   *points = palloc(sizeof(double) * index->point_size * Max(n, 1));
	CtBox		box;

	ct_leaf_points(index, leaf, points);
	ct_leaf_code_all(index, leaf, points);
	ct_box_of_points(index, n, points, &box);
	ct_box_put(index, parent, link, &box);
	pfree(points);
}

/* number of the root above each entry of a routing page */
void
ct_split_find_roots(CtIndex *index, const CtNode *node, BlockNumber block, uint8 *roots)
{
	for (int i = 0; i < node->header->nentries; i++)
	{
		int			slot = i;

		for (int steps = 0; node->metas[slot].parent != CT_NO_PARENT; steps++)
		{
			if (steps > node->header->nentries)
				ct_page_corrupted(index, block, "Entries form a circle.");
			slot = node->metas[slot].parent;
		}
		roots[i] = node->metas[slot].root;
	}
}

/* Copies those entries of a routing page whose root is marked. */
static void
copy_roots(CtIndex *index, CtNode *to, const CtNode *from, const uint8 *roots,
		   const bool *wanted)
{
	int			n = from->header->nentries;
	uint16	   *moved = palloc(sizeof(uint16) * Max(n, 1));
	int			link_map[CT_MAX_CHILDREN + 1];

	for (int c = 0; c <= CT_MAX_CHILDREN; c++)
		link_map[c] = -1;
	for (int i = 0; i < n; i++)
		if (wanted[roots[i]])
		{
			int			slot = to->header->nentries++;
			int			child = from->metas[i].child;

			moved[i] = slot;
			ct_node_copy_slot(index, to, slot, from, i);
			if (child == CT_NO_CHILD)
				continue;
			if (link_map[child] < 0)
			{
				link_map[child] = to->header->nchildren++;
				to->links[link_map[child]] = from->links[child];
				ct_box_copy(index, to, link_map[child], from, child);
			}
			to->metas[slot].child = link_map[child];
		}
	for (int i = 0; i < n; i++)
		if (wanted[roots[i]] && from->metas[i].parent != CT_NO_PARENT)
			to->metas[moved[i]].parent = moved[from->metas[i].parent];
	pfree(moved);
}

/* Moves the marked roots (or cells) of a page to a new right sibling. */
void
ct_split_page(CtIndex *index, CtPin parent_pin, int link, CtPin pin,
		   const uint8 *roots, const bool *moving)
{
	CtPin		sibling_pin = ct_new_page(index);
	uint32		incarnation = ct_next_incarnation(sibling_pin);
	CtPageKind	kind = ct_page_kind(ct_pin_page(pin));
	PGAlignedBlock old_page;
	CtNode		old;
	CtNode		parent;
	CtNode		child;
	CtNode		sibling;
	CtEdit	   *edit = ct_edit_begin(index);
	bool		staying[CT_MAX_ROOTS + 1];
	int			number;

	memcpy(old_page.data, ct_pin_page(pin), BLCKSZ);
	ct_node_view(index, (Page) old_page.data, &old);
	ct_node_view(index, ct_edit_page(edit, parent_pin, false), &parent);
	ct_node_view(index, ct_edit_page(edit, pin, false), &child);
	ct_node_init(index, ct_edit_page(edit, sibling_pin, true), kind,
				 incarnation, old.header->height, &sibling);

	for (int r = 0; r <= CT_MAX_ROOTS; r++)
		staying[r] = !moving[r];
	child.header->nentries = 0;
	child.header->nchildren = 0;
	if (kind == CT_PAGE_LEAF)
	{
		copy_cells(index, &child, &old, staying);
		copy_cells(index, &sibling, &old, moving);
	}
	else
	{
		copy_roots(index, &child, &old, roots, staying);
		copy_roots(index, &sibling, &old, roots, moving);
	}
	number = link_sibling(&parent, link, &child, &sibling, sibling_pin,
						  incarnation);
	for (int i = 0; i < parent.header->nentries; i++)
		if (parent.metas[i].child == link &&
			moving[parent.metas[i].child_root])
			parent.metas[i].child = number;
	if (child.codes)
	{
		recode_leaf(index, &parent, link, &child);
		recode_leaf(index, &parent, number, &sibling);
	}
	else
	{
		ct_box_measure(index, &parent, link, &child);
		ct_box_measure(index, &parent, number, &sibling);
	}
	ct_edit_commit(edit);
	ct_unpin(sibling_pin);
}

/*
 * Every page has one parent.  Before the marked roots of a page (pin, held
 * exclusively) move away from the others, child pages that serve both kinds
 * are divided likewise, and so on below.  Each division is an atomic edit of
 * its own.
 */
void
ct_split_separate_children(CtIndex *index, CtPin pin, const bool *moving)
{
	CtNode		node;
	int			nlinks;
	uint8	   *roots;

	check_stack_depth();
	ct_node_view(index, ct_pin_page(pin), &node);
	nlinks = node.header->nchildren;
	roots = palloc(node.header->nentries + 1);
	ct_node_check_entries(index, &node, ct_pin_block(pin));
	ct_split_find_roots(index, &node, ct_pin_block(pin), roots);
	for (int c = 0; c < nlinks; c++)
	{
		bool		child_moving[CT_MAX_ROOTS + 1] = {false};
		bool		sides[2] = {false, false};
		CtPin		child_pin;
		uint8	   *child_roots = NULL;

		for (int i = 0; i < node.header->nentries; i++)
			if (node.metas[i].child == c)
			{
				bool		moves = moving[roots[i]];

				sides[moves] = true;
				child_moving[node.metas[i].child_root] = moves;
			}
		if (!sides[0] || !sides[1])
			continue;
		child_pin = ct_pin(index, node.links[c].block, CT_LOCK_EXCLUSIVE);
		if (ct_page_kind(ct_pin_page(child_pin)) == CT_PAGE_ROUTING)
		{
			CtNode		child;

			ct_split_separate_children(index, child_pin, child_moving);
			ct_node_view(index, ct_pin_page(child_pin), &child);
			child_roots = palloc(child.header->nentries + 1);
			ct_split_find_roots(index, &child, ct_pin_block(child_pin), child_roots);
		}
		ct_split_page(index, pin, c, child_pin, child_roots, child_moving);
		ct_unpin(child_pin);
	}
	pfree(roots);
}

/* No room for another link?  Some may be kept for ct_split_separate_children(). */
bool
ct_split_links_full(const CtNode *node)
{
	return node->header->nchildren >= node->layout->usable_children;
}

/* -------- leaves -------- */

/*
 * Two groups, around the given pivot and the point farthest from it: owner[i]
 * is 0 or 1, pivots[1] that point, dist[i] the distance to the own pivot.
 */
static void
group_by_distance(CtIndex *index, const double *points, int n,
				  const double *pivot, int *pivots, int *owner, double *dist)
{
	int			size = index->point_size;
	int			far = 0;

	for (int i = 0; i < n; i++)
	{
		dist[i] = ct_cover_distance(&index->shape, pivot,
									points + (size_t) i * size);
		owner[i] = 0;
		if (dist[i] > dist[far])
			far = i;
	}
	pivots[1] = far;
	for (int i = 0; i < n; i++)
	{
		double		d = ct_cover_distance(&index->shape,
										  points + (size_t) far * size,
										  points + (size_t) i * size);

		if (d < dist[i] || i == far)
		{
			dist[i] = d;
			owner[i] = 1;
		}
	}
}

/* The same, but two halves in space (ct_halve.c). */
static void
group_by_halves(CtIndex *index, const double *points, int n,
				const double *pivot, int *pivots, int *owner, double *dist)
{
	int			size = index->point_size;
	int			dims = ct_halving_dims(index);
	double	   *places = palloc(sizeof(double) * dims * n);
	CtColumns	columns = {(const char *) places, n, CT_ELEMENT_FLOAT8, dims};
	uint32	   *rows = palloc(sizeof(uint32) * n);
	uint16	   *half = palloc(sizeof(uint16) * n);
	uint32		centers[2];
	double		near[2];
	int			other;

	for (int i = 0; i < n; i++)
	{
		double		place[CT_BOX_DIMS];

		rows[i] = i;
		ct_halving_place(index, points + (size_t) i * size, place);
		for (int j = 0; j < dims; j++)
			places[j * n + i] = place[j];
	}
	ct_halve(&columns, rows, NULL, n, 2, 1, half, centers);
	for (int h = 0; h < 2; h++)
		near[h] = ct_group_distance(&index->shape, pivot,
									points + (size_t) centers[h] * size);
	other = near[0] < near[1];
	pivots[1] = centers[other];
	for (int i = 0; i < n; i++)
	{
		owner[i] = half[i] == other;
		dist[i] = ct_cover_distance(&index->shape, owner[i] ?
									points + (size_t) pivots[1] * size : pivot,
									points + (size_t) i * size);
	}
	pfree(places);
	pfree(rows);
	pfree(half);
}

/*
 * The entry below which a group divided from another belongs: groups of one
 * node are siblings.
 */
int
ct_split_group_parent(const CtIndex *index, const CtNode *parent, int entry)
{
	const CtEntryMeta *meta = &parent->metas[entry];

	if ((parent->boxes || index->space.model) && (meta->flags & CT_ENTRY_GROUP) &&
		meta->parent != CT_NO_PARENT)
		return meta->parent;
	return entry;
}

/*
 * Opens a cell: a net of the next lower level divides its rows, and each
 * pivot of the net gets an entry in the parent.  Returns false if the parent
 * has no room; *single is set if all rows are at one place.
 */
static bool
open_cell(CtIndex *index, CtPin parent_pin, int link, CtPin pin, int cell,
		  bool *single)
{
	CtNode		parent;
	CtNode		leaf;
	int			size = index->point_size;
	int			n;
	int			count = 0;
	int			k;
	int			exit;
	int			flags = 0;
	int			level;
	int		   *slots;
	int		   *owner;
	int		   *pivots;
	double	   *points;
	double	   *dist;
	double	   *pivot;
	double		farthest = 0.0;
	double	   *radius;
	double	   *shape_radius;
	bool		used[CT_MAX_ROOTS + 1];
	int			nused = 0;
	int		   *numbers;
	int			limit;
	CtEdit	   *edit;
	CtBasisFit *basis = NULL;

	*single = false;
	ct_node_view(index, ct_pin_page(parent_pin), &parent);
	ct_node_view(index, ct_pin_page(pin), &leaf);
	n = leaf.header->nentries;
	slots = palloc(sizeof(int) * n);
	for (int i = 0; i < n; i++)
		if (leaf.cells[i] == cell)
			slots[count++] = i;
	if (count < 2)
		return true;
	exit = ct_split_exit_for(index, &parent, link, cell, ct_pin_block(pin));
	points = MemoryContextAllocHuge(CurrentMemoryContext,
									sizeof(double) * size * count);
	pivot = palloc(sizeof(double) * size);
	owner = palloc(sizeof(int) * count);
	pivots = palloc(sizeof(int) * (count + 1));
	dist = palloc(sizeof(double) * count);
	ct_node_get_point(index, &parent, exit, pivot);
	for (int i = 0; i < count; i++)
	{
		ct_node_get_point(index, &leaf, slots[i], points + (size_t) i * size);
		dist[i] = ct_cover_distance(&index->shape, pivot,
									points + (size_t) i * size);
		farthest = Max(farthest, dist[i]);
	}
	if (farthest == 0.0)
	{
		*single = true;
		return true;
	}

	ct_split_used_numbers(&parent, link, used);
	for (int i = 0; i <= CT_MAX_ROOTS; i++)
		nused += used[i];
	if (nused > CT_MAX_ROOTS - 2)
		return true;			/* the leaf is due to be divided */
	level = ct_level_of(&index->shape, farthest) - 1;
	limit = Min(Min(count / (index->space.model ? CT_RESIDUAL_CELL : 2),
					parent.layout->capacity / CT_OPEN_SHARE),
				CT_MAX_ROOTS - nused);
	if (parent.boxes)
	{
		group_by_halves(index, points, count, pivot, pivots, owner, dist);
		flags = CT_ENTRY_GROUP;
		k = 2;
	}
	else
		k = limit < 2 ? 0 : cell_net(index, points, count, pivot, level, limit,
									 pivots, owner, dist);
	if (k == 0)
	{
		/* too many */
		flags = CT_ENTRY_GROUP;
		if (index->space.model)
			group_by_halves(index, points, count, pivot, pivots, owner, dist);
		else
			group_by_distance(index, points, count, pivot, pivots, owner, dist);
		k = 2;
	}
	if (parent.header->nentries + k - 1 > parent.layout->capacity ||
		nused + k - 1 > CT_MAX_ROOTS)
		return false;

	radius = palloc0(sizeof(double) * k);
	shape_radius = palloc0(sizeof(double) * k);
	numbers = palloc(sizeof(int) * k);
	numbers[0] = cell;
	ct_index_follow_variance(index);
	for (int i = 0; i < count; i++)
	{
		int			p = owner[i];

		shape_radius[p] = Max(shape_radius[p], dist[i]);
		if (!index->shape_is_cover)
			dist[i] = ct_cover_distance(&index->cover,
										p == 0 ? pivot : points + (size_t) pivots[p] * size,
										points + (size_t) i * size);
		radius[p] = Max(radius[p], ct_radius_up(&index->cover, dist[i]));
	}
	for (int p = 1; p < k; p++)
	{
		numbers[p] = ct_split_take_number(used);
		if (index->external)
			ct_vector_mark_pivot(index, leaf.locators[slots[pivots[p]]]);
	}

	if (leaf.basis)
		basis = ct_basis_for_leaf(index, &leaf);

	edit = ct_edit_begin(index);
	ct_node_view(index, ct_edit_page(edit, parent_pin, false), &parent);
	ct_node_view(index, ct_edit_page(edit, pin, false), &leaf);
	ct_node_new_version(&parent, link, &leaf);
	parent.radii[exit] = radius[0];
	for (int p = 1; p < k; p++)
	{
		int			entry = ct_split_add_entry(&parent,
									  flags ? ct_split_group_parent(index, &parent, exit) : exit,
									  flags ? ct_level_of(&index->shape, shape_radius[p]) : level,
									  link, numbers[p], radius[p], flags);
		int			from = slots[pivots[p]];

		ct_node_put_point(index, &parent, entry,
						  points + (size_t) pivots[p] * size,
						  leaf.locators ? leaf.locators[from] :
						  (CtLocator){0});
	}
	for (int i = 0; i < count; i++)
		leaf.cells[slots[i]] = numbers[owner[i]];
	if (leaf.basis)
		ct_basis_install(index, &leaf, basis);
	ct_edit_commit(edit);
	return true;
}

/*
 * A leaf full of rows at one place gets an empty right sibling for more of
 * them, led to by a grouping entry with the same pivot.
 */
static void
add_twin(CtIndex *index, CtPin parent_pin, int link, CtPin pin, int cell)
{
	CtPin		sibling_pin = ct_new_page(index);
	uint32		incarnation = ct_next_incarnation(sibling_pin);
	CtEdit	   *edit = ct_edit_begin(index);
	CtNode		parent;
	CtNode		child;
	CtNode		sibling;
	int			exit;
	int			number;
	int			slot;
	int			top;

	ct_node_view(index, ct_edit_page(edit, parent_pin, false), &parent);
	ct_node_view(index, ct_edit_page(edit, pin, false), &child);
	ct_node_init(index, ct_edit_page(edit, sibling_pin, true), CT_PAGE_LEAF,
				 incarnation, 0, &sibling);
	exit = ct_split_exit_for(index, &parent, link, cell, ct_pin_block(pin));
	top = exit;
	/* twins are all children of one entry, not of each other */
	if ((parent.metas[exit].flags & CT_ENTRY_GROUP) &&
		parent.metas[exit].level == CT_LEVEL_ZERO &&
		parent.metas[exit].parent != CT_NO_PARENT)
		top = parent.metas[exit].parent;
	number = link_sibling(&parent, link, &child, &sibling, sibling_pin,
						  incarnation);
	ct_box_clear(index, &parent, number);
	slot = ct_split_add_entry(&parent, top, CT_LEVEL_ZERO, number, 0, 0.0,
					 CT_ENTRY_GROUP);
	{
		CtEntryMeta meta = parent.metas[slot];

		ct_node_copy_slot(index, &parent, slot, &parent, exit);
		parent.metas[slot] = meta;
		parent.radii[slot] = 0.0;
	}
	if (sibling.basis)
		ct_node_copy_basis(index, &sibling, &child);
	ct_edit_commit(edit);
	ct_unpin(sibling_pin);
}

/*
 * Makes room in a leaf, or opens a crowded cell of it (crowded >= 0).  Parent
 * and leaf are exclusively locked by the caller and stay so.  Returns false if
 * the parent has to be split first.
 */
bool
ct_split_leaf(CtIndex *index, CtPin parent_pin, int link, CtPin pin,
			  int crowded)
{
	CtNode		parent;
	CtNode		leaf;
	RootSide   *sides;
	int			nsides = 0;
	int			weight[CT_MAX_ROOTS + 1] = {0};
	bool		moving[CT_MAX_ROOTS + 1] = {false};
	bool		single;
	int			cut;

	if (crowded >= 0)
		return open_cell(index, parent_pin, link, pin, crowded, &single);

	ct_node_view(index, ct_pin_page(parent_pin), &parent);
	ct_node_view(index, ct_pin_page(pin), &leaf);
	if (ct_split_links_full(&parent))
		return false;
	for (int i = 0; i < leaf.header->nentries; i++)
		weight[leaf.cells[i]]++;
	sides = palloc(sizeof(RootSide) * (parent.header->nentries + 1));
	for (int i = 0; i < parent.header->nentries; i++)
		if (parent.metas[i].child == link)
		{
			sides[nsides].slot = i;
			sides[nsides].weight = weight[parent.metas[i].child_root];
			nsides++;
		}
	if (nsides == 0)
		ct_page_corrupted(index, ct_pin_block(pin),
						  "No entry of the parent leads here.");
	if (nsides == 1)
	{
		int			cell = parent.metas[sides[0].slot].child_root;
		bool		ok = open_cell(index, parent_pin, link, pin, cell, &single);

		if (ok && single)
		{
			if (parent.header->nentries >= parent.layout->capacity)
				return false;
			add_twin(index, parent_pin, link, pin, cell);
		}
		return ok;
	}

	cut = ct_split_divide(index, &parent, sides, nsides);
	for (int i = cut; i < nsides; i++)
		moving[parent.metas[sides[i].slot].child_root] = true;
	ct_split_page(index, parent_pin, link, pin, NULL, moving);
	return true;
}
