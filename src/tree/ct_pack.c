/*-------------------------------------------------------------------------
 *
 * ct_pack.c
 *	  Cutting a cover tree into pages.
 *
 * The tree is a list of items (a pivot, its parent, its way out of the page)
 * in the order of a walk that visits a pivot before its children.  Each page
 * takes a run of that list.  An item whose whole subtree lies in its page, and
 * whose parent does too, is known to that page alone; all others become roots
 * of their page and items of the next height, where they lead to it:
 *
 *	- let s be the last step of an item p by which a child arose that is not
 *	  wholly in p's page.  Children of steps up to s are promoted, later ones
 *	  stay below p, and p's own way out covers what p kept after step s.
 *
 * The list shrinks from height to height until one page, the root, holds it.
 * Cuts are made where few items need to be promoted: within a window of fill
 * grades, before the item that is highest in the tree.
 *
 * Where the rows did not fit the memory, their tree comes as one tree after the
 * other, in the order of the walk, each below a branch (CtBranch).  The items
 * of a height are then cut into pages in segments: those of height 0 after
 * each tree, others when there are many of them.  A segment begins with stubs,
 * which stand for the branches above it that earlier segments had; a branch
 * whose children have not all come is promoted in any case.
 *
 * IDENTIFICATION
 *	  src/tree/ct_pack.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "utils/memutils.h"

#include "ct_pack_private.h"

/* pages are filled to at least this share (percent), and at most FILL_MAX */
#define LEAF_FILL_MIN		86
#define LEAF_FILL_MAX		98
#define ROUTING_FILL_MIN	40
#define BOXES_FILL_MIN		15	/* the same, so that no halved node is cut */
#define ROUTING_FILL_MAX	98

/*
 * Segments are cut when items take this share of the memory, or would fill so
 * many pages, whichever is more.
 */
#define SEGMENT_SHARE		16
#define SEGMENT_PAGES		8

/* fan-out of the tree over copies of one point */
#define TWIN_FANOUT			8

/* own_page of stubs */
#define NO_PAGE				PG_UINT32_MAX

void *
ct_pack_allocate(CtPack *pack, Size bytes)
{
	return MemoryContextAllocHuge(pack->bulk->context, bytes);
}

/*
 * Adds an empty item.  Points are kept of lists whose rows may be gone by the
 * time when they are needed, unless the vectors have been stored.
 */
static PackItem *
add_item(CtPack *pack, ItemList *list)
{
	bool		points = list != &pack->lists[0] && !pack->bulk->index->external;
	Size		point = sizeof(double) * pack->bulk->index->point_size;

	if (list->n == list->size)
	{
		list->size = list->size ? list->size * 2 : 64;
		list->items = list->items ?
			repalloc_huge(list->items, sizeof(PackItem) * list->size) :
			ct_pack_allocate(pack, sizeof(PackItem) * list->size);
		if (points)
			list->points = list->points ?
				repalloc_huge(list->points, point * list->size) :
				ct_pack_allocate(pack, point * list->size);
	}
	memset(&list->items[list->n], 0, sizeof(PackItem));
	return &list->items[list->n++];
}

/* Are there children of the item that have not come yet? */
static bool
is_waiting(const PackItem *item)
{
	return item->branch && item->branch->nwaiting > 0;
}

/* Takes note of where the list has a branch. */
static void
note_branch(CtPack *pack, ItemList *list, const CtBranch *branch, uint32 item)
{
	if (branch->depth >= list->last_size)
	{
		int			size = Max(2 * list->last_size, branch->depth + 16);

		list->last = list->last ?
			repalloc(list->last, sizeof(uint32) * size) :
			ct_pack_allocate(pack, sizeof(uint32) * size);
		list->last_size = size;
	}
	list->last[branch->depth] = item;
}

static void
add_stub(CtPack *pack, ItemList *list, CtBranch *branch)
{
	PackItem   *item = add_item(pack, list);

	Assert(list->n == list->nstubs + 1);
	item->branch = branch;
	item->depth = branch->depth;
	item->own_page = NO_PAGE;
	item->promoted = true;
	note_branch(pack, list, branch, list->nstubs++);
}

/*
 * Adds items for rows [first, first + n), all at one place, as a tree of
 * pieces that fit a leaf.  Returns the number of the topmost one.
 */
