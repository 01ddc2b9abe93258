/*-------------------------------------------------------------------------
 *
 * ct_page.c
 *	  Reading, checking, allocating and freeing pages.
 *
 * The only file that reads and locks buffers.
 *
 * IDENTIFICATION
 *	  src/page/ct_page.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "storage/bufmgr.h"
#include "storage/indexfsm.h"
#include "storage/lmgr.h"
#include "utils/rel.h"

#include "ct_page.h"

void
ct_page_corrupted(CtIndex *index, BlockNumber block, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" contains corrupted page at block %u",
					RelationGetRelationName(index->rel), block),
			 errdetail_internal("%s", detail),
			 errhint("Please REINDEX it.")));
}

CtPageKind
ct_page_kind(Page page)
{
	return (CtPageKind) ct_special(page)->kind;
}

static void
check_node(CtIndex *index, Page page, BlockNumber block)
{
	CtNodeHeader *header = ct_node_header(page);
	bool		leaf = ct_page_kind(page) == CT_PAGE_LEAF;
	const CtLayout *layout = leaf ? &index->leaf : &index->routing;

	if (index->meta.dims == 0)
		ct_index_refresh(index);
	if (index->meta.dims == 0)
	{
		if (header->nentries != 0)
			ct_page_corrupted(index, block,
							  "Entries exist although the index has no dimension.");
		return;
	}
	if (header->nentries > layout->capacity ||
		header->nchildren > layout->max_children)
		ct_page_corrupted(index, block, "Too many entries.");
	if (leaf != (header->height == 0) || header->height > 64)
		ct_page_corrupted(index, block, "Height and page kind disagree.");
}

/*
 * Raises an error unless the page is a well-formed page of this index.  Every
 * page that is read passes through here.
 */
void
ct_page_check(CtIndex *index, Page page, BlockNumber block)
{
	CtSpecialData *special;

	if (PageIsNew(page))
		ct_page_corrupted(index, block, "The page is all zeroes.");
	if (((PageHeader) page)->pd_special != BLCKSZ - sizeof(CtSpecialData) ||
		((PageHeader) page)->pd_upper != BLCKSZ - sizeof(CtSpecialData) ||
		((PageHeader) page)->pd_lower != BLCKSZ - sizeof(CtSpecialData))
		ct_page_corrupted(index, block, "The page header is not that of covertree.");
	special = ct_special(page);
	if (special->page_id != CT_PAGE_ID)
		ct_page_corrupted(index, block, "Page id is not that of covertree.");
	if (special->version != CT_FORMAT_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has page format version %u at block %u",
						RelationGetRelationName(index->rel),
						special->version, block),
				 errdetail("This version of covertree reads format version %d.",
						   CT_FORMAT_VERSION),
				 errhint("Please REINDEX it.")));
	if ((special->kind == CT_PAGE_META) != (block == CT_META_BLOCK))
		ct_page_corrupted(index, block, "The metapage is not where it belongs.");
	switch (special->kind)
	{
		case CT_PAGE_ROUTING:
		case CT_PAGE_LEAF:
			check_node(index, page, block);
			break;
		case CT_PAGE_VECTOR:
			if ((ct_vector_header(page)->nslots != index->vectors_per_group &&
				 (ct_vector_header(page)->nslots != 0 ||
				  index->group_pages == 1)) ||
				ct_vector_header(page)->vector_bytes != index->vector_bytes)
				ct_page_corrupted(index, block, "Vectors have another size.");
			break;
		case CT_PAGE_NULLS:
			if (ct_nulls_header(page)->ntids > CT_NULLS_CAPACITY)
				ct_page_corrupted(index, block, "Too many entries.");
			break;
		case CT_PAGE_META:
		case CT_PAGE_FREE:
		case CT_PAGE_MODEL:
		case CT_PAGE_FRAME:
			break;
		default:
			ct_page_corrupted(index, block, "Page kind does not exist.");
	}
}

/*
 * Reads a block that a link names.  ReadBuffer would take one number as a
 * wish to extend the index, and report others without naming the cause.
 */
static Buffer
read_block(CtIndex *index, BlockNumber block)
{
	if (block >= index->nblocks)
	{
		index->nblocks = RelationGetNumberOfBlocks(index->rel);
		if (block >= index->nblocks)
			ct_page_corrupted(index, block, "A link leads beyond the end.");
	}
	return ReadBuffer(index->rel, block);
}

/* Pins, locks and checks a page.  The caller releases it by ct_unpin. */
CtPin
ct_pin(CtIndex *index, BlockNumber block, CtLockMode mode)
{
	Buffer		buffer = read_block(index, block);

	LockBuffer(buffer, mode == CT_LOCK_SHARE ? BUFFER_LOCK_SHARE :
			   BUFFER_LOCK_EXCLUSIVE);
	ct_page_check(index, BufferGetPage(buffer), block);
	return buffer;
}

/* The same, but the page may be one that was never written. */
CtPin
ct_pin_new_allowed(CtIndex *index, BlockNumber block, CtLockMode mode)
{
	Buffer		buffer = read_block(index, block);

	LockBuffer(buffer, mode == CT_LOCK_SHARE ? BUFFER_LOCK_SHARE :
			   BUFFER_LOCK_EXCLUSIVE);
	if (!PageIsNew(BufferGetPage(buffer)))
		ct_page_check(index, BufferGetPage(buffer), block);
	return buffer;
}

