/*-------------------------------------------------------------------------
 *
 * ct_model_table.c
 *	  The table covertree_model: rows to models and back.
 *
 * The table is read and written below SQL, as catalogs are: by what is
 * committed now rather than by the query's snapshot, in any search_path, for
 * users without rights on it, and inside index builds and parallel workers.
 * It belongs to the extension and lies in the extension's schema, which is
 * where it is looked for.
 *
 * A row holds the whole model with its Cholesky factor, which is data and is
 * never computed again: so a model has the same bits after dump and restore.
 * Creating and dropping a model send a relation cache event for the table,
 * which tells all sessions to look again.
 * The fingerprint covers everything that a distance depends on, the factor
 * included.  It is checked whenever a row is read, which finds out edits by
 * hand.
 *
 * IDENTIFICATION
 *	  src/model/ct_model_table.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/skey.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "ct_model_cache.h"
#include "ct_model_table.h"
#include "ct_point.h"

#define EXTENSION_NAME		"covertree"
#define NAME_INDEX			"covertree_model_pkey"
#define FINGERPRINT_INDEX	"covertree_model_fingerprint_idx"

/* columns */
enum
{
	ATT_NAME = 1,
	ATT_OWNER,
	ATT_KERNEL,
	ATT_M,
	ATT_DIMS,
	ATT_LENGTHSCALE,
	ATT_VARIANCE,
	ATT_NUGGET,
	ATT_JITTER,
	ATT_INDUCING,
	ATT_FACTOR,
	ATT_FINGERPRINT,
	NATTS = ATT_FINGERPRINT
};

/* doubles hashed at a time */
#define HASH_CHUNK	512

/* known until a relation cache event says that they may have changed */
static Oid	table_oid = InvalidOid;
static Oid	name_index_oid;
static Oid	fingerprint_index_oid;

static bool watching = false;
static uint64 changes = 0;

typedef struct RowScan
{
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;			/* or NULL */
} RowScan;

size_t
ct_model_values(int dims, int m)
{
	return Max(dims, 1) + (size_t) m * dims + ct_model_factor_size(m);
}

CtModel *
ct_model_allocate(int dims, int m)
{
	size_t		bytes = sizeof(CtModel) + ct_model_values(dims, m) * sizeof(double);
	CtModel    *model = MemoryContextAllocExtended(CurrentMemoryContext, bytes,
												   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	Assert(dims > 0 || m == 0);
	Assert(dims == 0 || bytes == ct_model_bytes(dims, m));
	model->bytes = bytes;
	model->dims = dims;
	model->m = m;
	return model;
}

static bool
all_finite(const double *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		if (!isfinite(values[i]))
			return false;
	}
	return true;
}

const char *
ct_model_problem(const CtModel *model)
{
	const double *diagonal = ct_model_factor(model);

	if (ct_covariance_name(model->covariance) == NULL)
		return "Its kernel is not known.";
	if (!(model->variance >= CT_MIN_VARIANCE) ||
		!(model->variance <= CT_MAX_VARIANCE) ||
		!(model->nugget >= 0) || !(model->nugget <= CT_MAX_VARIANCE) ||
		!(model->jitter >= 0) || !(model->jitter <= CT_MAX_JITTER))
		return "A parameter is out of range.";
	if (!all_finite(model->data, ct_model_values(model->dims, model->m)))
		return "An array element is not finite.";
	for (int j = 0; j < ct_model_lengthscales(model); j++)
	{
		if (ct_model_lengthscale(model)[j] <= 0)
			return "A lengthscale is not positive.";
	}
	for (uint32 j = 0; j < model->m; j++)
	{
		if (*diagonal <= 0)
			return "The factor's diagonal is not positive.";
		diagonal += model->m - j;
	}
	return NULL;
}

/*
 * Fingerprints
 */

void
ct_fingerprint_to_text(const uint8 *fingerprint, char *text)
{
	hex_encode((const char *) fingerprint, CT_FINGERPRINT_BYTES, text);
	text[2 * CT_FINGERPRINT_BYTES] = '\0';
}

/* false unless the text is exactly a fingerprint */
bool
ct_fingerprint_from_text(const char *text, uint8 *fingerprint)
{
	if (strlen(text) != 2 * CT_FINGERPRINT_BYTES ||
		strspn(text, "0123456789abcdef") != 2 * CT_FINGERPRINT_BYTES)
		return false;
	hex_decode(text, 2 * CT_FINGERPRINT_BYTES, (char *) fingerprint);
	return true;
}

