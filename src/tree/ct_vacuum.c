/*-------------------------------------------------------------------------
 *
 * ct_vacuum.c
 *	  Removing dead rows and empty pages.
 *
 * First every block is visited in physical order and dead rows are dropped.
 * A split that runs meanwhile may move rows, but only to pages that come
 * later: while vacuum runs (a flag in the metapage says so) freed pages are
 * not used again.  Then empty pages are taken out of the tree, children before
 * parents, and boxes around pages that have lost rows are measured anew.  A
 * freed page begins a new incarnation, by which scans that still hold its number
 * notice.
 *
 * IDENTIFICATION
 *	  src/tree/ct_vacuum.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "commands/vacuum.h"

#include "ct_tree.h"

typedef struct Vacuum
{
	CtIndex    *index;
	CtDeadCallback dead;
	void	   *state;
	CtVacuumCounts *counts;
	uint8	   *cleaned;		/* bit by block: a leaf that has lost rows */
	BlockNumber nbits;
} Vacuum;

/* Drops dead rows from a leaf; the page is released. */
static void
clean_leaf(Vacuum *vacuum, CtPin pin)
{
	CtIndex    *index = vacuum->index;
	CtNode		leaf;
	CtLocator  *freed = NULL;
	int			nfreed = 0;
	int			n;
	int			ndead = 0;
	bool	   *is_dead;

	ct_node_view(index, ct_pin_page(pin), &leaf);
	n = leaf.header->nentries;
	is_dead = palloc(sizeof(bool) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		is_dead[i] = vacuum->dead && vacuum->dead(&leaf.tids[i], vacuum->state);
		ndead += is_dead[i];
	}
	if (ndead > 0)
	{
		CtEdit	   *edit = ct_edit_begin(index);
		int			kept = 0;

		ct_node_view(index, ct_edit_page(edit, pin, false), &leaf);
		freed = palloc(sizeof(CtLocator) * ndead);
		for (int i = 0; i < n; i++)
		{
			if (!is_dead[i])
			{
				if (kept != i)
					ct_node_copy_slot(index, &leaf, kept, &leaf, i);
				kept++;
			}
			else if (leaf.locators)
				freed[nfreed++] = leaf.locators[i];
		}
		leaf.header->nentries = kept;
		ct_edit_commit(edit);
		if (ct_pin_block(pin) < vacuum->nbits)
			vacuum->cleaned[ct_pin_block(pin) / 8] |=
				1 << ct_pin_block(pin) % 8;
	}
	ct_unpin(pin);
	vacuum->counts->removed += ndead;
	vacuum->counts->rows += n - ndead;
	if (nfreed > 0)
		ct_vector_free(index, freed, nfreed);
	if (freed)
		pfree(freed);
	pfree(is_dead);
}

static void
clean_nulls(Vacuum *vacuum, CtPin pin)
{
	Page		page = ct_pin_page(pin);
	int			n = ct_nulls_header(page)->ntids;
	ItemPointerData kept[CT_NULLS_CAPACITY];
	int			nkept = 0;

	for (int i = 0; i < n; i++)
		if (!(vacuum->dead &&
			  vacuum->dead(&ct_nulls_tids(page)[i], vacuum->state)))
			kept[nkept++] = ct_nulls_tids(page)[i];
	if (nkept < n)
	{
		CtEdit	   *edit = ct_edit_begin(vacuum->index);

		page = ct_edit_page(edit, pin, false);
		memcpy(ct_nulls_tids(page), kept, sizeof(ItemPointerData) * nkept);
		ct_nulls_header(page)->ntids = nkept;
		ct_edit_commit(edit);
	}
	ct_unpin(pin);
	vacuum->counts->removed += n - nkept;
	vacuum->counts->nulls += nkept;
}

/*
 * Turns a page that nothing refers to any more, a vector page of a former shape or
 * one of a frame, into a free one, and releases it.
 */
static void
free_lost_page(Vacuum *vacuum, CtPin pin)
{
	CtEdit	   *edit = ct_edit_begin(vacuum->index);
	Page		page = ct_edit_page(edit, pin, true);
	BlockNumber block = ct_pin_block(pin);

	ct_page_init(page, CT_PAGE_FREE, ct_special(page)->incarnation + 1);
	ct_edit_commit(edit);
	ct_unpin(pin);
	vacuum->counts->freed++;
	vacuum->counts->free_pages++;
	ct_free_page(vacuum->index, block);
}

