/*-------------------------------------------------------------------------
 *
 * ct_insert.c
 *	  Insertion of one row.
 *
 * The descent looks at one page at a time under a share lock, decides where
 * the point belongs, and takes the exclusive lock only where something must
 * change: a radius that has to grow before the row becomes reachable, or an
 * entry for a point that no child covers.  Every step checks that the page is
 * still what the link said; if not, the descent starts again.  A page without
 * room is split in a step of its own (ct_split.c), after which the descent
 * starts again too.
 *
 * IDENTIFICATION
 *	  src/tree/ct_insert.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "utils/memutils.h"

#include "ct_tree.h"

#define MAX_HEIGHT	64

/* other backends cannot be in the way more often than this */
#define MAX_ATTEMPTS	100000

/* no row needs more room than so many splits make */
#define MAX_SPLITS		1000

/* one page of a descent */
typedef struct Step
{
	CtLink		link;			/* how the page was reached */
	int			link_number;	/* of its parent's links */
	int			root;			/* cell or root that the point belongs to */
} Step;

typedef struct Insertion
{
	CtIndex    *index;
	const double *point;
	CtLocator	locator;
	ItemPointer tid;
	Step		path[MAX_HEIGHT];
	int			depth;			/* of the page in hand */
	CtShares	shares;			/* by the basis of the leaf in hand */
	uint8		knots[CT_MOST_LIMITS];	/* residual index: the row's limits */
	bool		unadmitted;		/* that leaf has to be made ready for them */
	bool		outdated;		/* the index's dimension was freed */
	bool		stale_basis;	/* that leaf should have another basis */
	double	   *dist;			/* by which the tree is shaped, to the entries
								 * of a page */
	CtBoxQuery	place;			/* of the point, for boxes */
	double	   *group_dist;		/* likewise, by which groups are made */
	double		boxes[CT_MAX_CHILDREN + 1]; /* distances to those of its links */
} Insertion;

/* where a point goes on a routing page */
typedef struct Decision
{
	int			slot;			/* exit to take, or parent of a new entry */
	bool		create;
	int			level;			/* of the new entry */
} Decision;

static int
find_root(const CtNode *node, int root)
{
	for (int i = 0; i < node->header->nentries; i++)
		if (node->metas[i].parent == CT_NO_PARENT &&
			node->metas[i].root == root)
			return i;
	return -1;
}

/*
 * Is the group of slot a no farther from the point than that of slot b?  Boxes
 * say more than pivots do.
 */
static bool
group_is_near(const Insertion *ins, const CtNode *node, int a, int b)
{
	if (node->boxes)
	{
		int			link_a = node->metas[a].child;
		int			link_b = node->metas[b].child;
		double		box_a = link_a == CT_NO_CHILD ? INFINITY : ins->boxes[link_a];
		double		box_b = link_b == CT_NO_CHILD ? INFINITY : ins->boxes[link_b];

		if (box_a != box_b)
			return box_a < box_b;
	}
	return ins->group_dist[a] <= ins->group_dist[b];
}

/* The grouping entry nearest to the point, if no farther than cur itself. */
static int
nearest_group(const Insertion *ins, const CtNode *node, int cur)
{
	int			best = cur;

	for (int j = 0; j < node->header->nentries; j++)
		if (node->metas[j].parent == cur &&
			(node->metas[j].flags & CT_ENTRY_GROUP) &&
			group_is_near(ins, node, j, best))
			best = j;			/* of twins, the last: it has room */
	return best;
}

/*
 * Walks down the levels of one page.  At each level where the point may go
 * to another pivot it goes to the nearest that covers it; where none does, it
 * becomes a pivot itself, separated from all others of that level.
 */
