/*-------------------------------------------------------------------------
 *
 * ct_knn_residual.c
 *	  Bulk search in a residual index.
 *
 * Queries come in groups.  For each group the leaves are read, as many at a
 * time as fit into memory: a slab (ct_knn_slab.h).  The bases say which rows may
 * be neighbours of which query (ct_block.h).  Of these a first round evaluates
 * the most promising, and so finds nearly all neighbours; a second one what may
 * yet be nearer than what the first has found.
 *
 * The main thread reads leaves and pins pages, threads do everything else: bounds
 * for a block of queries each, distances for a few rows each, whose records they
 * copy.
 *
 * IDENTIFICATION
 *	  src/tree/ct_knn_residual.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <limits.h>
#include <math.h>
#include <omp.h>

#include "ct_knn.h"
#include "ct_knn_distances.h"
#include "ct_knn_slab.h"
#include "ct_knn_tree.h"

/* most queries of a group */
#define GROUP_QUERIES		4096

/*
 * Memory is for records of rows first: a quarter, but no more for each thread than
 * its cache holds.  A group has its share of the rest, and a slab all others.
 */
#define STORE_SHARE			4
#define STORE_BYTES			((size_t) 512 * 1024)
#define GROUP_SHARE			0.375

/* Rounds are numbered from 0; what is none of them comes before. */
#define ROUNDS				3
#define PRIMING				(-1)

#define LEAST_LENGTHSCALE	1e-300

/* one query in so many may have to be bounded again, as it seems at first */
#define SAVED_SHARE			2

/* rows of leaves near a query that are bounded first, for each neighbour */
#define NEAR_ROWS			1.5

/* blocks that a thread does between two checks for interrupts */
#define THREAD_BLOCKS		4

/* blocks for each thread, unless they would be smaller than a pack */
#define BLOCKS_PER_THREAD	4

/* The queries in work. */
typedef struct Group
{
	int			size;
	int			n;
	CtKnnQuery *queries;
	double	   *locations;
	CtLocator  *locators;
	double	   *records;
	CtBlockPoint *points;
	double	   *cuts;			/* that they begin with */
	CtFound    *found;			/* of each query, by each thread that there was */
	char	   *candidates;		/* ct_candidates_bytes() for each */
	CtKnnRow   *answer;
} Group;

typedef struct Engine
{
	MemoryContext context;
	CtKnn	   *knn;
	CtIndex    *index;
	CtRecords	form;			/* of records */
	Group		group;
	CtSlab		slab;
	size_t		slab_limit;		/* bytes */
	bool		slab_is_all;	/* of the index */
	bool		flushed;		/* the walk has used a slab already */
	bool		priming;		/* slabs give cuts only */
	CtBlockRows rows;
	CtBlockSaved saved;
	uint64	   *pairs;			/* of all blocks and rows of the slab */
	bool	   *paired;			/* and their marks */
	bool	   *needed;			/* rows that some block needs */

	CtDistances distances;

	int			nblocks;
	CtBlock    *blocks;
	size_t		work_bytes;
	char	   *work;			/* of each thread */
} Engine;

/* -------- memory -------- */

/*
 * That form_blocks() can make of a group: those of the first class, one for each
 * thread and what rounding leaves; all others, in two parts.
 */
static int
most_blocks(const Engine *engine)
{
	int			nthreads = engine->knn->nthreads;

	return Max(engine->group.size / CT_BLOCK + 1,
			   nthreads * BLOCKS_PER_THREAD) + nthreads + 3;
}

static size_t
block_bytes(const Engine *engine)
{
	return TYPEALIGN(CT_CACHE_LINE, sizeof(double) *
					 ct_block_size(engine->index->space.model));
}

/* of a query, besides its pairs */
static size_t
query_bytes(const Engine *engine)
{
	return sizeof(CtKnnQuery) + sizeof(CtLocator) + sizeof(CtBlockPoint) +
		sizeof(double) * (engine->index->meta.dims + 1) +
		ct_record_bytes(&engine->form) +
		block_bytes(engine) / CT_BLOCK + engine->knn->nthreads *
		(sizeof(CtFound) + sizeof(CtNeighbour) * engine->knn->k) +
		ct_candidates_bytes(ct_block_room(engine->knn->k));
}

