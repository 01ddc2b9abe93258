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
 * OpenMP threads share the work: large ranges are opened one by one, their
 * distances computed in parallel; small ranges are opened each by one thread.
 * No thread but the main one calls PostgreSQL, and the result does not depend
 * on the number of threads.  ct_pack.c cuts the tree into pages.
 *
 * Rows beyond the memory limit are inserted one by one after the tree of the
 * first ones has been written.
 *
 * IDENTIFICATION
 *	  src/tree/ct_bulk.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <omp.h>
#include <signal.h>

#include "utils/memutils.h"

#include "ct_bulk.h"

/* ranges of more rows than this are opened by all threads together */
#define SHARED_RANGE	65536

/*
 * Rows for a pivot where distances are residual ones: in these spaces most
 * points are far from each other, so nets have no end, and each pivot costs
 * every scan a distance, while rows are told apart by projection bounds.
 */
#define RESIDUAL_CELL	32

/* rows that are asked whether a net is possible */
#define NET_SAMPLE		256

/* ranges opened between two checks for interrupts */
#define TASK_BATCH		256

/* rows expanded between two checks for interrupts, and by one thread at once */
#define EXPAND_BATCH	16384
#define EXPAND_BLOCK	256

/* a growing list of nodes that threads can use without PostgreSQL */
typedef struct NodeList
{
	CtBulkNode *nodes;
	size_t		n;
	size_t		size;
	bool		failed;			/* out of memory */
} NodeList;

static CtBulkNode *
add_node(NodeList *list)
{
	if (list->n == list->size)
	{
		size_t		size = list->size ? 2 * list->size : 64;
		CtBulkNode *nodes = realloc(list->nodes, size * sizeof(CtBulkNode));

		if (nodes == NULL)
		{
			list->failed = true;
			return NULL;
		}
		list->nodes = nodes;
		list->size = size;
	}
	memset(&list->nodes[list->n], 0, sizeof(CtBulkNode));
	return &list->nodes[list->n++];
}

CtBulk *
ct_bulk_begin(CtIndex *index, Size memory, int nthreads)
{
	CtBulk	   *bulk = palloc0(sizeof(CtBulk));
	bool		residual = index->space.model != NULL;
	Size		arriving = residual ? sizeof(double) * index->meta.dims :
		index->vector_bytes;
	Size		per_row = index->vector_bytes + sizeof(ItemPointerData) +
		3 * sizeof(double) + 2 * sizeof(uint32) + sizeof(uint16) +
		(residual ? arriving : 0);
	char	   *rows;

	bulk->index = index;
	bulk->context = CurrentMemoryContext;
	bulk->row_context = AllocSetContextCreate(CurrentMemoryContext,
											  "Cover tree build row context",
											  ALLOCSET_DEFAULT_SIZES);
	bulk->nthreads = nthreads;
	bulk->limit = Max(memory / per_row, 1024);
	bulk->limit = Min(bulk->limit, PG_INT32_MAX / 2);
	bulk->size = Min(bulk->limit, 1024);
	rows = MemoryContextAllocHuge(CurrentMemoryContext, bulk->size * arriving);
	if (residual)
		bulk->locations = (double *) rows;
	else
		bulk->vectors = rows;
	bulk->tids = MemoryContextAllocHuge(CurrentMemoryContext,
										bulk->size * sizeof(ItemPointerData));
	return bulk;
}

/* -------- ranges of rows -------- */

/* The space whose distances shape the tree, for rows as they are stored. */
const CtSpace *
ct_bulk_shape(const CtBulk *bulk)
{
	return bulk->index->space.model ? &bulk->index->shape :
		&bulk->index->space;
}

/* The record of a row of a residual index. */
const double *
ct_bulk_record(const CtBulk *bulk, size_t row)
{
	return (const double *) (bulk->vectors +
							 bulk->order[row] * bulk->index->vector_bytes);
}

/* Squared distance of two records' places, in lengthscales. */
static double
place_distance(const CtModel *model, const double *x, const double *y)
{
	const double *lengthscale = ct_model_lengthscale(model);
	double		sum = 0.0;

	for (int j = 0; j < (int) model->dims; j++)
	{
		double		d = (x[j] - y[j]) / lengthscale[j];

		sum += d * d;
	}
	return sum;
}

/*
 * Shape distances of a row to rows [first, first + n), or by_place those of
 * their places.
 */
