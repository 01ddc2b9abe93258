/*-------------------------------------------------------------------------
 *
 * ct_kernel_columns.h
 *	  Column kernels, one lane per point, for any width of vector.
 *
 * Included once by the file of an instruction set, after it has defined
 *
 *		CT_TARGET			its target attribute
 *		VECTOR_LANES		doubles in a vector
 *		Vector, Mask, Flags	types
 *		vector_zero, vector_set, vector_add, vector_sqrt
 *		vector_square		(a - b)^2, the product rounded
 *		vector_load			VECTOR_LANES elements, widened
 *		vector_store
 *		mask_of				mask of the first so many lanes
 *		vector_load_some, vector_store_some		touch masked lanes only
 *		flags_none, flags_add, flags_add_some, flags_any	see below
 *
 * Results are canonical sums, or their roots.  The loops do not branch on the
 * range of a sum.  They note in flags whether any result is outside the limits
 * that it can be trusted in (or NaN), and leave it to ct_l2_columns_repair() to
 * find it.  flags_add_some() looks at masked lanes only, for the others hold no
 * point.
 *
 * IDENTIFICATION
 *	  src/kernel/ct_kernel_columns.h
 *
 *-------------------------------------------------------------------------
 */

/* The points, and the distance between columns in bytes. */
typedef struct CtColumns
{
	const double *q;
	const char *base;
	size_t		column_bytes;
	size_t		element_size;
	size_t		dim;
	bool		roots;			/* of sums, not sums, are wanted */
	bool		masked;			/* read the lanes in mask only */
	Mask		mask;
} CtColumns;

/* The first coordinates of the query, each in all lanes. */
typedef struct CtQueryVectors
{
	Vector		q0;
	Vector		q1;
	Vector		q2;
	Vector		q3;
} CtQueryVectors;

/* squared differences in coordinate j of the points from number i on */
CT_INLINE CT_TARGET Vector
column_square(const CtColumns *c, Vector q, size_t j, size_t i)
{
	const char *p = c->base + j * c->column_bytes + i * c->element_size;

	return vector_square(c->masked ?
						 vector_load_some(p, c->mask, c->element_size) :
						 vector_load(p, c->element_size), q);
}

/* canonical sums of up to four dimensions; c->dim is a constant here */
CT_INLINE CT_TARGET Vector
few_columns_sum(const CtColumns *c, const CtQueryVectors *q, size_t i)
{
	Vector		even = column_square(c, q->q0, 0, i);
	Vector		odd;

	if (c->dim == 1)
		return even;
	odd = column_square(c, q->q1, 1, i);
	if (c->dim >= 3)
		even = vector_add(even, column_square(c, q->q2, 2, i));
	if (c->dim >= 4)
		odd = vector_add(odd, column_square(c, q->q3, 3, i));
	return vector_add(even, odd);
}

/* the result for a canonical sum */
CT_INLINE CT_TARGET Vector
result_of(const CtColumns *c, Vector sum)
{
	return c->roots ? vector_sqrt(sum) : sum;
}

CT_INLINE CtTrusted
trusted_results(const CtColumns *c)
{
	CtTrusted	roots = {CT_ROOT_MIN, CT_ROOT_LIMIT};
	CtTrusted	sums = {CT_SUM_MIN, CT_SUM_MAX};

	return c->roots ? roots : sums;
}

/* Write the results for the sums, and note any that is not to be trusted. */
CT_INLINE CT_TARGET Flags
store_results(const CtColumns *c, Flags flags, Vector sum, double *results)
{
	Vector		result = result_of(c, sum);

	vector_store(results, result);
	return flags_add(flags, result, trusted_results(c));
}

CT_INLINE CT_TARGET Flags
store_some_results(const CtColumns *c, Flags flags, Vector sum,
				   double *results, size_t count)
{
	Vector		result = result_of(c, sum);

	vector_store_some(results, result, c->mask, count);
	return flags_add_some(flags, result, trusted_results(c), c->mask);
}

/*
 * Kernel of one to four dimensions; returns whether some cannot be trusted.  No
 * partial sums are kept, and four vectors make a round.
 */
CT_INLINE CT_TARGET bool
few_columns(CtColumns c, size_t n, double *results)
{
	CtQueryVectors q;
	Flags		flags = flags_none();
	size_t		i = 0;

	q.q0 = vector_set(load_f64(c.q));
	q.q1 = c.dim >= 2 ? vector_set(load_f64(c.q + 1)) : q.q0;
	q.q2 = c.dim >= 3 ? vector_set(load_f64(c.q + 2)) : q.q0;
	q.q3 = c.dim >= 4 ? vector_set(load_f64(c.q + 3)) : q.q0;

	/*
	 * Each vector is stored before the next is loaded, which keeps all values
	 * in registers; the processor overlaps them all the same.
	 */
	for (; n - i >= 4 * VECTOR_LANES; i += 4 * VECTOR_LANES)
	{
		flags = store_results(&c, flags, few_columns_sum(&c, &q, i),
							  results + i);
		flags = store_results(&c, flags,
							  few_columns_sum(&c, &q, i + VECTOR_LANES),
							  results + i + VECTOR_LANES);
		flags = store_results(&c, flags,
							  few_columns_sum(&c, &q, i + 2 * VECTOR_LANES),
							  results + i + 2 * VECTOR_LANES);
		flags = store_results(&c, flags,
							  few_columns_sum(&c, &q, i + 3 * VECTOR_LANES),
							  results + i + 3 * VECTOR_LANES);
	}
	for (; n - i >= VECTOR_LANES; i += VECTOR_LANES)
		flags = store_results(&c, flags, few_columns_sum(&c, &q, i),
							  results + i);
	if (i < n)
	{
		c.masked = true;
		c.mask = mask_of(n - i);
		flags = store_some_results(&c, flags, few_columns_sum(&c, &q, i),
								   results + i, n - i);
	}
	return flags_any(flags);
}

