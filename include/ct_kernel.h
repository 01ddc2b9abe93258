/*-------------------------------------------------------------------------
 *
 * ct_kernel.h
 *	  Distance kernels: one meaning, several instruction sets.
 *
 * Layer 0: no PostgreSQL header here or in src/kernel.
 *
 * Every table computes the same bits.  The canonical Euclidean distance of
 * two vectors is: sixteen partial sums, sum number j mod 16 receiving
 * (x[j] - q[j])^2 in increasing order of j, each product rounded before it is
 * added (no FMA); the partial sums are then added in halves (s[i] += s[i + 8],
 * then 4, 2, 1), and the correctly rounded square root is taken.  A sum
 * outside CT_SUM_MIN .. CT_SUM_MAX (overflow, underflow, or an exact zero)
 * is computed again by ct_l2_rescaled(), which scales the differences by a
 * power of two first, so that neither range limit is felt before the distance
 * itself reaches it.
 *
 * The canonical dot product has the same sixteen partial sums, of x[j] y[j],
 * added up in the same way; it is what plain arithmetic makes of it, without
 * rescaling.
 *
 * The feature kernels serve ct_model.h.  A factor is a lower triangle L stored
 * by columns without gaps: of m columns, number j holds rows j .. m - 1.  Each
 * element that something is subtracted from sees it happen one product at a
 * time, in increasing order of the column number, whatever the blocking.
 *
 * IDENTIFICATION
 *	  include/ct_kernel.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_KERNEL_H
#define CT_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum CtKernelLevel
{
	CT_KERNEL_SCALAR,
	CT_KERNEL_AVX2,
	CT_KERNEL_AVX512
} CtKernelLevel;

#define CT_KERNEL_LEVELS	3

/* number of partial sums in the canonical order of summation */
#define CT_SUM_LANES		16

/* a sum of squares within these limits is as exact as double allows */
#define CT_SUM_MIN			0x1p-900
#define CT_SUM_MAX			0x1p+1000

/* columns that factor_update() treats at a time */
#define CT_FACTOR_PANEL		8

/* right-hand sides that substitute_batch() treats at a time */
#define CT_BATCH			16

/* rows that code_sums() treats at a time, at most */
#define CT_CODE_ROWS		16

/* bytes that the processor fetches together */
#define CT_CACHE_LINE		64

/*
 * Rows of a panel, panels and columns of a matrix that largest_products() treats at
 * a time, and elements whose products it adds before it adds the sums of these.
 */
#define CT_KNOT_PANEL		16
#define CT_KNOT_PANELS		3
#define CT_KNOT_TILE		8
#define CT_KNOT_CHUNK		32

/* queries that the block kernels treat at a time, and most pivots of a basis */
#define CT_BLOCK			64
#define CT_BLOCK_BASIS		40

/* queries whose features lie side by side */
#define CT_PACK				8

/* queries, or rows, that the block kernels of codes treat at a time */
#define CT_CODE_LANES		16

/* covariance functions; values are on disk */
typedef enum CtCovariance
{
	CT_COVARIANCE_RBF = 1,
	CT_COVARIANCE_MATERN12 = 2,
	CT_COVARIANCE_MATERN32 = 3,
	CT_COVARIANCE_MATERN52 = 4
} CtCovariance;

/* no location is further than the root of this many lengthscales */
#define CT_SQUARES_MAX		1e6

/*
 * A covariance function of s = sum of ((x[j] - q[j]) / lengthscale[j])^2,
 * added up in increasing order of j, and at most CT_SQUARES_MAX, where all of
 * them are zero.  With r = sqrt(s), a = sqrt(3) r or sqrt(5) r, and every
 * operation rounded as the parentheses say:
 *
 *		rbf			variance * exp(-(s / 2))
 *		matern12	variance * exp(-r)
 *		matern32	variance * ((1 + a) * exp(-a))
 *		matern52	variance * (((1 + a) + s * (5 / 3)) * exp(-a))
 *
 * Differences may overflow.  NaN gives NaN.
 */
typedef struct CtCovarianceFunction
{
	CtCovariance kind;
	size_t		dim;
	double		variance;
	const double *lengthscale;	/* dim of them */
} CtCovarianceFunction;

