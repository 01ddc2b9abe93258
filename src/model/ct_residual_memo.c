/*-------------------------------------------------------------------------
 *
 * ct_residual_memo.c
 *	  The distance that an index scan has computed last.
 *
 * IDENTIFICATION
 *	  src/model/ct_residual_memo.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "utils/memutils.h"

#include "ct_residual_query.h"

/* larger locations are not worth remembering */
#define MEMO_DIMS	32

static struct
{
	int			dims;			/* 0: empty */
	uint8		fingerprint[CT_FINGERPRINT_BYTES];
	double		query[MEMO_DIMS];
	double		row[MEMO_DIMS];
	double		dist;
}			memo;

/*
 * A scan for this query has returned a row at this location (of the query's
 * dimension) and distance.
 */
void
ct_residual_memo_note(const CtResidualQuery *query, const double *location,
					  double dist)
{
	Size		size = sizeof(double) * query->dims;

	memo.dims = 0;
	if (query->dims > MEMO_DIMS)
		return;
	memcpy(memo.fingerprint, query->fingerprint, CT_FINGERPRINT_BYTES);
	memcpy(memo.query, query->location, size);
	memcpy(memo.row, location, size);
	memo.dist = dist;
	memo.dims = query->dims;
}

/*
 * The distance of a query and a row at this location, if it is that of the
 * row returned last.
 */
bool
ct_residual_memo_ask(const CtResidualQuery *query, const double *location,
					 int dims, double *dist)
{
	Size		size = sizeof(double) * dims;

	if (memo.dims == 0 || dims != memo.dims || query->dims != dims ||
		memcmp(memo.row, location, size) != 0 ||
		memcmp(memo.query, query->location, size) != 0 ||
		memcmp(memo.fingerprint, query->fingerprint, CT_FINGERPRINT_BYTES) != 0)
		return false;
	*dist = memo.dist;
	return true;
}