/* of a row, for the pairs */
static size_t
pairs_bytes(const Engine *engine)
{
	return most_blocks(engine) * sizeof(uint64) + sizeof(bool) +
		(most_blocks(engine) + CT_PAIRED_ROWS - 1) / CT_PAIRED_ROWS;
}

/* of a landmark, with its correlations */
static size_t
landmark_bytes(const Engine *engine)
{
	return ct_slab_landmark_bytes(&engine->form) +
		engine->knn->nthreads * CT_BLOCK * sizeof(float);
}

static size_t
store_bytes(const CtKnn *knn)
{
	return Min(knn->memory / STORE_SHARE, STORE_BYTES * knn->nthreads);
}

static size_t
group_bytes(const CtKnn *knn)
{
	return (knn->memory - store_bytes(knn)) * GROUP_SHARE;
}

static size_t
slab_bytes(const CtKnn *knn)
{
	return knn->memory - store_bytes(knn) - group_bytes(knn);
}

/* Memory for what each thread finds for each query. */
static void
create_found(Engine *engine)
{
	Group	   *group = &engine->group;
	size_t		k = engine->knn->k;
	size_t		n = (size_t) engine->distances.nthreads * group->size;
	CtNeighbour *heaps = ct_allocate(engine->context, n * k,
									 sizeof(CtNeighbour));

	group->found = ct_allocate(engine->context, n, sizeof(CtFound));
	for (size_t i = 0; i < n; i++)
		group->found[i].heap = heaps + i * k;
}

static void
create_group(Engine *engine)
{
	Group	   *group = &engine->group;
	CtKnn	   *knn = engine->knn;
	MemoryContext context = engine->context;
	double	   *memory;
	int64		n;

	n = group_bytes(knn) / query_bytes(engine);
	n = Min(n, GROUP_QUERIES);
	n = Min(n, knn->total);
	/* whole blocks; a query more than there is memory for does no harm */
	if (n > CT_BLOCK && n < knn->total)
		n -= n % CT_BLOCK;
	group->size = Max(n, 1);
	/* what the group leaves is for the slab, too */
	engine->slab_limit = Max(slab_bytes(knn), knn->memory - store_bytes(knn) -
							 Min(group->size * query_bytes(engine),
								 group_bytes(knn)));
	group->queries = ct_allocate(context, group->size, sizeof(CtKnnQuery));
	group->locations = ct_allocate(context, group->size, sizeof(double) *
								   engine->index->meta.dims);
	group->locators = ct_allocate(context, group->size, sizeof(CtLocator));
	group->records = ct_allocate_records(&engine->form, context, group->size);
	group->points = ct_allocate(context, group->size, sizeof(CtBlockPoint));
	group->cuts = ct_allocate(context, group->size, sizeof(double));
	create_found(engine);
	group->candidates = ct_allocate(context, group->size,
									ct_candidates_bytes(ct_block_room(knn->k)));
	group->answer = ct_allocate(context, knn->k, sizeof(CtKnnRow));
	engine->blocks = ct_allocate(context, most_blocks(engine), sizeof(CtBlock));
	memory = ct_allocate_lines(context, most_blocks(engine) * block_bytes(engine));
	for (int b = 0; b < most_blocks(engine); b++)
		engine->blocks[b].memory = memory +
			b * block_bytes(engine) / sizeof(double);
}

/* -------- queries -------- */

