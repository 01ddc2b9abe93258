/*-------------------------------------------------------------------------
 *
 * ct_frame_pages.c
 *	  Where the frame of an index is kept.
 *
 * A frame is written once, on consecutive pages of its own, and then named by
 * the metapage; from there on it never changes.  A build writes it before the
 * tree.  An index that is filled row by row gets it before its root page is
 * first grown (ct_split.c).  Who finds none in memory looks at the metapage
 * again: boxes that need it may be there by then (src/README.md, section 7).
 *
 * IDENTIFICATION
 *	  src/page/ct_frame_pages.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "utils/memutils.h"

#include "ct_page.h"

static uint32
page_count(const CtIndex *index)
{
	return (ct_frame_bytes(index->meta.dims) + CT_MODEL_SPACE - 1) / CT_MODEL_SPACE;
}

/*
 * Is the page one of a frame that nothing will ever refer to?  While the index
 * has none, somebody may be about to name one of its shape.
 */
bool
ct_frame_is_lost(CtIndex *index, Page page, BlockNumber block)
{
	BlockNumber first = ct_peek_frame(index);

	return !ct_page_has_shape(index, page) ||
		(first != 0 && (block < first || block >= first + page_count(index)));
}

/* Makes a copy of a frame that of an index in memory. */
void
ct_index_copy_frame(CtIndex *index, const CtFrame *frame)
{
	size_t		bytes = ct_frame_bytes(index->meta.dims);
	CtFrame    *copy = MemoryContextAlloc(index->context, bytes);

	memcpy(copy, frame, bytes);
	index->frame = copy;
}

/* False if the dimension was freed meanwhile. */
static bool
read_frame(CtIndex *index, BlockNumber first)
{
	size_t		bytes = ct_frame_bytes(index->meta.dims);
	CtFrame    *frame = MemoryContextAlloc(index->context, bytes);

	for (uint32 part = 0; part < page_count(index); part++)
	{
		CtPin		pin = ct_pin(index, first + part, CT_LOCK_SHARE);
		size_t		from = (size_t) part * CT_MODEL_SPACE;

		if (ct_page_kind(ct_pin_page(pin)) != CT_PAGE_FRAME ||
			!ct_page_has_shape(index, ct_pin_page(pin)))
		{
			ct_unpin(pin);
			if (!ct_shape_is_current(index))
				return false;
			ct_page_corrupted(index, first + part,
							  "A part of the frame is not there.");
		}
		memcpy((char *) frame + from, (char *) ct_pin_page(pin) + CT_NODE_OFFSET,
			   Min(bytes - from, CT_MODEL_SPACE));
		ct_unpin(pin);
	}
	if (!ct_frame_is_valid(frame, index->meta.dims))
		ct_page_corrupted(index, first, "The frame is damaged.");
	index->frame = frame;
	return true;
}

/*
 * Sees to it that the frame is in memory, if the index has one.  The caller may
 * hold the lock of any page but the metapage.
 */
bool
ct_index_find_frame(CtIndex *index)
{
	BlockNumber block;

	if (index->frame)
		return true;
	block = ct_peek_frame(index);
	return block != 0 && read_frame(index, block);
}

/* Fills page number part of a frame. */
static void
write_part(CtIndex *index, CtPin pin, const CtFrame *frame, uint32 part)
{
	CtEdit	   *edit = ct_edit_begin(index);
	Page		page = ct_edit_page(edit, pin, true);
	size_t		from = (size_t) part * CT_MODEL_SPACE;

	ct_page_init(page, CT_PAGE_FRAME, ct_next_incarnation(pin));
	ct_special(page)->shape = index->meta.shape;
	memcpy((char *) page + CT_NODE_OFFSET, (const char *) frame + from,
		   Min(ct_frame_bytes(index->meta.dims) - from, CT_MODEL_SPACE));
	ct_edit_commit(edit);
}

/*
 * Makes a frame that of the index, unless it has got one meanwhile; true if it
 * had none.  The caller holds no lock.  Pages that a crash leaves without a
 * metapage that names them, and those of who comes second, are freed by vacuum.
 */
bool
ct_index_install_frame(CtIndex *index, const CtFrame *frame)
{
	uint32		npages = page_count(index);
	CtPin	   *pins = palloc(sizeof(CtPin) * npages);
	BlockNumber first;
	CtPin		meta;
	bool		mine;

	ct_new_group(index, npages, pins);
	first = ct_pin_block(pins[0]);
	for (uint32 part = 0; part < npages; part++)
	{
		write_part(index, pins[part], frame, part);
		ct_unpin(pins[part]);
	}
	pfree(pins);

	meta = ct_pin(index, CT_META_BLOCK, CT_LOCK_EXCLUSIVE);
	mine = ct_meta(ct_pin_page(meta))->frame_block == 0 &&
		ct_meta(ct_pin_page(meta))->shape == index->meta.shape;
	if (mine)
	{
		CtEdit	   *edit = ct_edit_begin(index);

		ct_meta(ct_edit_page(edit, meta, false))->frame_block = first;
		ct_edit_commit(edit);
	}
	ct_unpin(meta);
	if (mine)
		ct_index_copy_frame(index, frame);
	else
		ct_index_find_frame(index);
	return mine;
}
