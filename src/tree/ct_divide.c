/*-------------------------------------------------------------------------
 *
 * ct_divide.c
 *	  Building a cover tree of more rows than fit the memory.
 *
 * All rows are on disk (ct_spool.c).  They are divided into parts, each
 * around a pivot, the parts in turn, until each fits the memory, where
 * ct_bulk.c makes a tree of it.  The trees of the parts become children of a
 * branch by grouping entries, which obey neither covering nor separation, so
 * any division gives a valid tree.  A good one gives parts of similar numbers
 * of rows that are near to each other:
 *
 *	- pivots are chosen in a sample.  Again and again the largest part gets
 *	  another one: a row that is farther from the pivot than three quarters of
 *	  the part, but no outlier.  Rows go to the nearest pivot.
 *	- where most of a part is at the place of its pivot, these copies become a
 *	  part, which other rows cannot join.
 *	- rows that no pivot divides (all at one place, or all at the same distance
 *	  from each other) are divided in the order in which they stand.
 *
 * Distances are Euclidean between coordinates as they come from the heap, for
 * any metric; radii are measured when a part is in memory.
 *
 * IDENTIFICATION
 *	  src/tree/ct_divide.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "ct_bulk.h"
#include "ct_point.h"

/* parts of one division, at least and at most */
#define MIN_FANOUT		4
#define MAX_FANOUT		64

/* parts are wanted that take about this share of the limit */
#define WANTED_SHARE	0.5

/* shares of the memory: trees (the rest is for lists), extents, sample, block */
#define TREE_SHARE		0.75
#define SPOOL_SHARE		8
#define SAMPLE_SHARE	8
#define BLOCK_SHARE		16

/* rows in the sample for each part */
#define SAMPLE_ROWS		64

#define MIN_EXTENT		BLCKSZ
#define MAX_EXTENT		(32 * BLCKSZ)

/* the new pivot of a part is farther from the old one than this share of it */
#define PIVOT_QUANTILE	0.75

/*
 * Pivots that leave more than this share of the sample together, not counting
 * themselves, are useless.
 */
#define USELESS_SHARE	0.9

/* copies in the sample that make a pivot worth a part of its own */
#define MANY_COPIES		8

/* rows routed by one thread at once */
#define ROUTE_BLOCK		256

/*
 * Rows are routed by all threads together where so many bytes of pivots have
 * to be compared; otherwise threads would mostly wait for each other.
 */
#define SHARED_WORK		(32 * 1024 * 1024)

typedef struct Divide
{
	CtBulk	   *bulk;
	CtSpool    *spool;
	CtPack	   *pack;
	CtSpace		space;			/* of rows on disk */
	int			fanout;
	size_t		limit;			/* rows of a part that fits the memory */
	uint32		block;			/* extents read at once */
	char	   *records;		/* so many */
	uint8	   *owner;			/* of each of their rows */
	bool	   *copy;			/* is it at the place of the pivot? */
} Divide;

typedef struct Pivots
{
	int			k;
	size_t		rows[MAX_FANOUT];	/* numbers in the part that is divided */
	bool		copies[MAX_FANOUT]; /* takes rows at its place only */
	bool		rest;			/* there is a part for what no pivot takes */
	double	   *points;			/* k x dims */
	char	   *columns;		/* the same as stored columns, or NULL */
} Pivots;

/* A part's rows, as a sample of the part shows them. */
typedef struct Sample
{
	size_t		n;
	char	   *records;
	size_t	   *rows;			/* numbers in the part */
	double	   *dist;			/* to the pivot that takes the row */
	int		   *owner;
	double	   *work;
} Sample;

static int
fanout(const CtBulk *bulk)
{
	size_t		room = bulk->memory / SPOOL_SHARE /
		Max(MIN_EXTENT, bulk->arriving);

	return Max(MIN_FANOUT,
			   Min(Min(room, MAX_FANOUT),
				   (size_t) bulk->index->routing.capacity / CT_OPEN_SHARE));
}

/* Bytes of an extent: one for each part is in memory while rows are divided. */
size_t
ct_divide_extent(const CtBulk *bulk)
{
	size_t		room = bulk->memory / SPOOL_SHARE / (fanout(bulk) + 2);

	return Max(Min(room, MAX_EXTENT), MIN_EXTENT);
}

