/*-------------------------------------------------------------------------
 *
 * ct_knn_codes.c
 *	  Bulk search where leaves have codes: Euclidean points of more than
 *	  CT_BOX_DIMS dimensions.
 *
 * Queries come in groups, of blocks of 64.  For them the tree is a list of links
 * to leaves with boxes, as many at a time as there is room for: a directory.  In
 * each, a group goes through two rounds.  The first looks at the leaves nearest
 * to each query, so that the second, which looks at all leaves in reach, knows
 * how near a row must be.  Rows that codes do not rule out (ct_code_block.h)
 * become candidates.  At the end, or when there is no room for more, their
 * vectors are read, and distances computed.
 *
 * Leaves are copied when a round first wants them, and kept as long as there is
 * room.
 *
 * The main thread reads, all threads compute.
 *
 * IDENTIFICATION
 *	  src/tree/ct_knn_codes.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>
#include <omp.h>

#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "ct_code_block.h"
#include "ct_knn.h"
#include "ct_knn_tree.h"

/* most queries of a group */
#define GROUP_QUERIES		4096

/* shares of the memory, in eighths; threads' work areas come off first */
#define SHARES				8
#define GROUP_SHARE			3
#define SLAB_SHARE			3
#define DIRECTORY_SHARE		1
#define CANDIDATE_SHARE		1

#define CT_LINE				64

/* leaves that a query looks at first, or enough for so many times k rows */
#define SEED_LEAVES			8
#define SEED_ROWS			1.5

/* candidates of a query beyond k, and for each of so many k another one */
#define SPARE_ROOM			32
#define ROOM_SHARE			2

/* more neighbours are looked for by scans */
#define MOST_NEIGHBOURS		1000000

/*
 * Fewer queries, or more leaves for each of them, are work for scans, which read
 * the leaves that they need one by one.
 */
#define QUERIES_LEAST		8
#define LEAVES_PER_QUERY	64

/* points that a thread places between two checks for interrupts */
#define PLACED_POINTS		1024

/* vectors read between two checks for interrupts */
#define READ_BATCH			64

/* blocks and links of a thread likewise, when boxes are looked at */
#define REGION_LINKS		200000

/* products of coordinates in a parallel region, not much more */
#define REGION_WORK			2e8

/* blocks for each thread, unless they would be smaller than vectors */
#define BLOCKS_PER_THREAD	4

/* The queries in work. */
typedef struct Group
{
	int			size;
	int			n;
	CtKnnQuery *queries;
	double	   *locations;
	CtLocator  *locators;
	CtCodePoint *points;
	CtCodeRow  *rows;			/* room for each */
	int			room;
	double	   *uppers;			/* k for each */
	CtKnnRow   *answer;
	int			nblocks;
	CtCodeBlock *blocks;
} Group;

/* Links to leaves, and those leaves that are in memory. */
typedef struct Directory
{
	size_t		size;
	size_t		n;
	CtCodeLink *links;
	CtLink	   *where;
	int			height;			/* of what links lead to; -1: the root */
	uint64	   *wanted;			/* and seeds of each block, by link */
	bool		complete;		/* these are all links of the index */
	bool		flushed;		/* the walk has used some of them already */

	MemoryContext context;		/* of leaves */
	size_t		limit;			/* bytes */
	size_t		bytes;			/* in use */
} Directory;

/* A candidate whose distance is wanted. */
typedef struct Pair
{
	uint64		place;			/* of its vector */
	CtCodeRow  *row;
	const double *query;
	const void *vector;
} Pair;

typedef struct Engine
{
	MemoryContext context;
	CtKnn	   *knn;
	CtIndex    *index;
	const double *origin;		/* from which points are seen */
	size_t		work_bytes;
	char	   *work;			/* of each thread */
	int			nseeds;
	bool		sorted;			/* points are in the order of links */
	Group		group;
	Directory	directory;
	size_t		npairs;
	size_t		pairs_size;
	Pair	   *pairs;
	size_t		vectors_size;
	size_t		vector_stride;
	char	   *vectors;
} Engine;