static void
hash_bytes_or_fail(pg_cryptohash_ctx *hash, const void *data, size_t size)
{
	if (pg_cryptohash_update(hash, data, size) < 0)
		elog(ERROR, "could not compute fingerprint of model: %s",
			 pg_cryptohash_error(hash));
}

/* an integer, the last byte first */
static void
put_little_endian(uint8 *bytes, uint64 value, int size)
{
	for (int i = 0; i < size; i++)
		bytes[i] = (uint8) (value >> (8 * i));
}

static void
hash_doubles(pg_cryptohash_ctx *hash, const double *values, size_t n)
{
	uint8		bytes[HASH_CHUNK * sizeof(double)];
	size_t		used = 0;

	for (size_t i = 0; i < n; i++)
	{
		double		value = values[i] == 0 ? 0 : values[i]; /* one zero */
		uint64		bits;

		memcpy(&bits, &value, sizeof(bits));
		put_little_endian(bytes + used, bits, sizeof(bits));
		used += sizeof(bits);
		if (used == sizeof(bytes) || i == n - 1)
		{
			hash_bytes_or_fail(hash, bytes, used);
			used = 0;
		}
	}
}

/*
 * The first bytes of SHA-256 over a canonical form of the content: a label,
 * then numbers in little-endian order with -0 written as 0.
 */
void
ct_model_fingerprint(const CtModel *model, uint8 *fingerprint)
{
	static const char label[] = "covertree model 1";
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);
	const double scalars[] = {model->variance, model->nugget, model->jitter};
	uint8		shape[12];
	uint8		digest[PG_SHA256_DIGEST_LENGTH];

	if (hash == NULL || pg_cryptohash_init(hash) < 0)
		elog(ERROR, "could not compute fingerprint of model");
	put_little_endian(shape, model->covariance, 4);
	put_little_endian(shape + 4, model->dims, 4);
	put_little_endian(shape + 8, model->m, 4);
	hash_bytes_or_fail(hash, label, sizeof(label));
	hash_bytes_or_fail(hash, shape, sizeof(shape));
	hash_doubles(hash, scalars, lengthof(scalars));
	hash_doubles(hash, model->data, ct_model_values(model->dims, model->m));
	if (pg_cryptohash_final(hash, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute fingerprint of model: %s",
			 pg_cryptohash_error(hash));
	pg_cryptohash_free(hash);
	memcpy(fingerprint, digest, CT_FINGERPRINT_BYTES);
}

/*
 * Where the table is
 */

/* the schema of the extension, or InvalidOid */
static Oid
extension_schema(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			schema = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum(EXTENSION_NAME));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		schema = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return schema;
}

static void
relation_event(Datum arg, Oid relation)
{
	if (OidIsValid(relation) && relation != table_oid)
		return;
	table_oid = InvalidOid;
	changes++;
}

/* Learns what other sessions have done; a query without tables would not. */
static void
watch(void)
{
	if (!watching)
		CacheRegisterRelcacheCallback(relation_event, (Datum) 0);
	watching = true;
	AcceptInvalidationMessages();
}

uint64
ct_model_table_changes(void)
{
	watch();
	return changes;
}

static Oid
model_table(void)
{
	Oid			schema;
	Oid			relation;

	watch();
	if (OidIsValid(table_oid))
		return table_oid;
	schema = extension_schema();
	relation = OidIsValid(schema) ?
		get_relname_relid(CT_MODEL_TABLE, schema) : InvalidOid;
	if (!OidIsValid(relation))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s\" of extension \"%s\" does not exist",
						CT_MODEL_TABLE, EXTENSION_NAME)));
	name_index_oid = get_relname_relid(NAME_INDEX, schema);
	fingerprint_index_oid = get_relname_relid(FINGERPRINT_INDEX, schema);
	table_oid = relation;
	return relation;
}

/*
 * Reading
 */

static void
damaged(const char *name, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("model \"%s\" is damaged", name),
			 errdetail("%s", detail),
			 errhint("Restore the row of table \"%s\" from a backup. Models are not to be edited.",
					 CT_MODEL_TABLE)));
}

