/*-------------------------------------------------------------------------
 *
 * ct_knn_columns.c
 *	  Bulk search where points stand in columns, and links have boxes.
 *
 * Queries come in windows.  All threads search for those of a window in the
 * part of the tree that is in memory; those that miss nodes wait until the
 * main thread has loaded these, and are asked again from the start: most of
 * them need nothing then, for their neighbours in the window have asked for
 * the same.  When memory is full, the leaves make way for others.
 *
 * IDENTIFICATION
 *	  src/tree/ct_knn_columns.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <omp.h>

#include "portability/instr_time.h"
#include "utils/memutils.h"

#include "ct_knn_tree.h"

/* a query with more neighbours is a scan of its own */
#define MOST_NEIGHBOURS 16384

/*
 * Queries of a window: so many that all threads are busy for long, and so few
 * that their answers are still in the processor's cache when they are handed
 * on; and where memory is short.
 */
#define WINDOW_ANSWERS	262144
#define WINDOW_MOST		32768
#define WINDOW_LEAST	16

/*
 * Fewer answers than these are left to one thread: where others use the
 * processor too, threads wait for each other for milliseconds.
 */
#define SHARED_ANSWERS	8192

/* queries that a thread takes at once */
#define TURN			8

/* how long threads run before the main one looks after interrupts, in ms */
#define REGION_TIME		40.0

/* distances computed by a thread between two looks at the clock */
#define CLOCK_DISTANCES 50000

/* a query that was asked so often goes without others' company */
#define MOST_TRIES		12

/* a page is worth loading for so many queries, wherever they are */
#define QUERIES_PER_PAGE 2

/* with room for fewer leaves than these, scans are cheaper */
#define LEAVES_LEAST	64

/* nodes that a thread asks for at once */
#define WANTED_NODES	4096

typedef struct Window
{
	int			size;
	int			n;
	CtKnnQuery *queries;
	double	   *locations;
	CtLocator  *locators;		/* not used */
	CtKnnRow   *rows;			/* k for each */
	int		   *nrows;			/* found; -1: not answered yet */
	uint8	   *tries;
	int		   *pending;		/* numbers of those */
	int			npending;
} Window;

/* Where the next row is, when rows in memory are the queries. */
typedef struct RowCursor
{
	uint32		node;
	const CtKnnPart *part;		/* or NULL: the node's first */
	int			block;
	int			row;
} RowCursor;

typedef struct Engine
{
	CtKnn	   *knn;
	CtKnnTree  *tree;
	CtKnnSource *source;		/* or NULL: all rows, which are in memory */
	RowCursor	cursor;
	CtKnnWorker *workers;		/* one a thread */
	Window		window;
	int			together;		/* queries that are asked together */
	int64		answered;		/* when leaves were dropped last */
	bool		scratch_full;	/* a worker needs more memory */
	bool		threads;		/* have been started */
} Engine;

/* -------- threads -------- */

static void
create_workers(Engine *engine)
{
	CtKnn	   *knn = engine->knn;

	engine->workers = palloc0(sizeof(CtKnnWorker) * knn->nthreads);
	for (int i = 0; i < knn->nthreads; i++)
	{
		CtKnnWorker *worker = &engine->workers[i];

		worker->tree = engine->tree;
		worker->k = (int) knn->k + (knn->locations == NULL);
		worker->dist = palloc(sizeof(double) * ct_knn_found_size(worker->k));
		worker->keys = palloc(sizeof(CtKnnKey) * ct_knn_found_size(worker->k));
		worker->sorted = palloc(sizeof(CtKnnFound) *
								ct_knn_found_size(worker->k));
		worker->branches_size = 256;
		worker->branches = palloc(sizeof(CtKnnBranch) * worker->branches_size);
		worker->queue = palloc(sizeof(CtKnnItem) * worker->branches_size);
		worker->squares_size = 8192;
		worker->squares = palloc(sizeof(double) * worker->squares_size);
		worker->order = palloc(sizeof(uint16) * worker->squares_size);
		worker->wanted_size = WANTED_NODES;
		worker->wanted = palloc(sizeof(uint32) * WANTED_NODES);
		worker->wanted_squares = palloc(sizeof(double) * WANTED_NODES);
	}
}

