/*-------------------------------------------------------------------------
 *
 * ct_vector.c
 *	  Storage of points that are too large for the columns of a node.
 *
 * A vector never moves.  It is stored once; the row's leaf entry and any
 * routing entries whose pivot it is hold its address.  A vector that has
 * become a pivot stays when its row is vacuumed away.  Scans read vectors
 * without holding the page from which they took the address: at worst they
 * read a vector that replaced one of a row dead to everyone, whose distance
 * then does not matter.
 *
 * IDENTIFICATION
 *	  src/page/ct_vector.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "storage/freespace.h"
#include "utils/rel.h"

#include "ct_page.h"

static void
check_locator(CtIndex *index, Page page, CtLocator locator)
{
	if (ct_page_kind(page) != CT_PAGE_VECTOR ||
		locator.slot >= index->vectors_per_page)
		ct_page_corrupted(index, locator.block,
						  "An entry's vector is not there.");
}

static void
put_vector(CtIndex *index, Page page, int slot, const double *point, int state)
{
	CtVectorHeader *header = ct_vector_header(page);
	void	   *to = ct_vector_at(page, index->vector_bytes, slot);

	if (index->space.element == CT_ELEMENT_FLOAT8)
		memcpy(to, point, index->vector_bytes);
	else
		for (int j = 0; j < index->space.dims; j++)
			((float *) to)[j] = (float) point[j];
	header->state[slot] = state;
	header->nused++;
}

/* Tries to use a free slot of this block; false if it has none. */
static bool
store_at(CtIndex *index, BlockNumber block, const double *point, int state,
		 CtLocator *locator)
{
	CtPin		pin;
	Page		page;
	bool		found = false;

	if (block == InvalidBlockNumber || block >= ct_block_count(index))
		return false;
	pin = ct_pin(index, block, CT_LOCK_EXCLUSIVE);
	page = ct_pin_page(pin);
	if (ct_page_kind(page) == CT_PAGE_VECTOR)
	{
		for (int slot = 0; slot < index->vectors_per_page && !found; slot++)
		{
			CtEdit	   *edit;

			if (ct_vector_header(page)->state[slot] != CT_VECTOR_FREE)
				continue;
			edit = ct_edit_begin(index);
			put_vector(index, ct_edit_page(edit, pin, false), slot, point, state);
			ct_edit_commit(edit);
			locator->block = block;
			locator->slot = slot;
			locator->unused = 0;
			found = true;
		}
	}
	ct_unpin(pin);
	return found;
}

/*
 * Stores a point and returns its address.  The caller holds no page lock.
 * Should the caller fail to refer to it, the slot is lost until REINDEX.
 */
CtLocator
ct_vector_store(CtIndex *index, const double *point, int state)
{
	CtLocator	locator = {InvalidBlockNumber, 0, 0};
	CtPin		pin;
	Page		page;
	CtEdit	   *edit;
	uint32		incarnation;

	if (store_at(index, index->vector_hint, point, state, &locator))
		return locator;
	if (!index->unlogged_build)
	{
		index->vector_hint = GetPageWithFreeSpace(index->rel,
												  Min(index->vector_bytes,
													  BLCKSZ / 2 - 64));
		if (store_at(index, index->vector_hint, point, state, &locator))
			return locator;
		if (index->vector_hint != InvalidBlockNumber)
		{
			/* the map was wrong, or this is a page for ct_new_page */
			pin = ct_pin(index, index->vector_hint, CT_LOCK_SHARE);
			page = ct_pin_page(pin);
			if (ct_page_kind(page) == CT_PAGE_VECTOR)
				RecordPageWithFreeSpace(index->rel, index->vector_hint, 0);
			ct_unpin(pin);
		}
	}

	pin = ct_new_page(index);
	incarnation = ct_next_incarnation(pin);
	edit = ct_edit_begin(index);
	page = ct_edit_page(edit, pin, true);
	ct_page_init(page, CT_PAGE_VECTOR, incarnation);
	ct_vector_header(page)->nslots = index->vectors_per_page;
	ct_vector_header(page)->vector_bytes = index->vector_bytes;
	put_vector(index, page, 0, point, state);
	ct_edit_commit(edit);
	index->vector_hint = locator.block = ct_pin_block(pin);
	ct_unpin(pin);
	if (!index->unlogged_build)
	{
		/* for the next row, of this backend or another one */
		if (index->rel->rd_amcache)
			((CtIndex *) index->rel->rd_amcache)->vector_hint = locator.block;
		RecordPageWithFreeSpace(index->rel, locator.block,
								Min(index->vector_bytes, BLCKSZ / 2 - 64));
	}
	return locator;
}

/* Keeps a vector from being freed together with its row. */
void
ct_vector_mark_pivot(CtIndex *index, CtLocator locator)
{
	CtPin		pin = ct_pin(index, locator.block, CT_LOCK_EXCLUSIVE);

	check_locator(index, ct_pin_page(pin), locator);
	if (ct_vector_header(ct_pin_page(pin))->state[locator.slot] != CT_VECTOR_PIVOT)
	{
		CtEdit	   *edit = ct_edit_begin(index);
		Page		page = ct_edit_page(edit, pin, false);

		ct_vector_header(page)->state[locator.slot] = CT_VECTOR_PIVOT;
		ct_edit_commit(edit);
	}
	ct_unpin(pin);
}

void
ct_vector_read(CtIndex *index, CtLocator locator, double *point)
{
	CtPin		pin = ct_pin(index, locator.block, CT_LOCK_SHARE);
	Page		page = ct_pin_page(pin);
	void	   *from;

	check_locator(index, page, locator);
	from = ct_vector_at(page, index->vector_bytes, locator.slot);
	if (index->space.element == CT_ELEMENT_FLOAT8)
		memcpy(point, from, index->vector_bytes);
	else
		for (int j = 0; j < index->space.dims; j++)
			point[j] = ((float *) from)[j];
	ct_unpin(pin);
}

double
ct_vector_distance(CtIndex *index, CtLocator locator, const double *query)
{
	CtPin		pin = ct_pin(index, locator.block, CT_LOCK_SHARE);
	Page		page = ct_pin_page(pin);
	double		dist;

	check_locator(index, page, locator);
	dist = index->space.metric->distance(&index->space, query,
										 ct_vector_at(page, index->vector_bytes,
													  locator.slot));
	ct_unpin(pin);
	return dist;
}

/*
 * Frees the vectors of vacuumed rows, those of pivots excepted.  The caller
 * holds no page lock.
 */
void
ct_vector_free(CtIndex *index, CtLocator *locators, int n)
{
	for (int i = 0; i < n; i++)
	{
		CtPin		pin = ct_pin(index, locators[i].block, CT_LOCK_EXCLUSIVE);
		CtEdit	   *edit;
		Page		page = ct_pin_page(pin);

		check_locator(index, page, locators[i]);
		if (ct_vector_header(page)->state[locators[i].slot] == CT_VECTOR_ROW)
		{
			edit = ct_edit_begin(index);
			page = ct_edit_page(edit, pin, false);
			ct_vector_header(page)->state[locators[i].slot] = CT_VECTOR_FREE;
			ct_vector_header(page)->nused--;
			ct_edit_commit(edit);
			RecordPageWithFreeSpace(index->rel, locators[i].block,
									Min(index->vector_bytes, BLCKSZ / 2 - 64));
		}
		ct_unpin(pin);
	}
}
