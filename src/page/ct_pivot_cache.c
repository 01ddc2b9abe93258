/*-------------------------------------------------------------------------
 *
 * ct_pivot_cache.c
 *	  A backend's copies of the vectors to which the bases of leaves refer.
 *
 * Every scan of a residual index computes the correlations of its query with
 * the same landmarks.  What a computation costs is not the arithmetic but the
 * way to the vector: buffer table, pin, lock, and memory that nobody has read
 * ahead.  So a backend keeps copies, in all as much as a hash table may take
 * (work_mem times hash_mem_multiplier); what is beyond that is read from the
 * buffers.
 *
 * A copy never goes out of date, for a vector that is a pivot is neither
 * changed nor freed as long as the index has the same file.  Copies are dropped
 * when the relation cache forgets the index, or when another index needs the
 * room.
 *
 * IDENTIFICATION
 *	  src/page/ct_pivot_cache.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "common/hashfn.h"
#include "executor/nodeHash.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "ct_page.h"

/* vectors allocated together */
#define CHUNK		32

typedef struct CachedPivot
{
	CtLocator	locator;
	uint32		hash;
	char		status;			/* for simplehash */
	const char *vector;
} CachedPivot;

#define SH_PREFIX		pivots
#define SH_ELEMENT_TYPE	CachedPivot
#define SH_KEY_TYPE		CtLocator
#define SH_KEY			locator
#define SH_HASH_KEY(tb, key) \
	murmurhash32((key).block * 64 + (key).slot)
#define SH_EQUAL(tb, a, b) \
	((a).block == (b).block && (a).slot == (b).slot)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) ((a)->hash)
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* The copies of one index. */
typedef struct PivotCache
{
	struct PivotCache *next;
	Oid			relid;
	CtRelFile	file;
	bool		stale;			/* to be dropped when nobody reads it */
	MemoryContext context;
	pivots_hash *table;
	char	   *chunk;			/* the last one */
	int			nfree;			/* vectors that it has room for */
	size_t		bytes;
} PivotCache;

static PivotCache *caches;		/* used last first */

static void
forget(Datum arg, Oid relid)
{
	for (PivotCache *cache = caches; cache; cache = cache->next)
		if (relid == InvalidOid || cache->relid == relid)
			cache->stale = true;
}

static bool
is_of(const PivotCache *cache, CtIndex *index)
{
	CtRelFile	file = ct_relation_file(index->rel);

	return !cache->stale && cache->relid == RelationGetRelid(index->rel) &&
		ct_relation_file_equals(cache->file, file);
}

static PivotCache *
create(CtIndex *index)
{
	static bool registered = false;
	MemoryContext context;
	PivotCache *cache;

	if (!registered)
		CacheRegisterRelcacheCallback(forget, (Datum) 0);
	registered = true;
	context = AllocSetContextCreate(TopMemoryContext, "Pivots of a covertree",
									ALLOCSET_SMALL_SIZES);
	cache = MemoryContextAllocZero(context, sizeof(PivotCache));
	cache->context = context;
	cache->relid = RelationGetRelid(index->rel);
	cache->file = ct_relation_file(index->rel);
	cache->table = pivots_create(context, 64, NULL);
	cache->next = caches;
	return caches = cache;
}

/* The copies of this index, moved to the front; drops those that are stale. */
static PivotCache *
cache_of(CtIndex *index)
{
	PivotCache *found = NULL;

	if (caches && is_of(caches, index))
		return caches;
	for (PivotCache **at = &caches; *at;)
	{
		PivotCache *cache = *at;
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
 * Room for one more chunk of the first cache?  Drops what other indexes have,
 * used longest ago first.
 */
static bool
make_room(size_t bytes)
{
	size_t		limit = get_hash_memory_limit();

	for (;;)
	{
		size_t		sum = bytes;
		PivotCache **last = &caches;

		for (PivotCache *cache = caches; cache; cache = cache->next)
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
 * The copy of a pivot's vector, or NULL.  It is valid until the next call of a
 * function here, or of one that may read catalogs.
 */
const void *
ct_pivot_cache_get(CtIndex *index, CtLocator locator)
{
	CachedPivot *found = pivots_lookup(cache_of(index)->table, locator);

	return found ? found->vector : NULL;
}

/* Keeps a copy of a pivot's vector, if there is room. */
void
ct_pivot_cache_put(CtIndex *index, CtLocator locator, const void *vector)
{
	PivotCache *cache = cache_of(index);
	size_t		size = index->vector_bytes;
	CachedPivot *pivot;
	bool		found;

	if (cache->nfree == 0)
	{
		if (!make_room(CHUNK * size))
			return;
		cache->chunk = MemoryContextAlloc(cache->context, CHUNK * size);
		cache->nfree = CHUNK;
		cache->bytes += CHUNK * size;
	}
	pivot = pivots_insert(cache->table, locator, &found);
	if (found)
		return;
	cache->nfree--;
	memcpy(cache->chunk + cache->nfree * size, vector, size);
	pivot->vector = cache->chunk + cache->nfree * size;
}