/* Gives the workers twice the room for branches. */
static void
enlarge_workers(Engine *engine)
{
	for (int i = 0; i < engine->knn->nthreads; i++)
	{
		CtKnnWorker *worker = &engine->workers[i];

		worker->branches_size *= 2;
		worker->branches = repalloc_huge(worker->branches,
										 sizeof(CtKnnBranch) * worker->branches_size);
		worker->queue = repalloc_huge(worker->queue,
									  sizeof(CtKnnItem) * worker->branches_size);
		worker->squares_size *= 2;
		worker->squares = repalloc_huge(worker->squares,
										sizeof(double) * worker->squares_size);
		worker->order = repalloc_huge(worker->order,
									  sizeof(uint16) * worker->squares_size);
	}
	engine->scratch_full = false;
}

/* Is it time for the main thread to look after interrupts? */
static bool
is_time(instr_time since)
{
	instr_time	now;

	if (InterruptPending)
		return true;
	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, since);
	return INSTR_TIME_GET_MILLISEC(now) >= REGION_TIME;
}

/* Asks a query of the window; in any thread. */
static CtKnnOutcome
ask(Engine *engine, CtKnnWorker *worker, int i)
{
	const CtKnn *knn = engine->knn;
	Window	   *window = &engine->window;
	const CtKnnQuery *query = &window->queries[i];
	CtKnnKey	self = query->number > 0 ? CT_KNN_NO_KEY :
		ct_knn_key(&query->index_tid, &query->index_tid);

	CtKnnOutcome outcome;

	outcome = ct_knn_search(worker,
							window->locations + (size_t) i * knn->index->meta.dims,
							self, window->rows + (size_t) i * knn->k,
							&window->nrows[i]);
	if (outcome == CT_KNN_MISSING)
		window->tries[i]++;
	return outcome;
}

/* Asks the first n queries that are pending, each once, as far as time permits. */
static void
ask_together(Engine *engine, int n, bool shared)
{
	Window	   *window = &engine->window;
	bool		stop = false;
	bool		full = false;
	instr_time	start;

	INSTR_TIME_SET_CURRENT(start);
#pragma omp parallel num_threads(engine->knn->nthreads) if (shared) reduction(||:full)
	{
		CtKnnWorker *worker = &engine->workers[omp_get_thread_num()];
		int64		looked = worker->distances;

#pragma omp for schedule(dynamic, TURN)
		for (int i = 0; i < n; i++)
		{
			bool		stopped;

#pragma omp atomic read
			stopped = stop;
			if (stopped)
				continue;
			full |= ask(engine, worker, window->pending[i]) == CT_KNN_FULL;
			if (worker->distances - looked < CLOCK_DISTANCES &&
				!InterruptPending)
				continue;
			looked = worker->distances;
			if (is_time(start))
			{
#pragma omp atomic write
				stop = true;
			}
		}
	}
	engine->scratch_full = full;
}

/*
 * The same, by all threads if it is worth while.  Of queries that stay without
 * an answer nrows stays -1.  The first time threads are started, without waiting
 * for them to be there: so this time the main one, too, sees no signal until it
 * is time to look after interrupts.
 */
static void
ask_all(Engine *engine, int n)
{
	const CtKnn *knn = engine->knn;
	bool		shared = knn->nthreads > 1 &&
		n * (knn->k + 10) >= SHARED_ANSWERS;
	sigset_t	before;

	if (!shared || engine->threads)
	{
		ask_together(engine, n, shared);
		return;
	}
	ct_knn_own_threads();
	engine->threads = true;
	ct_threads_block(&before);
	ask_together(engine, n, true);
	ct_threads_unblock(&before);
}

/* -------- the window -------- */

static void
create_window(Engine *engine, Size memory)
{
	Window	   *window = &engine->window;
	const CtKnn *knn = engine->knn;
	int			dims = knn->index->meta.dims;
	Size		bytes = sizeof(CtKnnRow) * knn->k +
		sizeof(CtKnnQuery) + sizeof(double) * dims + 2 * sizeof(int) + 1;
	Size		size = memory / bytes;

	size = Min(size, WINDOW_ANSWERS / knn->k);
	window->size = Max(WINDOW_LEAST, Min(size, WINDOW_MOST));
	window->queries = palloc(sizeof(CtKnnQuery) * window->size);
	window->locations = palloc(sizeof(double) * dims * window->size);
	window->locators = palloc(sizeof(CtLocator) * window->size);
	window->rows = MemoryContextAllocHuge(CurrentMemoryContext,
										  sizeof(CtKnnRow) * knn->k *
										  window->size);
	window->nrows = palloc(sizeof(int) * window->size);
	window->tries = palloc(window->size);
	window->pending = palloc(sizeof(int) * window->size);

	/* at first, as if each wanted a leaf of its own */
	engine->together = Max(1, Min(window->size, engine->tree->limit / BLCKSZ));
}

