/*-------------------------------------------------------------------------
 *
 * ct_residual_query.c
 *	  Values of the SQL type residual_query in memory.
 *
 * A value is what it takes to name a place in a residual metric: location,
 * fingerprint of the model, and the model's name (for people).  It holds
 * nothing computed from the model, so it means the same on every server that
 * has the model.
 *
 * IDENTIFICATION
 *	  src/model/ct_residual_query.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "fmgr.h"

#include "ct_point.h"
#include "ct_residual_query.h"

/* the name follows the location, without a final zero */
typedef struct QueryDatum
{
	int32		vl_len_;
	int32		dims;
	uint8		fingerprint[CT_FINGERPRINT_BYTES];
	double		location[FLEXIBLE_ARRAY_MEMBER];
} QueryDatum;

StaticAssertDecl(offsetof(QueryDatum, location) == 24,
				 "locations of residual queries begin at 24");

static void
not_a_query(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("invalid value of type %s", "residual_query")));
}

void
ct_residual_query_read(Datum value, CtResidualQuery *query)
{
	const QueryDatum *datum = (const QueryDatum *) PG_DETOAST_DATUM(value);
	size_t		size = VARSIZE(datum);
	size_t		name_offset;

	if (size < offsetof(QueryDatum, location) ||
		datum->dims < 1 || datum->dims > CT_MAX_DIMS)
		not_a_query();
	name_offset = offsetof(QueryDatum, location) + datum->dims * sizeof(double);
	if (size <= name_offset || size - name_offset >= NAMEDATALEN)
		not_a_query();
	for (int i = 0; i < datum->dims; i++)
	{
		if (!isfinite(datum->location[i]))
			not_a_query();
	}
	query->dims = datum->dims;
	query->location = datum->location;
	memcpy(query->fingerprint, datum->fingerprint, CT_FINGERPRINT_BYTES);
	memcpy(query->name, (const char *) datum + name_offset, size - name_offset);
	query->name[size - name_offset] = '\0';
	if (strlen(query->name) != size - name_offset)
		not_a_query();
}

Datum
ct_residual_query_form(const CtResidualQuery *query)
{
	size_t		name_offset =
		offsetof(QueryDatum, location) + query->dims * sizeof(double);
	size_t		name_size = strlen(query->name);
	QueryDatum *datum = palloc0(name_offset + name_size);

	SET_VARSIZE(datum, name_offset + name_size);
	datum->dims = query->dims;
	memcpy(datum->fingerprint, query->fingerprint, CT_FINGERPRINT_BYTES);
	memcpy(datum->location, query->location, query->dims * sizeof(double));
	memcpy((char *) datum + name_offset, query->name, name_size);
	return PointerGetDatum(datum);
}