static size_t
add_twins(CtPack *pack, ItemList *list, size_t parent, size_t first,
		  size_t n, int step, int depth)
{
	CtIndex    *index = pack->bulk->index;
	size_t		piece = index->leaf.capacity * LEAF_FILL_MAX / 100;
	size_t		own = Min(n, piece);
	size_t		rest = n - own;
	size_t		share = (rest / TWIN_FANOUT / piece + 1) * piece;
	size_t		number = list->n;
	PackItem   *item = add_item(pack, list);

	check_stack_depth();
	item->parent = parent;
	item->first = item->pivot = first;
	item->n = own;
	item->step = step;
	item->depth = depth;
	item->level = CT_LEVEL_ZERO;
	item->flags = CT_ENTRY_GROUP;
	first += own;
	while (rest > 0)
	{
		size_t		here = Min(rest, share);

		add_twins(pack, list, number, first, here, 1, depth + 1);
		first += here;
		rest -= here;
	}
	return number;
}

/*
 * The branch `above`, and those above it, as stubs where they are packed, else
 * as items with an empty cell.
 */
static void
add_branches(CtPack *pack, ItemList *list, CtBranch *above)
{
	PackItem   *item;

	if (above == NULL)
		return;
	check_stack_depth();
	add_branches(pack, list, above->parent);
	if (above->packed)
	{
		add_stub(pack, list, above);
		return;
	}
	above->packed = true;
	item = add_item(pack, list);
	item->branch = above;
	item->depth = above->depth;
	if (above->parent)
	{
		above->parent->nwaiting--;
		item->parent = list->n - 2;
		item->step = 1;
		item->flags = CT_ENTRY_GROUP;
	}
	item->level = CT_LEVEL_ZERO;
}

/* The items of height 0: cells. */
static void
first_items(CtPack *pack, CtBranch *above)
{
	CtBulk	   *bulk = pack->bulk;
	CtIndex    *index = bulk->index;
	ItemList   *list = &pack->lists[0];
	uint32	   *place = ct_pack_allocate(pack, sizeof(uint32) * bulk->nnodes);
	size_t		root_parent = 0;
	int			root_depth = 0;

	add_branches(pack, list, above);
	if (above)
	{
		CtBulkNode *root = &bulk->nodes[0];

		above->nwaiting--;
		root_parent = list->n - 1;
		root_depth = above->depth + 1;
		root->step = 1;
		root->flags = CT_ENTRY_GROUP;
	}
	for (size_t i = 0; i < bulk->nnodes; i++)
	{
		CtBulkNode *node = &bulk->nodes[i];
		size_t		number = list->n;
		size_t		parent = i == 0 ? root_parent : place[node->parent];
		int			depth = i == 0 ? root_depth : list->items[parent].depth + 1;
		PackItem   *item;

		place[i] = number;
		if (node->n > (uint32) ct_cell_rows(index))
		{
			/* copies of one point: the step after the node's own ones */
			add_twins(pack, list, parent, node->first, node->n, 0, depth);
			for (size_t t = number + 1; t < list->n; t++)
			{
				if (list->items[t].parent == number)
					list->items[t].step = node->nsteps + 1;
				list->items[t].radius = node->self_radius;
				list->items[t].top_radius = node->self_radius;
				list->items[t].parent_radius = node->self_radius;
			}
		}
		else
		{
			item = add_item(pack, list);
			item->first = item->pivot = node->first;
			item->n = node->n;
		}
		item = &list->items[number];
		item->parent = parent;
		item->depth = depth;
		item->step = node->step;
		item->level = node->level;
		item->flags = node->flags;
		item->radius = node->self_radius;
		item->top_radius = node->top_radius;
		item->parent_radius = node->parent_radius;
	}
	pfree(place);
}

/* Finds where each subtree ends. */
static void
find_ends(ItemList *list)
{
	for (size_t i = 0; i < list->n; i++)
		list->items[i].end = i + 1;
	for (size_t i = list->n; i-- > 1;)
	{
		PackItem   *parent = &list->items[list->items[i].parent];

		parent->end = Max(parent->end, list->items[i].end);
	}
}