/* Makes a query of a row in memory. */
static void
query_of_row(const CtIndex *index, const CtKnnPart *part, int block, int row,
			 CtKnnQuery *query, double *location)
{
	CtKnnKey	key = part->keys[block * CT_KNN_BLOCK + row];
	size_t		at = (size_t) block * CT_KNN_BLOCK * index->meta.dims + row;

	query->number = 0;
	ItemPointerSet(&query->index_tid, key >> 32, (key >> 16) & 0xFFFF);
	query->tid = ct_knn_seen(key);
	for (int j = 0; j < index->meta.dims; j++)
		location[j] = index->space.element == CT_ELEMENT_FLOAT8 ?
			((const double *) part->points)[at + j * CT_KNN_BLOCK] :
			((const float *) part->points)[at + j * CT_KNN_BLOCK];
}

/* Takes the next rows in memory into the window; returns their number. */
static int
take_rows(Engine *engine)
{
	const CtIndex *index = engine->knn->index;
	const CtKnnTree *tree = engine->tree;
	Window	   *window = &engine->window;
	RowCursor  *cursor = &engine->cursor;
	int			n = 0;

	while (n < window->size && cursor->node < tree->nnodes)
	{
		const CtKnnPart *part = cursor->part ? cursor->part :
			tree->nodes[cursor->node].parts;

		if (part && part->leaf && cursor->block < part->n)
		{
			cursor->part = part;
			query_of_row(index, part, cursor->block, cursor->row,
						 &window->queries[n],
						 &window->locations[(size_t) n * index->meta.dims]);
			n++;
			if (++cursor->row < part->counts[cursor->block])
				continue;
			cursor->row = 0;
			cursor->block++;
			continue;
		}
		cursor->block = 0;
		cursor->part = part ? part->next : NULL;
		if (cursor->part == NULL)
			cursor->node++;
	}
	return n;
}

/* Takes the next queries into the window; false if there are none. */
static bool
fill_window(Engine *engine)
{
	Window	   *window = &engine->window;

	if (engine->source)
		window->n = ct_knn_source_next(engine->source, window->size,
									   window->queries, window->locations,
									   window->locators);
	else
		window->n = take_rows(engine);
	window->npending = window->n;
	for (int i = 0; i < window->n; i++)
	{
		window->pending[i] = i;
		window->nrows[i] = -1;
		window->tries[i] = 0;
	}
	return window->n > 0;
}

/*
 * Hands on the answers that there are, and lets queries that were asked too
 * often go their own way.
 */
static void
harvest(Engine *engine)
{
	CtKnn	   *knn = engine->knn;
	Window	   *window = &engine->window;
	int			left = 0;

	for (int p = 0; p < window->npending; p++)
	{
		int			i = window->pending[p];

		if (window->nrows[i] >= 0)
			ct_knn_answer(knn, &window->queries[i], window->nrows[i],
						  window->rows + i * knn->k);
		else if (window->tries[i] > MOST_TRIES)
			ct_knn_one_by_one(knn, &window->queries[i],
							  window->locations + i * knn->index->meta.dims);
		else
			window->pending[left++] = i;
	}
	window->npending = left;
}

/* -------- loading -------- */

/*
 * Drops all leaves.  If that has been of little use last time, fewer queries
 * are asked together from now on, which want less.
 */
static void
make_room(Engine *engine)
{
	CtKnnTree  *tree = engine->tree;
	int64		answered = engine->knn->answered - engine->answered;

	if (answered < engine->together)
		engine->together = Max(engine->together / 2, 1);
	engine->answered = engine->knn->answered;
	ct_knn_tree_drop_leaves(tree);
	if (tree->bytes < tree->limit / 2)
		return;
	/* links alone are too many */
	ct_knn_tree_clear(tree);
	for (int t = 0; t < engine->knn->nthreads; t++)
		engine->workers[t].nwanted = 0;
}