static void
decide(Insertion *ins, const CtNode *node, int cur, Decision *decision)
{
	CtIndex    *index = ins->index;
	const double *dist = ins->dist;
	int			below = PG_INT32_MAX;

	for (;;)
	{
		int			cover = ct_level_of(&index->space, dist[cur]);
		int			next = PG_INT32_MIN;
		int			level;
		int			best = -1;
		double		reach;

		for (int j = 0; j < node->header->nentries; j++)
		{
			const CtEntryMeta *meta = &node->metas[j];

			if (meta->parent == cur && !(meta->flags & CT_ENTRY_GROUP) &&
				meta->level < below && meta->level > next)
				next = meta->level;
		}
		if (next == PG_INT32_MIN)
		{
			int			group = nearest_group(ins, node, cur);

			decision->create = false;
			decision->slot = group;
			if (group == cur)
				return;
			cur = group;
			below = PG_INT32_MAX;
			continue;
		}

		level = Max(next, cover - 1);
		reach = ct_level_radius(&index->space, level);
		if (level >= cover)
			best = cur;
		if (level == next)
			for (int j = 0; j < node->header->nentries; j++)
			{
				const CtEntryMeta *meta = &node->metas[j];

				if (meta->parent == cur && meta->level == level &&
					!(meta->flags & CT_ENTRY_GROUP) && dist[j] <= reach &&
					(best < 0 || dist[j] < dist[best]))
					best = j;
			}
		if (best < 0)
		{
			decision->create = true;
			decision->slot = cur;
			decision->level = level;
			return;
		}
		below = best == cur ? level : PG_INT32_MAX;
		cur = best;
	}
}

/* A number that no root (or cell) reached through this link has. */
static int
free_root_number(const CtNode *parent, int link)
{
	bool		used[CT_MAX_ROOTS + 1] = {false};

	for (int i = 0; i < parent->header->nentries; i++)
		if (parent->metas[i].child == link)
			used[parent->metas[i].child_root] = true;
	for (int i = 0; i < CT_MAX_ROOTS; i++)
		if (!used[i])
			return i;
	return -1;
}

/* Writes a new entry behind the last one. */
static int
add_entry(Insertion *ins, CtNode *node, int parent, int level, int root)
{
	int			slot = node->header->nentries++;

	ct_node_put_point(ins->index, node, slot, ins->point, ins->locator);
	node->radii[slot] = 0.0;
	memset(&node->metas[slot], 0, sizeof(CtEntryMeta));
	node->metas[slot].parent = parent;
	node->metas[slot].level = level;
	node->metas[slot].child = CT_NO_CHILD;
	node->metas[slot].root = root;
	return slot;
}

/*
 * Writes the row behind the last one.  The leaf is a copy that is being
 * edited, or new; ins->shares are those by its basis, if it has one.
 */
static void
add_row(Insertion *ins, CtNode *leaf, int cell)
{
	int			slot = leaf->header->nentries++;

	ct_node_put_point(ins->index, leaf, slot, ins->point, ins->locator);
	leaf->tids[slot] = *ins->tid;
	leaf->cells[slot] = cell;
	if (leaf->basis)
	{
		ct_node_put_shares(leaf, slot, &ins->shares);
		ct_knots_join(ins->index->space.model, leaf->knots, ins->knots);
	}
	if (leaf->codes)
		ct_leaf_put_code(ins->index, leaf, slot, ins->point);
}

/* Is the page still what the link, or the index that was opened, says? */
static bool
link_is_current(const CtIndex *index, Page page, const CtLink *link,
				bool is_root)
{
	CtPageKind	kind = ct_page_kind(page);

	if ((kind != CT_PAGE_LEAF && kind != CT_PAGE_ROUTING) ||
		!ct_page_has_shape(index, page))
		return false;
	return is_root ||
		(ct_special(page)->incarnation == link->incarnation &&
		 ct_node_header(page)->version == link->version);
}

/*
 * Makes room below or in the page at path[depth], which was found full, or makes
 * the leaf there ready for ins->shares, or gives it another basis.  Locks parent, then page.  Changes one
 * thing only; the caller starts again.
 */