/* Expands the group's locations. */
static void
expand_queries(Engine *engine)
{
	Group	   *group = &engine->group;
	const CtModel *model = engine->index->space.model;
	const CtKernelTable *kernels = engine->index->space.kernels;
	size_t		size = engine->index->point_size;
	size_t		batch_size = CT_BATCH * size + ct_model_work_size(model);
	double	   *work = ct_allocate(engine->context,
								engine->knn->nthreads * batch_size,
								sizeof(double));
	int			step = engine->knn->nthreads * CT_BATCH * THREAD_BLOCKS;

	for (int from = 0; from < group->n; from += step)
	{
		int			to = Min(from + step, group->n);

		CHECK_FOR_INTERRUPTS();
#pragma omp parallel for num_threads(engine->knn->nthreads) schedule(dynamic)
		for (int i = from; i < to; i += CT_BATCH)
		{
			double	   *batch = work + omp_get_thread_num() * batch_size;
			int			n = Min(CT_BATCH, to - i);

			ct_model_expand(model, kernels, n,
							group->locations + (size_t) i * model->dims, batch,
							batch + CT_BATCH * size);
			for (int j = 0; j < n; j++)
				memcpy(ct_record_at(&engine->form, group->records, i + j),
					   batch + j * size, size * sizeof(double));
		}
	}
	pfree(work);
}

/* Gets the next queries; false at the end. */
static bool
next_group(Engine *engine, CtKnnSource *source)
{
	Group	   *group = &engine->group;

	group->n = ct_knn_source_next(source, group->size, group->queries,
								  group->locations, group->locators);
	if (group->n == 0)
		return false;
	if (engine->knn->locations)
		expand_queries(engine);
	else
	{
		double	  **records = ct_allocate(engine->context, group->n,
									   sizeof(double *));

		for (int i = 0; i < group->n; i++)
			records[i] = ct_record_at(&engine->form, group->records, i);
		ct_records_read(engine->knn, group->n, group->locators, records);
		pfree(records);
	}
	return true;
}

/* What a thread has found, by number of the query. */
static inline CtFound *
found_by(const Engine *engine, int thread)
{
	return engine->group.found + (size_t) thread * engine->group.size;
}

/* Forgets what the queries have found, but not the cuts that they begin with. */
static void
begin_points(Engine *engine)
{
	Group	   *group = &engine->group;
	size_t		k = engine->knn->k;
	size_t		bytes = ct_candidates_bytes(ct_block_room(k));

	for (int i = 0; i < group->n; i++)
	{
		const CtKnnQuery *query = &group->queries[i];

		ct_block_point_init(ct_record_at(&engine->form, group->records, i), i,
							query->number > 0 ? CT_NO_KEY :
							ct_knn_key(&query->index_tid, &query->index_tid),
							k, group->candidates + i * bytes,
							&group->points[i]);
		group->points[i].cut = group->cuts[i];
		for (int t = 0; t < engine->distances.nthreads; t++)
			ct_found_clear(found_by(engine, t) + i);
	}
}

static void
answer_group(Engine *engine)
{
	Group	   *group = &engine->group;

	CHECK_FOR_INTERRUPTS();
#pragma omp parallel for num_threads(engine->knn->nthreads) schedule(static)
	for (int i = 0; i < group->n; i++)
		ct_found_sort(found_by(engine, 0) + i);
	for (int i = 0; i < group->n; i++)
	{
		CtFound    *found = found_by(engine, 0) + i;

		CHECK_FOR_INTERRUPTS();
		for (int j = 0; j < found->n; j++)
			group->answer[j] = ct_knn_neighbour(found->heap[j].key,
												found->heap[j].dist);
		ct_knn_answer(engine->knn, &group->queries[i], found->n,
					  group->answer);
	}
	engine->knn->report(engine->knn->arg);
}

static void search_slab(Engine *engine);
static void prime_slab(Engine *engine);

/* What the slab and the search of it need. */
static size_t
slab_bytes_used(const Engine *engine)
{
	const CtSlab *slab = &engine->slab;

	return slab->bytes + slab->nrows * pairs_bytes(engine) +
		slab->nlandmarks * (landmark_bytes(engine) -
							ct_slab_landmark_bytes(&engine->form));
}

