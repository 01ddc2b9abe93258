/*-------------------------------------------------------------------------
 *
 * ct_cache.c
 *	  A backend's copies of the bases of leaves, and of the pivots' vectors to
 *	  which they refer.
 *
 * Every scan of a residual index computes the correlations of its query with
 * the same landmarks, and looks at the bases of most leaves.  What this costs
 * is not the arithmetic but the way to the pages: buffer table, pin, lock, and
 * memory that nobody has read ahead.  So a backend keeps copies, in all as much
 * as a hash table may take (work_mem times hash_mem_multiplier); what is beyond
 * that is read from the buffers.
 *
 * A copy of a vector never goes out of date, for a vector that is a pivot is
 * neither changed nor freed as long as the index has the same file and shape.
 * A copy of a basis is good for the version of the leaf that it was taken from:
 * whoever changes a basis, or its most_rest, gives the leaf another version.
 * Copies are dropped when the relation cache forgets the index, or when another
 * index needs the room.
 *
 * IDENTIFICATION
 *	  src/page/ct_cache.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "executor/nodeHash.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "ct_locators.h"
#include "ct_page.h"

/* vectors allocated together */
#define CHUNK		32

typedef struct CachedBasis
{
	BlockNumber block;			/* of the leaf */
	uint32		hash;
	char		status;
	CtBasisCopy *basis;
} CachedBasis;

#define SH_PREFIX		bases
#define SH_ELEMENT_TYPE	CachedBasis
#define SH_KEY_TYPE		BlockNumber
#define SH_KEY			block
#define SH_HASH_KEY(tb, key) murmurhash32(key)
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) ((a)->hash)
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* The copies of one index. */
struct CtCache
{
	CtPivotCopies pivots;		/* what others see */
	CtLocator  *locators;		/* of these */
	struct CtCache *next;
	Oid			relid;
	CtRelFile	file;
	uint32		shape;			/* of the index: whose vectors these are */
	bool		stale;			/* to be dropped when nobody reads it */
	MemoryContext context;
	locators_hash *numbers;
	bases_hash *bases;
	char	   *chunk;			/* the last one */
	int			nfree;			/* vectors that it has room for */
	size_t		bytes;
};

static CtCache *caches;			/* used last first */

static void
forget(Datum arg, Oid relid)
{
	for (CtCache *cache = caches; cache; cache = cache->next)
		if (relid == InvalidOid || cache->relid == relid)
			cache->stale = true;
}

static bool
is_of(const CtCache *cache, CtIndex *index)
{
	CtRelFile	file = ct_relation_file(index->rel);

	return !cache->stale && cache->relid == RelationGetRelid(index->rel) &&
		cache->shape == index->meta.shape &&
		ct_relation_file_equals(cache->file, file);
}

static CtCache *
create(CtIndex *index)
{
	static bool registered = false;
	static uint64 generations = 0;
	MemoryContext context;
	CtCache *cache;

	if (!registered)
		CacheRegisterRelcacheCallback(forget, (Datum) 0);
	registered = true;
	context = AllocSetContextCreate(TopMemoryContext, "Copies of a covertree",
									ALLOCSET_SMALL_SIZES);
	cache = MemoryContextAllocZero(context, sizeof(CtCache));
	cache->context = context;
	cache->relid = RelationGetRelid(index->rel);
	cache->file = ct_relation_file(index->rel);
	cache->shape = index->meta.shape;
	cache->pivots.generation = ++generations;
	cache->numbers = locators_create(context, 64, NULL);
	cache->bases = bases_create(context, 64, NULL);
	cache->next = caches;
	return caches = cache;
}

/* The copies of this index, moved to the front; drops those that are stale. */
static CtCache *
cache_of(CtIndex *index)
{
	CtCache *found = NULL;

	if (caches && is_of(caches, index))
		return caches;
	for (CtCache **at = &caches; *at;)
	{
		CtCache *cache = *at;
		bool		own = is_of(cache, index);

		if (!own && !cache->stale)
		{
			at = &cache->next;
			continue;
		}
		*at = cache->next;
		if (own)
			found = cache;
		else
			MemoryContextDelete(cache->context);
	}
	if (found == NULL)
		return create(index);
	found->next = caches;
	return caches = found;
}

/*
 * Room for so many bytes more in the first cache?  Drops what other indexes have,
 * used longest ago first.
 */
static bool
make_room(size_t bytes)
{
	size_t		limit = get_hash_memory_limit();

	for (;;)
	{
		size_t		sum = bytes;
		CtCache **last = &caches;

		for (CtCache *cache = caches; cache; cache = cache->next)
			sum += cache->bytes;
		if (sum <= limit)
			return true;
		if (caches->next == NULL)
			return false;
		while ((*last)->next)
			last = &(*last)->next;
		MemoryContextDelete((*last)->context);
		*last = NULL;
	}
}