/* Looks for a row by name or, if that is NULL, by fingerprint. */
static void
begin_row_scan(RowScan *row, const char *name, const uint8 *fingerprint,
			   LOCKMODE lock)
{
	Oid			relation = model_table();
	Oid			index = name ? name_index_oid : fingerprint_index_oid;
	char		text[CT_FINGERPRINT_TEXT];
	ScanKeyData key;

	if (name == NULL)
		ct_fingerprint_to_text(fingerprint, text);
	ScanKeyInit(&key, name ? ATT_NAME : ATT_FINGERPRINT, BTEqualStrategyNumber,
				F_TEXTEQ, CStringGetTextDatum(name ? name : text));
	row->rel = table_open(relation, lock);
	row->scan = systable_beginscan(row->rel, index, OidIsValid(index), NULL,
								   1, &key);
	row->tuple = systable_getnext(row->scan);
	if (!HeapTupleIsValid(row->tuple))
		row->tuple = NULL;
}

static void
end_row_scan(RowScan *row, LOCKMODE lock)
{
	systable_endscan(row->scan);
	table_close(row->rel, lock);
}

static Datum
column(RowScan *row, const char *name, int attribute)
{
	bool		isnull;
	Datum		value = heap_getattr(row->tuple, attribute,
									 RelationGetDescr(row->rel), &isnull);

	if (isnull)
		damaged(name, "A column is null.");
	return value;
}

/* Copies an array column, which must have exactly n elements. */
static void
copy_array(RowScan *row, const char *name, int attribute, double *to, size_t n)
{
	Datum		value = column(row, name, attribute);
	ArrayType  *array = DatumGetArrayTypeP(value);
	size_t		length = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

	if (ARR_ELEMTYPE(array) != FLOAT8OID || ARR_HASNULL(array) || length != n)
		damaged(name, "The length of an array does not agree with the dimension and the number of inducing points.");
	if (n > 0)
		memcpy(to, ARR_DATA_PTR(array), n * sizeof(double));
	if ((Pointer) array != DatumGetPointer(value))
		pfree(array);
}

/* The model in a row, with everything checked that can be. */
static CtModel *
row_to_model(RowScan *row, const char *name)
{
	CtCovariance covariance =
		ct_covariance_lookup(TextDatumGetCString(column(row, name, ATT_KERNEL)));
	char	   *stated = TextDatumGetCString(column(row, name, ATT_FINGERPRINT));
	int32		m = DatumGetInt32(column(row, name, ATT_M));
	int32		dims = DatumGetInt32(column(row, name, ATT_DIMS));
	uint8		fingerprint[CT_FINGERPRINT_BYTES];
	CtModel    *model;
	const char *problem;

	if (covariance == 0)
		damaged(name, "Its kernel is not known.");
	if (m < 0 || m > CT_MAX_INDUCING || dims < (m > 0 ? 1 : 0) ||
		dims > CT_MAX_DIMS)
		damaged(name, "Its dimension or its number of inducing points is out of range.");
	model = ct_model_allocate(dims, m);
	model->covariance = covariance;
	model->variance = DatumGetFloat8(column(row, name, ATT_VARIANCE));
	model->nugget = DatumGetFloat8(column(row, name, ATT_NUGGET));
	model->jitter = DatumGetFloat8(column(row, name, ATT_JITTER));
	copy_array(row, name, ATT_LENGTHSCALE, ct_model_lengthscale(model),
			   ct_model_lengthscales(model));
	if (m > 0)
	{
		copy_array(row, name, ATT_INDUCING, ct_model_inducing(model),
				   (size_t) m * dims);
		copy_array(row, name, ATT_FACTOR, ct_model_factor(model),
				   ct_model_factor_size(m));
	}
	problem = ct_model_problem(model);
	if (problem)
		damaged(name, problem);
	ct_model_fingerprint(model, model->fingerprint);
	if (!ct_fingerprint_from_text(stated, fingerprint) ||
		memcmp(fingerprint, model->fingerprint, CT_FINGERPRINT_BYTES) != 0)
		damaged(name, "Its content does not have the fingerprint that is stored with it.");
	ct_model_set_error(model);
	return model;
}

