/*-------------------------------------------------------------------------
 *
 * ct_kernel_select.h
 *	  Selecting and ordering keys without branches, for any width of vector.
 *
 * Included once by the file of an instruction set, after ct_kernel_choose.h and
 * what that needs.
 *
 * Needs, besides:
 *
 *		Counts				VECTOR_LANES integers
 *		counts_zero, counts_store	the latter as 32 bits each
 *		counts_at_most		adds one in each lane where a <= b
 *		counts_less			where a < b
 *		counts_equal_after	where a = b, in lanes above the given one
 *
 * Where k of n keys are wanted, comparing all of them several times costs less
 * than the branches of a selection that compares each but a few times, for
 * which way they go is anybody's guess.
 *
 * IDENTIFICATION
 *	  src/kernel/ct_kernel_select.h
 *
 *-------------------------------------------------------------------------
 */

/*
 * The keys and tags of the bits, side by side; returns their number.  Reads no
 * others, all of them before it writes, and writes up to VECTOR_LANES of each.
 */
CT_INLINE CT_TARGET size_t
keep_lanes(const double *keys, const uint64_t *tags, unsigned int bits,
		   double *kept_keys, uint64_t *kept_tags)
{
#if VECTOR_LANES == 8
	__m512d		some_keys = _mm512_maskz_loadu_pd(bits, keys);
	__m512i		some_tags = _mm512_maskz_loadu_epi64(bits, tags);

	_mm512_storeu_pd(kept_keys, _mm512_maskz_compress_pd(bits, some_keys));
	_mm512_storeu_si512(kept_tags, _mm512_maskz_compress_epi64(bits, some_tags));
	return __builtin_popcount(bits);
#else
	size_t		kept = 0;

	for (; bits != 0; bits &= bits - 1)
	{
		int			lane = __builtin_ctz(bits);

		kept_keys[kept] = load_f64(keys + lane);
		kept_tags[kept++] = tags[lane];
	}
	return kept;
#endif
}

static CT_TARGET size_t
keep_at_most(const double *keys, const uint64_t *tags, size_t n, double limit,
			 double *kept_keys, uint64_t *kept_tags)
{
	Vector		most = vector_set(limit);
	size_t		kept = 0;
	size_t		i = 0;

	for (; n - i >= VECTOR_LANES; i += VECTOR_LANES)
	{
		unsigned int bits = vector_at_most(vector_load(keys + i,
													   sizeof(double)),
										   most);

		if (bits != 0)
			kept += keep_lanes(keys + i, tags + i, bits, kept_keys + kept,
							   kept_tags + kept);
	}
	if (i < n)
		kept += keep_lanes(keys + i, tags + i, last_at_most(keys, i, n, most),
						   kept_keys + kept, kept_tags + kept);
	return kept;
}

/*
 * Counts, for each of the VECTOR_LANES keys from number i on, those before it.
 * Of keys before number i equal ones count, of later ones they do not; among
 * themselves, those in lower lanes do.
 */
CT_INLINE CT_TARGET Counts
ranks_from(const double *keys, size_t i, size_t n)
{
	Vector		own = keys_from(keys, i, n);
	Counts		before = counts_zero();
	size_t		end = n - i >= VECTOR_LANES ? i + VECTOR_LANES : n;
	size_t		j = 0;

	for (; j < i; j++)
		before = counts_at_most(before, vector_set(load_f64(keys + j)), own);
	for (; j < end; j++)
	{
		before = counts_less(before, vector_set(load_f64(keys + j)), own);
		before = counts_equal_after(before, vector_set(load_f64(keys + j)),
									own, j - i);
	}
	for (; j < n; j++)
		before = counts_less(before, vector_set(load_f64(keys + j)), own);
	return before;
}

static CT_TARGET void
ranks_f64(const double *keys, size_t n, uint32_t *ranks)
{
	for (size_t i = 0; i < n; i += VECTOR_LANES)
	{
		uint32_t	some[VECTOR_LANES];
		size_t		count = n - i >= VECTOR_LANES ? VECTOR_LANES : n - i;

		counts_store(some, ranks_from(keys, i, n));
		if (count == VECTOR_LANES)
			memcpy(ranks + i, some, sizeof(some));
		else
			memcpy(ranks + i, some, count * sizeof(uint32_t));
	}
}