static void
make_room(Insertion *ins, int depth, int crowded)
{
	CtIndex    *index = ins->index;
	CtPin		parent;
	CtPin		pin;
	bool		done = true;

	if (depth == 0)
	{
		CtPin		root;
		CtNodeHeader *header;

		if (index->coded && !ct_index_find_frame(index))
			ct_frame_from_leaves(index);
		root = ct_pin(index, CT_ROOT_BLOCK, CT_LOCK_EXCLUSIVE);
		header = ct_node_header(ct_pin_page(root));
		/* somebody else may have grown it meanwhile, or emptied it */
		if (ct_page_has_shape(index, ct_pin_page(root)) &&
			(header->nentries > index->routing.capacity / 2 ||
			 header->nchildren >= index->routing.usable_children))
			ct_grow_root(index, root);
		ct_unpin(root);
		return;
	}

	parent = ct_pin(index, ins->path[depth - 1].link.block, CT_LOCK_EXCLUSIVE);
	if (link_is_current(index, ct_pin_page(parent), &ins->path[depth - 1].link,
						depth == 1))
	{
		CtNode		node;
		int			number = ins->path[depth].link_number;
		CtLink	   *link;

		ct_node_view(index, ct_pin_page(parent), &node);
		ct_node_check_entries(index, &node, ct_pin_block(parent));
		link = &node.links[number];
		if (number < node.header->nchildren &&
			link->block == ins->path[depth].link.block &&
			link->version == ins->path[depth].link.version)
		{
			pin = ct_pin(index, link->block, CT_LOCK_EXCLUSIVE);
			if (!link_is_current(index, ct_pin_page(pin), link, false))
				ct_page_corrupted(index, link->block,
								  "The page differs from its parent's link.");
			if (ct_page_kind(ct_pin_page(pin)) != CT_PAGE_LEAF)
				done = ct_split_routing(index, parent, number, pin);
			else if (ins->unadmitted)
				ct_basis_admit(index, parent, number, pin, &ins->shares);
			else if (ins->stale_basis && crowded < 0)
				ct_basis_renew(index, parent, number, pin);
			else
				done = ct_split_leaf(index, parent, number, pin, crowded);
			ct_unpin(pin);
		}
	}
	ct_unpin(parent);
	if (!done)
		make_room(ins, depth - 1, -1);
}

/* The cover distance to the pivot of a slot. */
static double
cover_distance(Insertion *ins, const CtNode *node, int slot)
{
	if (ins->index->shape_is_cover)
		return ins->dist[slot];
	return ct_vector_cover_distance(ins->index, node->locators[slot],
									ins->point);
}

/*
 * Gives a cell in an existing child page to an entry that leads nowhere yet
 * (slot), or to a new one.  On a page above the lowest routing level this only
 * adds a root to the child; the descent then goes on there.  The caller holds
 * the page exclusively.  Returns false if the descent has to start again, true
 * if it may go on by the link; *done is set when the row is in.
 */