/* A vector in the form in which it is stored, as doubles. */
static void
vector_point(const Divide *divide, const char *vector, double *point)
{
	if (divide->space.element == CT_ELEMENT_FLOAT8)
		memcpy(point, vector, sizeof(double) * divide->space.dims);
	else
		for (int j = 0; j < divide->space.dims; j++)
			point[j] = ((const float *) vector)[j];
}

/* -------- pivots -------- */

/* Scatters a number; the same on every machine. */
static uint64
scatter(uint64 x)
{
	x += UINT64CONST(0x9E3779B97F4A7C15);
	x = (x ^ (x >> 30)) * UINT64CONST(0xBF58476D1CE4E5B9);
	x = (x ^ (x >> 27)) * UINT64CONST(0x94D049BB133111EB);
	return x ^ (x >> 31);
}

/* Reads the part's pivot and one row of each of many equal shares of it. */
static void
take_sample(Divide *divide, const CtSpoolPart *part, Sample *sample)
{
	CtSpool    *spool = divide->spool;
	size_t		room = divide->bulk->memory / SAMPLE_SHARE /
		(spool->record_bytes + 4 * sizeof(double));
	size_t		n = Min(room, (size_t) SAMPLE_ROWS * divide->fanout);

	n = Min(Max(n, 4 * divide->fanout), part->n / 2);
	sample->n = 0;
	sample->records = palloc_extended(n * spool->record_bytes, MCXT_ALLOC_HUGE);
	sample->rows = palloc(sizeof(size_t) * n);
	sample->dist = palloc(sizeof(double) * n);
	sample->owner = palloc0(sizeof(int) * n);
	sample->work = palloc(sizeof(double) * n);
	for (size_t i = 0; i < n; i++)
	{
		size_t		first = part->n / n * i;
		size_t		row = i == 0 ? part->pivot :
			first + scatter(i) % (part->n / n);

		if (i > 0 && row == part->pivot)
			continue;
		CHECK_FOR_INTERRUPTS();
		ct_spool_read_row(spool, part, row,
						  sample->records + sample->n * spool->record_bytes);
		sample->dist[sample->n] = INFINITY;
		sample->rows[sample->n++] = row;
	}
}

static void
free_sample(Sample *sample)
{
	pfree(sample->records);
	pfree(sample->rows);
	pfree(sample->dist);
	pfree(sample->owner);
	pfree(sample->work);
}

/* Distance of pivot number p and a row of the sample. */
static double
sample_distance(const Divide *divide, const Pivots *pivots, int p,
				const Sample *sample, size_t i)
{
	return divide->space.metric->distance(&divide->space, pivots->points +
										  (size_t) p * divide->space.dims,
										  sample->records +
										  i * divide->spool->record_bytes);
}

/* Makes a row of the sample a pivot, and hands it the rows nearest to it. */
static void
add_pivot(const Divide *divide, Pivots *pivots, Sample *sample, size_t row)
{
	int			p = pivots->k++;

	vector_point(divide, sample->records + row * divide->spool->record_bytes,
				 pivots->points + (size_t) p * divide->space.dims);
	pivots->rows[p] = sample->rows[row];
	pivots->copies[p] = false;
	for (size_t i = 0; i < sample->n; i++)
	{
		double		d = sample_distance(divide, pivots, p, sample, i);

		if (d < sample->dist[i] || i == row)
		{
			sample->dist[i] = d;
			sample->owner[i] = p;
		}
	}
}

/*
 * A pivot is to take copies only: hands its other rows to the nearest of the
 * other pivots, of which there may be none.
 */
static void
keep_copies(const Divide *divide, Pivots *pivots, Sample *sample, int number)
{
	pivots->copies[number] = true;
	for (size_t i = 0; i < sample->n; i++)
	{
		if (sample->owner[i] != number || sample->dist[i] == 0.0)
			continue;
		sample->dist[i] = INFINITY;
		for (int p = 0; p < pivots->k; p++)
		{
			double		d;

			if (pivots->copies[p])
				continue;
			d = sample_distance(divide, pivots, p, sample, i);
			if (pivots->copies[sample->owner[i]] || d < sample->dist[i])
			{
				sample->dist[i] = d;
				sample->owner[i] = p;
			}
		}
	}
}