/*
 * The copies that there are of pivots.  Valid until the next call of a function
 * here, or of one that may read catalogs.
 */
const CtPivotCopies *
ct_cache_pivots(CtIndex *index)
{
	return &cache_of(index)->pivots;
}

/* The number of a pivot's copy, or -1. */
int
ct_cache_number(CtIndex *index, CtLocator locator)
{
	CtLocatorEntry *found = locators_lookup(cache_of(index)->numbers, locator);

	return found ? (int) found->number : -1;
}

/* Keeps a copy of a pivot's vector, if there is room. */
void
ct_cache_keep_pivot(CtIndex *index, CtLocator locator, const void *vector)
{
	CtCache    *cache = cache_of(index);
	CtPivotCopies *pivots = &cache->pivots;
	size_t		size = index->vector_bytes;
	CtLocatorEntry *pivot;
	bool		found;

	if (cache->nfree == 0)
	{
		if (!make_room(CHUNK * size))
			return;
		cache->chunk = MemoryContextAlloc(cache->context, CHUNK * size);
		cache->nfree = CHUNK;
		cache->bytes += CHUNK * size;
	}
	if (pivots->n % CHUNK == 0)
	{
		int			room = pivots->n + CHUNK;

		pivots->vectors = pivots->vectors ?
			repalloc(pivots->vectors, sizeof(void *) * room) :
			MemoryContextAlloc(cache->context, sizeof(void *) * room);
		cache->locators = cache->locators ?
			repalloc(cache->locators, sizeof(CtLocator) * room) :
			MemoryContextAlloc(cache->context, sizeof(CtLocator) * room);
		pivots->locators = cache->locators;
	}
	pivot = locators_insert(cache->numbers, locator, &found);
	if (found)
		return;
	cache->nfree--;
	memcpy(cache->chunk + cache->nfree * size, vector, size);
	pivot->number = pivots->n;
	cache->locators[pivots->n] = locator;
	pivots->vectors[pivots->n++] = cache->chunk + cache->nfree * size;
}

/*
 * The copy of the basis of a leaf, as it was in the version of the link, or
 * NULL.  All pivots that it refers to have copies.  Valid as long as they.
 */
const CtBasisCopy *
ct_cache_basis(CtIndex *index, const CtLink *link)
{
	CachedBasis *found = bases_lookup(cache_of(index)->bases, link->block);

	return found && found->basis->incarnation == link->incarnation &&
		found->basis->version == link->version ? found->basis : NULL;
}

/*
 * Keeps a copy of the basis of a leaf, if there is room, and copies of all its
 * pivots.  The caller has the leaf locked, or has a copy of it.
 */
void
ct_cache_keep_basis(CtIndex *index, BlockNumber block, uint32 incarnation,
					const CtNode *leaf)
{
	CtCache    *cache = cache_of(index);
	const CtBasis *basis = leaf->basis;
	int			n = Min(basis->n, CT_BASIS_SIZE);
	size_t		size = offsetof(CtBasisCopy, inverse) +
		sizeof(float) * CT_GROUPED_SIZE(n);
	uint32		numbers[CT_BASIS_SIZE];
	CtBasisCopy *copy;
	CachedBasis *entry;
	bool		found;

	for (int i = 0; i < n; i++)
	{
		CtLocatorEntry *pivot = locators_lookup(cache->numbers, basis->pivots[i]);

		if (pivot == NULL)
			return;
		numbers[i] = pivot->number;
	}
	if (!make_room(size))
		return;
	copy = MemoryContextAlloc(cache->context, size);
	copy->bytes = size;
	copy->incarnation = incarnation;
	copy->version = leaf->header->version;
	copy->nglance = Min(basis->nglance, n);
	copy->most_rest = basis->most_rest;
	copy->glance_rest = basis->glance_rest;
	copy->min_variance = basis->min_variance;
	memcpy(copy->numbers, numbers, sizeof(uint32) * n);
	copy->projection.n = n;
	copy->projection.norm = basis->norm;
	copy->projection.inverse = copy->inverse;
	memcpy(copy->inverse, basis->inverse, sizeof(float) * CT_GROUPED_SIZE(n));
	entry = bases_insert(cache->bases, block, &found);
	if (found)
	{
		cache->bytes -= entry->basis->bytes;
		pfree(entry->basis);
	}
	entry->basis = copy;
	cache->bytes += size;
}