/* Queries of a block whose correlations are computed. */
typedef struct CtCorrelations
{
	CtCovarianceFunction function;
	const double *rates;		/* inverse of each lengthscale */
	size_t		n;				/* a multiple of CT_PACK */
	const double *places;		/* coordinate j of query b: j * CT_BLOCK + b */
	const double *scales;		/* 1 / sqrt(p), perhaps infinite */
} CtCorrelations;

/*
 * What a basis says of a block of queries.  Whose shares have the squares r^2,
 * slack and cut,
 *
 *		e = share_error slack + share_offset
 *		l = r (1 + norm_error) + e
 *		rest = sqrt(1 - min(max(r (1 - norm_error) - e, 0), 1)^2 + square_error)
 *		lack = slack + reach_error e + reach_length l + reach_offset
 *		needed = cut - lack
 */
typedef struct CtBlockBasis
{
	float		share_error;
	float		share_offset;
	float		norm_error;
	float		square_error;
	float		reach_error;
	float		reach_length;
	float		reach_offset;
	float		most_rest;		/* of any row */
} CtBlockBasis;

typedef struct CtBlockQueries
{
	float		shares[CT_BLOCK_BASIS * CT_BLOCK];	/* number j of query b is
													 * shares[j * CT_BLOCK + b] */
	float		squares[CT_BLOCK];	/* of all shares */
	float		slack[CT_BLOCK];
	float		cuts[CT_BLOCK];
	float		rests[CT_BLOCK];
	float		lacks[CT_BLOCK];	/* what estimates may lack, besides rests */
	float		needed[CT_BLOCK];	/* what a row must be able to reach */
} CtBlockQueries;

/* rows that the block kernels bound at a time */
#define CT_BLOCK_WIDE		64

/* What is known of a row's absolute correlation with a query. */
typedef struct CtCandidate
{
	float		estimate;
	uint32_t	row;
} CtCandidate;

/* block_offer() may write so many candidates more than it says */
#define CT_OFFER_BESIDES	16

/* Which rows are candidates of a query?  See block_offer(). */
typedef struct CtBlockOffer
{
	float		rest;			/* of the query */
	float		lack;
	float		cut;
	float		estimate;		/* rows of smaller estimates, */
	float		wide;			/* and that reach less, are left out */
	uint32_t	row;			/* number of the first one */
	uint64_t	rows;			/* a bit for each that is asked for */
} CtBlockOffer;

/*
 * Codes of a block of queries, as block_codes() makes them.  They are signed
 * bytes and come in fours, the first one lowest: quad p of query b is
 * quads[p * CT_BLOCK + b].
 */
typedef struct CtBlockCodes
{
	uint32_t   *quads;
	float		scale[CT_BLOCK];	/* what a code of 1 stands for */
	float		rests[CT_BLOCK];	/* sums of squares of what codes leave, */
	int32_t		squares[CT_BLOCK];	/* of squares of codes, */
	int32_t		sums[CT_BLOCK]; /* and of codes */
} CtBlockCodes;

/* Which rows does block_reach() look for, and where do its results go? */
typedef struct CtBlockReach
{
	const uint32_t *quads;		/* of the block */
	size_t		nquads;			/* one or more */
	size_t		nqueries;		/* of the block, */
	const uint8_t *queries;		/* these */
	const float *factors;		/* by query of the block */
	const float *least;			/* likewise */
	int32_t    *products;		/* n for each of the queries asked for */
	uint16_t   *masks;			/* n / CT_CODE_LANES likewise, a bit a row */
} CtBlockReach;

