/*-------------------------------------------------------------------------
 *
 * ct_inducing.c
 *	  Choosing inducing points from a table.
 *
 * The rows are read through SPI, with the caller's rights.  Of all places in
 * the table those with the smallest keys are kept, a key being a hash of the
 * coordinates and the seed.  That is a uniform sample of the distinct places,
 * and it depends on nothing but them and the seed: not on the order in which
 * rows come, so neither on plans nor on synchronized scans.
 *
 * IDENTIFICATION
 *	  src/sql/ct_inducing.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "ct_am.h"
#include "ct_model.h"
#include "ct_point.h"

PG_FUNCTION_INFO_V1(covertree_inducing_points);

#define FETCH_ROWS		1000

/* places that k-means works on: so many for each centre, within limits */
#define SAMPLE_PER_CENTRE	100
#define SAMPLE_MIN		10000
#define SAMPLE_MAX		100000

#define LLOYD_ITERATIONS	10

typedef struct SampledPlace
{
	uint64		key;
	double	   *point;
	int			dims;			/* for the comparison */
} SampledPlace;

/*
 * The first n entries are places; after reduce() they are sorted, distinct
 * and at most limit.  All entries have a point to write to.
 */
typedef struct Sample
{
	int			dims;			/* 0 before the first row */
	int			limit;
	int			room;			/* of entries, twice the limit */
	int			n;
	bool		full;			/* keys above this are of no use */
	uint64		largest;
	uint64		seed;
	SampledPlace *entries;
	double	   *points;
} Sample;

static uint64
mix(uint64 x)
{
	x ^= x >> 30;
	x *= UINT64CONST(0xBF58476D1CE4E5B9);
	x ^= x >> 27;
	x *= UINT64CONST(0x94D049BB133111EB);
	x ^= x >> 31;
	return x;
}

static uint64
place_key(const double *point, int dims, uint64 seed)
{
	uint64		key = mix(seed + UINT64CONST(0x9E3779B97F4A7C15));

	for (int j = 0; j < dims; j++)
	{
		uint64		bits;

		memcpy(&bits, &point[j], sizeof(bits));
		key = mix(key + UINT64CONST(0x9E3779B97F4A7C15)) ^ mix(bits + j);
	}
	return mix(key);
}

static int
compare_places(const void *a, const void *b)
{
	const SampledPlace *x = a;
	const SampledPlace *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	for (int j = 0; j < x->dims; j++)
	{
		if (x->point[j] != y->point[j])
			return x->point[j] < y->point[j] ? -1 : 1;
	}
	return 0;
}

/* Sorts the sample and cuts it down to distinct places, at most the limit. */
static void
reduce(Sample *sample)
{
	SampledPlace *entries = sample->entries;
	int			kept = 0;

	qsort(entries, sample->n, sizeof(SampledPlace), compare_places);
	for (int i = 0; i < sample->n && kept < sample->limit; i++)
	{
		if (kept == 0 || compare_places(&entries[i], &entries[kept - 1]) != 0)
		{
			SampledPlace place = entries[i];

			entries[i] = entries[kept];
			entries[kept++] = place;
		}
	}
	sample->n = kept;
	if (kept == sample->limit)
	{
		sample->full = true;
		sample->largest = entries[kept - 1].key;
	}
}

/* Makes room once the dimension is known. */
static void
start_sample(Sample *sample, int dims, int m, bool kmeans)
{
	size_t		place_bytes = sizeof(SampledPlace) + dims * sizeof(double);
	size_t		fitting = work_mem * (size_t) 1024 / (2 * place_bytes);
	size_t		wanted = m;

	if (kmeans)
		wanted = Min(Max((size_t) m * SAMPLE_PER_CENTRE, SAMPLE_MIN), SAMPLE_MAX);
	sample->dims = dims;
	sample->limit = Max(Min(wanted, fitting), m);
	sample->room = 2 * sample->limit;
	sample->entries = palloc_extended(sample->room * sizeof(SampledPlace),
									  MCXT_ALLOC_HUGE);
	sample->points = palloc_extended(sample->room * dims * sizeof(double),
									 MCXT_ALLOC_HUGE);
	for (int i = 0; i < sample->room; i++)
	{
		sample->entries[i].point = sample->points + (size_t) i * dims;
		sample->entries[i].dims = dims;
	}
}

static void
add_place(Sample *sample, const double *point)
{
	SampledPlace *place;

	if (sample->n == sample->room)
		reduce(sample);
	place = &sample->entries[sample->n];
	for (int j = 0; j < sample->dims; j++)
		place->point[j] = point[j] == 0 ? 0 : point[j]; /* one zero */
	place->key = place_key(place->point, sample->dims, sample->seed);
	if (!sample->full || place->key <= sample->largest)
		sample->n++;
}

/*
 * The statement that reads the column, and how to read its values: types that
 * are not points, but arrays that can be cast to one, are cast.
 */