bool
ct_page_is_new(Page page)
{
	return PageIsNew(page);
}

void
ct_unpin(CtPin pin)
{
	UnlockReleaseBuffer(pin);
}

Page
ct_pin_page(CtPin pin)
{
	return BufferGetPage(pin);
}

BlockNumber
ct_pin_block(CtPin pin)
{
	return BufferGetBlockNumber(pin);
}

BlockNumber
ct_block_count(CtIndex *index)
{
	return RelationGetNumberOfBlocks(index->rel);
}

/* The same when no page is just being added. */
BlockNumber
ct_block_count_locked(CtIndex *index)
{
	BlockNumber nblocks;
	bool		lock = !RELATION_IS_LOCAL(index->rel);

	if (lock)
		LockRelationForExtension(index->rel, ExclusiveLock);
	nblocks = RelationGetNumberOfBlocks(index->rel);
	if (lock)
		UnlockRelationForExtension(index->rel, ExclusiveLock);
	return nblocks;
}

/*
 * Prepares an empty page.  Data between pd_lower and pd_upper would not be
 * logged, so the page has no such gap.
 */
void
ct_page_init(Page page, CtPageKind kind, uint32 incarnation)
{
	CtSpecialData *special;

	PageInit(page, BLCKSZ, sizeof(CtSpecialData));
	special = ct_special(page);
	special->incarnation = incarnation;
	special->kind = kind;
	special->version = CT_FORMAT_VERSION;
	special->page_id = CT_PAGE_ID;
	((PageHeader) page)->pd_lower = ((PageHeader) page)->pd_upper;
}

/*
 * Is a vacuum running?  Read without the metapage's lock, which the caller
 * may hold: the field is one word.
 */
static bool
meta_is_vacuuming(CtIndex *index)
{
	Buffer		buffer = ReadBuffer(index->rel, CT_META_BLOCK);
	bool		result = ct_meta(BufferGetPage(buffer))->vacuuming != 0;

	ReleaseBuffer(buffer);
	return result;
}

/* The metapage's smallest residual variance, read likewise. */
double
ct_peek_variance(CtIndex *index)
{
	Buffer		buffer = ReadBuffer(index->rel, CT_META_BLOCK);
	double		result = ct_meta(BufferGetPage(buffer))->min_variance;

	ReleaseBuffer(buffer);
	return result;
}

/* The first page of the frame, or 0, read likewise. */
BlockNumber
ct_peek_frame(CtIndex *index)
{
	Buffer		buffer = ReadBuffer(index->rel, CT_META_BLOCK);
	BlockNumber result = ct_meta(BufferGetPage(buffer))->frame_block;

	ReleaseBuffer(buffer);
	return result;
}

/*
 * Returns a page to fill, pinned and exclusively locked: a freed one whose
 * incarnation is in its special area, or a new one, all zeroes.
 */
CtPin
ct_new_page(CtIndex *index)
{
	Buffer		buffer;

	for (;;)
	{
		BlockNumber block = index->unlogged_build ? InvalidBlockNumber :
			GetFreeIndexPage(index->rel);

		if (block == InvalidBlockNumber)
			break;
		buffer = ReadBuffer(index->rel, block);
		if (ConditionalLockBuffer(buffer))
		{
			Page		page = BufferGetPage(buffer);

			/*
			 * The free space map is only a hint.  Whether vacuum runs is
			 * asked after the page is locked: if it starts now, it comes to
			 * this page when we are done with it.
			 */
			if ((PageIsNew(page) ||
				 (PageGetSpecialSize(page) == sizeof(CtSpecialData) &&
				  ct_page_kind(page) == CT_PAGE_FREE)))
			{
				if (!meta_is_vacuuming(index))
					return buffer;
				LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
				ReleaseBuffer(buffer);
				break;
			}
			LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		}
		ReleaseBuffer(buffer);
	}

	LockRelationForExtension(index->rel, ExclusiveLock);
	buffer = ReadBuffer(index->rel, P_NEW);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	UnlockRelationForExtension(index->rel, ExclusiveLock);
	return buffer;
}

/*
 * Adds npages consecutive pages, all zeroes, pinned and exclusively locked, at
 * the end of the index.
 */
void
ct_new_group(CtIndex *index, int npages, CtPin *pins)
{
	LockRelationForExtension(index->rel, ExclusiveLock);
	for (int i = 0; i < npages; i++)
	{
		pins[i] = ReadBuffer(index->rel, P_NEW);
		LockBuffer(pins[i], BUFFER_LOCK_EXCLUSIVE);
	}
	UnlockRelationForExtension(index->rel, ExclusiveLock);
}

/* The incarnation that a page from ct_new_page begins. */
uint32
ct_next_incarnation(CtPin pin)
{
	Page		page = BufferGetPage(pin);

	return PageIsNew(page) ? 1 : ct_special(page)->incarnation + 1;
}

/* Makes a page that was turned into CT_PAGE_FREE known for reuse. */
void
ct_free_page(CtIndex *index, BlockNumber block)
{
	RecordFreeIndexPage(index->rel, block);
}

void
ct_finish_free_space(CtIndex *index)
{
	IndexFreeSpaceMapVacuum(index->rel);
}
