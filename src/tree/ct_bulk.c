/*-------------------------------------------------------------------------
 *
 * ct_bulk.c
 *	  Building a cover tree from all rows at once, in memory.
 *
 * Top-down: a range of rows with a pivot is opened by a net of the next level
 * that divides it (farthest-first traversal), which leaves the range of the
 * pivot itself and one for each new pivot; these are opened in turn until
 * they are small enough to be cells.  Rows are permuted so that every subtree
 * is one range, its pivot first, and the order of the rows is that of a walk
 * through the tree.
 *
 * OpenMP threads share the work: ct_grow.c tells who opens which range,
 * ct_range.c has the threads that open one together look at pieces of it.  No
 * thread but the main one calls PostgreSQL, and the result does not depend on
 * the number of threads.  ct_pack.c cuts the tree into pages.
 *
 * More rows than fit the memory go to disk as they come, and ct_divide.c has
 * trees of parts of them built here one after the other.
 *
 * IDENTIFICATION
 *	  src/tree/ct_bulk.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <omp.h>

#include "utils/memutils.h"

#include "ct_bulk.h"


/* nodes measured between two checks for interrupts */
#define TASK_BATCH		256

/* rows measured by one thread at once */
#define RADIUS_BLOCK	1024

/* rows expanded between two checks for interrupts, and by one thread at once */
#define EXPAND_BATCH	16384
#define EXPAND_BLOCK	256

/* rows that other processes have read, taken by one thread at once */
#define STORE_BLOCK		4096

/* memory touched by one thread at once, and no more than a page of it */
#define TOUCH_BLOCK		1048576
#define TOUCH_STEP		4096

/* Memory for nodes, here and in ct_pack.c, per row of those that share it. */
#define NODE_BYTES_PER_ROW	12

/* A tree of fewer rows is not worth its pages, however large the rows. */
#define MIN_LIMIT	128

/*
 * What a row takes in memory at the time when most is in use: the vector and
 * the working arrays; where there are many dimensions also its sketch, and in a
 * residual index its location and its part in a basis.
 */
static Size
bytes_per_row(const CtBulk *bulk)
{
	Size		base = bulk->index->vector_bytes + sizeof(ItemPointerData);
	Size		arrays = 2 * sizeof(double) + 2 * sizeof(uint32) +
		sizeof(uint16);

	return base + NODE_BYTES_PER_ROW + arrays +
		(bulk->index->coded ? sizeof(double) * bulk->index->box_dims : 0) +
		(bulk->index->space.model ? bulk->arriving + CT_BASIS_BYTES_PER_ROW : 0);
}

/*
 * Threads that do what so many workers and their leader would do.  Where they
 * take all processors there is one more of them: OpenMP then lets threads
 * sleep, not spin, while they wait for each other, which on a busy machine
 * would take time from those that they wait for.
 */
static int
count_threads(int nworkers)
{
	int			nprocs = omp_get_num_procs();

	if (nworkers == 0 || nprocs == 1)
		return 1;
	return Min(nworkers + 1, nprocs) + (nworkers + 1 >= nprocs);
}

/*
 * Starts a build.  About `expected` rows will come, if that is known, else 0;
 * memory that is set aside for more than do come is not touched.
 */
CtBulk *
ct_bulk_begin(CtIndex *index, Size memory, int nworkers, double expected,
			  bool even)
{
	CtBulk	   *bulk = palloc0(sizeof(CtBulk));

	bulk->index = index;
	bulk->context = CurrentMemoryContext;
	bulk->tree_context = AllocSetContextCreate(CurrentMemoryContext,
											   "Cover tree in memory",
											   ALLOCSET_DEFAULT_SIZES);
	bulk->nthreads = count_threads(nworkers);
	bulk->large_range = index->space.model ?
		CT_LARGE_RECORDS : CT_LARGE_RANGE;
	bulk->even = even;
	bulk->memory = memory;
	bulk->element_size = ct_element_size(index->space.element);
	bulk->arriving = index->space.model ? sizeof(double) * index->meta.dims :
		index->vector_bytes;
	bulk->arrival = palloc(bulk->arriving);
	if (index->space.model)
		memory -= memory / CT_LANDMARKS_SHARE;
	bulk->limit = Max(memory / bytes_per_row(bulk), MIN_LIMIT);
	bulk->limit = Min(bulk->limit, PG_INT32_MAX / 2);
	ct_threads_start(bulk->nthreads);
	ct_bulk_start(bulk, Min(bulk->limit, Max(expected, 1024)));
	return bulk;
}