static bool
attach(Insertion *ins, CtPin pin, CtNode *node, Decision *decision,
	   int *full_depth, Step *next, bool *done)
{
	CtIndex    *index = ins->index;
	bool		lowest = node->header->height == 1;
	int			link = -1;
	double		best = 0.0;
	int			number;
	CtPin		child_pin;
	CtNode		child;
	CtEdit	   *edit;
	CtNode		page;
	int			slot;
	bool		room;
	double		delta = decision->create ? 0.0 :
		cover_distance(ins, node, decision->slot);

	if (decision->create && index->space.model)
		delta = ct_cover_distance(&index->cover, ins->point, ins->point);

	if (decision->create && node->header->nentries >= node->layout->capacity)
	{
		*full_depth = ins->depth;
		return false;
	}

	if (decision->create && index->external)
		ct_vector_mark_pivot(index, ins->locator);

	/* the page of the nearest entry takes it; of twins, the last has room */
	for (int i = 0; i < node->header->nentries; i++)
		if (node->metas[i].child != CT_NO_CHILD &&
			(link < 0 || ins->group_dist[i] <= best))
		{
			link = node->metas[i].child;
			best = ins->group_dist[i];
		}

	if (link < 0)
	{
		/* nothing hangs below this page: a first child */
		CtPageKind	kind = lowest ? CT_PAGE_LEAF : CT_PAGE_ROUTING;
		uint32		incarnation;

		child_pin = ct_new_page(index);
		incarnation = ct_next_incarnation(child_pin);
		edit = ct_edit_begin(index);
		ct_node_view(index, ct_edit_page(edit, pin, false), &page);
		ct_node_init(index, ct_edit_page(edit, child_pin, true), kind,
					 incarnation, node->header->height - 1, &child);
		if (lowest)
			ct_basis_shares(index, &child, ins->point, &ins->shares);
		link = page.header->nchildren++;
		ct_box_clear(index, &page, link);
		memset(&page.links[link], 0, sizeof(CtLink));
		page.links[link].block = ct_pin_block(child_pin);
		page.links[link].incarnation = incarnation;
		number = 0;
	}
	else
	{
		child_pin = ct_pin(index, node->links[link].block, CT_LOCK_EXCLUSIVE);
		if (!link_is_current(index, ct_pin_page(child_pin), &node->links[link],
							 false))
			ct_page_corrupted(index, node->links[link].block,
							  "The page differs from its parent's link.");
		ct_node_view(index, ct_pin_page(child_pin), &child);
		number = free_root_number(node, link);
		room = child.header->nentries < child.layout->capacity && number >= 0;
		if (!room)
		{
			ct_unpin(child_pin);
			ins->path[ins->depth + 1].link = node->links[link];
			ins->path[ins->depth + 1].link_number = link;
			*full_depth = ins->depth + 1;
			return false;
		}
		if (lowest)
			ct_basis_shares(index, &child, ins->point, &ins->shares);
		edit = ct_edit_begin(index);
		ct_node_view(index, ct_edit_page(edit, pin, false), &page);
		ct_node_view(index, ct_edit_page(edit, child_pin, false), &child);
		child.header->version++;
	}

	slot = decision->slot;
	if (decision->create)
	{
		if (decision->slot != CT_NO_PARENT &&
			page.metas[decision->slot].parent == CT_NO_PARENT &&
			ins->depth == 0)
			page.metas[decision->slot].level =
				Max(page.metas[decision->slot].level, decision->level + 1);
		slot = add_entry(ins, &page, decision->slot, decision->level, 0);
	}
	page.metas[slot].child = link;
	page.metas[slot].child_root = number;
	page.radii[slot] = Max(page.radii[slot],
						   ct_radius_up(&index->cover, delta));
	page.links[link].version = child.header->version;
	ct_box_widen(index, &page, link, &ins->place);
	next->link = page.links[link];
	next->link_number = link;
	next->root = number;
	if (lowest)
	{
		add_row(ins, &child, number);
		*done = true;
	}
	else if (decision->create)
		add_entry(ins, &child, CT_NO_PARENT, decision->level, number);
	else
	{
		/* the pivot of the entry, not the new point, becomes the root */
		int			root = child.header->nentries++;

		ct_node_copy_slot(index, &child, root, &page, slot);
		child.radii[root] = 0.0;
		child.metas[root].parent = CT_NO_PARENT;
		child.metas[root].child = CT_NO_CHILD;
		child.metas[root].root = number;
		child.metas[root].flags = 0;
	}
	ct_edit_commit(edit);
	ct_unpin(child_pin);
	return true;
}

/* Rows of a cell. */
static int
count_cell(const CtNode *leaf, int cell)
{
	int			count = 0;

	for (int i = 0; i < leaf->header->nentries; i++)
		count += leaf->cells[i] == cell;
	return count;
}

/*
 * Puts the row into its leaf.  Returns false if the descent must start again;
 * *full_depth and *crowded ask for a split, *full_depth and ins->unadmitted
 * for a basis that says less.
 */