/* What is known by now of the branches in a list. */
static void
refresh_branches(CtPack *pack, ItemList *list)
{
	for (size_t i = list->nstubs; i < list->n; i++)
	{
		PackItem   *item = &list->items[i];
		const CtBranch *above = list->items[item->parent].branch;
		int			level;

		if (above && item->parent != i)
			item->parent_radius = Max(item->parent_radius, above->kept);
		if (item->branch == NULL)
			continue;
		item->top_radius = Max(item->top_radius, item->branch->radius);
		level = ct_level_of(&pack->bulk->index->shape, item->top_radius);
		item->level = Max(item->level, level);
	}
}

/*
 * Cuts the list into pages; returns their number.  The weight of an item is
 * its rows (leaves) or one.  A routing page takes all items that lead to the
 * same child, so that every page has one parent.
 */
static size_t
cut_pages(CtPack *pack, ItemList *list, bool leaf, PageRange **ranges)
{
	CtIndex    *index = pack->bulk->index;
	PackItem   *items = list->items;
	size_t		capacity = leaf ? index->leaf.capacity : index->routing.capacity;
	size_t		low = capacity * (leaf ? LEAF_FILL_MIN :
								  index->routing.boxes ? BOXES_FILL_MIN :
								  ROUTING_FILL_MIN) / 100;
	size_t		high = capacity * (leaf ? LEAF_FILL_MAX : ROUTING_FILL_MAX) / 100;
	size_t		max_links = index->routing.usable_children;
	size_t		max_cells = Min(CT_MAX_ROOTS - 15, index->routing.capacity / 4);
	size_t		npages = 0;
	size_t		size = 64;
	size_t		first = list->nstubs;

	*ranges = ct_pack_allocate(pack, sizeof(PageRange) * size);
	while (first < list->n)
	{
		size_t		sum = 0;
		size_t		cut = 0;	/* best one in the window of fill */
		size_t		last = first;	/* last one possible */
		size_t		i;

		for (i = first; i < list->n; i++)
		{
			size_t		weight = leaf ? items[i].n : 1;

			if (i > first && (leaf || items[i].page != items[i - 1].page))
			{
				last = i;
				if (sum >= low && (cut == 0 || items[i].depth <= items[cut].depth))
					cut = i;
			}
			if (i > first &&
				(sum + weight > high ||
				 (leaf && i - first >= max_cells) ||
				 (!leaf && items[i].page - items[first].page >= max_links)))
				break;
			sum += weight;
		}
		if (i == list->n)
			cut = i;
		else if (cut == 0)
			cut = last > first ? last : i;

		if (npages == size)
		{
			size *= 2;
			*ranges = repalloc_huge(*ranges, sizeof(PageRange) * size);
		}
		(*ranges)[npages].first = first;
		(*ranges)[npages].n = cut - first;
		(*ranges)[npages].block = InvalidBlockNumber;
		for (size_t j = first; j < cut; j++)
			items[j].own_page = npages;
		npages++;
		first = cut;
	}
	return npages;
}

/* Marks the items that the next height has to know; returns their number. */
static size_t
promote(CtPack *pack, ItemList *list)
{
	int		   *last_step = ct_pack_allocate(pack, sizeof(int) * list->n);
	PackItem   *items = list->items;
	size_t		from = Max(list->nstubs, 1);	/* neither a stub nor the root */
	size_t		count = from - list->nstubs;

	/* last step by which a child arose that does not stay in the page */
	for (size_t i = 0; i < list->n; i++)
		last_step[i] = is_waiting(&items[i]) ? 1 : 0;
	for (size_t i = list->n; i-- > from;)
	{
		size_t		parent = items[i].parent;
		bool		contained = last_step[i] == 0 &&
			items[i].own_page == items[parent].own_page &&
			items[items[i].end - 1].own_page == items[i].own_page;

		if (!contained)
			last_step[parent] = Max(last_step[parent], items[i].step);
	}
	items[0].promoted = true;
	for (size_t i = from; i < list->n; i++)
	{
		items[i].promoted = items[i].step <= last_step[items[i].parent];
		count += items[i].promoted;
	}
	pfree(last_step);
	return count;
}

