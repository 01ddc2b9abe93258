/*-------------------------------------------------------------------------
 *
 * ct_knn_source.c
 *	  The queries of a bulk search, in an order in which neighbours follow each
 *	  other.
 *
 * Given locations are sorted along a Z-order curve.  Rows as queries are listed
 * once, by a walk through the tree, into a temporary file: the list has to be
 * complete before the first answer leaves, for a walk that meets a freed page
 * begins again, and no row may be answered twice.
 *
 * IDENTIFICATION
 *	  src/tree/ct_knn_source.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <float.h>
#include <math.h>

#include "storage/buffile.h"
#include "utils/memutils.h"

#include "ct_knn.h"

/* bits of a place on the curve */
#define CURVE_BITS		62

typedef struct PlacedQuery
{
	uint64		place;			/* on the curve */
	uint32		number;			/* from 0 */
} PlacedQuery;

struct CtKnnSource
{
	CtKnn	   *knn;
	int64		next;

	PlacedQuery *order;			/* of locations */

	/* of rows: a CtKnnQuery each, and coordinates or a locator */
	BufFile    *file;
	size_t		record_bytes;
	char	   *record;
};

#define ST_SORT			sort_placed
#define ST_ELEMENT_TYPE PlacedQuery
#define ST_COMPARE(a, b) \
	((a)->place != (b)->place ? ((a)->place < (b)->place ? -1 : 1) : \
	 ((a)->number < (b)->number ? -1 : (a)->number > (b)->number))
#define ST_CHECK_FOR_INTERRUPTS
#define ST_SCOPE		static
#define ST_DEFINE
#include "lib/sort_template.h"

/* -------- locations -------- */

/* Where a location is on the curve, between the limits of each dimension. */
static uint64
place_on_curve(const double *location, const double *lower,
			   const double *scale, int dims)
{
	int			used = Min(dims, CURVE_BITS);
	int			bits = CURVE_BITS / used;
	uint32		cell[CURVE_BITS];
	uint64		place = 0;

	bits = Min(bits, 21);
	for (int j = 0; j < used; j++)
		cell[j] = (uint32) ((location[j] * 0.5 - lower[j]) * scale[j] *
							((1 << bits) - 1));
	for (int b = bits - 1; b >= 0; b--)
		for (int j = 0; j < used; j++)
			place = place << 1 | ((cell[j] >> b) & 1);
	return place;
}

static void
order_locations(CtKnnSource *source)
{
	const CtKnn *knn = source->knn;
	int			dims = knn->index->meta.dims;
	double	   *lower = palloc(sizeof(double) * dims);
	double	   *scale = palloc(sizeof(double) * dims);

	/* halves, for the whole range of double may be in use */
	for (int j = 0; j < dims; j++)
	{
		double		least = INFINITY;
		double		most = -INFINITY;

		CHECK_FOR_INTERRUPTS();
		for (int64 i = 0; i < knn->nqueries; i++)
		{
			least = Min(least, knn->locations[i * dims + j] * 0.5);
			most = Max(most, knn->locations[i * dims + j] * 0.5);
		}
		lower[j] = least;
		scale[j] = most - least >= DBL_MIN ? 1.0 / (most - least) : 0.0;
	}
	source->order = MemoryContextAllocHuge(CurrentMemoryContext,
										   sizeof(PlacedQuery) * knn->nqueries);
	for (int64 i = 0; i < knn->nqueries; i++)
	{
		if (i % 65536 == 0)
			CHECK_FOR_INTERRUPTS();
		source->order[i].number = i;
		source->order[i].place = place_on_curve(&knn->locations[i * dims],
												lower, scale, dims);
	}
	sort_placed(source->order, knn->nqueries);
	pfree(lower);
	pfree(scale);
}

/* -------- rows -------- */