#define ST_SORT			sort_pairs
#define ST_ELEMENT_TYPE Pair
#define ST_COMPARE(a, b) \
	((a)->place < (b)->place ? -1 : (a)->place > (b)->place)
#define ST_SCOPE		static
#define ST_DEFINE
#include "lib/sort_template.h"

#define ST_SORT			sort_points
#define ST_ELEMENT_TYPE CtCodePoint
#define ST_COMPARE(a, b) \
	((a)->nearest != (b)->nearest ? (a)->nearest - (b)->nearest : \
	 (a)->number - (b)->number)
#define ST_SCOPE		static
#define ST_DEFINE
#include "lib/sort_template.h"

#define ST_SORT			sort_rows
#define ST_ELEMENT_TYPE CtCodeRow
#define ST_COMPARE(a, b) \
	((a)->dist != (b)->dist ? ((a)->dist < (b)->dist ? -1 : 1) : \
	 ((a)->key < (b)->key ? -1 : (a)->key > (b)->key))
#define ST_SCOPE		static
#define ST_DEFINE
#include "lib/sort_template.h"

/* -------- memory -------- */

static void *
allocate(MemoryContext context, size_t n, size_t size)
{
	return MemoryContextAllocHuge(context, Max(n * size, 1));
}

/* Memory that begins on a cache line. */
static void *
allocate_aligned(MemoryContext context, size_t bytes)
{
	char	   *memory = allocate(context, bytes + CT_LINE, 1);

	return (void *) TYPEALIGN(CT_LINE, memory);
}

/* bytes of a block's columns */
static size_t
column_bytes(const CtIndex *index)
{
	return sizeof(float) * 4 * ct_code_quads(index->meta.dims) * CT_BLOCK;
}

static size_t
room_of(const CtKnn *knn)
{
	return knn->k + knn->k / ROOM_SHARE + SPARE_ROOM;
}

/* of a query; blocks may be a quarter full */
static size_t
query_bytes(const CtKnn *knn)
{
	const CtIndex *index = knn->index;

	return sizeof(CtKnnQuery) + sizeof(CtLocator) + sizeof(CtCodePoint) +
		sizeof(double) * index->meta.dims +
		sizeof(CtCodeRow) * room_of(knn) + sizeof(double) * knn->k +
		(column_bytes(index) + sizeof(CtCodeBlock)) / CT_CODE_LANES;
}

static int
seeds_of(const CtKnn *knn)
{
	/* leaves are half full at least, as a rule */
	double		leaves = 1.0 + 2.0 * SEED_ROWS * knn->k / knn->index->leaf.capacity;

	leaves = Min(leaves, ct_block_count(knn->index));
	return (int) Max(leaves, SEED_LEAVES);
}

static size_t
work_bytes_of(const CtKnn *knn)
{
	return ct_code_work_bytes(knn->index->meta.dims, knn->index->leaf.capacity,
							  seeds_of(knn));
}

/* What is left for the shares. */
static size_t
shared_memory(const CtKnn *knn)
{
	size_t		work = work_bytes_of(knn) * knn->nthreads;

	return knn->memory > work ? (knn->memory - work) / SHARES : 0;
}

static int
most_blocks(const CtKnn *knn, int queries)
{
	return queries / CT_BLOCK + knn->nthreads * BLOCKS_PER_THREAD + 1;
}

