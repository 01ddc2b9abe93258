/*-------------------------------------------------------------------------
 *
 * ct_page_wal.c
 *	  Atomic edits of up to four pages.
 *
 * The only file that knows of generic WAL, and of builds, which write pages
 * without it and log whole images of them when they are complete.
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

/* pages that are logged by one record */
#define LOG_TOGETHER	32

/*
 * Writes n pages to the end of the file, of which the first is this one.  The
 * server's buffers do not come to know of them, so the file is registered for
 * the next checkpoint here, each segment with the last page that goes to it.
 * Pages are logged later: where redo begins behind their records, the checkpoint
 * has seen to it that they are on disk.
 */
static void
extend_file(CtIndex *index, BlockNumber first, int n, PGAlignedBlock *images)
{
	/* not above that of the record, which there is not yet */
	XLogRecPtr	lsn = GetXLogInsertRecPtr();

	for (int i = 0; i < n; i++)
	{
		BlockNumber block = first + i;
		bool		last = i == n - 1 || (block + 1) % RELSEG_SIZE == 0;

		CHECK_FOR_INTERRUPTS();
		PageSetLSN((Page) images[i].data, lsn);
		PageSetChecksumInplace((Page) images[i].data, block);
		smgrextend(RelationGetSmgr(index->rel), MAIN_FORKNUM, block,
				   images[i].data, !last);
	}
}

/* Logs up to LOG_TOGETHER pages, of which the first is this one. */
static void
log_images(Relation rel, BlockNumber first, int n, PGAlignedBlock *images)
{
	BlockNumber blocks[LOG_TOGETHER];
	Page		pages[LOG_TOGETHER];

	for (int i = 0; i < n; i++)
	{
		blocks[i] = first + i;
		pages[i] = (Page) images[i].data;
	}
	log_newpages(&ct_relation_file(rel), MAIN_FORKNUM, n, blocks, pages, true);
}

/* Adds a page by way of the server's buffers. */
static BlockNumber
append_buffered(CtIndex *index, const PGAlignedBlock *image)
{
	CtPin		pin = ct_new_page(index);
	BlockNumber block = ct_pin_block(pin);

	START_CRIT_SECTION();
	memcpy(ct_pin_page(pin), image, BLCKSZ);
	MarkBufferDirty(pin);
	END_CRIT_SECTION();
	ct_unpin(pin);
	return block;
}

/*
 * Has pages of a build go straight to the file from now on.  All are to come by
 * ct_append_pages(), and will not change.  They are logged in the end, or by other
 * processes, to whom written() tells before which page all are written.
 * Returns the first such page.
 */
BlockNumber
ct_append_straight(CtIndex *index, void (*written) (void *arg, BlockNumber end),
				   void *arg)
{
	Assert(index->unlogged_build && RelationNeedsWAL(index->rel));
	index->straight = true;
	index->pages_written = written;
	index->pages_written_arg = arg;
	return RelationGetNumberOfBlocks(index->rel);
}

/*
 * Adds n pages to an index that is being built, and marks the images as the file
 * has them.  Returns the number of the first one; the others follow it.  No
 * other backend adds pages to the index meanwhile.
 */
BlockNumber
ct_append_pages(CtIndex *index, int n, PGAlignedBlock *images)
{
	BlockNumber first = RelationGetNumberOfBlocks(index->rel);

	Assert(index->unlogged_build);
	if (index->straight)
	{
		extend_file(index, first, n, images);
		if (index->pages_written)
			index->pages_written(index->pages_written_arg, first + n);
		return first;
	}
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (append_buffered(index, &images[i]) != first + i)
			elog(ERROR, "pages of an index being built do not follow each other");
	}
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
 * The same of pages that went straight to the file, where they are read from:
 * the process that made them needs its memory for others, and the server's buffers
 * need not have them.
 */
void
ct_log_straight(Relation rel, BlockNumber from, BlockNumber to)
{
	PGAlignedBlock *images = palloc(sizeof(PGAlignedBlock) * LOG_TOGETHER);

	for (BlockNumber first = from; first < to; first += LOG_TOGETHER)
	{
		int			n = Min(to - first, LOG_TOGETHER);

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < n; i++)
		{
			smgrread(RelationGetSmgr(rel), MAIN_FORKNUM, first + i,
					 images[i].data);
			if (!ct_page_verified((Page) images[i].data, first + i))
				ereport(ERROR,
						(errcode(ERRCODE_DATA_CORRUPTED),
						 errmsg("page %u of index \"%s\" is not what was written to it",
								first + i, RelationGetRelationName(rel)),
						 errhint("Check the disk, and build the index again.")));
		}
		log_images(rel, first, n, images);
	}
	pfree(images);
}

/*
 * Ends the building of an index without logging.  Logs the pages before `end`,
 * which are in the server's buffers, and those that went straight to the file,
 * unless others have logged them, or will before the transaction ends.
 */
void
ct_log_build(CtIndex *index, BlockNumber end)
{
	BlockNumber npages = RelationGetNumberOfBlocks(index->rel);

	if (RelationNeedsWAL(index->rel))
		ct_log_pages(index->rel, CT_META_BLOCK, Min(end, npages));
	if (index->straight && !index->pages_written)
		ct_log_straight(index->rel, end, npages);
	index->straight = false;
	index->unlogged_build = false;
}