static void
clean_block(Vacuum *vacuum, BlockNumber block)
{
	CtIndex    *index = vacuum->index;
	CtVacuumCounts *counts = vacuum->counts;
	CtPin		pin = ct_pin_new_allowed(index, block, CT_LOCK_EXCLUSIVE);
	Page		page = ct_pin_page(pin);

	if (ct_page_is_new(page))
	{
		ct_unpin(pin);
		counts->free_pages++;
		ct_free_page(index, block);
		return;
	}
	switch (ct_page_kind(page))
	{
		case CT_PAGE_LEAF:
			counts->leaf_pages++;
			if (index->meta.dims > 0)
			{
				clean_leaf(vacuum, pin);
				return;
			}
			break;
		case CT_PAGE_NULLS:
			counts->null_pages++;
			clean_nulls(vacuum, pin);
			return;
		case CT_PAGE_ROUTING:
			counts->routing_pages++;
			break;
		case CT_PAGE_VECTOR:
			if (!ct_page_has_shape(index, page))
			{
				free_lost_page(vacuum, pin);
				return;
			}
			counts->vector_pages++;
			break;
		case CT_PAGE_FRAME:
			if (ct_frame_is_lost(index, page, block))
			{
				free_lost_page(vacuum, pin);
				return;
			}
			break;
		case CT_PAGE_FREE:
			counts->free_pages++;
			ct_unpin(pin);
			ct_free_page(index, block);
			return;
		default:
			break;
	}
	ct_unpin(pin);
}

/* -------- empty pages, boxes -------- */

/*
 * Removes the link to an empty child, entries that led there and have no
 * children of their own included, in the edit's copy of the parent.
 */
static void
drop_link(CtIndex *index, Page page, int link)
{
	PGAlignedBlock old_page;
	CtNode		old;
	CtNode		node;
	int			n;
	int			last;
	uint16	   *moved;
	bool	   *keep;

	ct_node_view(index, page, &node);
	n = node.header->nentries;
	last = node.header->nchildren - 1;
	for (int i = 0; i < n; i++)
	{
		if (node.metas[i].child == link)
		{
			node.metas[i].child = CT_NO_CHILD;
			node.metas[i].child_root = 0;
			node.radii[i] = 0.0;
		}
		else if (node.metas[i].child == last)
			node.metas[i].child = link;
	}
	node.links[link] = node.links[last];
	ct_box_copy(index, &node, link, &node, last);
	node.header->nchildren--;

	/* entries without a way out and without children, bottom up */
	keep = palloc(sizeof(bool) * n);
	for (int i = 0; i < n; i++)
		keep[i] = node.metas[i].parent == CT_NO_PARENT ||
			node.metas[i].child != CT_NO_CHILD;
	for (bool changed = true; changed;)
	{
		changed = false;
		for (int i = 0; i < n; i++)
			if (keep[i] && node.metas[i].parent != CT_NO_PARENT &&
				!keep[node.metas[i].parent])
				keep[node.metas[i].parent] = changed = true;
	}

	memcpy(old_page.data, page, BLCKSZ);
	ct_node_view(index, (Page) old_page.data, &old);
	moved = palloc(sizeof(uint16) * n);
	node.header->nentries = 0;
	for (int i = 0; i < n; i++)
		if (keep[i])
		{
			moved[i] = node.header->nentries++;
			ct_node_copy_slot(index, &node, moved[i], &old, i);
		}
	for (int i = 0; i < n; i++)
		if (keep[i] && old.metas[i].parent != CT_NO_PARENT)
			node.metas[moved[i]].parent = moved[old.metas[i].parent];
	pfree(moved);
	pfree(keep);
}

/* Frees the child behind a link if it is empty; true if it was. */
static bool
free_if_empty(Vacuum *vacuum, BlockNumber block, int link, BlockNumber child)
{
	CtIndex    *index = vacuum->index;
	CtPin		pin = ct_pin(index, block, CT_LOCK_EXCLUSIVE);
	CtNode		node;
	bool		freed = false;

	if (ct_page_kind(ct_pin_page(pin)) == CT_PAGE_ROUTING)
	{
		ct_node_view(index, ct_pin_page(pin), &node);
		ct_node_check_entries(index, &node, block);
		if (link < node.header->nchildren && node.links[link].block == child)
		{
			CtPin		child_pin = ct_pin(index, child, CT_LOCK_EXCLUSIVE);
			CtNodeHeader *header = ct_node_header(ct_pin_page(child_pin));
			CtPageKind	kind = ct_page_kind(ct_pin_page(child_pin));

			if ((kind == CT_PAGE_LEAF && header->nentries == 0) ||
				(kind == CT_PAGE_ROUTING && header->nchildren == 0))
			{
				CtEdit	   *edit = ct_edit_begin(index);
				Page		child_page;
				uint32		incarnation;

				drop_link(index, ct_edit_page(edit, pin, false), link);
				child_page = ct_edit_page(edit, child_pin, true);
				incarnation = ct_special(child_page)->incarnation;
				ct_page_init(child_page, CT_PAGE_FREE, incarnation + 1);
				ct_edit_commit(edit);
				vacuum->counts->freed++;
				vacuum->counts->free_pages++;
				if (kind == CT_PAGE_LEAF)
					vacuum->counts->leaf_pages--;
				else
					vacuum->counts->routing_pages--;
				freed = true;
			}
			ct_unpin(child_pin);
		}
	}
	ct_unpin(pin);
	if (freed)
		ct_free_page(index, child);
	return freed;
}