static void
create_group(Engine *engine, size_t memory)
{
	Group	   *group = &engine->group;
	CtKnn	   *knn = engine->knn;
	MemoryContext context = engine->context;
	int64		n = memory / query_bytes(knn);
	int			nblocks;
	char	   *columns;

	n = Min(n, GROUP_QUERIES);
	n = Min(n, knn->total);
	if (n > CT_BLOCK && n < knn->total)
		n -= n % CT_BLOCK;
	group->size = Max(n, 1);
	group->room = room_of(knn);
	group->queries = allocate(context, group->size, sizeof(CtKnnQuery));
	group->locations = allocate(context, group->size,
								sizeof(double) * engine->index->meta.dims);
	group->locators = allocate(context, group->size, sizeof(CtLocator));
	group->points = allocate(context, group->size, sizeof(CtCodePoint));
	group->rows = allocate(context, (size_t) group->size * group->room,
						   sizeof(CtCodeRow));
	group->uppers = allocate(context, (size_t) group->size * knn->k,
							 sizeof(double));
	group->answer = allocate(context, knn->k, sizeof(CtKnnRow));
	nblocks = most_blocks(knn, group->size);
	group->blocks = allocate(context, nblocks, sizeof(CtCodeBlock));
	memset(group->blocks, 0, sizeof(CtCodeBlock) * nblocks);
	columns = allocate_aligned(context, nblocks * column_bytes(engine->index));
	for (int b = 0; b < nblocks; b++)
		group->blocks[b].columns =
			(float *) (columns + b * column_bytes(engine->index));
}

static void
create_directory(Engine *engine, size_t memory, size_t slab)
{
	Directory  *directory = &engine->directory;
	size_t		nblocks = most_blocks(engine->knn, engine->group.size);

	directory->size = memory / (sizeof(CtCodeLink) + sizeof(CtLink) +
								2 * sizeof(uint64) * nblocks);
	directory->size = Min(directory->size, ct_block_count(engine->index));
	directory->size = Max(directory->size, 1);
	directory->links = allocate(engine->context, directory->size,
								sizeof(CtCodeLink));
	directory->where = allocate(engine->context, directory->size,
								sizeof(CtLink));
	directory->wanted = allocate(engine->context, directory->size * nblocks,
								 2 * sizeof(uint64));
	directory->limit = slab;
	directory->context = AllocSetContextCreate(engine->context,
											   "Covertree bulk search leaves",
											   ALLOCSET_DEFAULT_SIZES);
}

/* bytes of a vector in memory, and of the pair that has wanted it */
static size_t
candidate_bytes(const CtIndex *index)
{
	return TYPEALIGN(CT_LINE, index->vector_bytes) + sizeof(Pair);
}

static void
create_candidates(Engine *engine, size_t memory)
{
	size_t		n = memory / candidate_bytes(engine->index);

	engine->vector_stride = TYPEALIGN(CT_LINE, engine->index->vector_bytes);
	engine->vectors_size = engine->pairs_size = Max(n, READ_BATCH);
	engine->pairs = allocate(engine->context, engine->pairs_size, sizeof(Pair));
	engine->vectors = allocate_aligned(engine->context, engine->vectors_size *
									   engine->vector_stride);
}

static inline void *
thread_work(Engine *engine)
{
	return engine->work + engine->work_bytes * omp_get_thread_num();
}

/* -------- queries -------- */

/* Reads the locations of rows. */
static void
read_locations(Engine *engine)
{
	Group	   *group = &engine->group;
	int			dims = engine->index->meta.dims;

	for (int i = 0; i < group->n; i++)
	{
		if (i % READ_BATCH == 0)
			CHECK_FOR_INTERRUPTS();
		ct_vector_read(engine->index, group->locators[i],
					   group->locations + (size_t) i * dims);
	}
}

/* Gets the next queries; false at the end. */
static bool
next_group(Engine *engine, CtKnnSource *source)
{
	Group	   *group = &engine->group;
	int			size;

	group->n = ct_knn_source_next(source, group->size, group->queries,
								  group->locations, group->locators);
	if (group->n == 0)
		return false;
	if (engine->knn->locations == NULL)
		read_locations(engine);
	size = group->n / (engine->knn->nthreads * BLOCKS_PER_THREAD);
	size = Min(Max(TYPEALIGN(CT_CODE_LANES, size), CT_CODE_LANES), CT_BLOCK);
	group->nblocks = 0;
	for (int from = 0; from < group->n; from += size)
	{
		CtCodeBlock *block = &group->blocks[group->nblocks++];

		block->n = Min(size, group->n - from);
		block->points = group->points + from;
	}
	return true;
}