typedef struct CtKernelTable
{
	CtKernelLevel level;
	const char *name;			/* "scalar", "avx2", "avx512" */

	/* distance of two vectors of dim elements; no alignment is required */
	double		(*l2_f64) (const double *q, const double *x, size_t dim);
	double		(*l2_f32) (const double *q, const float *x, size_t dim);

	/*
	 * Distances of one query (dim doubles) to n points stored by column:
	 * coordinate j of point i is cols[j * stride + i].  Writes n doubles to
	 * dist and nothing beyond; reads nothing beyond point n - 1.
	 */
	void		(*l2_columns_f64) (const double *q, const double *cols,
								   size_t stride, size_t n, size_t dim,
								   double *dist);
	void		(*l2_columns_f32) (const double *q, const float *cols,
								   size_t stride, size_t n, size_t dim,
								   double *dist);

	/*
	 * The canonical sums of the same: where this returns true, the roots of
	 * them are the distances.  It returns false if a sum may be outside
	 * CT_SUM_MIN .. CT_SUM_MAX.
	 */
	bool		(*squares_columns_f64) (const double *q, const double *cols,
										size_t stride, size_t n, size_t dim,
										double *sums);
	bool		(*squares_columns_f32) (const double *q, const float *cols,
										size_t stride, size_t n, size_t dim,
										double *sums);

	/*
	 * Distances of location q to n boxes whose limits are stored by column:
	 * the lower limit of box i in dimension j is boxes[j * stride + i], the
	 * upper one boxes[(dim + j) * stride + i].  A leg is how far q is below the
	 * one or above the other, or zero; the squares of the legs are added in
	 * increasing order of j, each rounded, and may vanish or overflow.  Writes
	 * n doubles and nothing beyond, and reads no other box.
	 */
	void		(*box_distances) (const double *q, const float *boxes,
								  size_t stride, size_t n, size_t dim,
								  double *dist);

	/* the same, but for the root: sums of squares, at most CT_SUM_MAX */
	void		(*box_squares) (const double *q, const float *boxes,
								size_t stride, size_t n, size_t dim,
								double *squares);

	/*
	 * Products of the shares of a query and of n rows, which are stored by
	 * column: share j of row i is shares[j * stride + i].  Products and sums
	 * are rounded to float, in increasing order of j.
	 */
	void		(*share_products) (const float *query, const int8_t *shares,
								   size_t stride, size_t n, size_t nbasis,
								   float *products);

	/*
	 * Sums of the squared differences between the codes of a query and of n
	 * rows.  Codes come in npairs pairs: pair p of row i is at codes[2 * (p *
	 * stride + i)], that of the query at query[2 * p].  No sum may exceed a
	 * signed word.  Reads rows, and writes sums, up to the next multiple of
	 * CT_CODE_ROWS.
	 */
	void		(*code_sums) (const int16_t *query, const uint8_t *codes,
							  size_t stride, size_t n, size_t npairs,
							  int32_t *sums);

	/*
	 * The codes of a query: the integers nearest to t[j] / step, t[j] being
	 * q[j] - bases[j], but none beyond limit or -limit.  Puts the sum of squares
	 * of what they leave of t into *squares, and that of t itself into *offsets.
	 * step is above zero.
	 */
	void		(*quantize) (const double *q, const float *bases, double step,
							 double limit, size_t dim, int16_t *codes,
							 double *squares, double *offsets);

	/*
	 * Product of a lower triangle of n rows in groups (CT_GROUPED_AT()) and x.
	 * x and y have room for n rounded up to a multiple of four; x has zeroes
	 * behind.  Element j of a row is added to the sum of those with the same j
	 * modulo 4, these are added as (0 + 1) + (2 + 3), each rounded to double.
	 */
	void		(*grouped_product) (const float *triangle, size_t n,
									const double *x, double *y);

	/*
	 * The block kernels.  They serve bounds only: products and sums are of
	 * float, in any order, and may be rounded once or twice.
	 *
	 * block_correlations(): residual correlations of n locations and queries,
	 * rounded to float and in [-1, 1]: rho[i * stride + b] of (covariance -
	 * products[i * queries->n + b]) times both scales, and 1 where that is not a
	 * number.  Covariances may have other bits than those of covariances().
	 *
	 * block_shares(): products of a triangle as above and the columns of rho,
	 * element j of query b being rho[j][b], for n rounded up to a multiple of
	 * four; and of each query the sum of their squares.
	 *
	 * block_weigh(): rests, lacks and what is needed, from squares, slack and
	 * cuts (CtBlockBasis).  Returns the bits of queries for which l + rest
	 * most_rest is not less than needed.
	 *
	 * block_survivors(): absolute products of the shares of some queries and of n
	 * rows, at most CT_BLOCK_WIDE: that of the q-th query listed and row i becomes
	 * estimates[q * CT_BLOCK_WIDE + i].  Share j of row i is shares[j * stride +
	 * i] in units of scales[j].  Returns a bit for each query of the list (bit q)
	 * if the product and that of the rests together reach what is needed for some
	 * row.  The list has room for nlist rounded up to a multiple of four, rests
	 * and estimates for CT_BLOCK_WIDE; the rests behind the last row's are zero.
	 *
	 * block_offer(): writes the rows, and what they can reach at most, negated, for
	 * which estimate + (lack + rest product) is at least cut.  Returns their
	 * number, and whether it has left out others.
	 */
	void		(*block_products) (const double *const *x, size_t n,
								   const double *const *packs, size_t npacks,
								   size_t dim, double *products);
	void		(*block_correlations) (const CtCorrelations *queries,
									   const double *const *x,
									   const double *scales, size_t n,
									   const double *products, float *rho,
									   size_t stride);
	void		(*block_shares) (const float *triangle, size_t n,
								 const float *const *rho, float *shares,
								 float *squares);
	uint64_t	(*block_weigh) (const CtBlockBasis *basis,
								CtBlockQueries *queries);
	uint64_t	(*block_survivors) (const CtBlockQueries *queries,
									uint8_t *list, size_t nlist,
									const int8_t *shares, size_t stride,
									const float *scales, size_t n,
									size_t nbasis, const float *rests,
									float *estimates);
	size_t		(*block_offer) (const CtBlockOffer *offer,
								const float *estimates, const float *rests,
								double *most, CtCandidate *items,
								bool *left_out);

	/*
	 * The block kernels of codes, whose results are the same bits everywhere.
	 *
	 * block_boxes(): squared distances of a block of queries to a box, and as a
	 * result a bit for each that is at most reach.  Coordinate j of query b is
	 * places[j * CT_BLOCK + b]; box has the lower limits, then the upper ones.
	 * Legs are those of box_distances(), in float.
	 *
	 * block_codes(): codes of CT_CODE_LANES queries from number first on.  With t
	 * = point - middle, of nquads times four coordinates (columns as above), the
	 * scale makes the largest |t| a code of 127.  Codes of t that is not finite
	 * may be anything.
	 *
	 * block_reach(): products of the codes of queries with those of n rows, a
	 * multiple of CT_CODE_LANES, whose quad p of row i is at codes[4 * (p * n +
	 * i)], unsigned bytes.  A row's bit is set where the product, converted to
	 * float, is not less than squares[i] * factor + least, both rounded, and
	 * this is not NaN.
	 */
	uint64_t	(*block_boxes) (const float *places, const float *box,
								size_t dims, const float *reach,
								float *squares);
	void		(*block_codes) (const float *points, const float *middle,
								size_t nquads, size_t first,
								CtBlockCodes *codes);
	void		(*block_reach) (const CtBlockReach *reach,
								const uint8_t *codes, const float *squares,
								size_t n);

	/*
	 * Raises each element of most to the largest absolute product of that column
	 * of a lower triangular matrix and a row.  The matrix comes in tiles of
	 * CT_KNOT_TILE columns, each from the element where its first column begins
	 * (zeros above a diagonal, and in columns that fill the last tile):
	 * elements k of all columns, then elements k + 1.  Rows come in panels of
	 * CT_KNOT_PANEL: elements 0 of all rows, then elements 1.  Sums as bounds
	 * need them: other bits on another instruction set.
	 */
	void		(*largest_products) (const float *tiles, size_t m,
									 const float *panels, size_t npanels,
									 float *most);

	/* position of the first smallest of n >= 1 keys, none of them NaN */
	size_t		(*argmin_f64) (const double *keys, size_t n);

	/* how many of n keys are at most limit; NaN never is */
	size_t		(*count_f64) (const double *keys, size_t n, double limit);

	/*
	 * Writes to chosen, in increasing order, the positions of the keys that are
	 * above the one and at most the other limit, or NaN; n is at most 65,536.
	 * Returns their number.  rest becomes the smallest key above limit, or
	 * INFINITY.
	 */
	size_t		(*choose_f64) (const double *keys, size_t n, double above,
							   double limit, uint16_t *chosen, double *rest);
	/*
	 * Keeps those of n keys, none of them NaN, that are at most limit, in their
	 * order, and the tags of the same positions; returns their number.  May
	 * write seven more of each.  What is kept may begin where the keys and tags
	 * do.
	 */
	size_t		(*keep_at_most) (const double *keys, const uint64_t *tags,
								 size_t n, double limit, double *kept_keys,
								 uint64_t *kept_tags);

	/*
	 * The positions that n keys, none of them NaN, have in order, equal ones in
	 * the order in which they are.  Takes n^2 steps.
	 */
	void		(*ranks_f64) (const double *keys, size_t n, uint32_t *ranks);

	/* canonical dot product; no alignment is required */
	double		(*dot_f64) (const double *x, const double *y, size_t dim);

	/* the same of x and each of n vectors, several at a time */
	void		(*dots_f64) (const double *x, const double *const *y,
							 size_t n, size_t dim, double *result);

	/*
	 * The same of each of nx vectors x: that of x[i] and y[j] is
	 * result[i * stride + j].
	 */
	void		(*dot_table_f64) (const double *const *x, size_t nx,
								  const double *const *y, size_t ny,
								  size_t dim, double *result, size_t stride);

	/*
	 * The sum of n rows of `count` elements each, of which row j begins at
	 * rows[j * stride], times their weights; added in the order of the rows.
	 */
	void		(*combine_f64) (const double *weights, size_t n,
								const double *rows, size_t stride,
								size_t count, double *result);

	/*
	 * Covariances of location q and n locations stored by column, as for
	 * l2_columns_f64.  Writes n doubles to result, which must not overlap the
	 * operands.
	 */
	void		(*covariances) (const CtCovarianceFunction *function,
								const double *q, const double *cols,
								size_t stride, size_t n, double *result);

	/* Solves L x = v in place, for a factor of m columns. */
	void		(*substitute) (const double *factor, size_t m, double *v);

	/*
	 * The same for CT_BATCH right-hand sides, element i of number b being
	 * v[i * CT_BATCH + b].  Same bits as substitute().
	 */
	void		(*substitute_batch) (const double *factor, size_t m,
									 double *v);

	/*
	 * One step of a Cholesky factorization: subtracts the contributions of
	 * columns first .. last - 1 from the CT_FACTOR_PANEL columns that start
	 * at number k >= last, in the rows below their triangle, which are k +
	 * CT_FACTOR_PANEL .. m - 1.
	 */
	void		(*factor_update) (double *factor, size_t m, size_t k,
								  size_t first, size_t last);
} CtKernelTable;