/* The pivot of an item above height 0. */
void
ct_pack_item_point(CtPack *pack, const ItemList *list, size_t item, double *point)
{
	CtIndex    *index = pack->bulk->index;

	if (list->points)
		memcpy(point, list->points + item * index->point_size,
			   sizeof(double) * index->point_size);
	else
		ct_vector_read(index, list->items[item].locator, point);
}

/* Radius around center that covers what lies within radius of an item. */
static double
radius_from(CtPack *pack, const ItemList *list, const double *center,
			size_t item, double radius)
{
	CtIndex    *index = pack->bulk->index;
	double	   *point = palloc(sizeof(double) * index->point_size);
	double		d;

	ct_pack_item_point(pack, list, item, point);
	d = ct_cover_distance(&index->cover, center, point);
	pfree(point);
	return ct_radius_sum(&index->cover, d, radius);
}

/* Makes an item the pivot of a group of this radius. */
static void
make_group(CtPack *pack, PackItem *item, double radius)
{
	item->flags |= CT_ENTRY_GROUP;
	item->top_radius = radius;
	item->level = ct_level_of(&pack->bulk->index->shape, radius);
}

/* Is the whole subtree in the page of the item? */
static bool
is_whole(const ItemList *list, size_t item)
{
	const PackItem *items = list->items;

	if (items[items[item].end - 1].own_page != items[item].own_page)
		return false;
	for (size_t i = item; i < items[item].end; i++)
		if (is_waiting(&items[i]))
			return false;
	return true;
}

/*
 * Where too many items would be promoted (a pivot may have many small
 * children on different levels), those in one page whose parent is on another
 * are grouped: the first of them becomes an intermediate pivot for the rest.
 */
static void
group_orphans(CtPack *pack, ItemList *list)
{
	PackItem   *items = list->items;
	double	   *center = palloc(sizeof(double) * pack->bulk->index->point_size);
	size_t		i = Max(list->nstubs, 1);

	while (i < list->n)
	{
		size_t		parent = items[i].parent;
		size_t		next = items[i].end;
		size_t		earliest = i;
		double		radius = items[i].top_radius;

		if (!items[i].promoted ||
			items[parent].own_page == items[i].own_page ||
			!is_whole(list, i))
		{
			i++;
			continue;
		}
		ct_pack_item_point(pack, list, i, center);
		while (next < list->n && items[next].parent == parent &&
			   items[next].own_page == items[i].own_page &&
			   is_whole(list, next))
		{
			radius = Max(radius, radius_from(pack, list, center, next,
											 items[next].top_radius));
			if (items[next].step < items[earliest].step)
				earliest = next;
			items[next].parent = i;
			items[next].flags |= CT_ENTRY_GROUP;
			next = items[next].end;
		}
		if (next > items[i].end)
		{
			/*
			 * The group counts as of its earliest step: what the parent kept
			 * after a later one no longer covers all of its members.
			 */
			make_group(pack, &items[i], radius);
			items[i].parent_radius = items[earliest].parent_radius;
			items[i].step = items[earliest].step;
			items[i].end = next;
		}
		i = next;
	}
	pfree(center);
}

/*
 * Hangs the items [first, end) of one page, as far as their parents are on
 * earlier ones, below the first of them, as a group of this radius below the
 * root.  Whatever is promoted from below a group leaves it its radius.
 */
static void
flatten_page(CtPack *pack, ItemList *list, size_t first, size_t end,
			 double radius, double root_radius)
{
	PackItem   *items = list->items;

	for (size_t i = first + 1; i < end; i++)
	{
		if (items[i].parent < first)
		{
			items[i].parent = first;
			items[i].flags |= CT_ENTRY_GROUP;
		}
		if (items[i].parent == first)
			items[i].parent_radius = Max(items[i].parent_radius, radius);
	}
	make_group(pack, &items[first], radius);
	items[first].parent = 0;
	items[first].step = 1;
	items[first].parent_radius = root_radius;
	if (items[first].branch)
		items[first].branch->kept = Max(items[first].branch->kept, radius);
}

/*
 * The last resort for trees that are one long path, where every item of a
 * page continues on the next: each page becomes one group around its first
 * item, and all groups become children of the root.  Step 1 is theirs; a root
 * that is a branch has no other step, and keeps nothing.
 */