/* Says where a point is; without a frame nobody knows. */
static void
place_point(Engine *engine, CtCodePoint *point)
{
	CtBoxQuery	query;

	ct_box_query(engine->index, point->location, &query);
	ct_code_point_place(point, query.at, query.known ? query.slack : INFINITY);
}

/* Says where the points of the group are. */
static void
place_points(Engine *engine)
{
	Group	   *group = &engine->group;
	int			step = engine->knn->nthreads * PLACED_POINTS;
	bool		framed = ct_index_find_frame(engine->index);

	if (engine->origin == NULL)
	{
		size_t		bytes = sizeof(double) * engine->index->meta.dims;
		double	   *origin = allocate(engine->context, 1, bytes);

		memcpy(origin, framed ? engine->index->frame->values : group->locations,
			   bytes);
		engine->origin = origin;
	}
	for (int from = 0; from < group->n; from += step)
	{
		int			to = Min(group->n, from + step);

		CHECK_FOR_INTERRUPTS();
		/* with the frame at hand, nothing of PostgreSQL is called */
#pragma omp parallel for num_threads(engine->knn->nthreads) schedule(static) if (framed)
		for (int i = from; i < to; i++)
			place_point(engine, &group->points[i]);
	}
}

/* Forgets what the queries have found, and where they are. */
static void
begin_group(Engine *engine)
{
	Group	   *group = &engine->group;
	int			dims = engine->index->meta.dims;

	for (int i = 0; i < group->n; i++)
	{
		const CtKnnQuery *query = &group->queries[i];
		CtCodePoint *point = &group->points[i];

		ct_code_point_init(group->locations + (size_t) i * dims,
						   query->number > 0 ? CT_CODE_NO_KEY :
						   ct_knn_key(&query->index_tid, &query->index_tid),
						   engine->knn->k,
						   group->rows + (size_t) i * group->room, group->room,
						   group->uppers + (size_t) i * engine->knn->k, point);
		point->number = i;
	}
	place_points(engine);
	engine->sorted = false;
}

static void
answer_group(Engine *engine)
{
	Group	   *group = &engine->group;

	for (int i = 0; i < group->n; i++)
	{
		CtCodePoint *point = &group->points[i];

		if (i % READ_BATCH == 0)
			CHECK_FOR_INTERRUPTS();
		Assert(point->n == point->nexact);
		for (int j = 0; j < point->n; j++)
		{
			CtKnnRow   *row = &group->answer[j];
			uint64		key = point->rows[j].key;

			row->dist = point->rows[j].dist;
			row->isnull = false;
			ItemPointerSet(&row->tid, (BlockNumber) (key >> 32),
						   (OffsetNumber) (key & 0xFFFF));
		}
		ct_knn_answer(engine->knn, &group->queries[point->number], point->n,
					  group->answer);
	}
	engine->knn->report(engine->knn->arg);
}

/* -------- leaves -------- */

/* A leaf that is being read. */
typedef struct Loading
{
	Engine	   *engine;
	CtCodeLink *link;
	bool		stale;			/* it was no leaf */
} Loading;

static inline uint64
place_of(CtLocator locator)
{
	return (uint64) locator.block << 16 | locator.slot;
}

static inline CtLocator
locator_of(uint64 place)
{
	CtLocator	locator = {(BlockNumber) (place >> 16), (uint16) place, 0};

	return locator;
}

