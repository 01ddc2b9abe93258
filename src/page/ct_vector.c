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
 * then does not matter; or the dimension was freed, and the vector is gone.
 *
 * Vectors stand one behind the other in the space of a group of consecutive
 * pages (index->group_pages, often one), so one may begin on a page and end on
 * the next.  A locator names the group's first page.  Pages of a group are
 * locked in the order of their blocks.
 *
 * IDENTIFICATION
 *	  src/page/ct_vector.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "miscadmin.h"
#include "storage/freespace.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "ct_page.h"

/* groups whose pages are filled by all threads together */
#define FILL_GROUPS		32

/* Where a vector stands in its group. */
typedef struct Place
{
	int			first;			/* page of the group */
	int			last;
	size_t		offset;			/* in the first one's space */
} Place;

static Place
place_of(const CtIndex *index, int slot)
{
	size_t		from = slot * index->vector_bytes;
	Place		place;

	place.first = from / index->vector_space;
	place.last = (from + index->vector_bytes - 1) / index->vector_space;
	place.offset = from % index->vector_space;
	return place;
}

/* bytes of the vector on page part, after `done` were on earlier ones */
static size_t
piece_size(const CtIndex *index, const Place *place, int part, size_t done)
{
	size_t		room = index->vector_space - (part == place->first ? place->offset : 0);

	return Min(room, index->vector_bytes - done);
}

static char *
piece_at(const CtIndex *index, Page page, const Place *place, int part)
{
	return (char *) page + index->vector_offset +
		(part == place->first ? place->offset : 0);
}

/* Is a page of vectors this part of a group? */
static bool
has_number(const CtIndex *index, Page page, int part)
{
	const CtVectorHeader *header = ct_vector_header(page);

	return part == 0 ? header->nslots == index->vectors_per_group :
		header->nslots == 0 && header->nused == part;
}

/* Is the page this part of a group? */
static bool
is_part(const CtIndex *index, Page page, int part)
{
	return ct_page_kind(page) == CT_PAGE_VECTOR &&
		ct_page_has_shape(index, page) && has_number(index, page, part);
}

static void
check_locator(CtIndex *index, Page page, CtLocator locator, int part)
{
	if (!is_part(index, page, part) ||
		locator.slot >= index->vectors_per_group)
		ct_page_corrupted(index, locator.block + part,
						  "An entry's vector is not there.");
}

/* A point in the element type in which it is stored. */
static const char *
stored_form(CtIndex *index, const double *point)
{
	float	   *stored;

	if (index->space.element == CT_ELEMENT_FLOAT8)
		return (const char *) point;
	stored = palloc(index->vector_bytes);
	for (int j = 0; j < index->point_size; j++)
		stored[j] = (float) point[j];
	return (const char *) stored;
}

/*
 * Prepares a page as this part of a group without vectors.  What is left behind
 * the last one is a gap that need not be logged.
 */
static void
init_part(const CtIndex *index, Page page, int part, uint32 incarnation)
{
	ct_page_init(page, CT_PAGE_VECTOR, incarnation);
	if (part == index->group_pages - 1)
		((PageHeader) page)->pd_lower = ct_vector_end(index);
	ct_special(page)->shape = index->meta.shape;
	ct_vector_header(page)->vector_bytes = index->vector_bytes;
	if (part == 0)
		ct_vector_header(page)->nslots = index->vectors_per_group;
	else
		ct_vector_header(page)->nused = part;
}

/*
 * Writes a vector into the slot of a group.  pins[0] is the group's first
 * page, the others those that the vector stands on; whole: all are new.
 */
static void
put_vector(CtIndex *index, CtPin *pins, int slot, const double *point,
		   int state, bool whole)
{
	Place		place = place_of(index, slot);
	const char *from = stored_form(index, point);
	size_t		done = 0;
	CtEdit	   *edit = ct_edit_begin(index);
	Page		first;

	first = ct_edit_page(edit, pins[0], whole);
	for (int part = 0; part < index->group_pages; part++)
	{
		Page		page = first;

		if (part > 0 && !whole && (part < place.first || part > place.last))
			continue;
		if (part > 0)
			page = ct_edit_page(edit, pins[part], whole);
		if (whole)
			init_part(index, page, part, ct_next_incarnation(pins[part]));
		if (part >= place.first && part <= place.last)
		{
			size_t		size = piece_size(index, &place, part, done);

			memcpy(piece_at(index, page, &place, part), from + done, size);
			done += size;
		}
	}
	ct_vector_header(first)->state[slot] = state;
	ct_vector_header(first)->nused++;
	ct_edit_commit(edit);
	if (from != (const char *) point)
		pfree((char *) from);
}

