/*-------------------------------------------------------------------------
 *
 * ct_page_wal.c
 *	  Atomic edits of up to four pages.
 *
 * The only file that knows of generic WAL, and of builds, which write pages
 * without it and log them all when they are complete.
 *
 * IDENTIFICATION
 *	  src/page/ct_page_wal.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "access/generic_xlog.h"
#include "access/xloginsert.h"
#include "storage/bufmgr.h"
#include "storage/smgr.h"
#include "utils/rel.h"

#include "ct_page.h"

struct CtEdit
{
	CtIndex    *index;
	GenericXLogState *state;	/* NULL while building */
	int			npages;
	Buffer		buffers[CT_EDIT_PAGES];
	Page		pages[CT_EDIT_PAGES];
	PGAlignedBlock *copies;		/* building: copies, as generic WAL has */
};

/*
 * Starts an edit.  No interrupt is served before commit; pages are
 * exclusively locked by the caller before they are added.
 */
CtEdit *
ct_edit_begin(CtIndex *index)
{
	CtEdit	   *edit = palloc0(sizeof(CtEdit));

	edit->index = index;
	if (!index->unlogged_build)
		edit->state = GenericXLogStart(index->rel);
	else
		edit->copies = palloc(sizeof(PGAlignedBlock) * CT_EDIT_PAGES);
	return edit;
}

/*
 * Adds a page and returns the copy to change.  whole: its former content
 * does not matter, so the record shall hold a full image.
 */
Page
ct_edit_page(CtEdit *edit, CtPin pin, bool whole)
{
	Page		page;

	Assert(edit->npages < CT_EDIT_PAGES);
	if (edit->state)
		page = GenericXLogRegisterBuffer(edit->state, pin,
										 whole ? GENERIC_XLOG_FULL_IMAGE : 0);
	else
	{
		page = (Page) edit->copies[edit->npages].data;
		memcpy(page, BufferGetPage(pin), BLCKSZ);
	}
	edit->buffers[edit->npages] = pin;
	edit->pages[edit->npages++] = page;
	return page;
}

static void
edit_free(CtEdit *edit)
{
	if (edit->copies)
		pfree(edit->copies);
	pfree(edit);
}

/* Makes the changes visible, and durable as the relation demands. */
void
ct_edit_commit(CtEdit *edit)
{
	if (edit->state)
		GenericXLogFinish(edit->state);
	else
	{
		START_CRIT_SECTION();
		for (int i = 0; i < edit->npages; i++)
		{
			memcpy(BufferGetPage(edit->buffers[i]), edit->pages[i], BLCKSZ);
			MarkBufferDirty(edit->buffers[i]);
		}
		END_CRIT_SECTION();
	}
	edit_free(edit);
}

/*
 * Writes a page to the end of the file.  It comes to the server's buffers when
 * another process logs it: finding it a buffer, and the memory behind that, is
 * much of the work of adding a page.  Logging leaves the buffer dirty, so that
 * checkpoints write it again and see to it that it is on disk; nobody has to
 * before that.
 */
static void
extend_file(CtIndex *index, BlockNumber block, PGAlignedBlock *page)
{
	PageSetChecksumInplace((Page) page->data, block);
	smgrextend(RelationGetSmgr(index->rel), MAIN_FORKNUM, block, page->data,
			   true);
}

/*
 * Adds a page to an index that is being built, and returns its number.  No
 * other backend adds pages to it meanwhile, and the page will not change.
 */
BlockNumber
ct_append_page(CtIndex *index, PGAlignedBlock *page)
{
	BlockNumber block;

	Assert(index->unlogged_build);
	if (index->page_written)
	{
		block = RelationGetNumberOfBlocks(index->rel);
		extend_file(index, block, page);
		index->page_written(index->page_written_arg, block);
	}
	else
	{
		CtPin		pin = ct_new_page(index);

		block = ct_pin_block(pin);
		START_CRIT_SECTION();
		memcpy(ct_pin_page(pin), page, BLCKSZ);
		MarkBufferDirty(pin);
		END_CRIT_SECTION();
		ct_unpin(pin);
	}
	return block;
}

/*
 * Adds n pages likewise.  Returns the number of the first one; the others
 * follow it.
 */
BlockNumber
ct_append_pages(CtIndex *index, int n, PGAlignedBlock *images)
{
	BlockNumber first = ct_append_page(index, &images[0]);

	for (int i = 1; i < n; i++)
		if (ct_append_page(index, &images[i]) != first + i)
			elog(ERROR, "pages of an index being built do not follow each other");
	return first;
}

/* Logs pages [from, to) of an index that is built without logging. */
void
ct_log_pages(Relation rel, BlockNumber from, BlockNumber to)
{
	if (from < to)
		log_newpage_range(rel, MAIN_FORKNUM, from, to, true);
}

/*
 * Logs every page of an index that was built without logging.  Those up to
 * page `logged`, but for metapage and root, have been.
 */
void
ct_log_build(CtIndex *index, BlockNumber logged)
{
	BlockNumber first = CT_ROOT_BLOCK + 1;

	if (RelationNeedsWAL(index->rel))
	{
		ct_log_pages(index->rel, CT_META_BLOCK, first);
		ct_log_pages(index->rel, Max(first, logged),
					 RelationGetNumberOfBlocks(index->rel));
	}
	index->unlogged_build = false;
}