/* Adds the rows of a leaf to the list. */
static void
list_leaf(void *arg, const CtNode *node, const ItemPointerData *seen)
{
	CtKnnSource *source = arg;
	CtKnn	   *knn = source->knn;
	CtKnnQuery	query = {0};

	if (node->header->height > 0)
		return;
	for (int i = 0; i < node->header->nentries; i++)
	{
		char	   *point = source->record + sizeof(CtKnnQuery);

		if (!ItemPointerIsValid(&seen[i]))
			continue;
		query.index_tid = node->tids[i];
		query.tid = seen[i];
		memcpy(source->record, &query, sizeof(CtKnnQuery));
		if (knn->index->external)
			memcpy(point, &node->locators[i], sizeof(CtLocator));
		else
			ct_node_get_point(knn->index, node, i, (double *) point);
		BufFileWrite(source->file, source->record, source->record_bytes);
		knn->total++;
	}
	knn->report(knn->arg);
}

static void
rewind_file(CtKnnSource *source)
{
	if (BufFileSeek(source->file, 0, 0, SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not seek in temporary file of a bulk search")));
}

static void
list_rows(CtKnnSource *source)
{
	CtKnn	   *knn = source->knn;
	CtIndex    *index = knn->index;

	source->record_bytes = sizeof(CtKnnQuery) +
		(index->external ? sizeof(CtLocator) :
		 sizeof(double) * index->point_size);
	source->record = palloc(source->record_bytes);
	source->file = BufFileCreateTemp(false);
	do
	{
		rewind_file(source);
		knn->total = 0;
	} while (!ct_knn_walk(knn, list_leaf, source));
	rewind_file(source);
}

static void
read_row(CtKnnSource *source, CtKnnQuery *query, double *location,
		 CtLocator *locator)
{
	const CtIndex *index = source->knn->index;
	const char *point = source->record + sizeof(CtKnnQuery);

	if (BufFileRead(source->file, source->record,
					source->record_bytes) != source->record_bytes)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read from temporary file of a bulk search")));
	memcpy(query, source->record, sizeof(CtKnnQuery));
	if (index->external)
		memcpy(locator, point, sizeof(CtLocator));
	else
		memcpy(location, point, sizeof(double) * index->point_size);
}

/* -------- interface -------- */

/* Prepares the queries; sets knn->total. */
CtKnnSource *
ct_knn_source_open(CtKnn *knn)
{
	CtKnnSource *source = palloc0(sizeof(CtKnnSource));

	source->knn = knn;
	knn->total = knn->nqueries;
	if (knn->locations == NULL)
		list_rows(source);
	else if (knn->nqueries > 1)
		order_locations(source);
	return source;
}

/*
 * Gets the next queries, at most so many; returns their number, 0 at the end.
 * Of a location, locations gets the dims coordinates.  Of a row it gets the same
 * where points are in columns, else locators gets the address of its vector,
 * which is not used for another row as long as the snapshot lives.
 */
int
ct_knn_source_next(CtKnnSource *source, int most, CtKnnQuery *queries,
				   double *locations, CtLocator *locators)
{
	CtKnn	   *knn = source->knn;
	int			dims = knn->index->meta.dims;
	int			n = Min(most, knn->total - source->next);

	for (int i = 0; i < n; i++)
	{
		int64		number;

		if (knn->locations == NULL)
		{
			read_row(source, &queries[i], &locations[(size_t) i * dims],
					 &locators[i]);
			continue;
		}
		number = source->order ? source->order[source->next + i].number :
			source->next + i;
		memset(&queries[i], 0, sizeof(CtKnnQuery));
		queries[i].number = number + 1;
		memcpy(&locations[(size_t) i * dims], &knn->locations[number * dims],
			   sizeof(double) * dims);
	}
	source->next += n;
	return n;
}

void
ct_knn_source_close(CtKnnSource *source)
{
	if (source->file)
		BufFileClose(source->file);
	if (source->order)
		pfree(source->order);
	if (source->record)
		pfree(source->record);
	pfree(source);
}