void
ct_bulk_phase(const CtBulk *bulk, int phase)
{
	if (bulk->phase)
		bulk->phase(phase);
}

/* -------- gathering rows -------- */

/*
 * Has all threads touch memory that will be filled by one of them, so that they
 * share the kernel's work of providing it.
 */
static void
touch(const CtBulk *bulk, char *memory, size_t bytes)
{
	if (bulk->nthreads == 1 || bytes < TOUCH_BLOCK)
		return;
#pragma omp parallel for num_threads(bulk->nthreads) schedule(dynamic)
	for (size_t from = 0; from < bytes; from += TOUCH_BLOCK)
		for (size_t at = from; at < Min(from + TOUCH_BLOCK, bytes);
			 at += TOUCH_STEP)
			memory[at] = 0;
}

/*
 * Memory of the tree for many rows, nearly all of which will be used.  Large
 * pages save most of the kernel's work of providing it, and of the processor's
 * of finding rows that are reordered.
 */
static void *
allocate_rows(const CtBulk *bulk, Size bytes)
{
	void	   *memory = MemoryContextAllocHuge(bulk->tree_context, bytes);

	ct_prefer_large_pages(memory, bytes);
	return memory;
}

/* Makes room for size rows, of which there are none yet. */
void
ct_bulk_start(CtBulk *bulk, size_t size)
{
	char	   *rows = allocate_rows(bulk, size * bulk->arriving);

	bulk->n = 0;
	bulk->size = size;
	if (bulk->index->space.model)
		bulk->locations = (double *) rows;
	else if (bulk->index->external)
		bulk->vectors = rows;
	else
		bulk->columns = rows;
	bulk->tids = allocate_rows(bulk, size * sizeof(ItemPointerData));
	touch(bulk, rows, size * bulk->arriving);
	touch(bulk, (char *) bulk->tids, size * sizeof(ItemPointerData));
}

/* Makes room for twice the rows, as far as they fit. */
static void
grow(CtBulk *bulk)
{
	size_t		old = bulk->size;
	size_t		size = Min(old * 2, bulk->limit);
	size_t		bytes = size * bulk->arriving;
	size_t		element = bulk->element_size;

	bulk->size = size;
	bulk->tids = repalloc_huge(bulk->tids, size * sizeof(ItemPointerData));
	if (bulk->locations)
		bulk->locations = repalloc_huge(bulk->locations, bytes);
	else if (bulk->vectors)
		bulk->vectors = repalloc_huge(bulk->vectors, bytes);
	else
	{
		bulk->columns = repalloc_huge(bulk->columns, bytes);
		for (int j = bulk->index->meta.dims; j-- > 1;)
			memmove(bulk->columns + j * size * element,
					bulk->columns + j * old * element, bulk->n * element);
	}
}

/*
 * Puts a row, in the form in which it arrives, aligned or not, to its place.  In
 * any thread.
 */
static void
store_row(const CtBulk *bulk, size_t row, const char *vector,
		  const ItemPointerData *tid)
{
	int			dims = bulk->index->meta.dims;

	bulk->tids[row] = *tid;
	if (bulk->locations)
		memcpy((char *) bulk->locations + row * bulk->arriving, vector,
			   bulk->arriving);
	else if (bulk->vectors)
		memcpy(bulk->vectors + row * bulk->arriving, vector, bulk->arriving);
	else if (bulk->element_size == sizeof(double))
		for (int j = 0; j < dims; j++)
			memcpy((double *) bulk->columns + j * bulk->size + row,
				   vector + j * sizeof(double), sizeof(double));
	else
		for (int j = 0; j < dims; j++)
			memcpy((float *) bulk->columns + j * bulk->size + row,
				   vector + j * sizeof(float), sizeof(float));
}