/* Copies the rows of a leaf that the snapshot sees. */
static void
load_page(void *arg, const CtNode *node, const ItemPointerData *seen)
{
	Loading    *loading = arg;
	CtIndex    *index = loading->engine->index;
	Directory  *directory = &loading->engine->directory;
	CtGridView	view;
	CtCodeLeaf *leaf;
	int			kept[CT_CODE_LEAF_ROWS];
	int			n = 0;
	size_t		bytes;

	if (node->header->height > 0)
	{
		loading->stale = true;	/* the root has grown */
		return;
	}
	for (int i = 0; i < node->header->nentries; i++)
		if (ItemPointerIsValid(&seen[i]))
			kept[n++] = i;
	if (n == 0)
		return;
	ct_leaf_grid(index, node, &view);
	bytes = ct_code_leaf_bytes(index->meta.dims, n);
	leaf = ct_code_leaf_make(allocate_aligned(directory->context, bytes),
							 index->space.kernels, &view,
							 loading->engine->origin, node->codes,
							 node->layout->capacity, node->header->nentries,
							 n, kept);
	for (int i = 0; i < n; i++)
	{
		leaf->keys[i] = ct_knn_key(&node->tids[kept[i]], &seen[kept[i]]);
		leaf->places[i] = place_of(node->locators[kept[i]]);
	}
	leaf->next = loading->link->leaf;
	loading->link->leaf = leaf;
	directory->bytes += bytes + CT_LINE;
}

static void
drop_leaves(Directory *directory)
{
	for (size_t l = 0; l < directory->n; l++)
	{
		directory->links[l].loaded = false;
		directory->links[l].leaf = NULL;
	}
	MemoryContextReset(directory->context);
	directory->bytes = 0;
}

/* Pairs of queries and links that are wanted, of one link. */
static int64
count_wanted(const Engine *engine, size_t number)
{
	int64		n = 0;

	for (int b = 0; b < engine->group.nblocks; b++)
		n += pg_popcount64(engine->group.blocks[b].wanted[number]);
	return n;
}

/*
 * Loads leaves that are wanted, from number first on, until memory is full or
 * this is work enough; *last becomes the number of the next one.  False if links
 * are stale.
 */
static bool
load_leaves(Engine *engine, size_t first, size_t *last)
{
	Directory  *directory = &engine->directory;
	double		most = REGION_WORK * engine->knn->nthreads;
	double		work = 0.0;
	size_t		l = first;

	for (; l < directory->n && work < most; l++)
	{
		Loading		loading = {engine, &directory->links[l]};
		int64		wanted = count_wanted(engine, l);

		if (wanted == 0)
			continue;
		work += (double) wanted * engine->index->leaf.capacity *
			engine->index->meta.dims;
		if (loading.link->loaded)
			continue;
		if (directory->bytes >= directory->limit)
		{
			if (work > (double) wanted * engine->index->leaf.capacity *
				engine->index->meta.dims)
				break;
			drop_leaves(directory);
		}
		if (!ct_knn_read(engine->knn, &directory->where[l], directory->height,
						 load_page, &loading) || loading.stale)
			return false;
		loading.link->loaded = true;
	}
	*last = l;
	return true;
}

/* -------- distances of candidates -------- */

/* Reads the vectors of pairs first .. until there is no room for more. */
static size_t
read_vectors(Engine *engine, size_t first)
{
	CtLocator	locators[READ_BATCH];
	void	   *vectors[READ_BATCH];
	size_t		nvectors = 0;
	int			n = 0;
	size_t		i = first;

	for (; i < engine->npairs; i++)
	{
		Pair	   *pair = &engine->pairs[i];

		if (i > first && pair->place == pair[-1].place)
		{
			pair->vector = pair[-1].vector;
			continue;
		}
		if (nvectors == engine->vectors_size)
			break;
		pair->vector = engine->vectors + nvectors++ * engine->vector_stride;
		locators[n] = locator_of(pair->place);
		vectors[n++] = (void *) pair->vector;
		if (n < READ_BATCH)
			continue;
		CHECK_FOR_INTERRUPTS();
		ct_vector_copy(engine->index, n, locators, vectors);
		n = 0;
	}
	ct_vector_copy(engine->index, n, locators, vectors);
	return i;
}