/* Adds a leaf to the slab; one that is full is used before. */
static void
add_leaf(void *arg, const CtNode *node, const ItemPointerData *seen)
{
	Engine	   *engine = arg;
	CtSlab	   *slab = &engine->slab;

	if (node->header->height > 0)
		return;
	Assert(node->header->nentries > 0);
	if (slab->nleaves > 0 && slab_bytes_used(engine) > engine->slab_limit)
	{
		if (engine->priming)
			prime_slab(engine);
		else
			search_slab(engine);
		ct_slab_clear(slab);
		engine->flushed = true;
	}
	ct_slab_add(slab, node, seen);
}

/* -------- a slab -------- */

/*
 * What memory the slab leaves is for correlations of points that have to be
 * bounded again; they are a part of all.
 */
static void
create_saved(Engine *engine)
{
	size_t		bytes = sizeof(float) * engine->slab.nlandmarks;
	size_t		used = slab_bytes_used(engine);
	CtBlockSaved *saved = &engine->saved;

	saved->room = 0;
	if (bytes > 0 && used < engine->slab_limit)
		saved->room = Min((engine->slab_limit - used) / bytes,
						  engine->group.size / SAVED_SHARE);
	saved->memory = ct_allocate(engine->slab.context, Max(saved->room, 1),
								bytes);
	engine->rows.saved = saved;
}

/* Makes ready for a slab that all leaves are in. */
static void
begin_slab(Engine *engine)
{
	CtSlab	   *slab = &engine->slab;
	size_t		marks = CT_BLOCK_MARKS(slab->nrows);

	ct_slab_complete(slab, engine->knn, &engine->rows);
	create_saved(engine);
	engine->pairs = ct_allocate(slab->context, marks * most_blocks(engine),
								CT_PAIRED_ROWS * sizeof(uint64));
	engine->paired = ct_allocate(slab->context, marks * most_blocks(engine),
								 sizeof(bool));
	engine->needed = ct_allocate(slab->context, slab->nrows, sizeof(bool));
	engine->work_bytes =
		TYPEALIGN(CT_CACHE_LINE, ct_block_work_bytes(&engine->rows,
											   ct_block_room(engine->knn->k)));
	engine->work = ct_allocate_lines(slab->context, engine->work_bytes *
									   engine->knn->nthreads);
}

static inline void *
thread_work(Engine *engine)
{
	return engine->work + engine->work_bytes * omp_get_thread_num();
}

/* Points of a block of a class, of which there are n. */
static int
block_size(const Engine *engine, int class, int n)
{
	int			nthreads = engine->knn->nthreads;
	int			size = engine->group.n / (nthreads * BLOCKS_PER_THREAD);

	/* those of the first one are paired with nearly everything */
	if (class == 0)
		size = n / nthreads;
	return Min(Max(TYPEALIGN(CT_PACK, size), CT_PACK), CT_BLOCK);
}

/*
 * Divides the group into blocks: by classes, so that pairs are with the same
 * rows, and in these as they come, which is in the order of places.  What is the
 * most work comes first.
 */
static void
form_blocks(Engine *engine)
{
	Group	   *group = &engine->group;
	int			count[CT_BLOCK_CLASSES] = {0};
	CtBlock    *block = NULL;
	size_t		marks = CT_BLOCK_MARKS(engine->slab.nrows);

	for (int i = 0; i < group->n; i++)
		count[ct_block_point_class(&group->points[i])]++;
	engine->nblocks = 0;
	for (int class = 0; class < CT_BLOCK_CLASSES; class++)
	{
		int			size = block_size(engine, class, count[class]);

		for (int i = 0; i < group->n; i++)
		{
			if (ct_block_point_class(&group->points[i]) != class)
				continue;
			if (block == NULL || block->n >= size)
			{
				Assert(engine->nblocks < most_blocks(engine));
				block = &engine->blocks[engine->nblocks];
				block->pairs = engine->pairs +
					marks * CT_PAIRED_ROWS * engine->nblocks;
				block->paired = engine->paired + marks * engine->nblocks++;
				block->n = 0;
			}
			block->points[block->n++] = &group->points[i];
		}
		/*
		 * Those of the first class are paired with nearly everything, those of
		 * the last with few.
		 */
		if (class == 0 || class == CT_BLOCK_COMPLETE - 1)
			block = NULL;
	}
}