/* Tries to use a free slot of this group; false if it has none. */
static bool
store_at(CtIndex *index, BlockNumber block, const double *point, int state,
		 CtLocator *locator)
{
	CtPin		pins[CT_MAX_GROUP] = {0};
	Page		page;
	int			slot = 0;
	bool		found;

	if (block == InvalidBlockNumber || block >= ct_block_count(index))
		return false;
	/* the free space map also names pages that a crash left empty */
	pins[0] = ct_pin_new_allowed(index, block, CT_LOCK_EXCLUSIVE);
	page = ct_pin_page(pins[0]);
	found = !ct_page_is_new(page) && is_part(index, page, 0);
	if (found)
	{
		while (slot < index->vectors_per_group &&
			   ct_vector_header(page)->state[slot] != CT_VECTOR_FREE)
			slot++;
		found = slot < index->vectors_per_group;
	}
	if (found)
	{
		Place		place = place_of(index, slot);

		locator->block = block;
		locator->slot = slot;
		locator->unused = 0;
		for (int part = Max(place.first, 1); part <= place.last; part++)
		{
			pins[part] = ct_pin(index, block + part, CT_LOCK_EXCLUSIVE);
			check_locator(index, ct_pin_page(pins[part]), *locator, part);
		}
		put_vector(index, pins, slot, point, state, false);
	}
	for (int part = CT_MAX_GROUP - 1; part >= 0; part--)
		if (pins[part] != CT_NO_PIN)
			ct_unpin(pins[part]);
	return found;
}

/*
 * Space that a group with a free slot is entered with in the free space map,
 * where completely free pages, for ct_new_page, are larger.
 */
static Size
free_space(const CtIndex *index)
{
	return Min(index->vector_bytes, BLCKSZ / 2 - 64);
}

/* Takes vectors' next page from the free space map, if it is right. */
static bool
store_in_free_slot(CtIndex *index, const double *point, int state,
				   CtLocator *locator)
{
	BlockNumber block = GetPageWithFreeSpace(index->rel, free_space(index));
	CtPin		pin;

	if (block == InvalidBlockNumber)
		return false;
	index->vector_hint = block;
	if (store_at(index, block, point, state, locator))
		return true;

	/* the map was wrong, or this is a page for ct_new_page */
	if (block < ct_block_count(index))
	{
		pin = ct_pin_new_allowed(index, block, CT_LOCK_SHARE);
		if (!ct_page_is_new(ct_pin_page(pin)) &&
			ct_page_kind(ct_pin_page(pin)) == CT_PAGE_VECTOR)
			RecordPageWithFreeSpace(index->rel, block, 0);
		ct_unpin(pin);
	}
	return false;
}

/*
 * Stores a point and returns its address.  The caller holds no page lock.
 * Should the caller fail to refer to it, the slot is lost until REINDEX.
 */
CtLocator
ct_vector_store(CtIndex *index, const double *point, int state)
{
	CtLocator	locator = {InvalidBlockNumber, 0, 0};
	CtPin		pins[CT_MAX_GROUP] = {0};

	if (store_at(index, index->vector_hint, point, state, &locator))
		return locator;
	if (!index->unlogged_build &&
		store_in_free_slot(index, point, state, &locator))
		return locator;

	if (index->group_pages == 1)
		pins[0] = ct_new_page(index);
	else
		ct_new_group(index, index->group_pages, pins);
	put_vector(index, pins, 0, point, state, true);
	index->vector_hint = locator.block = ct_pin_block(pins[0]);
	for (int part = index->group_pages - 1; part >= 0; part--)
		ct_unpin(pins[part]);
	if (!index->unlogged_build)
	{
		/* for the next row, of this backend or another one */
		if (index->rel->rd_amcache)
			((CtIndex *) index->rel->rd_amcache)->vector_hint = locator.block;
		RecordPageWithFreeSpace(index->rel, locator.block, free_space(index));
	}
	return locator;
}

/* -------- storing all vectors of a build -------- */

/* the vectors of a build on their way to pages */
typedef struct Filling
{
	const CtIndex *index;
	const CtVectors *vectors;
	PGAlignedBlock *images;		/* of FILL_GROUPS groups */
} Filling;

