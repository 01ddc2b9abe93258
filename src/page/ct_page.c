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

#include "pgstat.h"
#include "storage/buf_internals.h"
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

/*
 * Is this node or vector page laid out as the index is known to be?  If not,
 * its content must not be looked at; see src/README.md, "Freeing the
 * dimension".
 */
bool
ct_page_has_shape(const CtIndex *index, Page page)
{
	return ct_special(page)->shape == index->meta.shape;
}

/* The metapage as it is now, read without its lock, which the caller may hold. */
static CtMetaData *
peek_meta(CtIndex *index, Buffer *buffer)
{
	*buffer = ReadBuffer(index->rel, CT_META_BLOCK);
	return ct_meta(BufferGetPage(*buffer));
}

/* Has the dimension not been freed since the index was opened? */
bool
ct_shape_is_current(CtIndex *index)
{
	Buffer		buffer;
	bool		result = peek_meta(index, &buffer)->shape == index->meta.shape;

	ReleaseBuffer(buffer);
	return result;
}

/* Has it a dimension by now, or had it one of which this page may be left? */
static bool
dims_were_set(CtIndex *index)
{
	Buffer		buffer;
	CtMetaData *meta = peek_meta(index, &buffer);
	bool		result = meta->dims > 0 || meta->shape != index->meta.shape;

	ReleaseBuffer(buffer);
	return result;
}