/*
 * Measures the box around a child page anew, if there is one and it has become
 * smaller; true if it has.  The child gets another version, so that an inserter
 * on its way there, who found its point in the larger box, starts again (see
 * src/README.md, section 7, race 3).
 */
static bool
tighten_box(Vacuum *vacuum, BlockNumber block, int link, BlockNumber child)
{
	CtIndex    *index = vacuum->index;
	CtPin		pin = ct_pin(index, block, CT_LOCK_EXCLUSIVE);
	CtNode		node;
	bool		loose = false;

	if (ct_page_kind(ct_pin_page(pin)) == CT_PAGE_ROUTING)
		ct_node_view(index, ct_pin_page(pin), &node);
	if (ct_page_kind(ct_pin_page(pin)) == CT_PAGE_ROUTING && node.boxes &&
		link < node.header->nchildren && node.links[link].block == child)
	{
		CtPin		child_pin = ct_pin(index, child, CT_LOCK_EXCLUSIVE);
		CtNode		below;

		if (ct_page_kind(ct_pin_page(child_pin)) !=
			(node.header->height == 1 ? CT_PAGE_LEAF : CT_PAGE_ROUTING) ||
			ct_node_header(ct_pin_page(child_pin))->version !=
			node.links[link].version)
			ct_page_corrupted(index, child,
							  "The page differs from its parent's link.");
		ct_node_view(index, ct_pin_page(child_pin), &below);
		loose = ct_box_is_loose(index, &node, link, &below);
		if (loose)
		{
			CtEdit	   *edit = ct_edit_begin(index);

			ct_node_view(index, ct_edit_page(edit, pin, false), &node);
			ct_node_view(index, ct_edit_page(edit, child_pin, false), &below);
			ct_box_measure(index, &node, link, &below);
			ct_node_new_version(&node, link, &below);
			ct_edit_commit(edit);
		}
		ct_unpin(child_pin);
	}
	ct_unpin(pin);
	return loose;
}

static bool
was_cleaned(const Vacuum *vacuum, BlockNumber block)
{
	return block < vacuum->nbits &&
		(vacuum->cleaned[block / 8] & 1 << block % 8) != 0;
}

/*
 * Frees the empty pages below a routing page, and tightens the boxes around the
 * others.  True if the page has lost a link, or one of its boxes has become
 * smaller.
 */
static bool
clean_below(Vacuum *vacuum, BlockNumber block)
{
	CtIndex    *index = vacuum->index;
	bool		changed = false;

	check_stack_depth();
	for (int link = 0;; link++)
	{
		CtPin		pin;
		CtNode		node;
		BlockNumber child;
		bool		lowest;
		bool		child_changed;

		ct_vacuum_delay_point();
		pin = ct_pin(index, block, CT_LOCK_SHARE);
		if (ct_page_kind(ct_pin_page(pin)) != CT_PAGE_ROUTING)
		{
			ct_unpin(pin);
			return changed;
		}
		ct_node_view(index, ct_pin_page(pin), &node);
		if (link >= node.header->nchildren)
		{
			ct_unpin(pin);
			return changed;
		}
		child = node.links[link].block;
		lowest = node.header->height == 1;
		ct_unpin(pin);
		child_changed = lowest ? was_cleaned(vacuum, child) :
			clean_below(vacuum, child);
		if (free_if_empty(vacuum, block, link, child))
		{
			link--;				/* another link has taken its place */
			changed = true;
		}
		else if (child_changed && tighten_box(vacuum, block, link, child))
			changed = true;
	}
}

/*
 * Takes empty pages out of the chain of NULL rows.  The tail stays, since
 * rows are added to it.
 */