static bool
insert_into_leaf(Insertion *ins, bool may_open, int *full_depth,
				 int *crowded)
{
	CtIndex    *index = ins->index;
	Step	   *step = &ins->path[ins->depth];
	CtPin		pin = ct_pin(index, step->link.block, CT_LOCK_EXCLUSIVE);
	CtNode		leaf;
	CtEdit	   *edit;

	if (!link_is_current(index, ct_pin_page(pin), &step->link, false) ||
		ct_page_kind(ct_pin_page(pin)) != CT_PAGE_LEAF)
	{
		ct_unpin(pin);
		return false;
	}
	ct_node_view(index, ct_pin_page(pin), &leaf);
	if (leaf.header->nentries >= leaf.layout->capacity)
	{
		*full_depth = ins->depth;
		ct_unpin(pin);
		return false;
	}
	ct_basis_shares(index, &leaf, ins->point, &ins->shares);
	if (!ct_node_admits(&leaf, &ins->shares))
	{
		*full_depth = ins->depth;
		ins->unadmitted = true;
		ct_unpin(pin);
		return false;
	}
	edit = ct_edit_begin(index);
	ct_node_view(index, ct_edit_page(edit, pin, false), &leaf);
	add_row(ins, &leaf, step->root);
	if (may_open && count_cell(&leaf, step->root) > ct_crowded_rows(index))
		*crowded = step->root;
	ins->stale_basis = leaf.basis && leaf.header->nentries % CT_RENEW_ROWS == 0;
	ct_edit_commit(edit);
	ct_unpin(pin);
	return true;
}

/*
 * One descent.  Returns true when the row is in; otherwise it is to be tried
 * again, after make_room if *full_depth >= 0.
 */
static bool
descend(Insertion *ins, int *full_depth, int *crowded)
{
	CtIndex    *index = ins->index;
	CtLockMode	mode = CT_LOCK_SHARE;

	ins->depth = 0;
	memset(&ins->path[0], 0, sizeof(Step));
	ins->path[0].link.block = CT_ROOT_BLOCK;

	for (;;)
	{
		Step	   *step = &ins->path[ins->depth];
		Step		next = {{0}};
		CtPin		pin = ct_pin(index, step->link.block, mode);
		CtNode		node;
		Decision	decision = {0};
		int			root;
		bool		change;
		bool		grow;
		double		radius;
		bool		may_open;
		double		delta;

		if (!link_is_current(index, ct_pin_page(pin), &step->link,
							 ins->depth == 0) ||
			ct_page_kind(ct_pin_page(pin)) != CT_PAGE_ROUTING)
		{
			ins->outdated = ins->depth == 0 &&
				ct_page_kind(ct_pin_page(pin)) == CT_PAGE_ROUTING;
			if (ins->depth == 0 && !ins->outdated)
				ct_page_corrupted(index, CT_ROOT_BLOCK,
								  "The root page is no routing page.");
			ct_unpin(pin);
			return false;
		}
		ct_node_view(index, ct_pin_page(pin), &node);
		ct_node_shape_distances(index, &node, ins->point, ins->dist);
		if (ins->group_dist != ins->dist)
			ct_node_group_distances(index, &node, ins->point, ins->group_dist);
		root = find_root(&node, step->root);
		if (root >= 0)
		{
			if (node.boxes)
				ct_box_bounds(index, &node, &ins->place, ins->boxes);
			decide(ins, &node, root, &decision);
		}
		else if (ins->depth == 0 && node.header->nentries == 0)
		{
			/* the very first row: the root of the tree */
			decision.create = true;
			decision.slot = CT_NO_PARENT;
			decision.level = CT_LEVEL_ZERO;
		}
		else
			ct_page_corrupted(index, step->link.block,
							  "A link leads to a root that is not there.");

		change = decision.create ||
			node.metas[decision.slot].child == CT_NO_CHILD;
		delta = decision.create ? 0.0 :
			cover_distance(ins, &node, decision.slot);
		ct_index_follow_variance(index);
		radius = decision.create ? 0.0 : ct_radius_up(&index->cover, delta);
		grow = !change &&
			(node.radii[decision.slot] < radius ||
			 !ct_box_contains(index, &node, node.metas[decision.slot].child,
							  &ins->place));
		if (mode == CT_LOCK_SHARE && (change || grow))
		{
			/* look again with the right to change */
			ct_unpin(pin);
			mode = CT_LOCK_EXCLUSIVE;
			continue;
		}
		mode = CT_LOCK_SHARE;

		if (change)
			ct_node_check_entries(index, &node, step->link.block);
		else if (node.metas[decision.slot].child >= node.header->nchildren)
			ct_page_corrupted(index, step->link.block, "Entry refers to nothing.");
		if (change)
		{
			bool		done = false;
			bool		ok = attach(ins, pin, &node, &decision, full_depth,
									&next, &done);

			ct_unpin(pin);
			if (!ok || done)
				return done;
			ins->path[++ins->depth] = next;
			continue;
		}

		if (grow)
		{
			CtEdit	   *edit = ct_edit_begin(index);

			ct_node_view(index, ct_edit_page(edit, pin, false), &node);
			node.radii[decision.slot] = Max(node.radii[decision.slot], radius);
			ct_box_widen(index, &node, node.metas[decision.slot].child,
						 &ins->place);
			if (node.metas[decision.slot].parent == CT_NO_PARENT &&
				ins->depth == 0)
				node.metas[decision.slot].level =
					Max(node.metas[decision.slot].level,
						ct_level_of(&index->space, ins->dist[decision.slot]));
			ct_edit_commit(edit);
			ct_node_view(index, ct_pin_page(pin), &node);
		}
		next.link = node.links[node.metas[decision.slot].child];
		next.link_number = node.metas[decision.slot].child;
		next.root = node.metas[decision.slot].child_root;
		may_open = node.radii[decision.slot] > 0.0 && node.boxes == NULL &&
			index->space.model == NULL;
		if (ins->depth + 1 >= MAX_HEIGHT)
			ct_page_corrupted(index, step->link.block, "The tree is too high.");
		root = node.header->height;
		ct_unpin(pin);
		ins->path[++ins->depth] = next;
		if (root == 1)
			return insert_into_leaf(ins, may_open, full_depth, crowded);
	}
}

