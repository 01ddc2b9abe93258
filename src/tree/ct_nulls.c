/*-------------------------------------------------------------------------
 *
 * ct_nulls.c
 *	  Rows whose point is NULL: a chain of pages with their TIDs.
 *
 * The metapage names head and tail.  Rows are added to the tail; a page that
 * vacuum empties leaves the chain unless it is the tail.
 *
 * IDENTIFICATION
 *	  src/tree/ct_nulls.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "ct_tree.h"

/* vacuum cannot free pages under one walk more often than this */
#define MAX_RESTARTS		10000

static void
start_chain(CtIndex *index)
{
	CtPin		meta_pin = ct_pin(index, CT_META_BLOCK, CT_LOCK_EXCLUSIVE);

	if (ct_meta(ct_pin_page(meta_pin))->nulls_tail == InvalidBlockNumber)
	{
		CtPin		pin = ct_new_page(index);
		Page		page;
		uint32		incarnation = ct_next_incarnation(pin);
		CtEdit	   *edit = ct_edit_begin(index);
		CtMetaData *meta = ct_meta(ct_edit_page(edit, meta_pin, false));

		page = ct_edit_page(edit, pin, true);
		ct_page_init(page, CT_PAGE_NULLS, incarnation);
		ct_nulls_header(page)->next = InvalidBlockNumber;
		meta->nulls_head = meta->nulls_tail = ct_pin_block(pin);
		meta->nulls_head_incarnation = incarnation;
		ct_edit_commit(edit);
		ct_unpin(pin);
	}
	ct_unpin(meta_pin);
}

/* Adds a page behind a full tail, unless that has happened already. */
static void
extend_chain(CtIndex *index, BlockNumber full)
{
	CtPin		meta_pin = ct_pin(index, CT_META_BLOCK, CT_LOCK_EXCLUSIVE);

	if (ct_meta(ct_pin_page(meta_pin))->nulls_tail == full)
	{
		CtPin		tail_pin = ct_pin(index, full, CT_LOCK_EXCLUSIVE);
		CtPin		pin = ct_new_page(index);
		Page		page;
		uint32		incarnation = ct_next_incarnation(pin);
		CtEdit	   *edit = ct_edit_begin(index);

		ct_meta(ct_edit_page(edit, meta_pin, false))->nulls_tail =
			ct_pin_block(pin);
		page = ct_edit_page(edit, tail_pin, false);
		ct_nulls_header(page)->next = ct_pin_block(pin);
		ct_nulls_header(page)->next_incarnation = incarnation;
		page = ct_edit_page(edit, pin, true);
		ct_page_init(page, CT_PAGE_NULLS, incarnation);
		ct_nulls_header(page)->next = InvalidBlockNumber;
		ct_edit_commit(edit);
		ct_unpin(pin);
		ct_unpin(tail_pin);
	}
	ct_unpin(meta_pin);
}

/* Adds a row whose point is NULL. */
void
ct_nulls_insert(CtIndex *index, ItemPointer tid)
{
	for (;;)
	{
		CtPin		pin = ct_pin(index, CT_META_BLOCK, CT_LOCK_SHARE);
		BlockNumber tail = ct_meta(ct_pin_page(pin))->nulls_tail;
		Page		page;

		ct_unpin(pin);
		CHECK_FOR_INTERRUPTS();
		if (tail == InvalidBlockNumber)
		{
			start_chain(index);
			continue;
		}
		pin = ct_pin(index, tail, CT_LOCK_EXCLUSIVE);
		page = ct_pin_page(pin);
		if (ct_page_kind(page) != CT_PAGE_NULLS)
		{
			/* no longer the tail, and freed */
			ct_unpin(pin);
			continue;
		}
		if (ct_nulls_header(page)->ntids < CT_NULLS_CAPACITY)
		{
			CtEdit	   *edit = ct_edit_begin(index);

			page = ct_edit_page(edit, pin, false);
			ct_nulls_tids(page)[ct_nulls_header(page)->ntids++] = *tid;
			ct_edit_commit(edit);
			ct_unpin(pin);
			return;
		}
		ct_unpin(pin);
		extend_chain(index, tail);
	}
}

/* for qsort and bsearch */
int
ct_compare_tids(const void *a, const void *b)
{
	return ItemPointerCompare((ItemPointer) a, (ItemPointer) b);
}

/*
 * Collects all TIDs of the chain, in order, in the current memory context.
 * Should vacuum take a page out of the chain meanwhile, its rows are dead;
 * its next link stays good until the page is used anew, and then the walk
 * begins again.
 */
int64
ct_nulls_collect(CtIndex *index, ItemPointerData **tids)
{
	int64		n;
	int64		size = CT_NULLS_CAPACITY;
	BlockNumber block;
	uint32		incarnation;
	CtPin		pin;
	int64		pages;
	int			restarts = 0;

	*tids = palloc(sizeof(ItemPointerData) * size);
again:
	n = 0;
	pages = 0;
	pin = ct_pin(index, CT_META_BLOCK, CT_LOCK_SHARE);
	block = ct_meta(ct_pin_page(pin))->nulls_head;
	incarnation = ct_meta(ct_pin_page(pin))->nulls_head_incarnation;
	ct_unpin(pin);
	while (block != InvalidBlockNumber)
	{
		Page		page;
		int			here;

		CHECK_FOR_INTERRUPTS();
		pin = ct_pin(index, block, CT_LOCK_SHARE);
		page = ct_pin_page(pin);
		if (ct_page_kind(page) != CT_PAGE_NULLS ||
			ct_special(page)->incarnation != incarnation)
		{
			ct_unpin(pin);
			if (++restarts > MAX_RESTARTS)
				ct_page_corrupted(index, block,
								  "The page never agrees with the link to it.");
			goto again;
		}
		here = ct_nulls_header(page)->ntids;
		if (++pages > ct_block_count(index))
			ct_page_corrupted(index, block, "The chain of NULLs is a circle.");
		if (n + here > size)
		{
			size = Max(2 * size, n + here);
			*tids = repalloc_huge(*tids, sizeof(ItemPointerData) * size);
		}
		memcpy(*tids + n, ct_nulls_tids(page), sizeof(ItemPointerData) * here);
		n += here;
		block = ct_nulls_header(page)->next;
		incarnation = ct_nulls_header(page)->next_incarnation;
		ct_unpin(pin);
	}
	qsort(*tids, n, sizeof(ItemPointerData), ct_compare_tids);
	return n;
}