/*
 * Fills the images of a group's pages with n vectors from number first on.
 * Runs in any thread.
 */
static void
fill_group(const Filling *filling, PGAlignedBlock *images, size_t first, int n)
{
	const CtIndex *index = filling->index;
	const CtVectors *vectors = filling->vectors;
	CtVectorHeader *header = ct_vector_header((Page) images[0].data);

	for (int part = 0; part < index->group_pages; part++)
		init_part(index, (Page) images[part].data, part, 1);
	header->nused = n;
	for (int slot = 0; slot < n; slot++)
	{
		size_t		number = first + slot;
		const char *from = vectors->data +
			vectors->order[number] * index->vector_bytes;
		Place		place = place_of(index, slot);
		size_t		done = 0;

		header->state[slot] = vectors->states[number];
		for (int part = place.first; part <= place.last; part++)
		{
			size_t		size = piece_size(index, &place, part, done);

			memcpy(piece_at(index, (Page) images[part].data, &place, part),
				   from + done, size);
			done += size;
		}
	}
}

/*
 * Stores the vectors of all rows of a build at the end of the index and fills
 * in their addresses.  Threads fill images of pages, which are then copied
 * into the index: only that calls PostgreSQL.
 */
void
ct_vector_store_all(CtIndex *index, const CtVectors *vectors,
					CtLocator *locators, int nthreads)
{
	size_t		per_group = index->vectors_per_group;
	size_t		step = FILL_GROUPS * per_group;
	int			npages = index->group_pages;
	Filling		filling = {index, vectors,
	palloc(sizeof(PGAlignedBlock) * FILL_GROUPS * npages)};

	Assert(index->unlogged_build);
	for (size_t from = 0; from < vectors->n; from += step)
	{
		size_t		to = Min(from + step, vectors->n);
		int			ngroups = (to - from + per_group - 1) / per_group;
		BlockNumber block;

		CHECK_FOR_INTERRUPTS();
#pragma omp parallel for num_threads(nthreads) schedule(static)
		for (int g = 0; g < ngroups; g++)
		{
			size_t		first = from + g * per_group;

			fill_group(&filling, filling.images + g * npages, first,
					   Min(per_group, to - first));
		}
		block = ct_append_pages(index, ngroups * npages, filling.images);
		for (size_t i = from; i < to; i++)
		{
			locators[i].block = block + (i - from) / per_group * npages;
			locators[i].slot = (i - from) % per_group;
			locators[i].unused = 0;
		}
	}
	pfree(filling.images);
}

/* Changes the state of a vector from one value to another, if it has that. */
static bool
change_state(CtIndex *index, CtLocator locator, int from, int to)
{
	CtPin		pin = ct_pin(index, locator.block, CT_LOCK_EXCLUSIVE);
	bool		change;

	check_locator(index, ct_pin_page(pin), locator, 0);
	change = ct_vector_header(ct_pin_page(pin))->state[locator.slot] == from;
	if (change)
	{
		CtEdit	   *edit = ct_edit_begin(index);
		Page		page = ct_edit_page(edit, pin, false);

		ct_vector_header(page)->state[locator.slot] = to;
		if (to == CT_VECTOR_FREE)
			ct_vector_header(page)->nused--;
		ct_edit_commit(edit);
	}
	ct_unpin(pin);
	return change;
}

/* Keeps a vector from being freed together with its row. */
void
ct_vector_mark_pivot(CtIndex *index, CtLocator locator)
{
	change_state(index, locator, CT_VECTOR_ROW, CT_VECTOR_PIVOT);
}

/*
 * Frees the vectors of vacuumed rows, those of pivots excepted.  The caller
 * holds no page lock.
 */
void
ct_vector_free(CtIndex *index, CtLocator *locators, int n)
{
	for (int i = 0; i < n; i++)
		if (change_state(index, locators[i], CT_VECTOR_ROW, CT_VECTOR_FREE))
			RecordPageWithFreeSpace(index->rel, locators[i].block,
									free_space(index));
}

/* -------- reading -------- */

/* The page that a vector was read from last: locked, for the next may be there. */
typedef struct Reader
{
	CtPin		pin;			/* or CT_NO_PIN */
	BlockNumber block;
} Reader;

static void
close_reader(Reader *reader)
{
	if (reader->pin != CT_NO_PIN)
		ct_unpin(reader->pin);
	reader->pin = CT_NO_PIN;
}

