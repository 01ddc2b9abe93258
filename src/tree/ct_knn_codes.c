/*-------------------------------------------------------------------------
 *
 * ct_knn_codes.c
 *	  Bulk search where leaves have codes: Euclidean points of more than
 *	  CT_BOX_DIMS dimensions.
 *
 * Queries come in groups, of blocks of 64.  For them the tree is a list of links
 * to leaves with boxes, as many at a time as there is room for (ct_knn_links.c).
 * A group goes through these in two rounds.  The first looks at the leaves
 * nearest to each query, so that the second, which looks at all leaves in reach,
 * knows how near a row must be.  Rows that codes do not rule out (ct_code_block.h)
 * become candidates.  At the end, or when there is no room for more, their
 * vectors are read, and distances computed (ct_knn_settle.c).
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

#include <omp.h>

#include "utils/memutils.h"

#include "ct_knn_codes.h"

/* most queries of a group */
#define GROUP_QUERIES		4096

/* shares of the memory, in eighths; threads' work areas come off first */
#define SHARES				8
#define GROUP_SHARE			3
#define LEAF_SHARE			3
#define LINK_SHARE		1
#define CANDIDATE_SHARE		1

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

/* threads share the work on so many products of coordinates, or boxes */
#define SHARED_PRODUCTS		2e7
#define SHARED_BOXES		20000

/* points that a thread places between two checks for interrupts */
#define PLACED_POINTS		1024

/* blocks and links of a thread likewise, when boxes are looked at */
#define REGION_LINKS		200000

/* blocks for each thread, unless they would be smaller than vectors */
#define BLOCKS_PER_THREAD	4

#define ST_SORT			sort_points
#define ST_ELEMENT_TYPE CtCodePoint
#define ST_COMPARE(a, b) \
	((a)->nearest != (b)->nearest ? (a)->nearest - (b)->nearest : \
	 (a)->number - (b)->number)
#define ST_SCOPE		static
#define ST_DEFINE
#include "lib/sort_template.h"

/* -------- memory -------- */

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

/* that next_group() can make of so many queries */
static int
most_blocks(const CtKnn *knn, int queries)
{
	return Min(queries / CT_BLOCK + knn->nthreads * BLOCKS_PER_THREAD,
			   queries / CT_CODE_LANES) + 1;
}

static void
create_group(CtCodes *engine, size_t memory)
{
	CtCodesGroup *group = &engine->group;
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
	group->queries = ct_allocate(context, group->size, sizeof(CtKnnQuery));
	group->locations = ct_allocate(context, group->size,
								   sizeof(double) * engine->index->meta.dims);
	group->locators = ct_allocate(context, group->size, sizeof(CtLocator));
	group->points = ct_allocate(context, group->size, sizeof(CtCodePoint));
	group->rows = ct_allocate(context, (size_t) group->size * group->room,
							  sizeof(CtCodeRow));
	group->uppers = ct_allocate(context, (size_t) group->size * knn->k,
								sizeof(double));
	group->answer = ct_allocate(context, knn->k, sizeof(CtKnnRow));
	nblocks = most_blocks(knn, group->size);
	group->blocks = ct_allocate(context, nblocks, sizeof(CtCodeBlock));
	memset(group->blocks, 0, sizeof(CtCodeBlock) * nblocks);
	columns = ct_allocate_lines(context, nblocks * column_bytes(engine->index));
	for (int b = 0; b < nblocks; b++)
		group->blocks[b].columns =
			(float *) (columns + b * column_bytes(engine->index));
}

static inline void *
thread_work(CtCodes *engine)
{
	return engine->work + engine->work_bytes * omp_get_thread_num();
}

/* -------- queries -------- */

/* Reads the locations of rows. */
static void
read_locations(CtCodes *engine)
{
	CtCodesGroup *group = &engine->group;
	int			dims = engine->index->meta.dims;

	for (int i = 0; i < group->n; i++)
	{
		if (i % CT_READ_BATCH == 0)
			CHECK_FOR_INTERRUPTS();
		ct_vector_read(engine->index, group->locators[i],
					   group->locations + (size_t) i * dims);
	}
}