/* Takes a row in the form in which it arrives.  There must be room. */
void
ct_bulk_store(CtBulk *bulk, const char *vector, const ItemPointerData *tid)
{
	store_row(bulk, bulk->n++, vector, tid);
}

static void
swap_bytes(char *a, char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		char		byte = a[i];

		a[i] = b[i];
		b[i] = byte;
	}
}

/* Makes a row gathered the first one, which will be the root's pivot. */
void
ct_bulk_swap_first(CtBulk *bulk, size_t row)
{
	ItemPointerData tid = bulk->tids[0];
	size_t		element = bulk->element_size;
	char	   *rows = bulk->locations ? (char *) bulk->locations :
		bulk->vectors;

	if (row == 0)
		return;
	bulk->tids[0] = bulk->tids[row];
	bulk->tids[row] = tid;
	if (rows)
		swap_bytes(rows, rows + row * bulk->arriving, bulk->arriving);
	else
		for (int j = 0; j < bulk->index->meta.dims; j++)
			swap_bytes(bulk->columns + j * bulk->size * element,
					   bulk->columns + (j * bulk->size + row) * element,
					   element);
}

/* Copies a row gathered, in the form in which it arrived. */
static const char *
gathered_row(const CtBulk *bulk, size_t row)
{
	size_t		element = bulk->element_size;

	if (bulk->locations)
		return (char *) bulk->locations + row * bulk->arriving;
	if (bulk->vectors)
		return bulk->vectors + row * bulk->arriving;
	for (int j = 0; j < bulk->index->meta.dims; j++)
		memcpy(bulk->arrival + j * element,
			   bulk->columns + (j * bulk->size + row) * element, element);
	return bulk->arrival;
}

/* Makes the frame of the index of a sample of the rows gathered. */
static void
make_frame(CtBulk *bulk)
{
	CtIndex    *index = bulk->index;
	int			dims = index->meta.dims;
	size_t		n = Min(bulk->n, CT_FRAME_SAMPLE);
	double	   *points = palloc(sizeof(double) * dims * n);
	double	   *work = palloc(sizeof(double) * CT_FRAME_DIRECTIONS * n);
	CtFrame    *frame = palloc(ct_frame_bytes(dims));

	for (size_t i = 0; i < n; i++)
	{
		const char *vector = gathered_row(bulk, i * bulk->n / n);
		double	   *point = points + i * dims;

		for (int j = 0; j < dims; j++)
			point[j] = bulk->element_size == sizeof(double) ?
				((const double *) vector)[j] : ((const float *) vector)[j];
	}
	ct_frame_fit(frame, dims, n, points, work);
	ct_index_install_frame(index, frame);
	pfree(frame);
	pfree(work);
	pfree(points);
}

/* There are more rows than fit: moves those gathered to disk. */
static void
start_spool(CtBulk *bulk)
{
	MemoryContext old = MemoryContextSwitchTo(bulk->context);

	if (bulk->index->coded)
		make_frame(bulk);

	bulk->spool = ct_spool_create(bulk->arriving, ct_divide_extent(bulk));
	for (size_t i = 0; i < bulk->n; i++)
		ct_spool_add(bulk->spool, &bulk->spooled, gathered_row(bulk, i),
					 &bulk->tids[i]);
	ct_bulk_reset(bulk);
	MemoryContextSwitchTo(old);
}

/* Frees all that belongs to the tree in memory. */
void
ct_bulk_reset(CtBulk *bulk)
{
	MemoryContextReset(bulk->tree_context);
	bulk->n = bulk->size = bulk->nnodes = 0;
	bulk->tids = NULL;
	bulk->locations = NULL;
	bulk->vectors = bulk->columns = NULL;
	bulk->order = bulk->target = NULL;
	bulk->dist = bulk->scratch = NULL;
	bulk->owner = NULL;
	bulk->nodes = NULL;
}

/* Adds a row; vector is its coordinates in the form in which rows arrive. */
void
ct_bulk_add(CtBulk *bulk, const void *vector, const ItemPointerData *tid)
{
	if (bulk->n == bulk->limit && bulk->spool == NULL)
		start_spool(bulk);
	if (bulk->spool)
	{
		ct_spool_add(bulk->spool, &bulk->spooled, vector, tid);
		return;
	}
	if (bulk->n == bulk->size)
		grow(bulk);
	ct_bulk_store(bulk, vector, tid);
}

