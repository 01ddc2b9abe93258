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
 * IDENTIFICATION
 *	  src/tree/ct_pack.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "utils/memutils.h"

#include "ct_bulk.h"

/* pages are filled to at least this share (percent), and at most FILL_MAX */
#define LEAF_FILL_MIN		86
#define LEAF_FILL_MAX		98
#define ROUTING_FILL_MIN	40
#define ROUTING_FILL_MAX	98

/* leaves whose bases are chosen together, by all threads */
#define BASIS_BATCH			128

/* fan-out of the tree over copies of one point */
#define TWIN_FANOUT			8

typedef struct PackItem
{
	size_t		parent;			/* the root item is its own parent */
	size_t		end;			/* first item behind the subtree */
	size_t		first;			/* height 0: rows of the cell */
	size_t		n;
	size_t		pivot;			/* row */
	CtLocator	locator;		/* of the pivot */
	double		radius;			/* of the way out */
	double		top_radius;		/* of the subtree */
	double		parent_radius;	/* what the parent kept after step */
	int			step;
	int			depth;
	int			level;
	uint8		flags;
	uint8		root;			/* promoted: number in its own page */
	uint8		child_root;		/* number in the page it leads to */
	uint32		page;			/* page of the lower height it leads to */
	uint32		own_page;		/* page of this height that holds it */
	bool		promoted;
} PackItem;

typedef struct ItemList
{
	PackItem	   *items;
	size_t		n;
	size_t		size;
} ItemList;

typedef struct PageRange
{
	size_t		first;			/* items */
	size_t		n;
	BlockNumber block;
} PageRange;

static PackItem *
add_item(ItemList *list)
{
	if (list->n == list->size)
	{
		list->size *= 2;
		list->items = repalloc_huge(list->items, sizeof(PackItem) * list->size);
	}
	memset(&list->items[list->n], 0, sizeof(PackItem));
	return &list->items[list->n++];
}

/*
 * Adds items for rows [first, first + n), all at one place, as a tree of
 * pieces that fit a leaf.  Returns the number of the topmost one.
 */
static size_t
add_twins(CtIndex *index, ItemList *list, size_t parent, size_t first,
		  size_t n, int step, int depth)
{
	size_t		piece = index->leaf.capacity * LEAF_FILL_MAX / 100;
	size_t		own = Min(n, piece);
	size_t		rest = n - own;
	size_t		share = (rest / TWIN_FANOUT / piece + 1) * piece;
	size_t		number = list->n;
	PackItem	   *item = add_item(list);

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

		add_twins(index, list, number, first, here, 1, depth + 1);
		first += here;
		rest -= here;
	}
	return number;
}