/* The pivot with most rows of the sample among those that take any row. */
static int
largest_part(const Pivots *pivots, const Sample *sample, size_t *count)
{
	size_t		counts[MAX_FANOUT] = {0};
	int			largest = -1;

	for (size_t i = 0; i < sample->n; i++)
		counts[sample->owner[i]]++;
	for (int p = 0; p < pivots->k; p++)
		if (!pivots->copies[p] &&
			(largest < 0 || counts[p] > counts[largest]))
			largest = p;
	*count = largest < 0 ? 0 : counts[largest];
	return largest;
}

static int
compare_doubles(const void *a, const void *b)
{
	double		left = *(const double *) a;
	double		right = *(const double *) b;

	return left < right ? -1 : left > right;
}

/* The first row of a part of the sample that is so far from its pivot. */
static size_t
row_at(const Sample *sample, int part, double dist)
{
	for (size_t i = 0; i < sample->n; i++)
		if (sample->owner[i] == part && sample->dist[i] == dist)
			return i;
	elog(ERROR, "row of a sample not found");
}

/* Chooses pivots that divide a part; false if there are none of use. */
static bool
choose_pivots(Divide *divide, const CtSpoolPart *part, Pivots *pivots)
{
	Sample		sample;
	size_t		count;
	double		share;
	bool		useful;

	take_sample(divide, part, &sample);
	share = (double) part->n / sample.n;
	pivots->k = 0;
	pivots->points = palloc_extended(sizeof(double) * divide->space.dims *
									 divide->fanout, MCXT_ALLOC_HUGE);
	add_pivot(divide, pivots, &sample, 0);
	while (pivots->k < divide->fanout)
	{
		int			p = largest_part(pivots, &sample, &count);
		size_t		n = 0;
		double		median;
		double		near;
		double		far;
		size_t		next;

		if (p < 0 || count < 2 ||
			(pivots->k > 1 && count * share <= divide->limit * WANTED_SHARE))
			break;
		for (size_t i = 0; i < sample.n; i++)
			if (sample.owner[i] == p)
				sample.work[n++] = sample.dist[i];
		qsort(sample.work, n, sizeof(double), compare_doubles);
		median = sample.work[n / 2];
		near = sample.work[(size_t) (n * PIVOT_QUANTILE)];
		far = sample.work[n - 1];
		if (far == 0.0)
		{
			/* copies, as far as the sample shows */
			if (n < MANY_COPIES && pivots->k > 1)
				break;
			keep_copies(divide, pivots, &sample, p);
			continue;
		}
		next = row_at(&sample, p, near > 0.0 ? near : far);
		add_pivot(divide, pivots, &sample, next);
		if (median == 0.0)
			keep_copies(divide, pivots, &sample, p);
	}
	pivots->rest = largest_part(pivots, &sample, &count) < 0;
	useful = pivots->rest ||
		count - 1 <= (sample.n - pivots->k) * USELESS_SHARE;
	free_sample(&sample);
	if (!useful)
		pfree(pivots->points);
	return useful;
}

/* Puts pivots into an order in which neighbours are near to each other. */
static void
order_pivots(Divide *divide, Pivots *pivots)
{
	int			k = pivots->k;
	size_t		dims = divide->space.dims;
	double	   *points = palloc_extended(sizeof(double) * dims * k,
										 MCXT_ALLOC_HUGE);
	size_t		rows[MAX_FANOUT];
	bool		copies[MAX_FANOUT];
	int			rank[MAX_FANOUT];

	ct_bulk_chain(&divide->space, k, dims, pivots->points, rank);
	for (int p = 0; p < k; p++)
	{
		rows[rank[p]] = pivots->rows[p];
		copies[rank[p]] = pivots->copies[p];
		memcpy(points + rank[p] * dims, pivots->points + p * dims,
			   sizeof(double) * dims);
	}
	memcpy(pivots->rows, rows, sizeof(size_t) * k);
	memcpy(pivots->copies, copies, sizeof(bool) * k);
	pfree(pivots->points);
	pivots->points = points;
}

/* -------- routing -------- */

/* Stores the pivots by column, for metrics that can use it. */
static void
make_columns(const Divide *divide, Pivots *pivots)
{
	int			k = pivots->k;
	int			dims = divide->space.dims;
	bool		f8 = divide->space.element == CT_ELEMENT_FLOAT8;

	pivots->columns = NULL;
	if (divide->bulk->index->external)
		return;
	pivots->columns = palloc((size_t) k * divide->bulk->arriving);
	for (int p = 0; p < k; p++)
		for (int j = 0; j < dims; j++)
		{
			double		x = pivots->points[(size_t) p * dims + j];

			if (f8)
				((double *) pivots->columns)[j * k + p] = x;
			else
				((float *) pivots->columns)[j * k + p] = (float) x;
		}
}