static char *
column_query(Oid table, const char *column, CtArgType *type)
{
	char	   *table_name = get_rel_name(table);
	AttrNumber	attribute;
	Oid			type_oid;
	StringInfoData sql;

	if (table_name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", table)));
	attribute = get_attnum(table, column);
	if (attribute == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						column, table_name)));
	type_oid = getBaseType(get_atttype(table, attribute));
	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT t.%s", quote_identifier(column));
	if (!ct_arg_type_from_oid(type_oid, type))
	{
		if (type_oid != INT2ARRAYOID)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of relation \"%s\" does not hold points",
							column, table_name),
					 errdetail("Its type is %s.", format_type_be(type_oid)),
					 errhint("Use a column of type double precision[], real[] or point.")));
		appendStringInfoString(&sql, "::pg_catalog.float8[]");
		*type = CT_ARG_FLOAT8_ARRAY;
	}
	appendStringInfo(&sql, " FROM %s AS t WHERE t.%s IS NOT NULL",
					 quote_qualified_identifier(get_namespace_name(get_rel_namespace(table)),
												table_name),
					 quote_identifier(column));
	return sql.data;
}

/* Reads one batch of rows into the sample. */
static void
add_rows(Sample *sample, CtArgType type, double *buffer, int m, bool kmeans,
		 MemoryContext context)
{
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		value = SPI_getbinval(SPI_tuptable->vals[i],
										  SPI_tuptable->tupdesc, 1, &isnull);
		int			dims;

		if (isnull)
			continue;
		dims = ct_point_read(value, type, buffer);
		if (sample->dims == 0)
		{
			MemoryContext old = MemoryContextSwitchTo(context);

			start_sample(sample, dims, m, kmeans);
			MemoryContextSwitchTo(old);
		}
		if (dims != sample->dims)
			ct_dims_mismatch(sample->dims, dims);
		add_place(sample, buffer);
	}
}

/* Samples a column; the sample's memory is in the current context. */
static void
sample_column(Sample *sample, Oid table, const char *column, int m, bool kmeans)
{
	MemoryContext context = CurrentMemoryContext;
	double	   *buffer = palloc(sizeof(double) * CT_MAX_DIMS);
	CtArgType	type;
	char	   *sql = column_query(table, column, &type);
	Portal		portal;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	portal = SPI_cursor_open_with_args(NULL, sql, 0, NULL, NULL, NULL, true, 0);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		add_rows(sample, type, buffer, m, kmeans, context);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	SPI_finish();
	pfree(buffer);
	if (sample->n > 0)
		reduce(sample);
}

static bool
interrupted(void)
{
	return QueryCancelPending || ProcDiePending;
}

/* Computes m centres of a sample. */
static void
cluster(const Sample *sample, int m, double *centres)
{
	size_t		row_bytes = sample->dims * sizeof(double);
	double	   *points = palloc_extended(sample->n * row_bytes, MCXT_ALLOC_HUGE);
	bool		done;

	for (int i = 0; i < sample->n; i++)
		memcpy(points + (size_t) i * sample->dims, sample->entries[i].point,
			   row_bytes);
	done = ct_kmeans(ct_kernels(), points, sample->n, sample->dims, m,
					 sample->seed, LLOYD_ITERATIONS, centres, interrupted);
	CHECK_FOR_INTERRUPTS();
	if (!done)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Failed while choosing inducing points.")));
	pfree(points);
}

/* an m x dims array, to be filled in */
static ArrayType *
matrix(int m, int dims)
{
	size_t		size = ARR_OVERHEAD_NONULLS(2) + (size_t) m * dims * sizeof(double);
	ArrayType  *array = palloc0(size);

	SET_VARSIZE(array, size);
	array->ndim = 2;
	array->elemtype = FLOAT8OID;
	ARR_DIMS(array)[0] = m;
	ARR_DIMS(array)[1] = dims;
	ARR_LBOUND(array)[0] = ARR_LBOUND(array)[1] = 1;
	return array;
}

/* true for k-means, false for a random sample */
static bool
method_is_kmeans(text *argument)
{
	char	   *method = text_to_cstring(argument);

	if (strcmp(method, "kmeans++") == 0)
		return true;
	if (strcmp(method, "random") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized method for inducing points: \"%s\"", method),
				 errhint("The methods are \"kmeans++\" and \"random\".")));
	return false;
}

Datum
covertree_inducing_points(PG_FUNCTION_ARGS)
{
	Oid			table = PG_GETARG_OID(0);
	char	   *column = NameStr(*PG_GETARG_NAME(1));
	int32		m = PG_GETARG_INT32(2);
	bool		kmeans = method_is_kmeans(PG_GETARG_TEXT_PP(3));
	Sample		sample = {.seed = (uint64) PG_GETARG_INT64(4)};
	ArrayType  *result;
	double	   *centres;

	if (m < 1 || m > CT_MAX_INDUCING)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of inducing points must be between 1 and %d",
						CT_MAX_INDUCING)));
	sample_column(&sample, table, column, m, kmeans);
	if (sample.n < m)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("not enough points for %d inducing points", m),
				 errdetail("Column \"%s\" of relation \"%s\" has %d different points.",
						   column, get_rel_name(table), sample.n)));
	result = matrix(m, sample.dims);
	centres = (double *) ARR_DATA_PTR(result);
	if (kmeans)
		cluster(&sample, m, centres);
	else
	{
		for (int i = 0; i < m; i++)
			memcpy(centres + (size_t) i * sample.dims, sample.entries[i].point,
				   sample.dims * sizeof(double));
	}
	PG_RETURN_ARRAYTYPE_P(result);
}