static void
free_empty_nulls(Vacuum *vacuum)
{
	CtIndex    *index = vacuum->index;
	CtPin		pin = ct_pin(index, CT_META_BLOCK, CT_LOCK_SHARE);
	BlockNumber block = ct_meta(ct_pin_page(pin))->nulls_head;
	BlockNumber before = InvalidBlockNumber;

	ct_unpin(pin);
	while (block != InvalidBlockNumber)
	{
		CtPin		meta_pin;
		CtPin		before_pin = CT_NO_PIN;
		BlockNumber next;
		uint32		next_incarnation;
		bool		freed = false;

		ct_vacuum_delay_point();
		/* lock order: metapage, then along the chain */
		meta_pin = ct_pin(index, CT_META_BLOCK, CT_LOCK_EXCLUSIVE);
		if (before != InvalidBlockNumber)
			before_pin = ct_pin(index, before, CT_LOCK_EXCLUSIVE);
		pin = ct_pin(index, block, CT_LOCK_EXCLUSIVE);
		next = ct_nulls_header(ct_pin_page(pin))->next;
		next_incarnation = ct_nulls_header(ct_pin_page(pin))->next_incarnation;
		if (ct_nulls_header(ct_pin_page(pin))->ntids == 0 &&
			ct_meta(ct_pin_page(meta_pin))->nulls_tail != block)
		{
			CtEdit	   *edit = ct_edit_begin(index);
			Page		page;
			uint32		incarnation;

			if (before == InvalidBlockNumber)
			{
				page = ct_edit_page(edit, meta_pin, false);
				ct_meta(page)->nulls_head = next;
				ct_meta(page)->nulls_head_incarnation = next_incarnation;
			}
			else
			{
				page = ct_edit_page(edit, before_pin, false);
				ct_nulls_header(page)->next = next;
				ct_nulls_header(page)->next_incarnation = next_incarnation;
			}
			page = ct_edit_page(edit, pin, true);
			incarnation = ct_special(page)->incarnation;
			ct_page_init(page, CT_PAGE_FREE, incarnation + 1);
			ct_edit_commit(edit);
			freed = true;
		}
		ct_unpin(pin);
		if (before_pin != CT_NO_PIN)
			ct_unpin(before_pin);
		ct_unpin(meta_pin);
		if (freed)
		{
			vacuum->counts->freed++;
			vacuum->counts->free_pages++;
			vacuum->counts->null_pages--;
			ct_free_page(index, block);
		}
		else
			before = block;
		block = next;
	}
}

/* Frees vector and frame pages of an index whose dimension was just freed. */
static void
free_lost_pages(Vacuum *vacuum)
{
	CtIndex    *index = vacuum->index;
	BlockNumber nblocks = ct_block_count(index);

	for (BlockNumber block = CT_ROOT_BLOCK + 1; block < nblocks; block++)
	{
		CtPin		pin;
		Page		page;
		CtPageKind	kind;

		ct_vacuum_delay_point();
		pin = ct_pin_new_allowed(index, block, CT_LOCK_EXCLUSIVE);
		page = ct_pin_page(pin);
		kind = ct_page_is_new(page) ? CT_PAGE_FREE : ct_page_kind(page);
		if ((kind == CT_PAGE_VECTOR || kind == CT_PAGE_FRAME) &&
			!ct_page_has_shape(index, page))
		{
			free_lost_page(vacuum, pin);
			vacuum->counts->vector_pages -= kind == CT_PAGE_VECTOR;
		}
		else
			ct_unpin(pin);
	}
}

/*
 * Removes the rows that dead() names; dead may be NULL, then rows are only
 * counted.  Frees the dimension of an index that holds no point any more.  Fills
 * counts.
 */
void
ct_vacuum(CtIndex *index, CtDeadCallback dead, void *state,
		  CtVacuumCounts *counts)
{
	Vacuum		vacuum = {index, dead, state, counts, NULL, 0};
	BlockNumber block = CT_ROOT_BLOCK;
	BlockNumber nblocks;

	memset(counts, 0, sizeof(CtVacuumCounts));
	ct_index_refresh(index);
	vacuum.nbits = ct_block_count(index);
	vacuum.cleaned = palloc_extended(vacuum.nbits / 8 + 1,
									 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	ct_meta_set_vacuuming(index, true);
	while (block < (nblocks = ct_block_count_locked(index)))
		for (; block < nblocks; block++)
		{
			ct_vacuum_delay_point();
			clean_block(&vacuum, block);
		}
	if ((dead || counts->rows == 0) && index->meta.dims > 0)
		clean_below(&vacuum, CT_ROOT_BLOCK);
	if (counts->rows == 0 && index->meta.dims > 0 && ct_meta_free_dims(index) &&
		counts->vector_pages > 0)
		free_lost_pages(&vacuum);
	if (dead)
		free_empty_nulls(&vacuum);
	ct_meta_set_vacuuming(index, false);
	ct_meta_update_counts(index, counts->rows, counts->nulls,
						  counts->routing_pages, counts->leaf_pages);
	counts->pages = nblocks;
	ct_finish_free_space(index);
	pfree(vacuum.cleaned);
}
