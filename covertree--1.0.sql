/* covertree--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION covertree" to load this file. \quit

--
-- Access method
--

CREATE FUNCTION covertree_handler(pg_catalog.internal)
RETURNS pg_catalog.index_am_handler
AS 'MODULE_PATHNAME'
LANGUAGE C;

COMMENT ON FUNCTION covertree_handler(pg_catalog.internal) IS
'covertree index access method handler';

CREATE ACCESS METHOD covertree TYPE INDEX HANDLER covertree_handler;

COMMENT ON ACCESS METHOD covertree IS
'covertree index access method (exact nearest neighbours)';

--
-- Distance functions
--
-- An operator exists for every type that a literal, an ARRAY constructor or a
-- driver's parameter may have on the right of a column, because any other
-- type would make the parser cast the column and so lose the index, or
-- complain that the operator is not unique.
--

CREATE FUNCTION covertree_distance(double precision[], double precision[])
RETURNS double precision
AS 'MODULE_PATHNAME', 'covertree_distance_float8_float8'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5;

CREATE FUNCTION covertree_distance(double precision[], real[])
RETURNS double precision
AS 'MODULE_PATHNAME', 'covertree_distance_float8_float4'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5;

CREATE FUNCTION covertree_distance(double precision[], numeric[])
RETURNS double precision
AS 'MODULE_PATHNAME', 'covertree_distance_float8_numeric'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 30;

CREATE FUNCTION covertree_distance(double precision[], integer[])
RETURNS double precision
AS 'MODULE_PATHNAME', 'covertree_distance_float8_int4'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5;

CREATE FUNCTION covertree_distance(double precision[], bigint[])
RETURNS double precision
AS 'MODULE_PATHNAME', 'covertree_distance_float8_int8'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5;

CREATE FUNCTION covertree_distance(real[], double precision[])
RETURNS double precision
AS 'MODULE_PATHNAME', 'covertree_distance_float4_float8'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5;

CREATE FUNCTION covertree_distance(real[], real[])
RETURNS double precision
AS 'MODULE_PATHNAME', 'covertree_distance_float4_float4'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5;

CREATE FUNCTION covertree_distance(real[], numeric[])
RETURNS double precision
AS 'MODULE_PATHNAME', 'covertree_distance_float4_numeric'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 30;

CREATE FUNCTION covertree_distance(real[], integer[])
RETURNS double precision
AS 'MODULE_PATHNAME', 'covertree_distance_float4_int4'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5;

CREATE FUNCTION covertree_distance(real[], bigint[])
RETURNS double precision
AS 'MODULE_PATHNAME', 'covertree_distance_float4_int8'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5;

CREATE FUNCTION covertree_distance(pg_catalog.point, pg_catalog.point)
RETURNS double precision
AS 'MODULE_PATHNAME', 'covertree_distance_point_point'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;

COMMENT ON FUNCTION covertree_distance(double precision[], double precision[]) IS
'implementation of <~> operator';

COMMENT ON FUNCTION covertree_distance(double precision[], real[]) IS
'implementation of <~> operator';

COMMENT ON FUNCTION covertree_distance(double precision[], numeric[]) IS
'implementation of <~> operator';

COMMENT ON FUNCTION covertree_distance(double precision[], integer[]) IS
'implementation of <~> operator';

COMMENT ON FUNCTION covertree_distance(double precision[], bigint[]) IS
'implementation of <~> operator';

COMMENT ON FUNCTION covertree_distance(real[], double precision[]) IS
'implementation of <~> operator';

COMMENT ON FUNCTION covertree_distance(real[], real[]) IS
'implementation of <~> operator';

COMMENT ON FUNCTION covertree_distance(real[], numeric[]) IS
'implementation of <~> operator';

COMMENT ON FUNCTION covertree_distance(real[], integer[]) IS
'implementation of <~> operator';

COMMENT ON FUNCTION covertree_distance(real[], bigint[]) IS
'implementation of <~> operator';

COMMENT ON FUNCTION covertree_distance(pg_catalog.point, pg_catalog.point) IS
'implementation of <~> operator';

--
-- Distance operators
--

CREATE OPERATOR <~> (
	LEFTARG = double precision[],
	RIGHTARG = double precision[],
	FUNCTION = covertree_distance,
	COMMUTATOR = <~>
);

CREATE OPERATOR <~> (
	LEFTARG = double precision[],
	RIGHTARG = real[],
	FUNCTION = covertree_distance,
	COMMUTATOR = <~>
);

CREATE OPERATOR <~> (
	LEFTARG = double precision[],
	RIGHTARG = numeric[],
	FUNCTION = covertree_distance
);

CREATE OPERATOR <~> (
	LEFTARG = double precision[],
	RIGHTARG = integer[],
	FUNCTION = covertree_distance
);

CREATE OPERATOR <~> (
	LEFTARG = double precision[],
	RIGHTARG = bigint[],
	FUNCTION = covertree_distance
);

CREATE OPERATOR <~> (
	LEFTARG = real[],
	RIGHTARG = double precision[],
	FUNCTION = covertree_distance,
	COMMUTATOR = <~>
);

CREATE OPERATOR <~> (
	LEFTARG = real[],
	RIGHTARG = real[],
	FUNCTION = covertree_distance,
	COMMUTATOR = <~>
);

CREATE OPERATOR <~> (
	LEFTARG = real[],
	RIGHTARG = numeric[],
	FUNCTION = covertree_distance
);

CREATE OPERATOR <~> (
	LEFTARG = real[],
	RIGHTARG = integer[],
	FUNCTION = covertree_distance
);

CREATE OPERATOR <~> (
	LEFTARG = real[],
	RIGHTARG = bigint[],
	FUNCTION = covertree_distance
);

CREATE OPERATOR <~> (
	LEFTARG = pg_catalog.point,
	RIGHTARG = pg_catalog.point,
	FUNCTION = covertree_distance,
	COMMUTATOR = <~>
);

COMMENT ON OPERATOR <~> (double precision[], double precision[]) IS
'Euclidean distance';

COMMENT ON OPERATOR <~> (double precision[], real[]) IS
'Euclidean distance';

COMMENT ON OPERATOR <~> (double precision[], numeric[]) IS
'Euclidean distance';

COMMENT ON OPERATOR <~> (double precision[], integer[]) IS
'Euclidean distance';

COMMENT ON OPERATOR <~> (double precision[], bigint[]) IS
'Euclidean distance';

COMMENT ON OPERATOR <~> (real[], double precision[]) IS
'Euclidean distance';

COMMENT ON OPERATOR <~> (real[], real[]) IS
'Euclidean distance';

COMMENT ON OPERATOR <~> (real[], numeric[]) IS
'Euclidean distance';

COMMENT ON OPERATOR <~> (real[], integer[]) IS
'Euclidean distance';

COMMENT ON OPERATOR <~> (real[], bigint[]) IS
'Euclidean distance';

COMMENT ON OPERATOR <~> (pg_catalog.point, pg_catalog.point) IS
'Euclidean distance';

--
-- Models of the residual-correlation metric
--
-- The table is written by covertree_create_model() and covertree_drop_model()
-- only.  A model is immutable: its fingerprint is a hash of the row's content
-- from kernel to factor.
--

CREATE TABLE covertree_model (
	name pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
	owner pg_catalog.name NOT NULL,
	kernel pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
	m integer NOT NULL,
	dims integer NOT NULL,
	lengthscale double precision[] NOT NULL,
	variance double precision NOT NULL,
	nugget double precision NOT NULL,
	jitter double precision NOT NULL,
	inducing double precision[] NOT NULL,
	factor double precision[] NOT NULL,
	fingerprint pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
	CONSTRAINT covertree_model_pkey PRIMARY KEY (name)
);

CREATE INDEX covertree_model_fingerprint_idx ON covertree_model (fingerprint);

ALTER TABLE covertree_model ALTER COLUMN factor SET STORAGE EXTERNAL;

ALTER TABLE covertree_model ALTER COLUMN inducing SET STORAGE EXTERNAL;

GRANT SELECT ON TABLE covertree_model TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('covertree_model', '');

COMMENT ON TABLE covertree_model IS
'Gaussian-process models that define residual correlation; see covertree_create_model()';

COMMENT ON COLUMN covertree_model.name IS
'name of the model';

COMMENT ON COLUMN covertree_model.owner IS
'role that created the model and may drop it';

COMMENT ON COLUMN covertree_model.kernel IS
'covariance function: rbf, matern12, matern32 or matern52';

COMMENT ON COLUMN covertree_model.m IS
'number of inducing points';

COMMENT ON COLUMN covertree_model.dims IS
'dimension of the points; 0 if any';

COMMENT ON COLUMN covertree_model.lengthscale IS
'lengthscale of each dimension, or one for all if dims is 0';

COMMENT ON COLUMN covertree_model.variance IS
'variance of the process';

COMMENT ON COLUMN covertree_model.nugget IS
'variance added to each point of its own';

COMMENT ON COLUMN covertree_model.jitter IS
'added to the diagonal of the covariance matrix of the inducing points, relative to variance';

COMMENT ON COLUMN covertree_model.inducing IS
'inducing points, one row each';

COMMENT ON COLUMN covertree_model.factor IS
'Cholesky factor of the covariance matrix of the inducing points: lower triangle, column by column';

COMMENT ON COLUMN covertree_model.fingerprint IS
'hash of the content, by which queries and indexes refer to it';

COMMENT ON INDEX covertree_model_fingerprint_idx IS
'models by fingerprint';

CREATE FUNCTION covertree_create_model(name pg_catalog.text,
	kernel pg_catalog.text,
	lengthscale double precision[],
	inducing double precision[],
	variance double precision DEFAULT 1,
	nugget double precision DEFAULT 0,
	jitter double precision DEFAULT 1e-6)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000;

COMMENT ON FUNCTION covertree_create_model(pg_catalog.text, pg_catalog.text, double precision[], double precision[], double precision, double precision, double precision) IS
'create a model of residual correlation';

CREATE FUNCTION covertree_drop_model(name pg_catalog.text)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 1000;

COMMENT ON FUNCTION covertree_drop_model(pg_catalog.text) IS
'drop a model that no index uses';

CREATE FUNCTION covertree_inducing_points("table" pg_catalog.regclass,
	"column" pg_catalog.name,
	m integer,
	method pg_catalog.text DEFAULT 'kmeans++',
	seed bigint DEFAULT 0)
RETURNS double precision[]
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 100000;

COMMENT ON FUNCTION covertree_inducing_points(pg_catalog.regclass, pg_catalog.name, integer, pg_catalog.text, bigint) IS
'choose inducing points for a column of points';

--
-- Residual queries
--

CREATE TYPE residual_query;

CREATE FUNCTION residual_query_in(pg_catalog.cstring)
RETURNS residual_query
AS 'MODULE_PATHNAME', 'covertree_residual_query_in'
LANGUAGE C STABLE STRICT PARALLEL SAFE;

CREATE FUNCTION residual_query_out(residual_query)
RETURNS pg_catalog.cstring
AS 'MODULE_PATHNAME', 'covertree_residual_query_out'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION residual_query_recv(pg_catalog.internal)
RETURNS residual_query
AS 'MODULE_PATHNAME', 'covertree_residual_query_recv'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION residual_query_send(residual_query)
RETURNS pg_catalog.bytea
AS 'MODULE_PATHNAME', 'covertree_residual_query_send'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION residual_query_in(pg_catalog.cstring) IS
'I/O';

COMMENT ON FUNCTION residual_query_out(residual_query) IS
'I/O';

COMMENT ON FUNCTION residual_query_recv(pg_catalog.internal) IS
'I/O';

COMMENT ON FUNCTION residual_query_send(residual_query) IS
'I/O';

CREATE TYPE residual_query (
	INPUT = residual_query_in,
	OUTPUT = residual_query_out,
	RECEIVE = residual_query_recv,
	SEND = residual_query_send,
	ALIGNMENT = double,
	STORAGE = extended
);

COMMENT ON TYPE residual_query IS
'a location and the model by which it is near to others: model {x,y,...} @fingerprint';

-- Arrays of other number types are cast: an overload for each would make a
-- literal ambiguous.
CREATE FUNCTION residual_query(model pg_catalog.text, location double precision[])
RETURNS residual_query
AS 'MODULE_PATHNAME', 'covertree_residual_query_make'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10;

COMMENT ON FUNCTION residual_query(pg_catalog.text, double precision[]) IS
'the right operand of <~> that asks for residual correlation';

CREATE FUNCTION covertree_distance(double precision[], residual_query)
RETURNS double precision
AS 'MODULE_PATHNAME', 'covertree_distance_float8_residual'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 2000;

CREATE FUNCTION covertree_distance(real[], residual_query)
RETURNS double precision
AS 'MODULE_PATHNAME', 'covertree_distance_float4_residual'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 2000;

COMMENT ON FUNCTION covertree_distance(double precision[], residual_query) IS
'implementation of <~> operator';

COMMENT ON FUNCTION covertree_distance(real[], residual_query) IS
'implementation of <~> operator';

CREATE OPERATOR <~> (
	LEFTARG = double precision[],
	RIGHTARG = residual_query,
	FUNCTION = covertree_distance
);

CREATE OPERATOR <~> (
	LEFTARG = real[],
	RIGHTARG = residual_query,
	FUNCTION = covertree_distance
);

COMMENT ON OPERATOR <~> (double precision[], residual_query) IS
'residual-correlation distance';

COMMENT ON OPERATOR <~> (real[], residual_query) IS
'residual-correlation distance';

CREATE FUNCTION covertree_residual_correlation(model pg_catalog.text,
	a double precision[],
	b double precision[])
RETURNS double precision
AS 'MODULE_PATHNAME'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 4000;

COMMENT ON FUNCTION covertree_residual_correlation(pg_catalog.text, double precision[], double precision[]) IS
'residual correlation of two points in a model';

CREATE FUNCTION covertree_residual_variance(model pg_catalog.text,
	x double precision[])
RETURNS double precision
AS 'MODULE_PATHNAME'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 2000;

COMMENT ON FUNCTION covertree_residual_variance(pg_catalog.text, double precision[]) IS
'residual variance of a point in a model';

--
-- Metric descriptors of the operator classes
--

CREATE FUNCTION covertree_float8_euclidean_support(pg_catalog.internal)
RETURNS pg_catalog.internal
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION covertree_float4_euclidean_support(pg_catalog.internal)
RETURNS pg_catalog.internal
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION covertree_point_euclidean_support(pg_catalog.internal)
RETURNS pg_catalog.internal
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION covertree_float8_residual_support(pg_catalog.internal)
RETURNS pg_catalog.internal
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION covertree_float4_residual_support(pg_catalog.internal)
RETURNS pg_catalog.internal
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION covertree_residual_options(pg_catalog.internal)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION covertree_float8_euclidean_support(pg_catalog.internal) IS
'covertree support for float8_euclidean_ops';

COMMENT ON FUNCTION covertree_float4_euclidean_support(pg_catalog.internal) IS
'covertree support for float4_euclidean_ops';

COMMENT ON FUNCTION covertree_point_euclidean_support(pg_catalog.internal) IS
'covertree support for point_euclidean_ops';

COMMENT ON FUNCTION covertree_float8_residual_support(pg_catalog.internal) IS
'covertree support for float8_residual_ops';

COMMENT ON FUNCTION covertree_float4_residual_support(pg_catalog.internal) IS
'covertree support for float4_residual_ops';

COMMENT ON FUNCTION covertree_residual_options(pg_catalog.internal) IS
'options of float8_residual_ops and float4_residual_ops';

--
-- Operator classes
--
-- One family for each type of column, which holds the operators of every right
-- operand.
--

CREATE OPERATOR FAMILY float8_euclidean_ops USING covertree;

CREATE OPERATOR CLASS float8_euclidean_ops
DEFAULT FOR TYPE double precision[] USING covertree FAMILY float8_euclidean_ops AS
	OPERATOR 1 <~> (double precision[], double precision[]) FOR ORDER BY pg_catalog.float_ops,
	OPERATOR 1 <~> (double precision[], real[]) FOR ORDER BY pg_catalog.float_ops,
	OPERATOR 1 <~> (double precision[], numeric[]) FOR ORDER BY pg_catalog.float_ops,
	OPERATOR 1 <~> (double precision[], integer[]) FOR ORDER BY pg_catalog.float_ops,
	OPERATOR 1 <~> (double precision[], bigint[]) FOR ORDER BY pg_catalog.float_ops,
	FUNCTION 1 covertree_float8_euclidean_support(pg_catalog.internal);

COMMENT ON OPERATOR FAMILY float8_euclidean_ops USING covertree IS
'Euclidean distance from double precision[]';

COMMENT ON OPERATOR CLASS float8_euclidean_ops USING covertree IS
'nearest neighbours of double precision[] by Euclidean distance';

CREATE OPERATOR FAMILY float4_euclidean_ops USING covertree;

CREATE OPERATOR CLASS float4_euclidean_ops
DEFAULT FOR TYPE real[] USING covertree FAMILY float4_euclidean_ops AS
	OPERATOR 1 <~> (real[], double precision[]) FOR ORDER BY pg_catalog.float_ops,
	OPERATOR 1 <~> (real[], real[]) FOR ORDER BY pg_catalog.float_ops,
	OPERATOR 1 <~> (real[], numeric[]) FOR ORDER BY pg_catalog.float_ops,
	OPERATOR 1 <~> (real[], integer[]) FOR ORDER BY pg_catalog.float_ops,
	OPERATOR 1 <~> (real[], bigint[]) FOR ORDER BY pg_catalog.float_ops,
	FUNCTION 1 covertree_float4_euclidean_support(pg_catalog.internal);

COMMENT ON OPERATOR FAMILY float4_euclidean_ops USING covertree IS
'Euclidean distance from real[]';

COMMENT ON OPERATOR CLASS float4_euclidean_ops USING covertree IS
'nearest neighbours of real[] by Euclidean distance';

CREATE OPERATOR FAMILY point_euclidean_ops USING covertree;

CREATE OPERATOR CLASS point_euclidean_ops
DEFAULT FOR TYPE pg_catalog.point USING covertree FAMILY point_euclidean_ops AS
	OPERATOR 1 <~> (pg_catalog.point, pg_catalog.point) FOR ORDER BY pg_catalog.float_ops,
	OPERATOR 2 pg_catalog.<-> (pg_catalog.point, pg_catalog.point) FOR ORDER BY pg_catalog.float_ops,
	FUNCTION 1 covertree_point_euclidean_support(pg_catalog.internal);

COMMENT ON OPERATOR FAMILY point_euclidean_ops USING covertree IS
'Euclidean distance from point';

COMMENT ON OPERATOR CLASS point_euclidean_ops USING covertree IS
'nearest neighbours of point by Euclidean distance';

CREATE OPERATOR FAMILY float8_residual_ops USING covertree;

CREATE OPERATOR CLASS float8_residual_ops
FOR TYPE double precision[] USING covertree FAMILY float8_residual_ops AS
	OPERATOR 1 <~> (double precision[], residual_query) FOR ORDER BY pg_catalog.float_ops,
	FUNCTION 1 covertree_float8_residual_support(pg_catalog.internal),
	FUNCTION 2 covertree_residual_options(pg_catalog.internal);

COMMENT ON OPERATOR FAMILY float8_residual_ops USING covertree IS
'residual correlation with double precision[]';

COMMENT ON OPERATOR CLASS float8_residual_ops USING covertree IS
'nearest neighbours of double precision[] by residual correlation in a model';

CREATE OPERATOR FAMILY float4_residual_ops USING covertree;

CREATE OPERATOR CLASS float4_residual_ops
FOR TYPE real[] USING covertree FAMILY float4_residual_ops AS
	OPERATOR 1 <~> (real[], residual_query) FOR ORDER BY pg_catalog.float_ops,
	FUNCTION 1 covertree_float4_residual_support(pg_catalog.internal),
	FUNCTION 2 covertree_residual_options(pg_catalog.internal);

COMMENT ON OPERATOR FAMILY float4_residual_ops USING covertree IS
'residual correlation with real[]';

COMMENT ON OPERATOR CLASS float4_residual_ops USING covertree IS
'nearest neighbours of real[] by residual correlation in a model';

--
-- Bulk search
--

CREATE FUNCTION covertree_knn(index pg_catalog.regclass,
	queries double precision[], k integer)
RETURNS TABLE (query integer, rank integer, tid pg_catalog.tid,
	distance double precision)
AS 'MODULE_PATHNAME'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 10000 ROWS 10000;

COMMENT ON FUNCTION covertree_knn(pg_catalog.regclass, double precision[], integer) IS
'the k nearest rows of each of many points, by a covertree index';

CREATE FUNCTION covertree_knn_graph(index pg_catalog.regclass, k integer)
RETURNS TABLE (tid pg_catalog.tid, rank integer, neighbor pg_catalog.tid,
	distance double precision)
AS 'MODULE_PATHNAME'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 100000 ROWS 100000;

COMMENT ON FUNCTION covertree_knn_graph(pg_catalog.regclass, integer) IS
'the k nearest others of each row of a covertree index';

CREATE FUNCTION covertree_knn_progress(
	OUT pid integer,
	OUT index pg_catalog.regclass,
	OUT queries_total bigint,
	OUT queries_done bigint,
	OUT pages_read bigint,
	OUT distances bigint,
	OUT threads bigint)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 10;

COMMENT ON FUNCTION covertree_knn_progress() IS
'how far bulk searches of all sessions of the database are';

--
-- Inspection
--

CREATE FUNCTION covertree_check(index pg_catalog.regclass,
	heapallindexed boolean DEFAULT false)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED COST 1000;

COMMENT ON FUNCTION covertree_check(pg_catalog.regclass, boolean) IS
'raise an error unless every invariant of a covertree index holds';

CREATE FUNCTION covertree_stats(index pg_catalog.regclass,
	OUT version integer,
	OUT rows bigint,
	OUT nulls bigint,
	OUT dims integer,
	OUT metric pg_catalog.text,
	OUT element pg_catalog.text,
	OUT strategy pg_catalog.text,
	OUT base double precision,
	OUT height integer,
	OUT pages bigint,
	OUT routing_pages bigint,
	OUT leaf_pages bigint,
	OUT vector_pages bigint,
	OUT null_pages bigint,
	OUT free_pages bigint,
	OUT model_pages bigint,
	OUT leaf_fill double precision,
	OUT mean_fanout double precision,
	OUT max_fanout integer,
	OUT bytes_per_row double precision,
	OUT dead_rows bigint,
	OUT overlap double precision)
RETURNS pg_catalog.record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED COST 1000;

COMMENT ON FUNCTION covertree_stats(pg_catalog.regclass) IS
'statistics of a covertree index';

CREATE FUNCTION covertree_levels(index pg_catalog.regclass,
	OUT level integer,
	OUT nodes bigint,
	OUT children bigint,
	OUT mean_radius double precision,
	OUT max_radius double precision,
	OUT radius_ratio double precision)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED COST 1000 ROWS 50;

COMMENT ON FUNCTION covertree_levels(pg_catalog.regclass) IS
'statistics of a covertree index by level of the tree';

CREATE FUNCTION covertree_scan_stats(
	OUT scans bigint,
	OUT rows_returned bigint,
	OUT pages_read bigint,
	OUT distances bigint,
	OUT subtrees_pruned bigint)
RETURNS pg_catalog.record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION covertree_scan_stats() IS
'work done by covertree index scans of this session';

CREATE FUNCTION covertree_kernel_level()
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME'
LANGUAGE C STABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION covertree_kernel_level() IS
'instruction set that computes distances in this session';