/* What inducing points have to do with the row of a residual index. */
static void
measure_knots(Insertion *ins)
{
	const CtSpace *space = &ins->index->space;
	double	   *work = palloc(sizeof(double) *
								Max(ct_knots_solve_work(space->model), 1));

	ct_knots_solve(space->model, space->kernels, 1, &ins->point, work,
				   ins->knots);
	pfree(work);
}

/*
 * Inserts a row.  point is a point of the index (point_size doubles).  Returns
 * false, without having done so, if the dimension of the index was freed since
 * it was opened: the caller refreshes it and begins anew.
 */
bool
ct_insert(CtIndex *index, const double *point, ItemPointer tid)
{
	Insertion  *ins = palloc0(sizeof(Insertion));
	bool		done = false;
	int			attempts = 0;
	int			splits = 0;

	ins->index = index;
	ins->point = point;
	ins->tid = tid;
	ins->dist = palloc(sizeof(double) * Max(index->routing.capacity, 1));
	ins->group_dist = index->shape.model == NULL ? ins->dist :
		palloc(sizeof(double) * Max(index->routing.capacity, 1));
	if (index->space.model)
	{
		ct_meta_lower_variance(index, point[index->space.model->dims]);
		measure_knots(ins);
	}
	if (index->external)
		ins->locator = ct_vector_store(index, point, CT_VECTOR_ROW);

	if (index->box_dims > 0)
		ct_box_query(index, point, &ins->place);

	while (!done && !ins->outdated)
	{
		int			full_depth = -1;
		int			crowded = -1;

		CHECK_FOR_INTERRUPTS();
		ins->unadmitted = false;
		ins->stale_basis = false;
		if (++attempts > MAX_ATTEMPTS || splits > MAX_SPLITS)
			ct_page_corrupted(index, ins->path[ins->depth].link.block,
							  "The page never agrees with the link to it.");
		done = descend(ins, &full_depth, &crowded);
		if (done ? crowded >= 0 || ins->stale_basis : full_depth >= 0)
		{
			MemoryContext context =
				AllocSetContextCreate(CurrentMemoryContext,
									  "Cover tree split context",
									  ALLOCSET_DEFAULT_SIZES);
			MemoryContext old = MemoryContextSwitchTo(context);

			make_room(ins, done ? ins->depth : full_depth, crowded);
			splits++;
			MemoryContextSwitchTo(old);
			MemoryContextDelete(context);
		}
	}
	if (ins->group_dist != ins->dist)
		pfree(ins->group_dist);
	pfree(ins->dist);
	pfree(ins);
	return done;
}