/* Leaves the blocks of points that have lost no candidate. */
static void
keep_complete_blocks(Engine *engine)
{
	int			kept = 0;

	for (int b = 0; b < engine->nblocks; b++)
	{
		CtBlock		block = engine->blocks[b];

		if (ct_block_point_class(block.points[0]) != CT_BLOCK_COMPLETE)
			continue;
		engine->blocks[b] = engine->blocks[kept];
		engine->blocks[kept++] = block;
	}
	engine->nblocks = kept;
}

/* Joins what the threads have found for each query. */
static void
join_found(Engine *engine)
{
	Group	   *group = &engine->group;

	CHECK_FOR_INTERRUPTS();
#pragma omp parallel for num_threads(engine->knn->nthreads) schedule(static)
	for (int i = 0; i < group->n; i++)
		ct_found_join(&group->points[i], found_by(engine, 0) + i, group->size,
					  engine->distances.nthreads);
}

/* How many leaves near a point are bounded first? */
static int
near_leaves(const Engine *engine)
{
	return 1 + ceil(NEAR_ROWS * engine->knn->k * engine->slab.nleaves /
					engine->slab.nrows);
}

/* Brings a block to what is evaluated in a round; runs in a thread. */
static void
pair_block(Engine *engine, CtBlock *block, int round)
{
	const CtBlockRows *rows = &engine->rows;
	void	   *work = thread_work(engine);

	if (round < 2)
		ct_block_prepare(rows->space->model, block);
	if (round == PRIMING)
	{
		ct_block_prime(rows, block, near_leaves(engine), work);
		return;
	}
	if (round == 0)
	{
		ct_block_collect(rows, block, near_leaves(engine), work);
		ct_block_pair_first(rows, block, work);
	}
	else
		ct_block_pair_next(rows, block, work);
	ct_block_need(rows, block, engine->needed);
}

/* Lets all threads bring the blocks to what is evaluated next. */
static void
pair_blocks(Engine *engine, int round)
{
	int			step = engine->knn->nthreads * THREAD_BLOCKS;

	memset(engine->needed, false, engine->slab.nrows);
	for (int from = 0; from < engine->nblocks; from += step)
	{
		int			to = Min(engine->nblocks, from + step);
		CtKnnRegion region;

		CHECK_FOR_INTERRUPTS();
		ct_knn_region_begin(&region);
#pragma omp parallel num_threads(engine->knn->nthreads)
		{
#pragma omp for schedule(dynamic) nowait
			for (int b = from; b < to; b++)
				pair_block(engine, &engine->blocks[b], round);
			ct_knn_region_share_done(&region);
		}
		ct_knn_region_end(engine->knn, &region);
	}
}

/* Makes the slab and the group's points ready for each other. */
static void
admit_points(Engine *engine)
{
	Group	   *group = &engine->group;

	if (engine->slab.landmarks == NULL)
		begin_slab(engine);
	engine->saved.taken = 0;
	for (int i = 0; i < group->n; i++)
		ct_block_point_admit(&engine->rows, &group->points[i]);
}

/* Gives the group's points cuts, by what is near each of them in the slab. */
static void
prime_slab(Engine *engine)
{
	if (engine->slab.nleaves == 0)
		return;
	admit_points(engine);
	form_blocks(engine);
	pair_blocks(engine, PRIMING);
}

/*
 * Searches the slab for the group.  Points whose lists of candidates have become
 * too long need a cut first, by which they are put into blocks of their own.
 */
static void
search_slab(Engine *engine)
{
	Group	   *group = &engine->group;
	CtSlab	   *slab = &engine->slab;

	if (slab->nleaves == 0)
		return;
	admit_points(engine);
	for (int round = 0; round < ROUNDS; round++)
	{
		if (round < 2)
			form_blocks(engine);
		else
			keep_complete_blocks(engine);
		pair_blocks(engine, round);
		ct_distances_compute(&engine->distances, slab, &engine->rows,
							 engine->nblocks, engine->blocks, engine->needed,
							 group->found, group->size);
		join_found(engine);
	}
}