/* Gets the next queries; false at the end. */
static bool
next_group(CtCodes *engine, CtKnnSource *source)
{
	CtCodesGroup *group = &engine->group;
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
place_point(CtCodes *engine, CtCodePoint *point)
{
	CtBoxQuery	query;

	ct_box_query(engine->index, point->location, &query);
	ct_code_point_place(point, query.at, query.known ? query.slack : INFINITY);
}

/* Says where the points of the group are. */
static void
place_points(CtCodes *engine)
{
	CtCodesGroup *group = &engine->group;
	int			step = engine->knn->nthreads * PLACED_POINTS;
	bool		framed = ct_index_find_frame(engine->index);

	if (engine->origin == NULL)
	{
		size_t		bytes = sizeof(double) * engine->index->meta.dims;
		double	   *origin = ct_allocate(engine->context, 1, bytes);

		memcpy(origin, framed ? engine->index->frame->values : group->locations,
			   bytes);
		engine->origin = origin;
	}
	for (int from = 0; from < group->n; from += step)
	{
		int			to = Min(group->n, from + step);

		CHECK_FOR_INTERRUPTS();
		/* with the frame at hand, nothing of PostgreSQL is called */
#pragma omp parallel for num_threads(engine->knn->nthreads) schedule(static) if (framed && group->n >= CT_SHARED_POINTS)
		for (int i = from; i < to; i++)
			place_point(engine, &group->points[i]);
	}
}

/* Forgets what the queries have found, and where they are. */
static void
begin_group(CtCodes *engine)
{
	CtCodesGroup *group = &engine->group;
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
answer_group(CtCodes *engine)
{
	CtCodesGroup *group = &engine->group;

	for (int i = 0; i < group->n; i++)
	{
		CtCodePoint *point = &group->points[i];

		if (i % CT_READ_BATCH == 0)
			CHECK_FOR_INTERRUPTS();
		Assert(point->n == point->nexact);
		for (int j = 0; j < point->n; j++)
			group->answer[j] = ct_knn_neighbour(point->rows[j].key,
												point->rows[j].dist);
		ct_knn_answer(engine->knn, &group->queries[point->number], point->n,
					  group->answer);
	}
	engine->knn->report(engine->knn->arg);
}

/* -------- links that are known -------- */

static bool
any_full(const CtCodes *engine)
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
search_wanted(CtCodes *engine)
{
	CtCodesGroup *group = &engine->group;
	CtCodesLinks *links = &engine->links;
	const CtSpace *space = &engine->index->space;
	size_t		first = 0;

	while (first < links->n)
	{
		size_t		last;
		double		work;

		if (!ct_codes_load_leaves(engine, first, &last, &work))
			return false;
		for (;;)
		{
			CHECK_FOR_INTERRUPTS();
#pragma omp parallel for num_threads(engine->knn->nthreads) schedule(dynamic) if (work >= SHARED_PRODUCTS)
			for (int b = 0; b < group->nblocks; b++)
				for (size_t l = first; l < last; l++)
					if (group->blocks[b].wanted[l] != 0)
						ct_code_block_search(space, &group->blocks[b], l,
											 &links->entries[l],
											 thread_work(engine));
			if (!any_full(engine))
				break;
			ct_codes_settle(engine, true);
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
step_block(CtCodes *engine, CtCodeBlock *block, Step step)
{
	const CtSpace *space = &engine->index->space;
	const CtCodesLinks *links = &engine->links;
	CtCodeWork *work = thread_work(engine);

	switch (step)
	{
		case STEP_NEAREST:
			ct_code_block_places(space, block);
			ct_code_block_nearest(space, block, links->n,
								  links->entries, work);
			break;
		case STEP_COORDINATES:
			ct_code_block_places(space, block);
			ct_code_block_coordinates(block, space->dims, engine->origin);
			break;
		case STEP_SEEDS:
			ct_code_block_seeds(space, block, links->n, links->entries,
								engine->nseeds, work);
			break;
		case STEP_OTHERS:
			ct_code_block_others(space, block, links->n, links->entries,
								 work);
			break;
	}
}

static void
step_blocks(CtCodes *engine, Step step)
{
	CtCodesGroup *group = &engine->group;
	int			nthreads = engine->knn->nthreads;
	int			together = REGION_LINKS / engine->links.n * nthreads;

	bool		shared = group->nblocks * engine->links.n >= SHARED_BOXES;

	together = Max(together, nthreads);
	for (int from = 0; from < group->nblocks; from += together)
	{
		int			to = Min(group->nblocks, from + together);

		CHECK_FOR_INTERRUPTS();
#pragma omp parallel for num_threads(nthreads) schedule(dynamic) if (shared)
		for (int b = from; b < to; b++)
			step_block(engine, &group->blocks[b], step);
	}
}

/*
 * Sorts points by the leaf that is nearest, so that those of a block want the
 * same leaves.  Rows of the index come in this order.
 */
static void
sort_group(CtCodes *engine)
{
	if (engine->knn->locations)
	{
		step_blocks(engine, STEP_NEAREST);
		sort_points(engine->group.points, engine->group.n);
	}
	step_blocks(engine, STEP_COORDINATES);
	engine->sorted = true;
}

/* Searches what is behind these links for the group; false as above. */
bool
ct_codes_search_links(CtCodes *engine)
{
	CtCodesGroup *group = &engine->group;
	CtCodesLinks *links = &engine->links;

	if (links->n == 0)
		return true;
	for (int b = 0; b < group->nblocks; b++)
	{
		group->blocks[b].wanted = links->wanted + 2 * b * links->n;
		group->blocks[b].seeds = group->blocks[b].wanted + links->n;
	}
	if (!engine->sorted)
		sort_group(engine);
	step_blocks(engine, STEP_SEEDS);
	if (!search_wanted(engine))
		return false;
	step_blocks(engine, STEP_OTHERS);
	return search_wanted(engine);
}

/* -------- the engine -------- */

/*
 * Searches the whole index for the group.  When a page has been freed since a
 * link to it was read, what was found is forgotten.
 */
static void
search_group(CtCodes *engine)
{
	CtCodesLinks *links = &engine->links;
	bool		good;

	do
	{
		begin_group(engine);
		good = (links->complete || ct_codes_walk_links(engine)) &&
			ct_codes_search_links(engine);
		if (!good)
			links->complete = false;
	} while (!good);
	ct_codes_settle(engine, false);
}

/* Can the engine serve the search, and is it worth while? */
bool
ct_knn_codes_can(const CtKnn *knn)
{
	const CtIndex *index = knn->index;
	size_t		share;

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
		share * LEAF_SHARE &&
		ct_codes_candidate_bytes(index) * CT_READ_BATCH <=
		share * CANDIDATE_SHARE;
}

static CtCodes *
create_engine(CtKnn *knn)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "Covertree bulk search",
												  ALLOCSET_DEFAULT_SIZES);
	CtCodes    *engine = MemoryContextAllocZero(context, sizeof(CtCodes));

	engine->context = context;
	engine->knn = knn;
	engine->index = knn->index;
	engine->nseeds = seeds_of(knn);
	engine->work_bytes = TYPEALIGN(CT_CACHE_LINE, work_bytes_of(knn));
	engine->work = ct_allocate_lines(context,
									 engine->work_bytes * knn->nthreads);
	return engine;
}

/* Answers all queries. */
void
ct_knn_codes(CtKnn *knn)
{
	CtCodes    *engine = create_engine(knn);
	MemoryContext old = MemoryContextSwitchTo(engine->context);
	CtKnnSource *source = ct_knn_source_open(knn);
	size_t		share = shared_memory(knn);

	ct_knn_start_threads(knn);
	create_group(engine, share * GROUP_SHARE);
	ct_codes_create_links(engine, share * LINK_SHARE, share * LEAF_SHARE,
						  most_blocks(knn, engine->group.size));
	ct_codes_create_pairs(engine, share * CANDIDATE_SHARE);
	while (next_group(engine, source))
	{
		search_group(engine);
		answer_group(engine);
	}
	ct_knn_source_close(source);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(engine->context);
}