/*
 * A lower triangle in groups of four rows: of each group the columns up to its
 * last row, four elements each.  Elements above the diagonal are zeroes.
 */
#define CT_GROUPED_SIZE(n) \
	(8 * (((n) + 3) / 4) * (((n) + 3) / 4 + 1))
#define CT_GROUPED_AT(i, j) \
	(8 * ((i) / 4) * ((i) / 4 + 1) + 4 * (j) + (i) % 4)

/* where row i of column j is in a factor of m columns, i >= j */
static inline size_t
ct_factor_at(size_t m, size_t i, size_t j)
{
	return j * m - j * (j + 1) / 2 + i;
}

extern const CtKernelTable ct_kernel_scalar;
extern const CtKernelTable ct_kernel_avx2;
extern const CtKernelTable ct_kernel_avx512;

/* the best level that processor and operating system support */
extern CtKernelLevel ct_kernel_supported(void);

/* does the processor multiply bytes (AVX-512 VNNI)? */
extern bool ct_kernel_has_vnni(void);

/* the table of a level, or NULL where this machine cannot run it */
extern const CtKernelTable *ct_kernel_table(CtKernelLevel level);

/* slow, range-safe forms of the canonical distance (see above) */
extern double ct_l2_rescaled_f64(const double *q, size_t qstride,
								 const double *x, size_t xstride, size_t dim);
extern double ct_l2_rescaled_f32(const double *q, size_t qstride,
								 const float *x, size_t xstride, size_t dim);

#endif							/* CT_KERNEL_H */