static void
range_distances(const CtBulk *bulk, const double *query, size_t first,
				size_t n, bool by_place, double *dist)
{
	const CtSpace *space = ct_bulk_shape(bulk);

	if (by_place)
		for (size_t i = 0; i < n; i++)
			dist[i] = place_distance(space->model, query,
									 ct_bulk_record(bulk, first + i));
	else if (bulk->columns)
		space->metric->distances(space, query,
								 bulk->columns + first * bulk->element_size,
								 bulk->n, n, dist);
	else
		for (size_t i = 0; i < n; i++)
			dist[i] = ct_cover_distance(space, query,
										bulk->vectors + bulk->order[first + i] *
										bulk->index->vector_bytes);
}

void
ct_bulk_point(const CtBulk *bulk, size_t row, double *point)
{
	int			size = bulk->index->point_size;
	bool		f8 = bulk->index->space.element == CT_ELEMENT_FLOAT8;

	for (int j = 0; j < size; j++)
	{
		const char *from = bulk->columns ?
			bulk->columns + (j * bulk->n + row) * bulk->element_size :
			bulk->vectors + bulk->order[row] * bulk->index->vector_bytes +
			j * bulk->element_size;

		point[j] = f8 ? *(const double *) from : *(const float *) from;
	}
}

/*
 * Reorders rows [first, first + n) so that those of owner 0 come first, then
 * owner 1 and so on, the pivots leading.  rank[owner] is the place of the
 * owner in the new order; start[] receives where each place begins.  target
 * and scratch are as long as the range.
 */
static void
range_permute(CtBulk *bulk, size_t first, size_t n, int k, const int *rank,
			  const uint32 *pivots, size_t *start)
{
	size_t	   *fill = malloc(sizeof(size_t) * (k + 1));
	uint32	   *target = bulk->target + first;
	const uint16 *owner = bulk->owner + first;
	int			dims = bulk->index->meta.dims;

	memset(start, 0, sizeof(size_t) * (k + 1));
	for (size_t i = 0; i < n; i++)
		start[rank[owner[i]] + 1]++;
	for (int p = 0; p < k; p++)
		start[p + 1] += start[p];
	for (int p = 0; p < k; p++)
		fill[p] = start[p] + 1; /* the pivot's place stays free */
	for (size_t i = 0; i < n; i++)
	{
		int			p = rank[owner[i]];

		target[i] = i == pivots[owner[i]] ? start[p] : fill[p]++;
	}
	free(fill);

	if (bulk->columns)
		for (int j = 0; j < dims; j++)
		{
			if (bulk->element_size == sizeof(double))
			{
				double	   *column = (double *) bulk->columns + j * bulk->n + first;
				double	   *scratch = bulk->scratch + first;

				for (size_t i = 0; i < n; i++)
					scratch[target[i]] = column[i];
				memcpy(column, scratch, n * sizeof(double));
			}
			else
			{
				float	   *column = (float *) bulk->columns + j * bulk->n + first;
				float	   *scratch = (float *) (bulk->scratch + first);

				for (size_t i = 0; i < n; i++)
					scratch[target[i]] = column[i];
				memcpy(column, scratch, n * sizeof(float));
			}
		}
	{
		uint32	   *order = bulk->order + first;
		uint32	   *scratch = (uint32 *) (bulk->scratch + first);
		double	   *dist = bulk->dist + first;

		for (size_t i = 0; i < n; i++)
			scratch[target[i]] = order[i];
		memcpy(order, scratch, n * sizeof(uint32));
		for (size_t i = 0; i < n; i++)
			bulk->scratch[first + target[i]] = dist[i];
		memcpy(dist, bulk->scratch + first, n * sizeof(double));
	}
}

/* Takes over a new pivot's distances; returns the farthest row left. */
static size_t
range_update(CtBulk *bulk, size_t first, size_t n, int number, size_t pivot)
{
	double	   *dist = bulk->dist + first;
	const double *fresh = bulk->scratch + first;
	uint16	   *owner = bulk->owner + first;
	double		largest = -1.0;
	size_t		far = 0;

	for (size_t i = 0; i < n; i++)
	{
		if (fresh[i] < dist[i] || i == pivot)
		{
			dist[i] = fresh[i];
			owner[i] = number;
		}
		if (dist[i] > largest)
		{
			largest = dist[i];
			far = i;
		}
	}
	return far;
}