/*
 * Walks through the index; slabs that fill up on the way are used, and the last
 * one is left.  When a page has been freed since a link to it was read, what was
 * found is forgotten.
 */
static void
walk_index(Engine *engine)
{
	do
	{
		ct_slab_clear(&engine->slab);
		engine->flushed = false;
		begin_points(engine);
	} while (!ct_knn_walk(engine->knn, add_leaf, engine));
}

/*
 * Walks through the index for what one slab may hold: all of it, or else cuts.
 * Without these each point would be paired with the rows of all slabs that come
 * before the one it is in.
 */
static void
prime_group(Engine *engine)
{
	Group	   *group = &engine->group;

	engine->priming = true;
	walk_index(engine);
	engine->slab_is_all = !engine->flushed;
	if (engine->flushed)
		prime_slab(engine);
	engine->priming = false;
	for (int i = 0; i < group->n; i++)
		group->cuts[i] = group->points[i].cut;
}

/* Searches the whole index for the group. */
static void
search_group(Engine *engine)
{
	for (int i = 0; i < engine->group.n; i++)
		engine->group.cuts[i] = -1.0;
	if (!engine->slab_is_all)
		prime_group(engine);
	if (engine->slab_is_all)
		begin_points(engine);
	else
		walk_index(engine);
	search_slab(engine);
}

/* Has each lengthscale an inverse that is not denormal? */
static bool
has_rates(const CtModel *model)
{
	for (int j = 0; j < (int) model->dims; j++)
	{
		double		lengthscale = ct_model_lengthscale(model)[j];

		if (!(lengthscale >= LEAST_LENGTHSCALE &&
			  lengthscale <= 1.0 / LEAST_LENGTHSCALE))
			return false;
	}
	return true;
}

/*
 * Can the engine serve the search?  It needs memory for a group of one query, a
 * leaf with its landmarks, and a record for each thread.
 */
bool
ct_knn_residual_can(const CtKnn *knn)
{
	Engine		engine = {.knn = (CtKnn *) knn,.index = knn->index};
	const CtLayout *leaf = &knn->index->leaf;

	if (knn->index->space.model == NULL || knn->k > INT_MAX ||
		leaf->capacity > CT_BLOCK_ROWS || !has_rates(knn->index->space.model))
		return false;
	engine.form = ct_records_form(knn->index);
	return query_bytes(&engine) <= group_bytes(knn) &&
		CT_BASIS_SIZE * landmark_bytes(&engine) <= slab_bytes(knn) &&
		ct_record_bytes(&engine.form) * knn->nthreads <= store_bytes(knn);
}

static Engine *
create_engine(CtKnn *knn)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "Covertree bulk search",
												  ALLOCSET_DEFAULT_SIZES);
	Engine	   *engine = MemoryContextAllocZero(context, sizeof(Engine));

	engine->context = context;
	engine->knn = knn;
	engine->index = knn->index;
	engine->form = ct_records_form(knn->index);
	ct_slab_create(&engine->slab, knn->index,
				   AllocSetContextCreate(context, "Covertree bulk search slab",
										 ALLOCSET_DEFAULT_SIZES));
	return engine;
}

/* Answers all queries. */
void
ct_knn_residual(CtKnn *knn)
{
	Engine	   *engine = create_engine(knn);
	MemoryContext old = MemoryContextSwitchTo(engine->context);
	CtKnnSource *source = ct_knn_source_open(knn);

	ct_knn_start_threads(knn);
	ct_distances_create(&engine->distances, knn, store_bytes(knn));
	create_group(engine);
	while (next_group(engine, source))
	{
		search_group(engine);
		answer_group(engine);
	}
	ct_knn_source_close(source);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(engine->context);
}