/* Checks a node of the shape that the index is known to have. */
static void
check_node(CtIndex *index, Page page, BlockNumber block)
{
	CtNodeHeader *header = ct_node_header(page);
	bool		leaf = ct_page_kind(page) == CT_PAGE_LEAF;
	const CtLayout *layout = leaf ? &index->leaf : &index->routing;

	if (index->meta.dims == 0)
	{
		/* the caller may not look at entries */
		if (header->nentries != 0 && !dims_were_set(index))
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

/* Is there a gap, and is it where the last page of a group of vectors has one? */
static bool
may_have_gap(const CtIndex *index, Page page)
{
	const CtVectorHeader *header = ct_vector_header(page);
	int			part = header->nslots > 0 ? 0 : header->nused;
	int			lower = ((PageHeader) page)->pd_lower;

	if (ct_page_kind(page) != CT_PAGE_VECTOR)
		return false;
	if (index->meta.dims == 0 || !ct_page_has_shape(index, page))
		return lower >= CT_VECTOR_OFFSET && lower < BLCKSZ;
	return part == index->group_pages - 1 && lower == ct_vector_end(index);
}

/* Is its header as the server sees it that of a page of ours? */
static bool
has_header(const CtIndex *index, Page page)
{
	const PageHeaderData *header = (PageHeader) page;
	int			end = BLCKSZ - sizeof(CtSpecialData);

	return header->pd_special == end && header->pd_upper == end &&
		(header->pd_lower == end || may_have_gap(index, page));
}

/*
 * Is it a vector page of this index and its shape?  What tells so does not change
 * as long as a row that some snapshot sees has a vector there, so threads may ask
 * without a lock.
 */
bool
ct_page_has_vectors(const CtIndex *index, Page page)
{
	const CtSpecialData *special;

	if (!has_header(index, page))
		return false;
	special = ct_special(page);
	return special->page_id == CT_PAGE_ID &&
		special->version == CT_FORMAT_VERSION &&
		special->kind == CT_PAGE_VECTOR && ct_page_has_shape(index, page) &&
		ct_vector_header(page)->vector_bytes == index->vector_bytes;
}

/*
 * Raises an error unless the page is a well-formed page of this index.  Every
 * page that is read passes through here.  Vector pages of another shape are let
 * through, and nodes when the shape has changed since the index was opened: who
 * looks into them asks ct_page_has_shape() first.
 */
void
ct_page_check(CtIndex *index, Page page, BlockNumber block)
{
	CtSpecialData *special;

	if (PageIsNew(page))
		ct_page_corrupted(index, block, "The page is all zeroes.");
	if (!has_header(index, page))
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
			if (ct_page_has_shape(index, page))
				check_node(index, page, block);
			else if (ct_shape_is_current(index))
				ct_page_corrupted(index, block,
								  "The page has not the shape of the index.");
			break;
		case CT_PAGE_VECTOR:
			if (index->meta.dims == 0 || !ct_page_has_shape(index, page))
				break;
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

/* -------- buffers that pages were in lately -------- */

/*
 * To find a page's buffer takes a look into the server's table of buffers, with
 * a lock of its own, and costs as much as the rest of a visit.  A backend
 * remembers where it found pages: a guess, which ReadRecentBuffer() verifies.
 * Temporary tables, whose buffers have no such lock, do without.
 */
#define RECENT_SLOTS		131072

/* the same for tables whose rows are looked up (ct_read_table) */
#define RECENT_TABLE_SLOTS	16384

/*
 * Only ReadBuffer() counts as usage where the server looks for a victim, so
 * every so manyth read is one.
 */
#define RECENT_READS		32

typedef struct RecentBuffer
{
	Oid			file;			/* number of the relation's */
	BlockNumber block;
	Buffer		buffer;			/* or InvalidBuffer */
	int			left;			/* reads until the next ReadBuffer() */
} RecentBuffer;

static RecentBuffer recent_buffers[RECENT_SLOTS];
static RecentBuffer recent_table_buffers[RECENT_TABLE_SLOTS];

/* Which of so many slots is a block's? */
static inline uint32
slot_of(Relation rel, BlockNumber block, uint32 nslots)
{
	return (block + RelationGetRelid(rel) * 613) % nslots;
}

static inline RecentBuffer *
recent_slot(CtIndex *index, BlockNumber block)
{
	return &recent_buffers[slot_of(index->rel, block, RECENT_SLOTS)];
}

static inline bool
is_recent(Relation rel, BlockNumber block, const RecentBuffer *recent)
{
	return recent->block == block && recent->buffer != InvalidBuffer &&
		recent->file == ct_relation_file_number(rel);
}

/* Reads a block from the buffer where it was, or returns InvalidBuffer. */
static inline Buffer
read_recent(Relation rel, BlockNumber block, RecentBuffer *recent)
{
	if (!is_recent(rel, block, recent) || --recent->left < 0 ||
		!ReadRecentBuffer(ct_relation_file(rel), MAIN_FORKNUM, block,
						  recent->buffer))
		return InvalidBuffer;
	pgstat_count_buffer_read(rel);
	pgstat_count_buffer_hit(rel);
	return recent->buffer;
}

static inline void
set_recent(Relation rel, BlockNumber block, Buffer buffer,
		   RecentBuffer *recent)
{
	recent->file = ct_relation_file_number(rel);
	recent->block = block;
	recent->buffer = buffer;
	recent->left = RECENT_READS;
}

/*
 * Pages that stand side by side on disk often do so in memory, as they were read
 * or written one after the other.
 */
#define NEAR_BLOCKS			16

static struct
{
	CtRelFile	file;
	BlockNumber block;
	Buffer		buffer;			/* or InvalidBuffer */
}			last_read;

/* Where a block may be if it is near the one read last; or InvalidBuffer. */
static inline Buffer
guess_buffer(CtIndex *index, BlockNumber block)
{
	BlockNumber steps = block - last_read.block;

	if (last_read.buffer == InvalidBuffer || steps - 1 >= NEAR_BLOCKS ||
		last_read.buffer + steps > (BlockNumber) NBuffers ||
		!ct_relation_file_equals(last_read.file, ct_relation_file(index->rel)))
		return InvalidBuffer;
	return last_read.buffer + steps;
}

/* Reads a block from the buffer that is guessed, or returns InvalidBuffer. */
static Buffer
read_guessed(CtIndex *index, BlockNumber block)
{
	Buffer		buffer = guess_buffer(index, block);

	if (buffer == InvalidBuffer || block % RECENT_READS == 0 ||
		!ReadRecentBuffer(last_read.file, MAIN_FORKNUM, block, buffer))
		return InvalidBuffer;
	pgstat_count_buffer_read(index->rel);
	pgstat_count_buffer_hit(index->rel);
	last_read.block = block;
	last_read.buffer = buffer;
	return buffer;
}

static void
remember_buffer(CtIndex *index, BlockNumber block, Buffer buffer)
{
	if (BufferIsLocal(buffer))
		return;
	set_recent(index->rel, block, buffer, recent_slot(index, block));
	last_read.file = ct_relation_file(index->rel);
	last_read.block = block;
	last_read.buffer = buffer;
}

/*
 * Reads a block that a link names.  ReadBuffer would take one number as a
 * wish to extend the index, and report others without naming the cause.
 */
static Buffer
read_block(CtIndex *index, BlockNumber block)
{
	Buffer		buffer = read_recent(index->rel, block,
									 recent_slot(index, block));

	if (buffer != InvalidBuffer)
		return buffer;
	if (block >= index->nblocks)
	{
		index->nblocks = RelationGetNumberOfBlocks(index->rel);
		if (block >= index->nblocks)
			ct_page_corrupted(index, block, "A link leads beyond the end.");
	}
	buffer = read_guessed(index, block);
	if (buffer != InvalidBuffer)
		return buffer;
	buffer = ReadBuffer(index->rel, block);
	remember_buffer(index, block, buffer);
	return buffer;
}

/*
 * Pins a page of a table, which has one with this number, without a look at it.
 */
CtPin
ct_read_table(Relation table, BlockNumber block)
{
	RecentBuffer *recent = &recent_table_buffers[slot_of(table, block,
														 RECENT_TABLE_SLOTS)];
	Buffer		buffer = read_recent(table, block, recent);

	if (buffer != InvalidBuffer)
		return buffer;
	buffer = ReadBuffer(table, block);
	if (!BufferIsLocal(buffer))
		set_recent(table, block, buffer, recent);
	return buffer;
}

/*
 * Has the processor fetch a leaf that is going to be read into its cache.  Where
 * it is may be guessed: a wrong page costs time only.
 */
void
ct_prefetch_leaf(CtIndex *index, BlockNumber block)
{
	const RecentBuffer *recent = recent_slot(index, block);
	const char *page;

	if (!is_recent(index->rel, block, recent))
		return;
	page = BufferGetPage(recent->buffer);
	for (int at = 0; at < index->leaf.tids; at += CT_CACHE_LINE)
		__builtin_prefetch(page + at, 0, 2);
	__builtin_prefetch(page + BLCKSZ - sizeof(CtSpecialData), 0, 2);
}

/*
 * Has the processor fetch what the server knows of the buffer where a block may
 * be, which is going to be pinned.
 */
void
ct_prefetch_pin(CtIndex *index, BlockNumber block)
{
	const RecentBuffer *recent = recent_slot(index, block);

	if (is_recent(index->rel, block, recent))
		__builtin_prefetch(GetBufferDescriptor(recent->buffer - 1), 1);
}

/* Pins a page, without a look at it.  The caller releases it by ct_release. */
CtPin
ct_pin_unlocked(CtIndex *index, BlockNumber block)
{
	return read_block(index, block);
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

/* A page that is not locked may change, but not move. */
void
ct_release(CtPin pin)
{
	ReleaseBuffer(pin);
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
 * logged, so the page has no such gap, unless it gets one (ct_vector.c).
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

/* Is a vacuum running?  One word, as all that is read so. */
static bool
meta_is_vacuuming(CtIndex *index)
{
	Buffer		buffer;
	bool		result = peek_meta(index, &buffer)->vacuuming != 0;

	ReleaseBuffer(buffer);
	return result;
}

/* The metapage's smallest residual variance, read likewise. */
double
ct_peek_variance(CtIndex *index)
{
	Buffer		buffer;
	double		result = peek_meta(index, &buffer)->min_variance;

	ReleaseBuffer(buffer);
	return result;
}

/*
 * The first page of the frame, read likewise; 0 if there is none, or the
 * dimension was freed since the index was opened.
 */
BlockNumber
ct_peek_frame(CtIndex *index)
{
	Buffer		buffer;
	CtMetaData *meta = peek_meta(index, &buffer);
	BlockNumber result = meta->shape == index->meta.shape ? meta->frame_block : 0;

	ReleaseBuffer(buffer);
	return result;
}

/*
 * Pins and exclusively locks a page if it is free, which the free space map only
 * guesses, and if nobody is in the way; else returns CT_NO_PIN.
 */
static CtPin
lock_if_free(CtIndex *index, BlockNumber block)
{
	Buffer		buffer = ReadBuffer(index->rel, block);

	if (ConditionalLockBuffer(buffer))
	{
		Page		page = BufferGetPage(buffer);

		if (PageIsNew(page) ||
			(PageGetSpecialSize(page) == sizeof(CtSpecialData) &&
			 ct_page_kind(page) == CT_PAGE_FREE))
			return buffer;
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	}
	ReleaseBuffer(buffer);
	return CT_NO_PIN;
}

/*
 * Returns a page to fill, pinned and exclusively locked: a freed one whose
 * incarnation is in its special area, or a new one, all zeroes.
 */
CtPin
ct_new_page(CtIndex *index)
{
	Buffer		buffer;

	Assert(!index->straight);
	for (;;)
	{
		BlockNumber block = index->unlogged_build ? InvalidBlockNumber :
			GetFreeIndexPage(index->rel);

		if (block == InvalidBlockNumber)
			break;
		buffer = lock_if_free(index, block);
		if (buffer == CT_NO_PIN)
			continue;

		/*
		 * Whether vacuum runs is asked after the page is locked: if it starts
		 * now, it comes to this page when we are done with it.
		 */
		if (!meta_is_vacuuming(index))
			return buffer;
		ct_unpin(buffer);
		break;
	}

	if (!index->unlogged_build)
		LockRelationForExtension(index->rel, ExclusiveLock);
	buffer = ReadBuffer(index->rel, P_NEW);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (!index->unlogged_build)
		UnlockRelationForExtension(index->rel, ExclusiveLock);
	return buffer;
}

/* Tries to take npages consecutive free pages, the first of them this one. */
static bool
take_free_group(CtIndex *index, BlockNumber block, int npages, CtPin *pins)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(index->rel);
	int			n = 0;

	while (n < npages && block + n < nblocks &&
		   (pins[n] = lock_if_free(index, block + n)) != CT_NO_PIN)
		n++;
	if (n == npages && !meta_is_vacuuming(index))
	{
		for (int i = 1; i < npages; i++)
			RecordUsedIndexPage(index->rel, block + i);
		return true;
	}
	while (n > 0)
		ct_unpin(pins[--n]);
	return false;
}

/* A group is added at the end if it does not fit so many free places. */
#define GROUP_ATTEMPTS		8

/*
 * Returns npages consecutive pages, pinned and exclusively locked, as
 * ct_new_page() does one.
 */
void
ct_new_group(CtIndex *index, int npages, CtPin *pins)
{
	BlockNumber tried[GROUP_ATTEMPTS];
	int			ntried = 0;
	bool		found = false;

	while (!index->unlogged_build && !found && ntried < GROUP_ATTEMPTS)
	{
		BlockNumber block = GetFreeIndexPage(index->rel);

		if (block == InvalidBlockNumber)
			break;
		found = take_free_group(index, block, npages, pins);
		if (!found)
			tried[ntried++] = block;
	}
	while (ntried > 0)
		RecordFreeIndexPage(index->rel, tried[--ntried]);
	if (found)
		return;

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