/* The same over all threads, when the range is large. */
static size_t
range_add_pivot(CtBulk *bulk, size_t first, size_t n, int number,
				size_t pivot, double *query, bool shared, bool by_place)
{
	ct_bulk_point(bulk, first + pivot, query);
	if (shared)
	{
		int			parts = 64;
		size_t		far[64];
		size_t		best;

#pragma omp parallel for num_threads(bulk->nthreads) schedule(dynamic)
		for (int part = 0; part < parts; part++)
		{
			size_t		from = n / parts * part;
			size_t		to = part == parts - 1 ? n : n / parts * (part + 1);

			range_distances(bulk, query, first + from, to - from, by_place,
							bulk->scratch + first + from);
			far[part] = from + range_update(bulk, first + from, to - from,
											number, pivot - from);
		}
		best = far[0];
		for (int part = 1; part < parts; part++)
			if (bulk->dist[first + far[part]] > bulk->dist[first + best])
				best = far[part];
		return best;
	}
	range_distances(bulk, query, first, n, by_place, bulk->scratch + first);
	return range_update(bulk, first, n, number, pivot);
}

/*
 * Orders pivots so that neighbours in the list are neighbours in space.  The
 * Euclidean distance of their coordinates will do for any metric.
 */
static void
chain_pivots(CtBulk *bulk, size_t first, int k, const uint32 *pivots,
			 int *rank, double *work)
{
	int			dims = bulk->index->meta.dims;
	int			size = bulk->index->point_size;
	double	   *points = work;
	int			current = 0;
	const CtKernelTable *kernels = bulk->index->space.kernels;

	for (int p = 0; p < k; p++)
	{
		ct_bulk_point(bulk, first + pivots[p], points + (size_t) p * size);
		rank[p] = -1;
	}
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
			d = kernels->l2_f64(points + (size_t) current * size,
								points + (size_t) p * size, dims);
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

static double
range_radius(const CtBulk *bulk, size_t first, size_t n)
{
	double		largest = 0.0;

	for (size_t i = 0; i < n; i++)
		largest = Max(largest, bulk->dist[first + i]);
	return ct_radius_up(ct_bulk_shape(bulk), largest);
}

/*
 * Could a net of a range have at most limit points?  Asked of residual
 * distances, of which a sample tells: where most points are far from each
 * other, it takes all of them.
 */
static bool
net_fits(const CtBulk *bulk, size_t first, size_t n, double reach, int limit)
{
	const CtSpace *space = ct_bulk_shape(bulk);
	size_t		net[NET_SAMPLE];
	int			nnet = 0;
	int			sample = Min(n, NET_SAMPLE);

	for (int i = 0; i < sample; i++)
	{
		size_t		row = first + (size_t) i * n / sample;
		bool		covered = false;

		for (int j = 0; j < nnet && !covered; j++)
			covered = ct_cover_distance(space, ct_bulk_record(bulk, net[j]),
										ct_bulk_record(bulk, row)) <= reach;
		if (covered)
			continue;
		if (nnet >= limit)
			return false;
		net[nnet++] = row;
	}
	return true;
}

/*
 * Opens the range of a node.  Appends nodes for the new pivots to the list
 * and shrinks the node's own range.  Returns false when the node is a cell.
 * bulk->dist holds the distances of the rows to the node's pivot.
 */
static bool
open_range(CtBulk *bulk, NodeList *list, size_t number, bool shared)
{
	CtIndex    *index = bulk->index;
	const CtSpace *space = &index->shape;
	CtBulkNode *node = &list->nodes[number];
	size_t		first = node->first;
	size_t		n = node->n;
	size_t		far = 0;
	int			level;
	double		reach;
	int			limit;
	int			k = 1;
	uint32	   *pivots;
	int		   *rank;
	size_t	   *start;
	double	   *work;
	int			flags = 0;
	int			step;
	bool		by_place;

	if (n <= ct_cell_rows(index))
		return false;
	for (size_t i = 1; i < n; i++)
		if (bulk->dist[first + i] > bulk->dist[first + far])
			far = i;
	if (bulk->dist[first + far] == 0.0)
		return false;			/* copies of one point */

	level = ct_level_of(space, bulk->dist[first + far]) - 1;
	reach = ct_level_radius(space, level);
	limit = Min(n / (index->space.model ? RESIDUAL_CELL : 2),
				index->routing.capacity / CT_OPEN_SHARE);
	limit = Max(limit, 2);
	pivots = malloc(sizeof(uint32) * (limit + 1));
	rank = malloc(sizeof(int) * (limit + 1));
	start = malloc(sizeof(size_t) * (limit + 2));
	work = malloc(sizeof(double) * index->point_size * (limit + 1));
	if (!pivots || !rank || !start || !work)
	{
		list->failed = true;
		return false;
	}

	memset(bulk->owner + first, 0, sizeof(uint16) * n);
	pivots[0] = 0;
	by_place = index->shape.model && !net_fits(bulk, first, n, reach, limit);
	if (by_place)
	{
		reach = 0.0;
		far = range_add_pivot(bulk, first, n, 0, 0, work, shared, true);
		for (size_t i = 0; i < n; i++)
		{
			bulk->dist[first + i] = bulk->scratch[first + i];
			if (bulk->dist[first + i] > bulk->dist[first + far])
				far = i;
		}
	}
	while (bulk->dist[first + far] > reach && k < limit)
	{
		pivots[k] = far;
		far = range_add_pivot(bulk, first, n, k, far, work, shared, by_place);
		k++;
	}
	if (by_place || bulk->dist[first + far] > reach)
	{
		/*
		 * A net would have too many points.  The pivots found so far serve as
		 * intermediate ones: the rows are grouped around them.  Where residual
		 * distances say nothing, rows are grouped by place: what bases are
		 * made of, and distances further down, are about neighbours in space.
		 */
		flags = CT_ENTRY_GROUP;
		level = CT_LEVEL_ZERO;
	}

	chain_pivots(bulk, first, k, pivots, rank, work);
	range_permute(bulk, first, n, k, rank, pivots, start);
	for (int p = 0; by_place && p < k; p++)
	{
		ct_bulk_point(bulk, first + start[p], work);
		range_distances(bulk, work, first + start[p], start[p + 1] - start[p],
						false, bulk->dist + first + start[p]);
	}
	free(work);
	free(pivots);

	step = ++list->nodes[number].nsteps;
	list->nodes[number].n = start[1];
	list->nodes[number].self_radius = range_radius(bulk, first, start[1]);
	for (int p = 1; p < k; p++)
	{
		CtBulkNode *child = add_node(list);

		if (child == NULL)
			break;
		child->parent = number;
		child->first = first + start[p];
		child->n = start[p + 1] - start[p];
		child->step = step;
		child->parent_radius = list->nodes[number].self_radius;
		child->flags = flags;
		child->top_radius = range_radius(bulk, child->first, child->n);
		child->self_radius = child->top_radius;
		child->level = flags ? ct_level_of(space, child->top_radius) : level;
	}
	free(rank);
	free(start);
	return !list->failed;
}

/* Opens everything below (and in) node 0 of a list. */
static void
open_all(CtBulk *bulk, NodeList *list)
{
	for (size_t i = 0; i < list->n && !list->failed; i++)
		while (open_range(bulk, list, i, false))
			 /* until it is a cell */ ;
}

static int
compare_nodes(const void *a, const void *b)
{
	const CtBulkNode *left = a;
	const CtBulkNode *right = b;

	/* ranges of cells do not overlap */
	return left->first < right->first ? -1 : left->first > right->first;
}

/* Sorts nodes into the order of their cells and adjusts parent numbers. */
static void
sort_nodes(CtBulk *bulk, NodeList *list)
{
	size_t	   *place;

	bulk->nodes = MemoryContextAllocHuge(bulk->context,
										 sizeof(CtBulkNode) * list->n);
	bulk->nnodes = list->n;
	for (size_t i = 0; i < list->n; i++)
		list->nodes[i].number = i;
	memcpy(bulk->nodes, list->nodes, sizeof(CtBulkNode) * list->n);
	qsort(bulk->nodes, list->n, sizeof(CtBulkNode), compare_nodes);
	place = MemoryContextAllocHuge(bulk->context, sizeof(size_t) * list->n);
	for (size_t i = 0; i < list->n; i++)
		place[bulk->nodes[i].number] = i;
	for (size_t i = 0; i < list->n; i++)
		bulk->nodes[i].parent = place[bulk->nodes[i].parent];
	pfree(place);
}

/* Prepares columns (or an order of vectors) and the working arrays. */
static void
start_tree(CtBulk *bulk)
{
	CtIndex    *index = bulk->index;
	size_t		n = bulk->n;
	double	   *query = palloc(sizeof(double) * index->point_size);

	bulk->element_size = ct_element_size(index->space.element);
	bulk->order = MemoryContextAllocHuge(bulk->context, n * sizeof(uint32));
	for (size_t i = 0; i < n; i++)
		bulk->order[i] = i;
	bulk->target = MemoryContextAllocHuge(bulk->context, n * sizeof(uint32));
	bulk->dist = MemoryContextAllocHuge(bulk->context, n * sizeof(double));
	bulk->scratch = MemoryContextAllocHuge(bulk->context, n * sizeof(double));
	bulk->owner = MemoryContextAllocHuge(bulk->context, n * sizeof(uint16));
	if (!index->external)
	{
		int			dims = index->meta.dims;
		size_t		size = bulk->element_size;
		char	   *columns = MemoryContextAllocHuge(bulk->context,
													 n * index->vector_bytes);

		for (size_t i = 0; i < n; i++)
			for (int j = 0; j < dims; j++)
				memcpy(columns + (j * n + i) * size,
					   bulk->vectors + (i * dims + j) * size, size);
		pfree(bulk->vectors);
		bulk->vectors = NULL;
		bulk->columns = columns;
	}
	ct_bulk_point(bulk, 0, query);
	range_distances(bulk, query, 0, n, false, bulk->dist);
	pfree(query);
}

/* Opens all ranges; fills bulk->nodes. */
static void
build_nodes(CtBulk *bulk)
{
	NodeList	list = {0};
	NodeList   *parts;
	size_t		nlarge = 0;
	bool		failed;
	CtBulkNode *root;
	root = add_node(&list);
	if (root == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	root->n = bulk->n;
	root->top_radius = root->self_radius = range_radius(bulk, 0, bulk->n);
	root->level = ct_level_of(&bulk->index->shape, root->top_radius);

	PG_TRY();
	{
		for (size_t i = 0; i < list.n && !list.failed; i++)
			while (list.nodes[i].n > SHARED_RANGE &&
				   open_range(bulk, &list, i, true))
				CHECK_FOR_INTERRUPTS();
		nlarge = list.n;
		failed = list.failed;
		parts = palloc0(sizeof(NodeList) * nlarge);

		for (size_t from = 0; from < nlarge && !failed; from += TASK_BATCH)
		{
			size_t		to = Min(from + TASK_BATCH, nlarge);

			CHECK_FOR_INTERRUPTS();
#pragma omp parallel for num_threads(bulk->nthreads) schedule(dynamic)
			for (size_t i = from; i < to; i++)
			{
				CtBulkNode *own = add_node(&parts[i]);

				if (own == NULL)
					continue;
				*own = list.nodes[i];
				open_all(bulk, &parts[i]);
			}
		}
		for (size_t i = 0; i < nlarge; i++)
		{
			size_t		base = list.n;

			failed |= parts[i].failed;
			if (failed)
				continue;
			list.nodes[i] = parts[i].nodes[0];
			for (size_t j = 1; j < parts[i].n; j++)
			{
				CtBulkNode *node = add_node(&list);

				if (node == NULL)
				{
					failed = true;
					break;
				}
				*node = parts[i].nodes[j];
				node->parent = node->parent == 0 ? i : base + node->parent - 1;
			}
		}
		for (size_t i = 0; i < nlarge; i++)
			free(parts[i].nodes);
		if (failed || list.failed)
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
		sort_nodes(bulk, &list);
	}
	PG_FINALLY();
	{
		free(list.nodes);
	}
	PG_END_TRY();
}

/*
 * Starts the threads, which leave signals to the main one.  ct_pack() is the
 * last to need them.
 */
static void
start_threads(CtBulk *bulk)
{
	sigset_t	all;
	sigset_t	before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
#pragma omp parallel num_threads(bulk->nthreads)
	{
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
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

	records = MemoryContextAllocHuge(bulk->context, n * index->vector_bytes);
	work = MemoryContextAllocHuge(bulk->context,
								  sizeof(double) * work_size * bulk->nthreads);
	for (size_t from = 0; from < n; from += EXPAND_BATCH)
	{
		size_t		to = Min(from + EXPAND_BATCH, n);

		CHECK_FOR_INTERRUPTS();
#pragma omp parallel for num_threads(bulk->nthreads) schedule(dynamic)
		for (size_t i = from; i < to; i += EXPAND_BLOCK)
			ct_model_expand(model, kernels, Min(EXPAND_BLOCK, to - i),
							bulk->locations + i * dims, records + i * size,
							work + work_size * omp_get_thread_num());
	}
	pfree(work);
	pfree(bulk->locations);
	bulk->locations = NULL;
	bulk->vectors = (char *) records;
	for (size_t i = 0; i < n; i++)
		least = Min(least, records[i * size + dims]);
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

	family->end = MemoryContextAllocHuge(bulk->context, sizeof(size_t) * n);
	family->next = MemoryContextAllocHuge(bulk->context, sizeof(size_t) * n);
	family->first_child = MemoryContextAllocExtended(bulk->context,
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
	const char *vectors = bulk->vectors;
	const double *pivot = (const double *)
		(vectors + bulk->order[node->first] * index->vector_bytes);
	double	   *radius = malloc(sizeof(double) * (rows + 1));	/* of so many rows */

	if (radius == NULL)
		return false;
	radius[0] = 0.0;
	for (size_t i = 0; i < rows; i++)
	{
		double		d = ct_cover_distance(&index->cover, pivot,
										  vectors + bulk->order[node->first + i] *
										  index->vector_bytes);

		if (i < node->n)
			bulk->dist[node->first + i] = d;
		radius[i + 1] = Max(radius[i], d);
	}
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
 * measured in: measures them, and the rows' distances to their cells' pivots.
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
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	pfree(family.end);
	pfree(family.next);
	pfree(family.first_child);
}

/* Builds and writes the tree of the rows gathered so far. */
static void
write_tree(CtBulk *bulk)
{
	bulk->written = true;
	if (bulk->n == 0)
		return;
	start_threads(bulk);
	if (bulk->locations)
	{
		if (bulk->phase)
			bulk->phase(CT_BULK_FEATURES);
		expand_rows(bulk);
	}
	if (bulk->phase)
		bulk->phase(CT_BULK_TREE);
	start_tree(bulk);
	build_nodes(bulk);
	if (!bulk->index->shape_is_cover)
	{
		if (bulk->phase)
			bulk->phase(CT_BULK_RADII);
		measure_radii(bulk);
	}
	pfree(bulk->target);
	pfree(bulk->owner);
	pfree(bulk->scratch);
	if (bulk->phase)
		bulk->phase(CT_BULK_WRITE);
	ct_pack(bulk);
	omp_pause_resource_all(omp_pause_hard);
	pfree(bulk->dist);
	pfree(bulk->order);
	pfree(bulk->tids);
	pfree(bulk->nodes);
	if (bulk->columns)
		pfree(bulk->columns);
	else
		pfree(bulk->vectors);
	bulk->n = 0;
}

/* Adds a row to the tree that has been written. */
static void
insert_row(CtBulk *bulk, const double *location, ItemPointer tid)
{
	CtIndex    *index = bulk->index;
	double	   *point = palloc(sizeof(double) * index->point_size);

	ct_index_expand(index, 1, location, point);
	ct_insert(index, point, tid);
}

/* Adds a row; location is its coordinates. */
void
ct_bulk_add(CtBulk *bulk, const double *point, ItemPointer tid)
{
	CtIndex    *index = bulk->index;
	char	   *to;

	if (bulk->n >= bulk->limit && !bulk->written)
		write_tree(bulk);
	if (bulk->written)
	{
		MemoryContext old = MemoryContextSwitchTo(bulk->row_context);

		insert_row(bulk, point, tid);
		MemoryContextSwitchTo(old);
		MemoryContextReset(bulk->row_context);
		return;
	}
	if (bulk->n == bulk->size)
	{
		bulk->size = Min(bulk->size * 2, bulk->limit);
		if (bulk->locations)
			bulk->locations = repalloc_huge(bulk->locations,
											bulk->size * sizeof(double) * index->meta.dims);
		else
			bulk->vectors = repalloc_huge(bulk->vectors,
										  bulk->size * index->vector_bytes);
		bulk->tids = repalloc_huge(bulk->tids,
								   bulk->size * sizeof(ItemPointerData));
	}
	bulk->tids[bulk->n] = *tid;
	if (bulk->locations)
	{
		memcpy(bulk->locations + bulk->n++ * index->meta.dims, point,
			   sizeof(double) * index->meta.dims);
		return;
	}
	to = bulk->vectors + bulk->n++ * index->vector_bytes;
	if (index->space.element == CT_ELEMENT_FLOAT8)
		memcpy(to, point, index->vector_bytes);
	else
		for (int j = 0; j < index->meta.dims; j++)
			((float *) to)[j] = (float) point[j];
}

/* Completes the tree; phase is called when a phase of the work begins. */
void
ct_bulk_finish(CtBulk *bulk, void (*phase) (int))
{
	bulk->phase = phase;
	if (!bulk->written)
		write_tree(bulk);
}
