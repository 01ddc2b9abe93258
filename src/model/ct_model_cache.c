/*-------------------------------------------------------------------------
 *
 * ct_model_cache.c
 *	  Models of this database, as this session knows them.
 *
 * Cached content is keyed by fingerprint and dimension, and immutable.  What
 * can get stale is (1) which content a name stands for, and (2) whether the
 * table still has a model of some fingerprint.  Both are forgotten when the
 * table has changed, and looked up again at next use.
 *
 * Models are dropped from memory, the least recently used first, when they
 * take more than CACHE_BYTES, but not those that were handed out in the
 * current transaction.
 *
 * IDENTIFICATION
 *	  src/model/ct_model_cache.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "access/xact.h"
#include "lib/ilist.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "ct_model_cache.h"
#include "ct_model_table.h"
#include "ct_point.h"

#define CACHE_BYTES		((size_t) 64 * 1024 * 1024)

typedef struct CachedModel
{
	dlist_node	node;			/* in models, the last used first */
	uint64		used;			/* epoch of the last use */
	bool		embedded;		/* an index has this content */
	bool		in_table;		/* so has the table, as far as is known */
	CtModel    *model;
} CachedModel;

/* what a name stands for */
typedef struct CachedName
{
	char		name[NAMEDATALEN];	/* hash key */
	int			dims;
	uint8		fingerprint[CT_FINGERPRINT_BYTES];
} CachedName;

static MemoryContext cache_context = NULL;
static dlist_head models = DLIST_STATIC_INIT(models);
static size_t cached_bytes = 0;
static HTAB *names = NULL;
static uint64 seen_changes = 0; /* names and in_table hold as of these */
static uint64 epoch = 1;

uint64
ct_model_epoch(void)
{
	return epoch;
}

static void
transaction_event(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE &&
		event != XACT_EVENT_PARALLEL_PRE_COMMIT)
		epoch++;
}

static void
forget_names(void)
{
	dlist_iter	iter;

	if (names)
		hash_destroy(names);
	names = NULL;
	dlist_foreach(iter, &models)
		dlist_container(CachedModel, node, iter.cur)->in_table = false;
}

/* Every entry point calls this first. */
static void
ready(void)
{
	uint64		changes = ct_model_table_changes();

	if (cache_context == NULL)
	{
		RegisterXactCallback(transaction_event, NULL);
		cache_context = AllocSetContextCreate(TopMemoryContext,
											  "covertree models",
											  ALLOCSET_DEFAULT_SIZES);
	}
	if (changes != seen_changes)
		forget_names();
	seen_changes = changes;
}

/*
 * Contents
 */

/* the content of that fingerprint, of a given dimension or (-1) of any */
static CachedModel *
find(const uint8 *fingerprint, int dims)
{
	dlist_iter	iter;

	dlist_foreach(iter, &models)
	{
		CachedModel *cached = dlist_container(CachedModel, node, iter.cur);

		if (memcmp(cached->model->fingerprint, fingerprint,
				   CT_FINGERPRINT_BYTES) == 0 &&
			(dims < 0 || cached->model->dims == dims))
		{
			dlist_move_head(&models, &cached->node);
			cached->used = epoch;
			return cached;
		}
	}
	return NULL;
}

static void
make_room(void)
{
	while (cached_bytes > CACHE_BYTES)
	{
		CachedModel *last = dlist_tail_element(CachedModel, node, &models);

		if (last->used == epoch)
			return;
		dlist_delete(&last->node);
		cached_bytes -= last->model->bytes;
		pfree(last->model);
		pfree(last);
	}
}

/* Adds a copy of a model that is not in the cache yet. */
static CachedModel *
add(const CtModel *model)
{
	CachedModel *cached;
	CtModel    *copy;

	copy = MemoryContextAllocHuge(cache_context, model->bytes);
	memcpy(copy, model, model->bytes);
	cached = MemoryContextAllocZero(cache_context, sizeof(CachedModel));
	cached->model = copy;
	cached->used = epoch;
	dlist_push_head(&models, &cached->node);
	cached_bytes += copy->bytes;
	make_room();
	return cached;
}

/* The entry of a model just read from the table, which is freed. */
static CachedModel *
add_from_table(CtModel *model)
{
	CachedModel *cached = find(model->fingerprint, model->dims);

	if (cached == NULL)
		cached = add(model);
	cached->in_table = true;
	pfree(model);
	return cached;
}

const CtModel *
ct_model_cached(const uint8 *fingerprint, int dims)
{
	CachedModel *cached;

	ready();
	cached = find(fingerprint, dims);
	return cached ? cached->model : NULL;
}

/*
 * By name, by fingerprint
 */

static void
remember_name(const char *name, const CtModel *model)
{
	CachedName *entry;

	if (names == NULL)
	{
		HASHCTL		control = {
			.keysize = NAMEDATALEN,
			.entrysize = sizeof(CachedName),
			.hcxt = cache_context
		};

		names = hash_create("covertree model names", 16, &control,
							HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	entry = hash_search(names, name, HASH_ENTER, NULL);
	entry->dims = model->dims;
	memcpy(entry->fingerprint, model->fingerprint, CT_FINGERPRINT_BYTES);
}

const CtModel *
ct_model_by_name(const char *name)
{
	CachedName *entry;
	CachedModel *cached = NULL;
	CtModel    *model;

	ready();
	entry = names && strlen(name) < NAMEDATALEN ?
		hash_search(names, name, HASH_FIND, NULL) : NULL;
	if (entry)
		cached = find(entry->fingerprint, entry->dims);
	if (cached)
		return cached->model;

	model = strlen(name) < NAMEDATALEN ? ct_model_table_read(name, NULL) : NULL;
	if (model == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model \"%s\" does not exist", name),
				 errhint("Table \"%s\" lists the models; covertree_create_model() creates one.",
						 CT_MODEL_TABLE)));
	cached = add_from_table(model);
	remember_name(name, cached->model);
	return cached->model;
}

