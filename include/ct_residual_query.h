/*-------------------------------------------------------------------------
 *
 * ct_residual_query.h
 *	  Values of the SQL type residual_query: a location and its model.
 *
 * Layer 2.
 *
 * IDENTIFICATION
 *	  include/ct_residual_query.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_RESIDUAL_QUERY_H
#define CT_RESIDUAL_QUERY_H

#include "ct_compat.h"

#include "ct_model.h"

/* A residual_query opened for reading. */
typedef struct CtResidualQuery
{
	int			dims;
	const double *location;		/* dims finite doubles */
	uint8		fingerprint[CT_FINGERPRINT_BYTES];
	char		name[NAMEDATALEN];	/* of the model, when the query was made */
} CtResidualQuery;

/*
 * Reads a value.  Raises an error if it is not a proper one.  The location
 * lies in the value or in a copy that is allocated in the current memory
 * context.
 */
extern void ct_residual_query_read(Datum value, CtResidualQuery *query);

/*
 * The distance of the row that an index scan has just returned.  Computing it
 * again, for the select list, would mean to expand the row's location, which
 * costs more than all else that a row costs.  The memo holds one query and one
 * row; it is asked by content, so it does not matter who asks.
 */
extern void ct_residual_memo_note(const CtResidualQuery *query,
								  const double *location, double dist);
extern bool ct_residual_memo_ask(const CtResidualQuery *query,
								 const double *location, int dims,
								 double *dist);

/* Makes a value in the current memory context; the fields must be proper. */
extern Datum ct_residual_query_form(const CtResidualQuery *query);

#endif							/* CT_RESIDUAL_QUERY_H */