/*
 * A quarter of the canonical sum, for one vector of points or (two) two of
 * them: the partial sums residue, residue + 4, residue + 8 and residue + 12,
 * added up as the halving would.  The accumulators stay in registers.
 */
CT_INLINE CT_TARGET void
quarter_sum(const CtColumns *c, size_t residue, size_t i, bool two,
			Vector *sum_a, Vector *sum_b)
{
	Vector		a0 = vector_zero();
	Vector		a1 = vector_zero();
	Vector		a2 = vector_zero();
	Vector		a3 = vector_zero();
	Vector		b0 = vector_zero();
	Vector		b1 = vector_zero();
	Vector		b2 = vector_zero();
	Vector		b3 = vector_zero();
	size_t		j = residue;

#define ADD_COLUMN(a, b, column) \
	do { \
		Vector		q_ = vector_set(load_f64(c->q + (column))); \
		\
		(a) = vector_add((a), column_square(c, q_, (column), i)); \
		if (two) \
			(b) = vector_add((b), column_square(c, q_, (column), \
												i + VECTOR_LANES)); \
	} while (0)

	for (; j + 12 < c->dim; j += CT_SUM_LANES)
	{
		ADD_COLUMN(a0, b0, j);
		ADD_COLUMN(a1, b1, j + 4);
		ADD_COLUMN(a2, b2, j + 8);
		ADD_COLUMN(a3, b3, j + 12);
	}
	if (j < c->dim)
		ADD_COLUMN(a0, b0, j);
	if (j + 4 < c->dim)
		ADD_COLUMN(a1, b1, j + 4);
	if (j + 8 < c->dim)
		ADD_COLUMN(a2, b2, j + 8);

#undef ADD_COLUMN

	*sum_a = vector_add(vector_add(a0, a2), vector_add(a1, a3));
	if (two)
		*sum_b = vector_add(vector_add(b0, b2), vector_add(b1, b3));
}

/* canonical sums of any number of dimensions, of one or two vectors */
CT_INLINE CT_TARGET void
columns_sum(const CtColumns *c, size_t i, bool two,
			Vector *sum_a, Vector *sum_b)
{
	Vector		even_a,
				even_b,
				odd_a,
				odd_b,
				a,
				b;

	even_b = odd_b = b = vector_zero();
	quarter_sum(c, 0, i, two, &even_a, &even_b);
	quarter_sum(c, 2, i, two, &a, &b);
	even_a = vector_add(even_a, a);
	even_b = vector_add(even_b, b);
	quarter_sum(c, 1, i, two, &odd_a, &odd_b);
	quarter_sum(c, 3, i, two, &a, &b);
	odd_a = vector_add(odd_a, a);
	odd_b = vector_add(odd_b, b);
	*sum_a = vector_add(even_a, odd_a);
	*sum_b = vector_add(even_b, odd_b);
}

/* Kernel of any number of dimensions; returns whether some cannot be trusted. */
CT_INLINE CT_TARGET bool
many_columns(CtColumns c, size_t n, double *results)
{
	Flags		flags = flags_none();
	Vector		sum_a,
				sum_b;
	size_t		i = 0;

	for (; n - i >= 2 * VECTOR_LANES; i += 2 * VECTOR_LANES)
	{
		columns_sum(&c, i, true, &sum_a, &sum_b);
		flags = store_results(&c, flags, sum_a, results + i);
		flags = store_results(&c, flags, sum_b, results + i + VECTOR_LANES);
	}
	if (n - i >= VECTOR_LANES)
	{
		columns_sum(&c, i, false, &sum_a, &sum_b);
		flags = store_results(&c, flags, sum_a, results + i);
		i += VECTOR_LANES;
	}
	if (i < n)
	{
		c.masked = true;
		c.mask = mask_of(n - i);
		columns_sum(&c, i, false, &sum_a, &sum_b);
		flags = store_some_results(&c, flags, sum_a, results + i, n - i);
	}
	return flags_any(flags);
}

/* Results for all points; returns whether they can be trusted. */
CT_INLINE CT_TARGET bool
columns(const double *q, const void *cols, size_t element_size, size_t stride,
		size_t n, size_t dim, bool roots, double *results)
{
	CtColumns	c = {
		.q = q,
		.base = cols,
		.column_bytes = stride * element_size,
		.element_size = element_size,
		.dim = dim,
		.roots = roots
	};

	/* the dimension is a constant in each of the first calls */
	switch (dim)
	{
		case 1:
			c.dim = 1;
			return !few_columns(c, n, results);
		case 2:
			c.dim = 2;
			return !few_columns(c, n, results);
		case 3:
			c.dim = 3;
			return !few_columns(c, n, results);
		case 4:
			c.dim = 4;
			return !few_columns(c, n, results);
		default:
			return !many_columns(c, n, results);
	}
}

CT_INLINE CT_TARGET void
l2_columns(const double *q, const void *cols, size_t element_size,
		   size_t stride, size_t n, size_t dim, double *dist)
{
	if (!columns(q, cols, element_size, stride, n, dim, true, dist))
		ct_l2_columns_repair(q, cols, element_size, stride, n, dim, dist);
}