static void
flatten(CtPack *pack, ItemList *list)
{
	PackItem   *items = list->items;
	double	   *center = palloc(sizeof(double) * pack->bulk->index->point_size);
	CtBranch   *branch = items[0].branch;
	double		root_radius = branch ? branch->kept : 0.0;
	size_t		first = list->nstubs;

	if (branch == NULL)
		for (size_t i = 1; i < list->n; i++)
			if (items[i].parent == 0)
				items[i].step++;
	while (first < list->n)
	{
		size_t		end = first;
		double		radius = 0.0;

		ct_pack_item_point(pack, list, first, center);
		for (; end < list->n && items[end].own_page == items[first].own_page;
			 end++)
			radius = Max(radius, radius_from(pack, list, center, end,
											 items[end].radius));
		if (first > 0)
			flatten_page(pack, list, first, end, radius, root_radius);
		else if (branch == NULL)
			root_radius = radius;
		first = end;
	}
	find_ends(list);
	pfree(center);
}

/* Numbers the roots of each page. */
static void
number_roots(ItemList *list)
{
	uint32		page = NO_PAGE;
	int			number = 0;

	for (size_t i = list->nstubs; i < list->n; i++)
	{
		PackItem   *item = &list->items[i];

		if (item->own_page != page)
		{
			page = item->own_page;
			number = 0;
		}
		if (!item->promoted)
			continue;
		if (number > CT_MAX_ROOTS)
			elog(ERROR, "too many roots for one page");
		item->root = number++;
	}
}

/* Adds the promoted items to the list of the next height. */
static void
next_items(CtPack *pack, int height)
{
	ItemList   *list = &pack->lists[height];
	ItemList   *next = &pack->lists[height + 1];
	uint32	   *place = ct_pack_allocate(pack, sizeof(uint32) * list->n);
	int			size = pack->bulk->index->point_size;

	if (next->n == 0)
		for (size_t i = 0; i < list->nstubs; i++)
			add_stub(pack, next, list->items[i].branch);
	for (size_t i = 0; i < list->nstubs; i++)
		place[i] = next->last[list->items[i].branch->depth];
	for (size_t i = list->nstubs; i < list->n; i++)
	{
		const PackItem *from = &list->items[i];
		PackItem   *item;

		if (!from->promoted)
			continue;
		place[i] = next->n;
		next->total++;
		item = add_item(pack, next);
		*item = *from;
		item->promoted = false;
		item->parent = i == 0 ? 0 : place[from->parent];
		item->page = next->nblocks + from->own_page;
		item->child_root = from->root;
		if (next->points && height == 0)
			ct_bulk_point(pack->bulk, from->pivot,
						  next->points + place[i] * size);
		else if (next->points)
			ct_pack_item_point(pack, list, i, next->points + place[i] * size);
		if (item->branch)
			note_branch(pack, next, item->branch, place[i]);
		if (height == 0)
			continue;			/* the way out is the cell */
		item->radius = from->top_radius;
		if (is_waiting(item))
			item->radius = Min(item->radius, item->branch->kept);
		/* what the parent keeps after its last promoted step */
		if (i > 0)
			next->items[item->parent].radius =
				Min(next->items[item->parent].radius, from->parent_radius);
	}
	pfree(place);
}

/* Puts down where the pages are that the items of a list lead to. */
static void
add_blocks(CtPack *pack, ItemList *list, const PageRange *ranges, size_t n)
{
	if (list->nblocks + n > list->blocks_size)
	{
		list->blocks_size = Max(2 * list->blocks_size, list->nblocks + n);
		list->blocks = list->blocks ?
			repalloc_huge(list->blocks,
						  sizeof(BlockNumber) * list->blocks_size) :
			ct_pack_allocate(pack, sizeof(BlockNumber) * list->blocks_size);
		if (pack->bulk->index->routing.boxes)
			list->boxes = list->boxes ?
				repalloc_huge(list->boxes, sizeof(CtBox) * list->blocks_size) :
				ct_pack_allocate(pack, sizeof(CtBox) * list->blocks_size);
	}
	for (size_t i = 0; i < n; i++)
	{
		if (list->boxes)
			list->boxes[list->nblocks] = ranges[i].box;
		list->blocks[list->nblocks++] = ranges[i].block;
	}
}