/* Puts rows [from, to) of runs to their places, in any thread. */
static void
store_runs(const CtBulk *bulk, const CtGatherRun *runs, int nruns,
		   size_t from, size_t to)
{
	size_t		record_bytes = ct_gather_record_bytes(bulk->arriving);
	int			low = 0;
	int			high = nruns - 1;

	/* the run of the first of them */
	while (low < high)
	{
		int			middle = low + (high - low + 1) / 2;

		if (runs[middle].first <= from)
			low = middle;
		else
			high = middle - 1;
	}
	for (const CtGatherRun *run = &runs[low]; from < to; run++)
	{
		size_t		end = Min(run->first + run->n, to);

		for (; from < end; from++)
		{
			const char *record = run->records +
				(from - run->first) * record_bytes;

			store_row(bulk, bulk->n + from, record, (const ItemPointerData *)
					  (record + bulk->arriving));
		}
	}
}

/* Adds rows that several processes have read; all threads take part. */
void
ct_bulk_add_runs(CtBulk *bulk, int nruns, const CtGatherRun *runs)
{
	size_t		n = runs[nruns - 1].first + runs[nruns - 1].n;
	size_t		record_bytes = ct_gather_record_bytes(bulk->arriving);

	if (bulk->spool || bulk->n + n > bulk->size)
	{
		for (int r = 0; r < nruns; r++)
			for (size_t i = 0; i < runs[r].n; i++)
			{
				const char *record = runs[r].records + i * record_bytes;

				ct_bulk_add(bulk, record, (const ItemPointerData *)
							(record + bulk->arriving));
			}
		return;
	}
#pragma omp parallel for num_threads(bulk->nthreads) schedule(dynamic)
	for (size_t from = 0; from < n; from += STORE_BLOCK)
		store_runs(bulk, runs, nruns, from, Min(from + STORE_BLOCK, n));
	bulk->n += n;
}

/* -------- ranges of rows -------- */

/* The space whose distances shape the tree, for rows as they are stored. */
const CtSpace *
ct_bulk_shape(const CtBulk *bulk)
{
	return bulk->index->space.model ? &bulk->index->shape :
		&bulk->index->space;
}

/* The space in which radii are measured, likewise. */
const CtSpace *
ct_bulk_cover(const CtBulk *bulk)
{
	return bulk->index->space.model ? &bulk->index->cover :
		&bulk->index->space;
}

/* The record of a row of a residual index, or another vector of doubles. */
const double *
ct_bulk_record(const CtBulk *bulk, size_t row)
{
	return (const double *) (bulk->vectors +
							 bulk->order[row] * bulk->index->vector_bytes);
}

void
ct_bulk_point(const CtBulk *bulk, size_t row, double *point)
{
	int			size = bulk->index->point_size;
	bool		f8 = bulk->index->space.element == CT_ELEMENT_FLOAT8;

	if (bulk->columns == NULL && f8)
	{
		memcpy(point, ct_bulk_record(bulk, row), sizeof(double) * size);
		return;
	}
	for (int j = 0; j < size; j++)
	{
		const char *from = bulk->columns ?
			bulk->columns + (j * bulk->size + row) * bulk->element_size :
			bulk->vectors + bulk->order[row] * bulk->index->vector_bytes +
			j * bulk->element_size;

		point[j] = f8 ? *(const double *) from : *(const float *) from;
	}
}

/*
 * Orders k points (of size elements) so that neighbours in the list are
 * neighbours in space, the first staying first: rank[p] is the place of point
 * p.  The Euclidean distance of their coordinates will do for any metric.
 */
void
ct_bulk_chain(const CtSpace *space, int k, size_t size, const double *points,
			  int *rank)
{
	int			current = 0;

	for (int p = 0; p < k; p++)
		rank[p] = -1;
	rank[0] = 0;
	for (int place = 1; place < k; place++)
	{
		int			next = -1;
		double		best = 0.0;

		for (int p = 1; p < k; p++)
		{
			double		d;

			if (rank[p] >= 0)
				continue;
			d = space->kernels->l2_f64(points + current * size,
									   points + p * size, space->dims);
			if (next < 0 || d < best)
			{
				next = p;
				best = d;
			}
		}
		rank[next] = place;
		current = next;
	}
}