/* Computes the distances of all pairs. */
static void
compute_pairs(Engine *engine)
{
	const CtSpace *space = &engine->index->space;
	size_t		first = 0;

	sort_pairs(engine->pairs, engine->npairs);
	while (first < engine->npairs)
	{
		size_t		last = read_vectors(engine, first);
		size_t		bad = SIZE_MAX;

#pragma omp parallel for num_threads(engine->knn->nthreads) schedule(static) reduction(min:bad)
		for (size_t i = first; i < last; i++)
		{
			Pair	   *pair = &engine->pairs[i];

			pair->row->dist = space->metric->distance(space, pair->query,
													  pair->vector);
			if (isnan(pair->row->dist))
				bad = Min(bad, i);
		}
		if (bad < last)
			ct_page_corrupted(engine->index,
							  locator_of(engine->pairs[bad].place).block,
							  "A point is not finite.");
		engine->knn->distances += last - first;
		first = last;
	}
	engine->npairs = 0;
}

/* How many candidates of a point are to be settled next? */
static int
next_candidates(const CtCodePoint *point, int round)
{
	int			n = point->n - point->nexact;

	/* those that seem nearest tell which of the others are needed */
	return round == 0 ? Min(n, point->k) : n;
}

/*
 * Settles the candidates of all points, or of those that are full.  In the first
 * of two rounds these are k of each.
 */
static void
settle_round(Engine *engine, bool only_full, int round)
{
	Group	   *group = &engine->group;
	int			nthreads = engine->knn->nthreads;

#pragma omp parallel for num_threads(nthreads) schedule(dynamic, CT_CODE_LANES)
	for (int i = 0; i < group->n; i++)
	{
		CtCodePoint *point = &group->points[i];

		if (only_full && !point->full)
			continue;
		ct_code_point_tighten(point);
		if (round == 0)
			sort_rows(point->rows + point->nexact, point->n - point->nexact);
	}
	for (int i = 0; i < group->n; i++)
	{
		CtCodePoint *point = &group->points[i];
		int			n = next_candidates(point, round);

		for (int j = 0; j < n && (!only_full || point->full); j++)
		{
			Pair	   *pair = &engine->pairs[engine->npairs++];

			pair->row = &point->rows[point->nexact + j];
			pair->place = pair->row->place;
			pair->query = point->location;
			if (engine->npairs == engine->pairs_size)
				compute_pairs(engine);
		}
	}
	compute_pairs(engine);
#pragma omp parallel for num_threads(nthreads) schedule(dynamic, CT_CODE_LANES)
	for (int i = 0; i < group->n; i++)
	{
		CtCodePoint *point = &group->points[i];
		int			n = point->nexact + next_candidates(point, round);

		if (only_full && !point->full)
			continue;
		sort_rows(point->rows, n);
		ct_code_point_settle(point, n, round > 0);
	}
}

static void
settle_candidates(Engine *engine, bool only_full)
{
	for (int round = 0; round < 2; round++)
		settle_round(engine, only_full, round);
}

/* -------- a directory -------- */

static bool
any_full(const Engine *engine)
{
	for (int i = 0; i < engine->group.n; i++)
		if (engine->group.points[i].full)
			return true;
	return false;
}

/*
 * Looks at all leaves that are wanted, as many at a time as are in memory.  False
 * if links are stale.
 */
static bool
search_wanted(Engine *engine)
{
	Group	   *group = &engine->group;
	Directory  *directory = &engine->directory;
	const CtSpace *space = &engine->index->space;
	size_t		first = 0;

	while (first < directory->n)
	{
		size_t		last;

		if (!load_leaves(engine, first, &last))
			return false;
		for (;;)
		{
			CHECK_FOR_INTERRUPTS();
#pragma omp parallel for num_threads(engine->knn->nthreads) schedule(dynamic)
			for (int b = 0; b < group->nblocks; b++)
				for (size_t l = first; l < last; l++)
					if (group->blocks[b].wanted[l] != 0)
						ct_code_block_search(space, &group->blocks[b], l,
											 &directory->links[l],
											 thread_work(engine));
			if (!any_full(engine))
				break;
			settle_candidates(engine, true);
		}
		engine->knn->report(engine->knn->arg);
		first = last;
	}
	return true;
}

/* What is done with each block before its leaves are read. */
typedef enum Step
{
	STEP_NEAREST,
	STEP_COORDINATES,
	STEP_SEEDS,
	STEP_OTHERS
} Step;