/* The number of the part that a row belongs to.  Runs in any thread. */
static int
find_owner(const Divide *divide, const Pivots *pivots, const char *vector,
		   bool *copy)
{
	const CtSpace *space = &divide->space;
	double		dist[MAX_FANOUT];
	int			best = -1;

	if (pivots->columns)
	{
		double		point[CT_BOX_DIMS];

		vector_point(divide, vector, point);
		space->metric->distances(space, point, pivots->columns, pivots->k,
								 pivots->k, dist);
	}
	else
		for (int p = 0; p < pivots->k; p++)
			dist[p] = space->metric->distance(space, pivots->points +
											  (size_t) p * space->dims,
											  vector);
	for (int p = 0; p < pivots->k; p++)
	{
		if (pivots->copies[p])
		{
			if (dist[p] != 0.0)
				continue;
			best = p;
			break;
		}
		if (best < 0 || dist[p] < dist[best])
			best = p;
	}
	*copy = best >= 0 && dist[best] == 0.0;
	return best < 0 ? pivots->k : best;
}

/*
 * Reads the next extents of a part, beginning with *next, and gives them up.
 * Returns the number of rows.
 */
static size_t
read_block(Divide *divide, CtSpoolPart *part, uint32 *next)
{
	CtSpool    *spool = divide->spool;
	size_t		n = 0;

	CHECK_FOR_INTERRUPTS();
	for (uint32 i = 0; i < divide->block && *next < part->nextents; i++)
	{
		n += ct_spool_read(spool, part, *next,
						   divide->records + n * spool->record_bytes);
		ct_spool_release(spool, part, (*next)++);
	}
	return n;
}

/* Finds the owners of n rows. */
static void
find_owners(Divide *divide, const Pivots *pivots, size_t n)
{
	bool		shared = (double) n * pivots->k * divide->bulk->arriving >
		SHARED_WORK;

#pragma omp parallel for num_threads(divide->bulk->nthreads) schedule(dynamic) if(shared)
	for (size_t from = 0; from < n; from += ROUTE_BLOCK)
		for (size_t i = from; i < Min(from + ROUTE_BLOCK, n); i++)
			divide->owner[i] =
				find_owner(divide, pivots, divide->records +
						   i * divide->spool->record_bytes,
						   &divide->copy[i]);
}

/* Divides the rows of a part, which is given up, over those of its pivots. */
static int
route(Divide *divide, CtSpoolPart *part, Pivots *pivots, CtSpoolPart *parts)
{
	CtSpool    *spool = divide->spool;
	int			nparts = pivots->k + pivots->rest;
	size_t		row = 0;
	uint32		next = 0;
	size_t		n;

	memset(parts, 0, sizeof(CtSpoolPart) * nparts);
	for (int p = 0; p < nparts; p++)
		parts[p].same = p < pivots->k;
	while ((n = read_block(divide, part, &next)) > 0)
	{
		find_owners(divide, pivots, n);
		for (size_t i = 0; i < n; i++, row++)
		{
			int			owner = divide->owner[i];
			const char *record = divide->records + i * spool->record_bytes;

			if (owner < pivots->k && pivots->rows[owner] == row)
				parts[owner].pivot = parts[owner].n;
			if (!divide->copy[i])
				parts[owner].same = false;
			ct_spool_add(spool, &parts[owner], record,
						 ct_spool_tid(spool, record));
		}
	}
	ct_spool_forget(part);
	for (int p = 0; p < nparts; p++)
		ct_spool_complete(spool, &parts[p]);
	return nparts;
}

/*
 * Divides a part, which is given up, into several; returns their number.  All
 * are smaller: every pivot takes its own row, and a pivot that takes copies
 * only leaves the others to the rest.
 */
static int
divide_part(Divide *divide, CtSpoolPart *part, CtSpoolPart *parts)
{
	Pivots		pivots;
	int			n;

	ct_bulk_phase(divide->bulk, CT_PHASE_DIVIDE);
	if (part->same || !choose_pivots(divide, part, &pivots))
	{
		n = Min(part->n / divide->limit + 1, divide->fanout);
		n = Min(n, part->nextents);
		ct_spool_split(divide->spool, part, n, parts);
		return n;
	}
	order_pivots(divide, &pivots);
	make_columns(divide, &pivots);
	n = route(divide, part, &pivots, parts);
	pfree(pivots.points);
	if (pivots.columns)
		pfree(pivots.columns);
	return n;
}