/* Prepares the working arrays. */
static void
start_tree(CtBulk *bulk)
{
	size_t		n = bulk->n;
	double	   *query = palloc(sizeof(double) * bulk->index->point_size);

	bulk->order = allocate_rows(bulk, n * sizeof(uint32));
	bulk->target = allocate_rows(bulk, n * sizeof(uint32));
	bulk->dist = allocate_rows(bulk, n * sizeof(double));
	bulk->scratch = allocate_rows(bulk, n * sizeof(double));
	bulk->owner = allocate_rows(bulk, n * sizeof(uint16));
	ct_range_start(bulk, query);
	pfree(query);
}

void
ct_bulk_out_of_memory(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

/* Computes the records of all rows of a residual index. */
static void
expand_rows(CtBulk *bulk)
{
	CtIndex    *index = bulk->index;
	const CtModel *model = index->space.model;
	const CtKernelTable *kernels = index->space.kernels;
	size_t		n = bulk->n;
	size_t		size = index->point_size;
	int			dims = index->meta.dims;
	double	   *records;
	double	   *work;
	size_t		work_size = ct_model_work_size(model) + 8;
	double		least = model->variance + model->nugget;

	records = allocate_rows(bulk, n * index->vector_bytes);
	work = MemoryContextAllocHuge(bulk->tree_context,
								  sizeof(double) * work_size * bulk->nthreads);
	for (size_t from = 0; from < n; from += EXPAND_BATCH)
	{
		size_t		to = Min(from + EXPAND_BATCH, n);

		CHECK_FOR_INTERRUPTS();
#pragma omp parallel for num_threads(bulk->nthreads) schedule(dynamic) reduction(min:least)
		for (size_t i = from; i < to; i += EXPAND_BLOCK)
		{
			size_t		end = Min(i + EXPAND_BLOCK, to);

			ct_model_expand(model, kernels, end - i,
							bulk->locations + i * dims, records + i * size,
							work + work_size * omp_get_thread_num());
			for (size_t j = i; j < end; j++)
				least = Min(least, records[j * size + dims]);
		}
	}
	pfree(work);
	bulk->vectors = (char *) records;
	ct_meta_lower_variance(index, least);
	ct_index_follow_variance(index);
}

/* Where the rows of each node's subtree end; children by parent. */
typedef struct Family
{
	size_t	   *end;
	size_t	   *first_child;	/* 0: none, for the root is nobody's child */
	size_t	   *next;
} Family;

static void
find_families(CtBulk *bulk, Family *family)
{
	size_t		n = bulk->nnodes;

	family->end = MemoryContextAllocHuge(bulk->tree_context,
										 sizeof(size_t) * n);
	family->next = MemoryContextAllocHuge(bulk->tree_context,
										  sizeof(size_t) * n);
	family->first_child = MemoryContextAllocExtended(bulk->tree_context,
													 sizeof(size_t) * n,
													 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (size_t i = 0; i < n; i++)
		family->end[i] = bulk->nodes[i].first + bulk->nodes[i].n;
	for (size_t i = n; i-- > 1;)
	{
		size_t		parent = bulk->nodes[i].parent;

		family->end[parent] = Max(family->end[parent], family->end[i]);
		family->next[i] = family->first_child[parent];
		family->first_child[parent] = i;
	}
}

/*
 * Cover radii of one node, and of what it kept after each step.  After a step
 * the node kept the rows before the first child of that step.  Returns false
 * when out of memory.
 */
static bool
measure_node(CtBulk *bulk, const Family *family, size_t number)
{
	CtIndex    *index = bulk->index;
	CtBulkNode *node = &bulk->nodes[number];
	size_t		rows = family->end[number] - node->first;
	const double *pivot = ct_bulk_record(bulk, node->first);
	double	   *radius = malloc(sizeof(double) * (rows + 1));	/* of so many rows */

	if (radius == NULL)
		return false;
	radius[0] = 0.0;
	ct_range_deciding_distances(bulk, &index->cover, pivot, node->first, rows,
								radius + 1);
	for (size_t i = 0; i < rows; i++)
		radius[i + 1] = Max(radius[i], radius[i + 1]);
	node->self_radius = ct_radius_up(&index->cover, radius[node->n]);
	node->top_radius = ct_radius_up(&index->cover, radius[rows]);
	for (size_t c = family->first_child[number]; c != 0; c = family->next[c])
	{
		size_t		kept = bulk->nodes[c].first - node->first;

		for (size_t s = family->first_child[number]; s != 0; s = family->next[s])
			if (bulk->nodes[s].step == bulk->nodes[c].step)
				kept = Min(kept, bulk->nodes[s].first - node->first);
		bulk->nodes[c].parent_radius = ct_radius_up(&index->cover, radius[kept]);
	}
	free(radius);
	return true;
}

/*
 * Where the tree was shaped by another distance than the one that radii are
 * measured in: measures them.
 */
static void
measure_radii(CtBulk *bulk)
{
	Family		family;
	bool		failed = false;

	find_families(bulk, &family);
	for (size_t from = 0; from < bulk->nnodes && !failed; from += TASK_BATCH)
	{
		size_t		to = Min(from + TASK_BATCH, bulk->nnodes);

		CHECK_FOR_INTERRUPTS();
#pragma omp parallel for num_threads(bulk->nthreads) schedule(dynamic) reduction(||:failed)
		for (size_t i = from; i < to; i++)
			failed = !measure_node(bulk, &family, i) || failed;
	}
	if (failed)
		ct_bulk_out_of_memory();
	pfree(family.end);
	pfree(family.next);
	pfree(family.first_child);
}

/* Builds the tree of the rows gathered. */
void
ct_bulk_build(CtBulk *bulk)
{
	if (bulk->locations)
	{
		ct_bulk_phase(bulk, CT_PHASE_FEATURES);
		expand_rows(bulk);
	}
	ct_bulk_phase(bulk, CT_PHASE_TREE);
	if (bulk->index->coded && bulk->index->frame == NULL)
		make_frame(bulk);
	start_tree(bulk);
	ct_grow_nodes(bulk);
	if (!bulk->index->shape_is_cover)
	{
		ct_bulk_phase(bulk, CT_PHASE_RADII);
		measure_radii(bulk);
	}
	pfree(bulk->target);
	pfree(bulk->scratch);
	pfree(bulk->owner);
}

/* A radius around a point that covers all rows of the tree. */
double
ct_bulk_radius(const CtBulk *bulk, const double *point)
{
	const CtSpace *space = ct_bulk_cover(bulk);
	double		largest = 0.0;

#pragma omp parallel for num_threads(bulk->nthreads) schedule(dynamic) reduction(max:largest)
	for (size_t from = 0; from < bulk->n; from += RADIUS_BLOCK)
	{
		size_t		n = Min(RADIUS_BLOCK, bulk->n - from);
		double		dist[RADIUS_BLOCK];

		if (bulk->columns)
			space->metric->distances(space, point,
									 bulk->columns + from * bulk->element_size,
									 bulk->size, n, dist);
		else
			for (size_t i = 0; i < n; i++)
				dist[i] = ct_cover_distance(space, point, bulk->vectors +
											(from + i) * bulk->index->vector_bytes);
		for (size_t i = 0; i < n; i++)
			largest = Max(largest, dist[i]);
	}
	return ct_radius_up(space, largest);
}

/* Builds and writes the tree; phase is called when a phase begins. */
void
ct_bulk_finish(CtBulk *bulk, void (*phase) (int))
{
	bulk->phase = phase;
	if (bulk->spool)
		ct_divide(bulk);
	else if (bulk->n > 0)
	{
		CtPack	   *pack = ct_pack_begin(bulk);

		ct_bulk_build(bulk);
		ct_pack_tree(pack, NULL);
		ct_pack_end(pack);
	}
}

/* Ends the threads and frees the rows. */
void
ct_bulk_end(CtBulk *bulk)
{
	ct_threads_stop();
	ct_bulk_reset(bulk);
	pfree(bulk);
}
