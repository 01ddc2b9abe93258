/*-------------------------------------------------------------------------
 *
 * ct_query_io.c
 *	  The SQL type residual_query: constructor, text and binary form.
 *
 * The text form of a query is
 *
 *		model {0.1,0.2,0.3} @0123456789abcdef0123456789abcdef
 *
 * with the model's name in double quotes where it would not be read back as
 * it is, coordinates in the shortest form that is exact, and the fingerprint.
 * In a literal the fingerprint may be left out; then the model of that name
 * gives it.  With a fingerprint, reading asks for no model: values can be
 * restored or shipped before the model is.
 *
 * IDENTIFICATION
 *	  src/sql/ct_query_io.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

#include "ct_model_cache.h"
#include "ct_point.h"
#include "ct_residual_query.h"

PG_FUNCTION_INFO_V1(covertree_residual_query_in);
PG_FUNCTION_INFO_V1(covertree_residual_query_out);
PG_FUNCTION_INFO_V1(covertree_residual_query_recv);
PG_FUNCTION_INFO_V1(covertree_residual_query_send);
PG_FUNCTION_INFO_V1(covertree_residual_query_make);

/* version of the binary form */
#define QUERY_BINARY_VERSION	1

/*
 * Making queries
 */

static void
set_model_name(CtResidualQuery *query, const char *name, size_t length)
{
	if (length == 0 || length >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("invalid model name in residual query"),
				 errdetail("A model's name has 1 to %d bytes, but this one has %zu.",
						   NAMEDATALEN - 1, length)));
	memcpy(query->name, name, length);
	query->name[length] = '\0';
}

/* Fills in the fingerprint of the model of that name, which must fit. */
static void
set_fingerprint_by_name(CtResidualQuery *query)
{
	const CtModel *model = ct_model_by_name(query->name);

	model = ct_model_for_dims(model, query->dims, query->name);
	memcpy(query->fingerprint, model->fingerprint, CT_FINGERPRINT_BYTES);
}

Datum
covertree_residual_query_make(PG_FUNCTION_ARGS)
{
	text	   *name = PG_GETARG_TEXT_PP(0);
	CtResidualQuery query;
	double	   *location = palloc(sizeof(double) * CT_MAX_DIMS);
	Datum		result;

	set_model_name(&query, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	query.dims = ct_point_read(PG_GETARG_DATUM(1), CT_ARG_FLOAT8_ARRAY, location);
	query.location = location;
	set_fingerprint_by_name(&query);
	result = ct_residual_query_form(&query);
	pfree(location);
	PG_RETURN_DATUM(result);
}

/*
 * Text
 */

static void
syntax_error(const char *input)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid input syntax for type %s: \"%s\"",
					"residual_query", input),
			 errdetail("The form is: model {x,y,...} @fingerprint, where the fingerprint has %d hexadecimal digits and may be left out.",
					   2 * CT_FINGERPRINT_BYTES)));
}

static const char *
skip_space(const char *p)
{
	while (*p == ' ' || (*p >= '\t' && *p <= '\r'))
		p++;
	return p;
}

