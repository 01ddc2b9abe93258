/*-------------------------------------------------------------------------
 *
 * test_random.h
 *	  Random numbers of the unit tests, the same on every machine.
 *
 * Whoever includes this has set RANDOM_SEED before.
 *
 * IDENTIFICATION
 *	  test/unit/test_random.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef TEST_RANDOM_H
#define TEST_RANDOM_H

#include <stdint.h>

/* splitmix64 */
static uint64_t
random_bits(void)
{
	static uint64_t state = RANDOM_SEED;
	uint64_t	z = (state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

/* from -1 to 1 */
static double
random_unit(void)
{
	return (double) (int64_t) random_bits() * 0x1p-63;
}

#endif							/* TEST_RANDOM_H */