static void
step_block(Engine *engine, CtCodeBlock *block, Step step)
{
	const CtSpace *space = &engine->index->space;
	const Directory *directory = &engine->directory;
	CtCodeWork *work = thread_work(engine);

	switch (step)
	{
		case STEP_NEAREST:
			ct_code_block_places(space, block);
			ct_code_block_nearest(space, block, directory->n,
								  directory->links, work);
			break;
		case STEP_COORDINATES:
			ct_code_block_places(space, block);
			ct_code_block_coordinates(block, space->dims, engine->origin);
			break;
		case STEP_SEEDS:
			ct_code_block_seeds(space, block, directory->n, directory->links,
								engine->nseeds, work);
			break;
		case STEP_OTHERS:
			ct_code_block_others(space, block, directory->n, directory->links,
								 work);
			break;
	}
}

static void
step_blocks(Engine *engine, Step step)
{
	Group	   *group = &engine->group;
	int			nthreads = engine->knn->nthreads;
	int			together = REGION_LINKS / engine->directory.n * nthreads;

	together = Max(together, nthreads);
	for (int from = 0; from < group->nblocks; from += together)
	{
		int			to = Min(group->nblocks, from + together);

		CHECK_FOR_INTERRUPTS();
#pragma omp parallel for num_threads(nthreads) schedule(dynamic)
		for (int b = from; b < to; b++)
			step_block(engine, &group->blocks[b], step);
	}
}

/*
 * Sorts points by the leaf that is nearest, so that those of a block want the
 * same leaves.  Rows of the index come in this order.
 */
static void
sort_group(Engine *engine)
{
	if (engine->knn->locations)
	{
		step_blocks(engine, STEP_NEAREST);
		sort_points(engine->group.points, engine->group.n);
	}
	step_blocks(engine, STEP_COORDINATES);
	engine->sorted = true;
}

/* Searches the leaves of the directory for the group; false as above. */
static bool
search_directory(Engine *engine)
{
	Group	   *group = &engine->group;
	Directory  *directory = &engine->directory;

	if (directory->n == 0)
		return true;
	for (int b = 0; b < group->nblocks; b++)
	{
		group->blocks[b].wanted = directory->wanted + 2 * b * directory->n;
		group->blocks[b].seeds = group->blocks[b].wanted + directory->n;
	}
	if (!engine->sorted)
		sort_group(engine);
	step_blocks(engine, STEP_SEEDS);
	if (!search_wanted(engine))
		return false;
	step_blocks(engine, STEP_OTHERS);
	return search_wanted(engine);
}

/* Forgets all links. */
static void
clear_directory(Directory *directory)
{
	drop_leaves(directory);
	directory->n = 0;
	directory->complete = false;
}

/*
 * Adds a link to the directory; one that is full is searched before.  False if
 * links are stale.
 */
static bool
add_link(Engine *engine, const CtLink *link, int height, const CtBox *box)
{
	Directory  *directory = &engine->directory;
	CtCodeLink *entry;

	if (directory->n == directory->size)
	{
		if (!search_directory(engine))
			return false;
		clear_directory(directory);
		directory->flushed = true;
	}
	directory->height = height;
	directory->where[directory->n] = *link;
	entry = &directory->links[directory->n++];
	memset(entry, 0, sizeof(CtCodeLink));
	memcpy(entry->box, box->lower, sizeof(box->lower));
	memcpy(entry->box + CT_BOX_DIMS, box->upper, sizeof(box->upper));
	return true;
}

/* The children of a link. */
typedef struct Children
{
	CtIndex    *index;
	int			height;			/* of the node; -1: not read */
	int			n;
	CtLink	   *links;
	CtBox	   *boxes;
} Children;