/* Chooses which items of a list above height 0 are promoted. */
static void
choose_promoted(CtPack *pack, ItemList *list)
{
	size_t		n = list->n - list->nstubs;

	if (promote(pack, list) > n / 4)
	{
		group_orphans(pack, list);
		if (promote(pack, list) > n / 3)
		{
			flatten(pack, list);
			promote(pack, list);
		}
	}
}

/*
 * Cuts all items of a height that there are into pages, writes these, and
 * hands what has to be promoted to the next height.
 */
static void
cut_segment(CtPack *pack, int height)
{
	ItemList   *list = &pack->lists[height];
	ItemList   *next = &pack->lists[height + 1];
	PageRange  *ranges;
	size_t		npages;

	if (height + 2 >= MAX_HEIGHT)
		elog(ERROR, "tree is too high");
	refresh_branches(pack, list);
	find_ends(list);
	npages = cut_pages(pack, list, height == 0, &ranges);
	if (height == 0)
	{
		/* every cell is known to the parent */
		for (size_t i = 0; i < list->n; i++)
			list->items[i].promoted = true;
		number_roots(list);
		if (pack->bulk->index->space.model)
			ct_pack_choose_landmarks(pack->bulk, list, ranges, npages);
		ct_pack_write_leaves(pack, list, ranges, npages);
		if (pack->bulk->landmarks)
			ct_landmarks_free(pack->bulk->landmarks);
		pack->bulk->landmarks = NULL;
	}
	else
	{
		choose_promoted(pack, list);
		number_roots(list);
		for (size_t p = 0; p < npages; p++)
		{
			CHECK_FOR_INTERRUPTS();
			ct_pack_write_routing(pack, list, &ranges[p], height);
		}
	}
	next_items(pack, height);
	add_blocks(pack, next, ranges, npages);
	pfree(ranges);
	list->n = list->nstubs = list->nblocks = 0;
	list->cut = true;
}

/* Begins to write the tree. */
CtPack *
ct_pack_begin(CtBulk *bulk)
{
	CtPack	   *pack = MemoryContextAllocZero(bulk->context, sizeof(CtPack));
	Size		item = sizeof(PackItem) + bulk->index->vector_bytes;

	pack->bulk = bulk;
	pack->enough = Max(bulk->memory / SEGMENT_SHARE / item,
					   (Size) bulk->index->routing.capacity * SEGMENT_PAGES);
	return pack;
}

/*
 * Writes the tree that is in memory: the next one below the branch `above`, or
 * (NULL) the only one.
 */
void
ct_pack_tree(CtPack *pack, CtBranch *above)
{
	ItemList   *cells = &pack->lists[0];

	ct_bulk_phase(pack->bulk, CT_PHASE_WRITE);
	first_items(pack, above);
	cut_segment(pack, 0);
	pfree(cells->items);
	cells->items = NULL;
	cells->size = 0;
	if (above)
		for (int height = 1;
			 pack->lists[height].n - pack->lists[height].nstubs > pack->enough;
			 height++)
			cut_segment(pack, height);
}

/* Writes what is above the trees, the root page (CT_ROOT_BLOCK) last. */
void
ct_pack_end(CtPack *pack)
{
	CtIndex    *index = pack->bulk->index;
	int			height = 1;
	ItemList   *list;

	for (;; height++)
	{
		list = &pack->lists[height];
		if (!list->cut &&
			list->n <= (size_t) index->routing.capacity * ROUTING_FILL_MAX / 100 &&
			list->nblocks <= (uint32) index->routing.usable_children)
			break;
		if (list->n > list->nstubs)
			cut_segment(pack, height);
		if (pack->lists[height + 1].total >= list->total)
			elog(ERROR, "could not reduce %zu entries of height %d",
				 list->total, height);
	}

	refresh_branches(pack, list);
	list->items[0].promoted = true;
	list->items[0].root = 0;
	ct_pack_write_root(pack, list, height);
	for (int h = 0; h <= height; h++)
	{
		list = &pack->lists[h];
		if (list->items)
			pfree(list->items);
		if (list->points)
			pfree(list->points);
		if (list->blocks)
			pfree(list->blocks);
		if (list->boxes)
			pfree(list->boxes);
		if (list->last)
			pfree(list->last);
	}
	pfree(pack);
}
