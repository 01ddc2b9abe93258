/*-------------------------------------------------------------------------
 *
 * ct_kernel_choose.h
 *	  Telling small keys from large ones, for any width of vector.
 *
 * Included once by the file of an instruction set, after it has defined
 *
 *		CT_TARGET			its target attribute
 *		VECTOR_LANES		doubles in a vector
 *		Vector				type
 *		Mask, mask_of		mask of the first so many lanes
 *		vector_set, vector_load
 *		vector_load_some	lanes of a mask only, the others zero
 *		vector_at_most		bits of the lanes where a <= b
 *		vector_above		bits of the lanes where a > b
 *		vector_least_above	smaller one of a and b, or a where not b > limit
 *		vector_smallest		of all lanes
 *		store_positions		of the bits set, counted from i; may write as many
 *							as there are lanes
 *
 * IDENTIFICATION
 *	  src/kernel/ct_kernel_choose.h
 *
 *-------------------------------------------------------------------------
 */

/* the keys from number i on, as a vector, with zeros after the last one */
CT_INLINE CT_TARGET Vector
keys_from(const double *keys, size_t i, size_t n)
{
	if (n - i >= VECTOR_LANES)
		return vector_load(keys + i, sizeof(double));
	return vector_load_some(keys + i, mask_of(n - i), sizeof(double));
}

/* bits of the last n - i keys, less than a vector, that are at most limit */
CT_INLINE CT_TARGET unsigned int
last_at_most(const double *keys, size_t i, size_t n, Vector limit)
{
	return vector_at_most(keys_from(keys, i, n), limit) & ((1U << (n - i)) - 1);
}

static CT_TARGET size_t
count_f64(const double *keys, size_t n, double limit)
{
	Vector		most = vector_set(limit);
	size_t		count = 0;
	size_t		i = 0;

	for (; n - i >= VECTOR_LANES; i += VECTOR_LANES)
		count += __builtin_popcount(vector_at_most(vector_load(keys + i,
															   sizeof(double)),
												   most));
	if (i < n)
		count += __builtin_popcount(last_at_most(keys, i, n, most));
	return count;
}

static CT_TARGET size_t
choose_f64(const double *keys, size_t n, double above, double limit,
		   uint16_t *chosen, double *rest)
{
	Vector		most = vector_set(limit);
	Vector		least = vector_set(INFINITY);
	Vector		passed = vector_set(above);
	size_t		count = 0;
	double		left;
	size_t		i = 0;

	for (; n - i >= VECTOR_LANES; i += VECTOR_LANES)
	{
		Vector		key = vector_load(keys + i, sizeof(double));
		unsigned int bits = ~(vector_above(key, most) |
							  vector_at_most(key, passed)) &
			((1U << VECTOR_LANES) - 1);

		least = vector_least_above(least, key, most);
		/* as a rule few of many are chosen */
		if (bits == 0)
			continue;
		store_positions(chosen + count, i, bits);
		count += __builtin_popcount(bits);
	}
	left = vector_smallest(least);
	for (; i < n; i++)
	{
		double		key = load_f64(keys + i);

		if (key > limit)
			left = key < left ? key : left;
		else if (!(key <= above))
			chosen[count++] = (uint16_t) i;
	}
	*rest = left;
	return count;
}