/*
 * A page of a vector's group; NULL if the index's dimension was freed, and its
 * vectors with it.
 */
static Page
read_part(CtIndex *index, Reader *reader, CtLocator locator, int part)
{
	BlockNumber block = locator.block + part;
	Page		page;

	if (reader->pin == CT_NO_PIN || reader->block != block)
	{
		close_reader(reader);
		reader->pin = ct_pin(index, block, CT_LOCK_SHARE);
		reader->block = block;
	}
	page = ct_pin_page(reader->pin);
	if (!is_part(index, page, part) && !ct_shape_is_current(index))
		return NULL;
	check_locator(index, page, locator, part);
	return page;
}

/*
 * Copies a vector as it is stored.  False, as read_vector() returns NULL, if it is
 * gone.
 */
static bool
copy_vector(CtIndex *index, Reader *reader, CtLocator locator,
			const Place *place, char *to)
{
	size_t		done = 0;

	for (int part = place->first; part <= place->last; part++)
	{
		Page		page = read_part(index, reader, locator, part);
		size_t		size = piece_size(index, place, part, done);

		if (page == NULL)
			return false;
		memcpy(to + done, piece_at(index, page, place, part), size);
		done += size;
	}
	return true;
}

/* a vector that does not stand on one page is put together here */
static char *assembled;
static size_t assembled_size;

static const void *
assemble(CtIndex *index, Reader *reader, CtLocator locator, const Place *place)
{
	if (assembled_size < index->vector_bytes)
	{
		if (assembled)
			pfree(assembled);
		assembled = NULL;
		assembled_size = 0;
		assembled = MemoryContextAlloc(TopMemoryContext, index->vector_bytes);
		assembled_size = index->vector_bytes;
	}
	if (!copy_vector(index, reader, locator, place, assembled))
		return NULL;
	return assembled;
}

static void
check_slot(CtIndex *index, CtLocator locator)
{
	if (locator.slot >= index->vectors_per_group)
		ct_page_corrupted(index, locator.block,
						  "An entry's vector is not there.");
}

/*
 * A stored vector, valid until the reader is used again or closed.  NULL if the
 * index's dimension was freed: whoever holds no page of the tree has to expect
 * that.
 */
static const void *
read_vector(CtIndex *index, Reader *reader, CtLocator locator)
{
	Place		place = place_of(index, locator.slot);
	Page		page;

	check_slot(index, locator);
	if (place.first != place.last)
		return assemble(index, reader, locator, &place);
	page = read_part(index, reader, locator, place.first);
	return page ? piece_at(index, page, &place, place.first) : NULL;
}

/* Reads a vector as point_size doubles.  The caller holds the page that names it. */
void
ct_vector_read(CtIndex *index, CtLocator locator, double *point)
{
	Reader		reader = {CT_NO_PIN};
	const void *from = read_vector(index, &reader, locator);

	if (from == NULL)
		ct_page_corrupted(index, locator.block,
						  "An entry's vector is not there.");
	if (index->space.element == CT_ELEMENT_FLOAT8)
		memcpy(point, from, index->vector_bytes);
	else
		for (int j = 0; j < index->point_size; j++)
			point[j] = ((const float *) from)[j];
	close_reader(&reader);
}

/*
 * Copies n vectors as they are stored.  Those that stand side by side are read
 * with one look at each page; locators should be in order.  Zeroes where a vector
 * is gone.
 */
void
ct_vector_copy(CtIndex *index, int n, const CtLocator *locators,
			   void *const *vectors)
{
	Reader		reader = {CT_NO_PIN};

	for (int i = 0; i < n; i++)
	{
		Place		place = place_of(index, locators[i].slot);

		check_slot(index, locators[i]);
		if (!copy_vector(index, &reader, locators[i], &place, vectors[i]))
			memset(vectors[i], 0, index->vector_bytes);
	}
	close_reader(&reader);
}

/* The same for records of a residual index, whose elements are doubles. */
void
ct_vector_read_records(CtIndex *index, int n, const CtLocator *locators,
					   double *const *records)
{
	Assert(index->space.element == CT_ELEMENT_FLOAT8);
	ct_vector_copy(index, n, locators, (void *const *) records);
}

/* -------- copies made by threads -------- */

/* pages that are pinned together, at most */
#define BATCH_PINS		512

/* bytes of a vector that are fetched before it is copied */
#define PREFETCHED		512