static void
list_children(void *arg, const CtNode *node, const ItemPointerData *seen)
{
	Children   *children = arg;
	int			n = node->header->height > 0 ? node->header->nchildren : 0;

	children->height = node->header->height;
	if (n == 0)
		return;
	children->links = children->links ?
		repalloc(children->links, sizeof(CtLink) * (children->n + n)) :
		palloc(sizeof(CtLink) * n);
	children->boxes = children->boxes ?
		repalloc(children->boxes, sizeof(CtBox) * (children->n + n)) :
		palloc(sizeof(CtBox) * n);
	for (int c = 0; c < n; c++)
	{
		children->links[children->n] = node->links[c];
		ct_box_get(children->index, node, c, &children->boxes[children->n++]);
	}
}

/* Adds all leaves behind a link of a page of height + 1; false as above. */
static bool
add_leaves(Engine *engine, const CtLink *link, int height)
{
	Children	children = {engine->index, -1};
	bool		good = ct_knn_read(engine->knn, link, height, list_children,
								   &children);

	check_stack_depth();
	if (good && height < 0 && children.height == 0)
	{
		CtBox		box;

		for (int j = 0; j < CT_BOX_DIMS; j++)
		{
			box.lower[j] = -INFINITY;
			box.upper[j] = INFINITY;
		}
		good = add_link(engine, link, height, &box);
	}
	for (int c = 0; good && c < children.n; c++)
		good = children.height == 1 ?
			add_link(engine, &children.links[c], 0, &children.boxes[c]) :
			add_leaves(engine, &children.links[c], children.height - 1);
	if (children.n > 0)
	{
		pfree(children.links);
		pfree(children.boxes);
	}
	return good;
}

/* -------- the engine -------- */

/*
 * Searches the whole index for the group.  When a page has been freed since a
 * link to it was read, what was found is forgotten.
 */
static void
search_group(Engine *engine)
{
	Directory  *directory = &engine->directory;
	CtLink		root = ct_knn_root();
	bool		good;

	do
	{
		begin_group(engine);
		good = true;
		if (!directory->complete)
		{
			clear_directory(directory);
			directory->flushed = false;
			good = add_leaves(engine, &root, -1);
			directory->complete = good && !directory->flushed;
		}
		good = good && search_directory(engine);
		if (!good)
			directory->complete = false;
	} while (!good);
	settle_candidates(engine, false);
}

/* Can the engine serve the search, and is it worth while? */
bool
ct_knn_codes_can(const CtKnn *knn)
{
	const CtIndex *index = knn->index;
	size_t		share = 0;

	if (!index->coded || knn->k > MOST_NEIGHBOURS ||
		index->leaf.capacity > CT_CODE_LEAF_ROWS)
		return false;
	if (knn->locations &&
		(knn->nqueries < QUERIES_LEAST ||
		 knn->nqueries * LEAVES_PER_QUERY < index->meta.leaf_pages))
		return false;
	share = shared_memory(knn);
	return query_bytes(knn) * CT_CODE_LANES <= share * GROUP_SHARE &&
		ct_code_leaf_bytes(index->meta.dims, index->leaf.capacity) <=
		share * SLAB_SHARE &&
		candidate_bytes(index) * READ_BATCH <= share * CANDIDATE_SHARE;
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
	engine->nseeds = seeds_of(knn);
	engine->work_bytes = TYPEALIGN(CT_LINE, work_bytes_of(knn));
	engine->work = allocate_aligned(context,
									engine->work_bytes * knn->nthreads);
	return engine;
}

/* Answers all queries. */
void
ct_knn_codes(CtKnn *knn)
{
	Engine	   *engine = create_engine(knn);
	MemoryContext old = MemoryContextSwitchTo(engine->context);
	CtKnnSource *source = ct_knn_source_open(knn);
	size_t		share = shared_memory(knn);

	ct_knn_start_threads(knn);
	create_group(engine, share * GROUP_SHARE);
	create_directory(engine, share * DIRECTORY_SHARE, share * SLAB_SHARE);
	create_candidates(engine, share * CANDIDATE_SHARE);
	while (next_group(engine, source))
	{
		search_group(engine);
		answer_group(engine);
	}
	ct_knn_source_close(source);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(engine->context);
}
