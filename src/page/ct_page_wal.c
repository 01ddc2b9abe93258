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

/* Logs every page of an index that was built without logging. */
void
ct_log_build(CtIndex *index)
{
	if (RelationNeedsWAL(index->rel))
		log_newpage_range(index->rel, MAIN_FORKNUM, 0,
						  RelationGetNumberOfBlocks(index->rel), true);
	index->unlogged_build = false;
}