/* A vector of a batch, and the number of its first page. */
typedef struct BatchVector
{
	CtLocator	locator;
	int			page;
} BatchVector;

struct CtVectorBatch
{
	CtIndex    *index;
	int			max_pages;
	int			npages;
	int			max_vectors;
	int			nvectors;
	BlockNumber last;			/* block of the last page */
	CtPin	   *pins;
	Page	   *pages;
	BatchVector *vectors;
};

/* Pages that a session may well pin: its share of the buffers they are in. */
static int
pins_allowed(const CtIndex *index)
{
	if (RelationUsesLocalBuffers(index->rel))
		return num_temp_buffers / 4;
	return NBuffers / (MaxBackends + NUM_AUXILIARY_PROCS);
}

/* A batch pins no more, unless a vector stands on more pages. */
CtVectorBatch *
ct_vector_batch_create(CtIndex *index)
{
	CtVectorBatch *batch = palloc0(sizeof(CtVectorBatch));
	int			pages = 1 + (index->vector_bytes - 1) / index->vector_space + 1;

	batch->index = index;
	batch->max_pages = Max(Min(pins_allowed(index), BATCH_PINS), pages);
	batch->max_vectors = Max(1, batch->max_pages * index->vector_space /
							 index->vector_bytes);
	batch->pins = palloc(sizeof(CtPin) * batch->max_pages);
	batch->pages = palloc(sizeof(Page) * batch->max_pages);
	batch->vectors = palloc(sizeof(BatchVector) * batch->max_vectors);
	return batch;
}

/* It is empty. */
void
ct_vector_batch_free(CtVectorBatch *batch)
{
	Assert(batch->npages == 0);
	pfree(batch->pins);
	pfree(batch->pages);
	pfree(batch->vectors);
	pfree(batch);
}

/* How many vectors fit at most, if they stand side by side? */
int
ct_vector_batch_room(const CtVectorBatch *batch)
{
	return batch->max_vectors;
}

int
ct_vector_batch_size(const CtVectorBatch *batch)
{
	return batch->nvectors;
}

/*
 * Adds a vector, which gets the next number; false if there is no room.  Its
 * pages are pinned, and nobody has looked at them.
 */
bool
ct_vector_batch_add(CtVectorBatch *batch, CtLocator locator)
{
	Place		place = place_of(batch->index, locator.slot);
	BlockNumber block = locator.block + place.first;
	int			nparts = place.last - place.first + 1;
	int			shared = batch->npages > 0 && batch->last == block;

	check_slot(batch->index, locator);
	if (batch->nvectors == batch->max_vectors ||
		batch->npages + nparts - shared > batch->max_pages)
		return false;
	batch->vectors[batch->nvectors++] =
		(BatchVector) {locator, batch->npages - shared};
	for (int part = shared; part < nparts; part++)
	{
		CtPin		pin = ct_pin_unlocked(batch->index, block + part);

		batch->pages[batch->npages] = ct_pin_page(pin);
		batch->pins[batch->npages++] = pin;
	}
	batch->last = locator.block + place.last;
	return true;
}

/*
 * Copies vector number i; false if it is not where it should be.  Calls nothing of
 * the server's.  The bytes of a vector, and what tells whose they are, do not
 * change before its row is dead to everyone, which one that the snapshot sees is
 * not; others on the page may, and the page stays where it is as long as it is
 * pinned.
 */
bool
ct_vector_batch_copy(const CtVectorBatch *batch, int i, void *vector)
{
	const CtIndex *index = batch->index;
	const BatchVector *from = &batch->vectors[i];
	Place		place = place_of(index, from->locator.slot);
	size_t		done = 0;

	for (int part = place.first; part <= place.last; part++)
	{
		Page		page = batch->pages[from->page + part - place.first];
		size_t		size = piece_size(index, &place, part, done);

		if (!ct_page_has_vectors(index, page) ||
			!has_number(index, page, part))
			return false;
		memcpy((char *) vector + done, piece_at(index, page, &place, part),
			   size);
		done += size;
	}
	return true;
}

/*
 * Has the processor fetch what comes first of vector number i: the heads of its
 * pages, and lines with which it will see by itself where this goes.
 */