/*
 * Loads what the workers have asked for, as far as memory permits.  When they
 * want nothing, more queries may be asked together.
 */
static void
load_wanted(Engine *engine)
{
	CtKnnTree  *tree = engine->tree;
	bool		full = false;
	int			wanted = 0;

	for (int t = 0; t < engine->knn->nthreads; t++)
		wanted += engine->workers[t].nwanted;
	if (wanted == 0)
	{
		engine->together = Min(engine->together * 2, engine->window.size);
		return;
	}

	if (tree->bytes >= tree->limit)
		make_room(engine);
	for (int t = 0; t < engine->knn->nthreads; t++)
	{
		CtKnnWorker *worker = &engine->workers[t];

		for (int i = 0; i < worker->nwanted && !full; i++)
		{
			if (tree->nodes[worker->wanted[i]].loaded)
				continue;
			if (!ct_knn_tree_load(tree, worker->wanted[i]))
			{
				ct_knn_tree_clear(tree);
				full = true;
			}
			else
				full = tree->bytes >= tree->limit;
		}
		worker->nwanted = 0;
	}
}

/*
 * Loads everything, when that fits into memory and is wanted by so many queries.
 * False if there is something missing: what is there is good all the same.
 */
static bool
load_all(Engine *engine, int64 queries)
{
	CtKnnTree  *tree = engine->tree;
	Size		pages = ct_block_count(engine->knn->index);

	if (queries < (int64) pages * QUERIES_PER_PAGE ||
		pages * BLCKSZ * 2 > tree->limit)
		return false;
	for (uint32 i = 0; i < tree->nnodes; i++)
	{
		if (tree->bytes >= tree->limit)
			return false;
		if (!ct_knn_tree_load(tree, i))
		{
			ct_knn_tree_clear(tree);
			return false;
		}
		engine->knn->report(engine->knn->arg);
	}
	return true;
}

/*
 * Opens the source of queries.  When all rows are in memory, each of them once,
 * these are the list of all rows.
 */
static void
open_source(Engine *engine)
{
	CtKnn	   *knn = engine->knn;
	CtKnnTree  *tree = engine->tree;

	if (knn->locations)
	{
		engine->source = ct_knn_source_open(knn);
		load_all(engine, knn->nqueries);
		return;
	}
	if (!load_all(engine, PG_INT64_MAX) || tree->mismatch)
	{
		engine->source = ct_knn_source_open(knn);
		return;
	}
	for (uint32 i = 0; i < tree->nnodes; i++)
		for (const CtKnnPart *part = tree->nodes[i].parts; part;
			 part = part->next)
			for (int b = 0; part->leaf && b < part->n; b++)
				knn->total += part->counts[b];
}

/* -------- the engine -------- */

static void
answer_window(Engine *engine)
{
	CtKnn	   *knn = engine->knn;

	while (engine->window.npending > 0)
	{
		if (engine->tree->mismatch)
			memset(engine->window.tries, MOST_TRIES + 1, engine->window.n);
		else
			ask_all(engine, Min(engine->window.npending, engine->together));
		CHECK_FOR_INTERRUPTS();
		for (int t = 0; t < knn->nthreads; t++)
		{
			knn->distances += engine->workers[t].distances;
			engine->workers[t].distances = 0;
		}
		if (engine->scratch_full)
			enlarge_workers(engine);
		harvest(engine);
		load_wanted(engine);
		knn->report(knn->arg);
	}
}

/* Can this engine answer the queries? */
bool
ct_knn_columns_can(const CtKnn *knn)
{
	return !knn->index->external && knn->index->box_dims > 0 &&
		knn->k <= MOST_NEIGHBOURS &&
		knn->memory / 4 * 3 >= LEAVES_LEAST * BLCKSZ &&
		(size_t) knn->k * sizeof(CtKnnRow) * WINDOW_LEAST <= knn->memory / 4;
}

/* Answers all queries. */
void
ct_knn_columns(CtKnn *knn)
{
	Engine		engine = {knn};
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "Bulk search",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	engine.tree = ct_knn_tree_create(knn, knn->memory / 4 * 3);
	open_source(&engine);
	create_workers(&engine);
	create_window(&engine, knn->memory / 8);
	while (fill_window(&engine))
		answer_window(&engine);
	if (engine.source)
		ct_knn_source_close(engine.source);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}