static void
no_such_fingerprint(const uint8 *fingerprint, const char *name)
{
	char		text[CT_FINGERPRINT_TEXT];

	ct_fingerprint_to_text(fingerprint, text);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("model with fingerprint %s does not exist", text),
			 name ? errdetail("The query was made for the model that was called \"%s\".", name) : 0,
			 errhint("Create the model with the same parameters, or make the query again with residual_query().")));
}

const CtModel *
ct_model_by_fingerprint(const uint8 *fingerprint, const char *name,
						bool missing_ok)
{
	CachedModel *cached;

	ready();
	cached = find(fingerprint, 0);
	if (cached == NULL)
		cached = find(fingerprint, -1);
	if (cached && !cached->embedded && !cached->in_table)
	{
		/* known, but is it still there? */
		cached->in_table = ct_model_table_contains(NULL, fingerprint);
		if (!cached->in_table)
			cached = NULL;
	}
	else if (cached == NULL)
	{
		CtModel    *model = ct_model_table_read(NULL, fingerprint);

		if (model)
			cached = add_from_table(model);
	}
	if (cached == NULL && !missing_ok)
		no_such_fingerprint(fingerprint, name);
	return cached ? cached->model : NULL;
}

/*
 * Models of any dimension
 */

/*
 * What a model without inducing points is if its dimension does not count:
 * NULL if its content is not that of such a model.
 */
static CtModel *
without_dimension(const CtModel *model)
{
	CtModel    *general;
	uint8		fingerprint[CT_FINGERPRINT_BYTES];

	if (model->m > 0)
		return NULL;
	general = ct_model_allocate(0, 0);
	general->covariance = model->covariance;
	general->variance = model->variance;
	general->nugget = model->nugget;
	general->jitter = model->jitter;
	general->error = model->error;
	memcpy(general->fingerprint, model->fingerprint, CT_FINGERPRINT_BYTES);
	general->data[0] = model->data[0];
	for (int j = 1; j < ct_model_lengthscales(model); j++)
	{
		if (model->data[j] != model->data[0])
			return NULL;
	}
	ct_model_fingerprint(general, fingerprint);
	return memcmp(fingerprint, model->fingerprint, CT_FINGERPRINT_BYTES) == 0 ?
		general : NULL;
}

/* Adds a variant of a model of any dimension. */
static CachedModel *
add_variant(const CtModel *general, int dims)
{
	CtModel    *variant = ct_model_allocate(dims, 0);
	CachedModel *cached;

	variant->covariance = general->covariance;
	variant->variance = general->variance;
	variant->nugget = general->nugget;
	variant->jitter = general->jitter;
	memcpy(variant->fingerprint, general->fingerprint, CT_FINGERPRINT_BYTES);
	for (int j = 0; j < dims; j++)
		variant->data[j] = general->data[0];
	ct_model_set_error(variant);
	cached = add(variant);
	pfree(variant);
	return cached;
}

const CtModel *
ct_model_for_dims(const CtModel *model, int dims, const char *name)
{
	CachedModel *cached;
	const CtModel *general;

	if (model->dims == dims)
		return model;
	ready();
	cached = find(model->fingerprint, dims);
	if (cached)
		return cached->model;
	general = model->dims == 0 ? model : without_dimension(model);
	if (general == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different dimensions of model and point"),
				 name ?
				 errdetail("Model \"%s\" is for points of dimension %d, but the point has %d.",
						   name, (int) model->dims, dims) :
				 errdetail("The model is for points of dimension %d, but the point has %d.",
						   (int) model->dims, dims)));
	cached = add_variant(general, dims);
	if (general != model)
		pfree(unconstify(CtModel *, general));
	return cached->model;
}

/*
 * Images from indexes
 */

/* Is the content what the fingerprint says, in one form or the other? */
static bool
fingerprint_holds(const CtModel *image)
{
	uint8		fingerprint[CT_FINGERPRINT_BYTES];
	CtModel    *general;

	ct_model_fingerprint(image, fingerprint);
	if (memcmp(fingerprint, image->fingerprint, CT_FINGERPRINT_BYTES) == 0)
		return true;
	general = image->dims > 0 ? without_dimension(image) : NULL;
	if (general)
		pfree(general);
	return general != NULL;
}

const CtModel *
ct_model_keep(const CtModel *image, Size bytes)
{
	CachedModel *cached;

	ready();
	if (bytes < sizeof(CtModel) || image->bytes != bytes ||
		image->dims > CT_MAX_DIMS || image->m > CT_MAX_INDUCING ||
		(image->dims == 0 && image->m > 0) ||
		bytes != sizeof(CtModel) +
		ct_model_values(image->dims, image->m) * sizeof(double) ||
		ct_model_problem(image) != NULL || !fingerprint_holds(image))
		return NULL;
	cached = find(image->fingerprint, image->dims);
	if (cached == NULL)
	{
		cached = add(image);
		ct_model_set_error(cached->model);
	}
	cached->embedded = true;
	return cached->model;
}