CtModel *
ct_model_table_read(const char *name, const uint8 *fingerprint)
{
	RowScan		row;
	CtModel    *model = NULL;

	begin_row_scan(&row, name, fingerprint, AccessShareLock);
	if (row.tuple)
		model = row_to_model(&row, name ? name :
							 TextDatumGetCString(column(&row, "", ATT_NAME)));
	end_row_scan(&row, AccessShareLock);
	return model;
}

bool
ct_model_table_contains(const char *name, const uint8 *fingerprint)
{
	RowScan		row;

	begin_row_scan(&row, name, fingerprint, AccessShareLock);
	end_row_scan(&row, AccessShareLock);
	return row.tuple != NULL;
}

/*
 * Writing
 */

/* an array of doubles, of rows x columns if ndim is 2; empty if there are none */
static Datum
make_array(const double *values, int ndim, int rows, int columns)
{
	size_t		n = (size_t) rows * columns;
	size_t		size = ARR_OVERHEAD_NONULLS(ndim) + n * sizeof(double);
	ArrayType  *array;

	if (n == 0)
		return PointerGetDatum(construct_empty_array(FLOAT8OID));
	array = palloc0(size);
	SET_VARSIZE(array, size);
	array->ndim = ndim;
	array->elemtype = FLOAT8OID;
	ARR_DIMS(array)[0] = rows;
	ARR_LBOUND(array)[0] = 1;
	if (ndim == 2)
	{
		ARR_DIMS(array)[1] = columns;
		ARR_LBOUND(array)[1] = 1;
	}
	memcpy(ARR_DATA_PTR(array), values, n * sizeof(double));
	return PointerGetDatum(array);
}

static void
tell_all_sessions(Relation rel)
{
	CacheInvalidateRelcache(rel);
	CommandCounterIncrement();
}

void
ct_model_table_insert(const char *name, Oid owner, const CtModel *model)
{
	Relation	rel = table_open(model_table(), RowExclusiveLock);
	Datum		values[NATTS];
	bool		nulls[NATTS] = {0};
	char		fingerprint[CT_FINGERPRINT_TEXT];
	NameData	owner_name;

	if (RelationGetDescr(rel)->natts != NATTS)
		elog(ERROR, "table \"%s\" has %d columns, not %d", CT_MODEL_TABLE,
			 RelationGetDescr(rel)->natts, NATTS);
	namestrcpy(&owner_name, GetUserNameFromId(owner, false));
	ct_fingerprint_to_text(model->fingerprint, fingerprint);
	values[ATT_NAME - 1] = CStringGetTextDatum(name);
	values[ATT_OWNER - 1] = NameGetDatum(&owner_name);
	values[ATT_KERNEL - 1] =
		CStringGetTextDatum(ct_covariance_name(model->covariance));
	values[ATT_M - 1] = Int32GetDatum(model->m);
	values[ATT_DIMS - 1] = Int32GetDatum(model->dims);
	values[ATT_LENGTHSCALE - 1] = make_array(ct_model_lengthscale(model), 1,
											 ct_model_lengthscales(model), 1);
	values[ATT_VARIANCE - 1] = Float8GetDatum(model->variance);
	values[ATT_NUGGET - 1] = Float8GetDatum(model->nugget);
	values[ATT_JITTER - 1] = Float8GetDatum(model->jitter);
	values[ATT_INDUCING - 1] = make_array(ct_model_inducing(model), 2,
										  model->m, model->dims);
	values[ATT_FACTOR - 1] = make_array(ct_model_factor(model), 1,
										ct_model_factor_size(model->m), 1);
	values[ATT_FINGERPRINT - 1] = CStringGetTextDatum(fingerprint);

	CatalogTupleInsert(rel, heap_form_tuple(RelationGetDescr(rel), values, nulls));
	tell_all_sessions(rel);
	table_close(rel, NoLock);
}

bool
ct_model_table_delete(const char *name,
					  void (*allowed) (const char *name, const char *owner))
{
	RowScan		row;
	bool		found;

	begin_row_scan(&row, name, NULL, RowExclusiveLock);
	found = row.tuple != NULL;
	if (found)
	{
		allowed(name, NameStr(*DatumGetName(column(&row, name, ATT_OWNER))));
		CatalogTupleDelete(row.rel, &row.tuple->t_self);
		tell_all_sessions(row.rel);
	}
	end_row_scan(&row, NoLock);
	return found;
}