/* Can this byte stand in a name without quotes? */
static bool
is_plain(char c)
{
	return IS_HIGHBIT_SET(c) || c == '_' || c == '-' || c == '.' ||
		(c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		(c >= 'A' && c <= 'Z');
}

/* Reads a name, quoted or plain; returns what follows it. */
static const char *
parse_name(const char *p, const char *input, CtResidualQuery *query)
{
	StringInfoData name;

	initStringInfo(&name);
	if (*p == '"')
	{
		for (p++; *p != '"' || p[1] == '"'; p++)
		{
			if (*p == '\0')
				syntax_error(input);
			if (*p == '"')
				p++;
			appendStringInfoChar(&name, *p);
		}
		p++;
	}
	else
	{
		while (is_plain(*p))
			appendStringInfoChar(&name, *p++);
		if (name.len == 0)
			syntax_error(input);
	}
	set_model_name(query, name.data, name.len);
	pfree(name.data);
	return p;
}

/* Reads a location into a buffer; returns what follows it. */
static const char *
parse_location(const char *p, const char *input, CtResidualQuery *query,
			   double *location)
{
	const char *end = strrchr(p, '}');
	Datum		array;

	if (*p != '{' || end == NULL)
		syntax_error(input);
	array = OidInputFunctionCall(F_ARRAY_IN, pnstrdup(p, end + 1 - p),
								 FLOAT8OID, -1);
	query->dims = ct_point_read(array, CT_ARG_FLOAT8_ARRAY, location);
	query->location = location;
	return end + 1;
}

Datum
covertree_residual_query_in(PG_FUNCTION_ARGS)
{
	const char *input = PG_GETARG_CSTRING(0);
	const char *p;
	CtResidualQuery query;
	double	   *location = palloc(sizeof(double) * CT_MAX_DIMS);

	p = parse_name(skip_space(input), input, &query);
	p = parse_location(skip_space(p), input, &query, location);
	p = skip_space(p);
	if (*p == '\0')
		set_fingerprint_by_name(&query);
	else
	{
		char		text[CT_FINGERPRINT_TEXT];

		if (*p != '@')
			syntax_error(input);
		strlcpy(text, p + 1, sizeof(text));
		if (!ct_fingerprint_from_text(text, query.fingerprint) ||
			*skip_space(p + CT_FINGERPRINT_TEXT) != '\0')
			syntax_error(input);
	}
	PG_RETURN_DATUM(ct_residual_query_form(&query));
}

static void
append_name(StringInfo out, const char *name)
{
	const char *p = name;

	while (is_plain(*p))
		p++;
	if (*p == '\0')
	{
		appendStringInfoString(out, name);
		return;
	}
	appendStringInfoChar(out, '"');
	for (p = name; *p; p++)
	{
		if (*p == '"')
			appendStringInfoChar(out, '"');
		appendStringInfoChar(out, *p);
	}
	appendStringInfoChar(out, '"');
}

Datum
covertree_residual_query_out(PG_FUNCTION_ARGS)
{
	CtResidualQuery query;
	StringInfoData out;
	char		fingerprint[CT_FINGERPRINT_TEXT];

	ct_residual_query_read(PG_GETARG_DATUM(0), &query);
	initStringInfo(&out);
	append_name(&out, query.name);
	appendStringInfoString(&out, " {");
	for (int i = 0; i < query.dims; i++)
	{
		char		number[DOUBLE_SHORTEST_DECIMAL_LEN];

		double_to_shortest_decimal_buf(query.location[i], number);
		if (i > 0)
			appendStringInfoChar(&out, ',');
		appendStringInfoString(&out, number);
	}
	ct_fingerprint_to_text(query.fingerprint, fingerprint);
	appendStringInfo(&out, "} @%s", fingerprint);
	PG_RETURN_CSTRING(out.data);
}

/*
 * Binary: version, fingerprint, dimension, coordinates, name
 */

Datum
covertree_residual_query_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	CtResidualQuery query;
	double	   *location;
	int			version = pq_getmsgbyte(buf);
	int			name_bytes;
	char	   *name;

	if (version != QUERY_BINARY_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("unsupported version of external %s: %d",
						"residual_query", version)));
	pq_copymsgbytes(buf, (char *) query.fingerprint, CT_FINGERPRINT_BYTES);
	query.dims = pq_getmsgint(buf, 4);
	if (query.dims < 1 || query.dims > CT_MAX_DIMS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid dimension in external %s: %d",
						"residual_query", query.dims)));
	location = palloc(query.dims * sizeof(double));
	for (int i = 0; i < query.dims; i++)
	{
		location[i] = pq_getmsgfloat8(buf);
		if (!isfinite(location[i]))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
					 errmsg("invalid coordinate in external %s",
							"residual_query"),
					 errdetail("Coordinate %d is not finite.", i + 1)));
	}
	query.location = location;
	name = pq_getmsgtext(buf, buf->len - buf->cursor, &name_bytes);
	set_model_name(&query, name, name_bytes);
	PG_RETURN_DATUM(ct_residual_query_form(&query));
}

Datum
covertree_residual_query_send(PG_FUNCTION_ARGS)
{
	CtResidualQuery query;
	StringInfoData buf;

	ct_residual_query_read(PG_GETARG_DATUM(0), &query);
	pq_begintypsend(&buf);
	pq_sendbyte(&buf, QUERY_BINARY_VERSION);
	pq_sendbytes(&buf, (char *) query.fingerprint, CT_FINGERPRINT_BYTES);
	pq_sendint32(&buf, query.dims);
	for (int i = 0; i < query.dims; i++)
		pq_sendfloat8(&buf, query.location[i]);
	pq_sendtext(&buf, query.name, strlen(query.name));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}