/* The items of height 0: cells. */
static void
first_items(CtBulk *bulk, ItemList *list)
{
	CtIndex    *index = bulk->index;
	size_t	   *place = MemoryContextAllocHuge(bulk->context,
											   sizeof(size_t) * bulk->nnodes);

	list->size = bulk->nnodes + 16;
	list->n = 0;
	list->items = MemoryContextAllocHuge(bulk->context,
										 sizeof(PackItem) * list->size);
	for (size_t i = 0; i < bulk->nnodes; i++)
	{
		CtBulkNode *node = &bulk->nodes[i];
		size_t		number = list->n;
		int			depth = i == 0 ? 0 :
			list->items[place[node->parent]].depth + 1;
		size_t		parent = i == 0 ? 0 : place[node->parent];
		PackItem	   *item;

		place[i] = number;
		if (node->n > (size_t) ct_cell_rows(index))
		{
			/* copies of one point: the step after the node's own ones */
			add_twins(index, list, parent, node->first, node->n, 0, depth);
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
			item = add_item(list);
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
		PackItem	   *parent = &list->items[list->items[i].parent];

		parent->end = Max(parent->end, list->items[i].end);
	}
}

/*
 * Cuts the list into pages; returns their number.  The weight of an item is
 * its rows (leaves) or one.  A routing page takes all items that lead to the
 * same child, so that every page has one parent.
 */
static size_t
cut_pages(CtBulk *bulk, ItemList *list, bool leaf, PageRange **ranges)
{
	CtIndex    *index = bulk->index;
	PackItem	   *items = list->items;
	size_t		capacity = leaf ? index->leaf.capacity : index->routing.capacity;
	size_t		low = capacity * (leaf ? LEAF_FILL_MIN : ROUTING_FILL_MIN) / 100;
	size_t		high = capacity * (leaf ? LEAF_FILL_MAX : ROUTING_FILL_MAX) / 100;
	size_t		max_links = index->routing.max_children / 2;
	size_t		max_cells = Min(CT_MAX_ROOTS - 15, index->routing.capacity / 4);
	size_t		npages = 0;
	size_t		size = 64;
	size_t		first = 0;

	*ranges = MemoryContextAllocHuge(bulk->context, sizeof(PageRange) * size);
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
promote(ItemList *list)
{
	int		   *last_step = MemoryContextAllocHuge(CurrentMemoryContext,
												   sizeof(int) * list->n);
	PackItem	   *items = list->items;
	size_t		count = 1;

	/* last step by which a child arose that does not stay in the page */
	memset(last_step, 0, sizeof(int) * list->n);
	for (size_t i = list->n; i-- > 1;)
	{
		size_t		parent = items[i].parent;
		bool		contained = last_step[i] == 0 &&
			items[i].own_page == items[parent].own_page &&
			items[items[i].end - 1].own_page == items[i].own_page;

		if (!contained)
			last_step[parent] = Max(last_step[parent], items[i].step);
	}
	items[0].promoted = true;
	for (size_t i = 0; i < list->n; i++)
		if (i > 0)
		{
			items[i].promoted = items[i].step <= last_step[items[i].parent];
			count += items[i].promoted;
		}
	pfree(last_step);
	return count;
}

/* Radius around center that covers what lies within radius of an item. */
static double
radius_from(CtBulk *bulk, const double *center, const PackItem *item,
			double radius)
{
	CtIndex    *index = bulk->index;
	double	   *point = palloc(sizeof(double) * index->point_size);
	double		d;

	ct_bulk_point(bulk, item->pivot, point);
	d = ct_cover_distance(&index->cover, center, point);
	pfree(point);
	return ct_radius_sum(&index->cover, d, radius);
}

/*
 * Where too many items would be promoted (a pivot may have many small
 * children on different levels), those in one page whose parent is on another
 * are grouped: the first of them becomes an intermediate pivot for the rest.
 */
static void
group_orphans(CtBulk *bulk, ItemList *list)
{
	CtIndex    *index = bulk->index;
	PackItem   *items = list->items;
	double	   *center = palloc(sizeof(double) * index->point_size);
	size_t		i = 1;

	while (i < list->n)
	{
		size_t		parent = items[i].parent;
		size_t		next = items[i].end;
		size_t		earliest = i;
		double		radius = items[i].top_radius;

		if (!items[i].promoted ||
			items[parent].own_page == items[i].own_page ||
			items[next - 1].own_page != items[i].own_page)
		{
			i++;
			continue;
		}
		ct_bulk_point(bulk, items[i].pivot, center);
		while (next < list->n && items[next].parent == parent &&
			   items[next].own_page == items[i].own_page &&
			   items[items[next].end - 1].own_page == items[i].own_page)
		{
			radius = Max(radius, radius_from(bulk, center, &items[next],
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
			items[i].flags |= CT_ENTRY_GROUP;
			items[i].top_radius = radius;
			items[i].level = ct_level_of(&index->shape, radius);
			items[i].parent_radius = items[earliest].parent_radius;
			items[i].step = items[earliest].step;
			items[i].end = next;
		}
		i = next;
	}
	pfree(center);
}

/*
 * The last resort for trees that are one long path, where every item of a
 * page continues on the next: each page becomes one group around its first
 * item, and all groups become children of the root.
 */
static void
flatten(CtBulk *bulk, ItemList *list)
{
	CtIndex    *index = bulk->index;
	PackItem   *items = list->items;
	double	   *center = palloc(sizeof(double) * index->point_size);
	double		root_radius = 0.0;
	size_t		first = 0;

	while (first < list->n)
	{
		size_t		end = first;
		double		radius = 0.0;

		ct_bulk_point(bulk, items[first].pivot, center);
		while (end < list->n && items[end].own_page == items[first].own_page)
		{
			radius = Max(radius, radius_from(bulk, center, &items[end],
											 items[end].radius));
			if (end > first)
			{
				if (items[end].parent < first)
				{
					items[end].parent = first;
					items[end].flags |= CT_ENTRY_GROUP;
				}
				if (items[end].parent == 0)
					items[end].step++;	/* step 1 is that of the groups */
			}
			end++;
		}
		if (first == 0)
			root_radius = radius;
		else
		{
			items[first].parent = 0;
			items[first].step = 1;
			items[first].flags |= CT_ENTRY_GROUP;
			items[first].top_radius = radius;
			items[first].level = ct_level_of(&index->shape, radius);
			items[first].parent_radius = root_radius;
		}
		first = end;
	}
	find_ends(list);
	pfree(center);
}

/*
 * The list of the next height; gives promoted items their number as a root
 * of their page.
 */
static void
next_items(CtBulk *bulk, ItemList *list, ItemList *next)
{
	PackItem	   *items = list->items;
	size_t	   *place = MemoryContextAllocHuge(bulk->context,
											   sizeof(size_t) * list->n);
	uint32		page = 0;
	int			number = 0;

	next->size = 64;
	next->n = 0;
	next->items = MemoryContextAllocHuge(bulk->context,
										 sizeof(PackItem) * next->size);
	for (size_t i = 0; i < list->n; i++)
	{
		PackItem	   *item;

		if (items[i].own_page != page)
		{
			page = items[i].own_page;
			number = 0;
		}
		if (!items[i].promoted)
			continue;
		items[i].root = number++;
		place[i] = next->n;
		item = add_item(next);
		*item = items[i];
		item->promoted = false;
		item->parent = i == 0 ? 0 : place[items[i].parent];
		item->page = page;
		item->radius = items[i].top_radius;
		/* what the parent keeps after its last promoted step */
		if (i > 0)
			next->items[item->parent].radius =
				Min(next->items[item->parent].radius, items[i].parent_radius);
	}
	pfree(place);
}

/* -------- writing -------- */

static CtPin
new_node(CtIndex *index, CtEdit *edit, CtPageKind kind, int height,
		 CtPin root_pin, CtNode *node)
{
	CtPin		pin = root_pin != CT_NO_PIN ? root_pin : ct_new_page(index);

	ct_node_init(index, ct_edit_page(edit, pin, true), kind, 1, height, node);
	return pin;
}

/* Stores the vectors of all rows; returns their addresses in tree order. */
static CtLocator *
store_vectors(CtBulk *bulk, ItemList *list)
{
	CtIndex    *index = bulk->index;
	CtLocator  *locators = MemoryContextAllocHuge(bulk->context,
												  sizeof(CtLocator) * bulk->n);
	double	   *point = palloc(sizeof(double) * index->point_size);

	for (size_t i = 0; i < list->n; i++)
	{
		PackItem	   *item = &list->items[i];

		for (size_t row = item->first; row < item->first + item->n; row++)
		{
			bool		pivot;

			CHECK_FOR_INTERRUPTS();
			ct_bulk_point(bulk, row, point);
			pivot = row == item->pivot ||
				(bulk->landmarks && ct_landmarks_contain(bulk->landmarks, row));
			locators[row] = ct_vector_store(index, point, pivot ?
											CT_VECTOR_PIVOT : CT_VECTOR_ROW);
		}
		item->locator = locators[item->pivot];
	}
	pfree(point);
	return locators;
}

/* the basis of one leaf on its way to the page */
typedef struct LeafBasis
{
	int			ncandidates;
	size_t		candidates[CT_BASIS_CANDIDATES];	/* rows */
	CtProjectionFit fit;
	CtShares   *shares;			/* by slot */
} LeafBasis;

/* first row of a leaf; cells follow each other in the order of rows */
static size_t
leaf_start(const ItemList *list, const PageRange *range)
{
	return list->items[range->first].first;
}

static int
leaf_rows(const ItemList *list, const PageRange *range)
{
	const PackItem *last = &list->items[range->first + range->n - 1];

	return last->first + last->n - leaf_start(list, range);
}

/* Chooses the basis of one leaf.  Runs in any thread. */
static bool
fit_basis(const CtBulk *bulk, const ItemList *list, const PageRange *range,
		  LeafBasis *basis)
{
	int			n = leaf_rows(list, range);

	basis->shares = malloc(sizeof(CtShares) * n);
	return basis->shares != NULL &&
		ct_landmarks_fit(bulk, bulk->landmarks, leaf_start(list, range), n,
						 &basis->fit, basis->candidates, &basis->ncandidates,
						 basis->shares);
}

/* Chooses the landmarks of a residual index, now that its leaves are known. */
static void
choose_landmarks(CtBulk *bulk, const ItemList *list, const PageRange *ranges,
				 size_t npages)
{
	size_t	   *starts = MemoryContextAllocHuge(bulk->context,
												sizeof(size_t) * (npages + 1));

	for (size_t p = 0; p < npages; p++)
		starts[p] = leaf_start(list, &ranges[p]);
	starts[npages] = bulk->n;
	bulk->landmarks = ct_landmarks_choose(bulk);
	ct_landmarks_refine(bulk, bulk->landmarks, npages, starts);
	pfree(starts);
}

/* Chooses the bases of leaves [0, n) of ranges. */
static void
fit_bases(CtBulk *bulk, const ItemList *list, const PageRange *ranges, int n,
		  LeafBasis *bases)
{
	bool		failed = false;

#pragma omp parallel for num_threads(bulk->nthreads) schedule(dynamic) reduction(||:failed)
	for (int i = 0; i < n; i++)
		failed = !fit_basis(bulk, list, &ranges[i], &bases[i]) || failed;
	if (failed)
	{
		for (int i = 0; i < n; i++)
			free(bases[i].shares);
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
}

/* Writes a leaf's basis and its rows' shares. */
static void
put_basis(CtNode *node, LeafBasis *basis, const CtLocator *row_locators)
{
	CtLocator	locators[CT_BASIS_CANDIDATES];

	for (int c = 0; c < basis->ncandidates; c++)
		locators[c] = row_locators[basis->candidates[c]];
	ct_basis_form(&basis->fit, locators, node->basis);
	for (int i = 0; i < node->header->nentries; i++)
		ct_node_put_shares(node, i, &basis->shares[i]);
	free(basis->shares);
	basis->shares = NULL;
}

static void
write_leaves(CtBulk *bulk, ItemList *list, PageRange *ranges, size_t npages)
{
	CtIndex    *index = bulk->index;
	CtLocator  *locators = index->external ? store_vectors(bulk, list) : NULL;
	LeafBasis  *bases = index->space.model ?
		palloc(sizeof(LeafBasis) * BASIS_BATCH) : NULL;
	double	   *point = palloc(sizeof(double) * index->point_size);

	for (size_t p = 0; p < npages; p++)
	{
		CtEdit	   *edit = ct_edit_begin(index);
		CtNode		node;
		CtPin		pin = new_node(index, edit, CT_PAGE_LEAF, 0, CT_NO_PIN,
								   &node);
		int			slot = 0;

		if (bases && p % BASIS_BATCH == 0)
			fit_bases(bulk, list, ranges + p, Min(BASIS_BATCH, npages - p),
					  bases);
		for (size_t i = 0; i < ranges[p].n; i++)
		{
			PackItem	   *item = &list->items[ranges[p].first + i];

			for (size_t row = item->first; row < item->first + item->n; row++)
			{
				if (!locators)
					ct_bulk_point(bulk, row, point);
				ct_node_put_point(index, &node, slot, point,
								  locators ? locators[row] : (CtLocator){0});
				node.tids[slot] = bulk->tids[bulk->order[row]];
				node.cells[slot] = item->root;
				if (node.deltas)
					node.deltas[slot] = bulk->dist[row];
				slot++;
			}
		}
		node.header->nentries = slot;
		if (bases)
			put_basis(&node, &bases[p % BASIS_BATCH], locators);
		ranges[p].block = ct_pin_block(pin);
		ct_edit_commit(edit);
		ct_unpin(pin);
		if (p % BASIS_BATCH == BASIS_BATCH - 1)
			CHECK_FOR_INTERRUPTS();
	}
	pfree(point);
	if (bases)
		pfree(bases);
	if (locators)
		pfree(locators);
}

/* Writes one routing page with items [first, first + n). */
static BlockNumber
write_routing(CtBulk *bulk, ItemList *list, size_t first, size_t n,
			  int height, PageRange *children, CtPin root_pin)
{
	CtIndex    *index = bulk->index;
	CtEdit	   *edit = ct_edit_begin(index);
	CtNode		node;
	CtPin		pin = new_node(index, edit, CT_PAGE_ROUTING, height, root_pin,
							   &node);
	double	   *point = palloc(sizeof(double) * index->point_size);
	uint32		first_child = list->items[first].page;
	BlockNumber block = ct_pin_block(pin);

	for (size_t i = 0; i < n; i++)
	{
		PackItem	   *item = &list->items[first + i];
		CtEntryMeta *meta = &node.metas[i];
		uint32		link = item->page - first_child;

		if (!index->external)
			ct_bulk_point(bulk, item->pivot, point);
		ct_node_put_point(index, &node, i, point, item->locator);
		node.radii[i] = item->radius;
		memset(meta, 0, sizeof(CtEntryMeta));
		meta->parent = item->promoted ? CT_NO_PARENT : item->parent - first;
		meta->level = item->level;
		meta->child = link;
		meta->child_root = item->child_root;
		meta->root = item->promoted ? item->root : 0;
		meta->flags = item->flags;
		if (link >= node.header->nchildren)
		{
			node.header->nchildren = link + 1;
			memset(&node.links[link], 0, sizeof(CtLink));
			node.links[link].block = children[item->page].block;
			node.links[link].incarnation = 1;
			node.links[link].version = 1;
		}
	}
	node.header->nentries = n;
	pfree(point);
	ct_edit_commit(edit);
	if (root_pin == CT_NO_PIN)
		ct_unpin(pin);
	return block;
}

/* Writes the tree, the root page (block CT_ROOT_BLOCK) last. */
void
ct_pack(CtBulk *bulk)
{
	CtIndex    *index = bulk->index;
	ItemList	list;
	ItemList	next;
	PageRange  *ranges;
	PageRange  *children;
	size_t		npages;
	int			height = 1;
	CtPin		root_pin;

	first_items(bulk, &list);
	find_ends(&list);
	npages = cut_pages(bulk, &list, true, &children);

	/* every cell is known to the parent */
	{
		uint32		page = PG_UINT32_MAX;
		int			number = 0;

		for (size_t i = 0; i < list.n; i++)
		{
			if (list.items[i].own_page != page)
			{
				page = list.items[i].own_page;
				number = 0;
			}
			list.items[i].root = number++;
			list.items[i].page = page;
		}
	}
	if (index->space.model)
		choose_landmarks(bulk, &list, children, npages);
	write_leaves(bulk, &list, children, npages);
	if (bulk->landmarks)
		ct_landmarks_free(bulk->landmarks);
	for (size_t i = 0; i < list.n; i++)
		list.items[i].child_root = list.items[i].root;

	for (;;)
	{
		bool		fits;

		for (size_t i = 0; i < list.n; i++)
			list.items[i].promoted = false;
		fits = list.n <= (size_t) index->routing.capacity * ROUTING_FILL_MAX / 100 &&
			npages <= (size_t) index->routing.max_children / 2;
		if (fits)
			break;
		find_ends(&list);
		npages = cut_pages(bulk, &list, false, &ranges);
		if (promote(&list) > list.n / 4)
		{
			group_orphans(bulk, &list);
			if (promote(&list) > list.n / 3)
			{
				flatten(bulk, &list);
				promote(&list);
			}
		}
		next_items(bulk, &list, &next);
		if (next.n >= list.n)
			elog(ERROR, "could not reduce %zu entries of height %d",
				 list.n, height);
		for (size_t p = 0; p < npages; p++)
		{
			CHECK_FOR_INTERRUPTS();
			ranges[p].block = write_routing(bulk, &list, ranges[p].first,
											ranges[p].n, height, children,
											CT_NO_PIN);
		}
		pfree(children);
		pfree(list.items);
		list = next;
		for (size_t i = 0; i < list.n; i++)
			list.items[i].child_root = list.items[i].root;
		children = ranges;
		height++;
	}

	list.items[0].promoted = true;
	list.items[0].root = 0;
	root_pin = ct_pin(index, CT_ROOT_BLOCK, CT_LOCK_EXCLUSIVE);
	write_routing(bulk, &list, 0, list.n, height, children, root_pin);
	ct_unpin(root_pin);
	pfree(children);
	pfree(list.items);
}