void
ct_vector_batch_prefetch(const CtVectorBatch *batch, int i)
{
	const CtIndex *index = batch->index;
	const BatchVector *from = &batch->vectors[i];
	Place		place = place_of(index, from->locator.slot);

	for (int part = place.first; part <= place.last; part++)
	{
		Page		page = batch->pages[from->page + part - place.first];
		const char *piece = piece_at(index, page, &place, part);

		__builtin_prefetch(page);
		__builtin_prefetch(page + BLCKSZ - sizeof(CtSpecialData));
		for (int at = 0; at < PREFETCHED; at += CT_CACHE_LINE)
			__builtin_prefetch(piece + at);
	}
}

/* Raises the error that vector number i is not where it should be. */
void
ct_vector_batch_complain(const CtVectorBatch *batch, int i)
{
	CtIndex    *index = batch->index;
	CtLocator	locator = batch->vectors[i].locator;
	Place		place = place_of(index, locator.slot);

	for (int part = place.first; part <= place.last; part++)
	{
		CtPin		pin = ct_pin(index, locator.block + part, CT_LOCK_SHARE);

		check_locator(index, ct_pin_page(pin), locator, part);
		ct_unpin(pin);
	}
	ct_page_corrupted(index, locator.block + place.first,
					  "The page changes without a cause.");
}

/* Releases the pages.  The batch is empty then. */
void
ct_vector_batch_release(CtVectorBatch *batch)
{
	while (batch->npages > 0)
		ct_release(batch->pins[--batch->npages]);
	batch->nvectors = 0;
}

/* Reads the dims coordinates of a residual index's vector; zeroes if it is gone. */
void
ct_vector_location(CtIndex *index, CtLocator locator, double *location)
{
	Reader		reader = {CT_NO_PIN};
	const void *vector = read_vector(index, &reader, locator);

	memset(location, 0, sizeof(double) * index->meta.dims);
	if (vector)
		memcpy(location, vector, sizeof(double) * index->meta.dims);
	close_reader(&reader);
}

static double
distance_to(CtIndex *index, const CtSpace *space, CtLocator locator,
			const double *query, double if_gone,
			double (*distance) (const CtSpace *, const double *, const void *))
{
	Reader		reader = {CT_NO_PIN};
	const void *vector = read_vector(index, &reader, locator);
	double		dist = vector ? distance(space, query, vector) : if_gone;

	close_reader(&reader);
	return dist;
}

/*
 * The reported distance of a query and a stored vector.  The row of one that is
 * gone is invisible, and may come last.
 */
double
ct_vector_distance(CtIndex *index, CtLocator locator, const double *query)
{
	return distance_to(index, &index->space, locator, query, INFINITY,
					   index->space.metric->distance);
}

/*
 * The same for n vectors.  Those that stand side by side are read with one look
 * at each page; locators should be in order.
 */
void
ct_vector_distances(CtIndex *index, int n, const CtLocator *locators,
					const double *query, double *dist)
{
	Reader		reader = {CT_NO_PIN};

	for (int i = 0; i < n; i++)
	{
		const void *vector = read_vector(index, &reader, locators[i]);

		dist[i] = vector ? index->space.metric->distance(&index->space, query,
														 vector) : INFINITY;
	}
	close_reader(&reader);
}

/*
 * The residual correlation of a query and a vector that bases refer to, or that
 * is a pivot; 0 if it is gone.
 */
double
ct_pivot_correlation(CtIndex *index, CtLocator locator, const double *query)
{
	const CtSpace *space = &index->space;
	int			number = ct_cache_number(index, locator);
	const void *vector;
	Reader		reader = {CT_NO_PIN};
	double		rho;

	if (number >= 0)
		vector = ct_cache_pivots(index)->vectors[number];
	else
	{
		vector = read_vector(index, &reader, locator);
		if (vector)
			ct_cache_keep_pivot(index, locator, vector);
	}
	rho = vector ? ct_model_correlation(space->model, space->kernels, query,
										vector) : 0.0;
	close_reader(&reader);
	return rho;
}

/* Their cover distance; 0 if the vector is gone. */
double
ct_vector_cover_distance(CtIndex *index, CtLocator locator,
						 const double *query)
{
	return distance_to(index, &index->space, locator, query, 0.0,
					   index->space.metric->cover_distance);
}

/* Their distance in the space that shapes a residual index's tree. */
double
ct_vector_shape_distance(CtIndex *index, CtLocator locator,
						 const double *query)
{
	return distance_to(index, &index->shape, locator, query, 0.0,
					   index->shape.metric->cover_distance);
}