/* -------- trees -------- */

/* Builds and writes the tree of a part that fits the memory; gives it up. */
static void
build_tree(Divide *divide, CtSpoolPart *part, CtBranch *above)
{
	CtBulk	   *bulk = divide->bulk;
	CtSpool    *spool = divide->spool;
	size_t		size = bulk->index->point_size;
	double	   *pivot = palloc(sizeof(double) * size);
	uint32		next = 0;
	size_t		n;

	ct_bulk_start(bulk, part->n);
	while ((n = read_block(divide, part, &next)) > 0)
	{
		for (size_t i = 0; i < n; i++)
		{
			const char *record = divide->records + i * spool->record_bytes;

			ct_bulk_store(bulk, record, ct_spool_tid(spool, record));
		}
	}
	ct_spool_forget(part);
	ct_bulk_swap_first(bulk, part->pivot);
	ct_bulk_build(bulk);

	ct_bulk_point(bulk, 0, pivot);
	for (CtBranch *branch = above; branch; branch = branch->parent)
	{
		if (!branch->packed)
		{
			branch->point = palloc(sizeof(double) * size);
			memcpy(branch->point, pivot, sizeof(double) * size);
		}
		branch->radius = Max(branch->radius,
							 ct_bulk_radius(bulk, branch->point));
	}
	pfree(pivot);
	ct_pack_tree(divide->pack, above);
	ct_bulk_reset(bulk);
}

/*
 * Builds and writes whatever a part needs; gives it up.  Branches live as
 * long as the build, for items to refer to; they are few.
 */
static void
build_part(Divide *divide, CtSpoolPart *part, CtBranch *above)
{
	CtBranch   *branch;
	CtSpoolPart *parts;
	int			n;

	check_stack_depth();
	if (part->n <= divide->limit && above)
	{
		build_tree(divide, part, above);
		return;
	}
	parts = palloc(sizeof(CtSpoolPart) * (MAX_FANOUT + 1));
	n = divide_part(divide, part, parts);
	branch = palloc0(sizeof(CtBranch));
	branch->parent = above;
	branch->depth = above ? above->depth + 1 : 0;
	for (int p = 0; p < n; p++)
		branch->nwaiting += parts[p].n > 0;
	for (int p = 0; p < n; p++)
		if (parts[p].n > 0)
			build_part(divide, &parts[p], branch);
	pfree(branch->point);
	branch->point = NULL;
	pfree(parts);
}

/* Builds and writes the tree of all rows on disk. */
void
ct_divide(CtBulk *bulk)
{
	CtIndex    *index = bulk->index;
	Divide	   *divide = palloc0(sizeof(Divide));
	MemoryContext old = MemoryContextSwitchTo(bulk->context);
	size_t		rows;

	divide->bulk = bulk;
	divide->spool = bulk->spool;
	divide->fanout = fanout(bulk);
	divide->limit = Max(bulk->limit * TREE_SHARE, bulk->spool->extent_rows);
	divide->space = index->space;
	if (index->space.model)
		ct_space_init(&divide->space, &ct_metric_euclidean,
					  index->space.kernels, CT_ELEMENT_FLOAT8,
					  index->meta.dims, index->meta.base);
	divide->block = Max(bulk->memory / BLOCK_SHARE / divide->spool->extent_bytes, 1);
	rows = divide->block * divide->spool->extent_rows;
	divide->records = palloc_extended(divide->block * divide->spool->extent_bytes,
									  MCXT_ALLOC_HUGE);
	divide->owner = palloc_extended(rows, MCXT_ALLOC_HUGE);
	divide->copy = palloc_extended(rows * sizeof(bool), MCXT_ALLOC_HUGE);
	ct_spool_complete(divide->spool, &bulk->spooled);
	divide->pack = ct_pack_begin(bulk);
	build_part(divide, &bulk->spooled, NULL);
	ct_pack_end(divide->pack);
	ct_spool_destroy(divide->spool);
	pfree(divide->records);
	pfree(divide->owner);
	pfree(divide->copy);
	pfree(divide);
	MemoryContextSwitchTo(old);
}
