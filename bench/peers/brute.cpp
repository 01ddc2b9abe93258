/*
 * brute.cpp
 *		Exact neighbours by looking at every point: a peer, and the truth.
 *
 *		brute f32|f64 ROWS N D PROBES NPROBES K REPETITIONS [IDS DISTANCES]
 *
 * ROWS and PROBES are files of doubles.  Points are kept in blocks of as many
 * as a vector has lanes, and four blocks make a round and lie together,
 * coordinate by coordinate: memory is read from one end to the other, nothing
 * is added up across lanes, and four sums are under way at a time.  A block is looked at more closely
 * only where a lane is below the worst of the k best so far.  Prints
 * microseconds a query, the least of all repetitions; one thread.
 *
 * To be compiled for the machine at hand: with 512-bit vectors where it has them.
 *
 * IDENTIFICATION
 *		bench/peers/brute.cpp
 */
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <string>
#include <utility>
#include <vector>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include "common.h"

/* Is any lane below the limit? */
#ifdef __AVX512F__
static inline bool
any_below(__m512 v, float limit)
{
	return _mm512_cmp_ps_mask(v, _mm512_set1_ps(limit), _CMP_LT_OQ);
}

static inline bool
any_below(__m512d v, double limit)
{
	return _mm512_cmp_pd_mask(v, _mm512_set1_pd(limit), _CMP_LT_OQ);
}
#else
template <class Vector, class T>
static inline bool
any_below(Vector v, T limit)
{
	auto		near = v < limit;
	long long	part[8], any = 0;

	memcpy(part, &near, sizeof(part));
	for (int i = 0; i < 8; i++)
		any |= part[i];
	return any;
}
#endif

template <class T>
struct Brute
{
	static constexpr size_t LANES = 64 / sizeof(T);
	static constexpr size_t ROUND = 4;
	typedef T	Vector __attribute__((vector_size(64)));

	size_t		n, d, nblocks;
	Vector	   *block;			/* in the order in which they are read */

	Brute(const std::vector<double> &rows, size_t n_, size_t d_) : n(n_), d(d_)
	{
		T		   *p;

		nblocks = (n + LANES * ROUND - 1) / (LANES * ROUND) * ROUND;
		block = (Vector *) aligned_alloc(64, nblocks * d * sizeof(Vector));
		if (!block)
			throw std::bad_alloc();
		p = (T *) block;
		for (size_t i = 0; i < nblocks * LANES; i++)
			for (size_t j = 0; j < d; j++)
				p[((i / LANES / ROUND * d + j) * ROUND + i / LANES % ROUND) * LANES + i % LANES] =
					i < n ? (T) rows[i * d + j] : std::numeric_limits<T>::max();
	}

	/* the k nearest as pairs (square, row), in order */
	void
	search(const double *query, size_t k, std::vector<std::pair<T, int32_t>> &best) const
	{
		std::vector<T> q(query, query + d);
		T			worst = std::numeric_limits<T>::infinity();

		best.clear();
		for (size_t b = 0; b < nblocks; b += ROUND)
		{
			const Vector *x = block + b * d;
			Vector		sum[ROUND] = {};

			for (size_t j = 0; j < d; j++)
#pragma GCC unroll 4
				for (size_t r = 0; r < ROUND; r++)
				{
					Vector		e = x[j * ROUND + r] - q[j];

					sum[r] += e * e;
				}
#pragma GCC unroll 4
			for (size_t r = 0; r < ROUND; r++)
				if (any_below(sum[r], worst))
					take(sum[r], (b + r) * LANES, k, worst, best);
		}
		std::sort_heap(best.begin(), best.end());
	}

private:
	void
	take(const Vector &sum, size_t first, size_t k, T &worst, std::vector<std::pair<T, int32_t>> &best) const
	{
		for (size_t i = 0; i < LANES && first + i < n; i++)
		{
			if (!(sum[i] < worst))
				continue;
			if (best.size() == k)
			{
				std::pop_heap(best.begin(), best.end());
				best.pop_back();
			}
			best.emplace_back(sum[i], (int32_t) (first + i));
			std::push_heap(best.begin(), best.end());
			if (best.size() == k)
				worst = best.front().first;
		}
	}
};

template <class T>
static void
run(char **argv)
{
	size_t		n = atol(argv[3]), d = atol(argv[4]), np = atol(argv[6]), k = atol(argv[7]);
	int			repetitions = atoi(argv[8]);
	std::vector<double> rows = read_file<double>(argv[2], n * d);
	std::vector<double> probes = read_file<double>(argv[5], np * d);
	Brute<T>	brute(rows, n, d);
	std::vector<std::pair<T, int32_t>> best;
	double		least = 1e300;
	FILE	   *ids = argv[9] ? fopen(argv[9], "wb") : nullptr;
	FILE	   *distances = argv[9] ? fopen(argv[10], "wb") : nullptr;

	std::vector<double>().swap(rows);
	for (int r = 0; r < repetitions; r++)
	{
		double		began = processor_seconds();

		for (size_t i = 0; i < np; i++)
		{
			brute.search(&probes[i * d], k, best);
			if (r == 0 && ids)
				for (auto &b : best)
				{
					double		distance = std::sqrt((double) b.first);

					fwrite(&b.second, sizeof(b.second), 1, ids);
					fwrite(&distance, sizeof(distance), 1, distances);
				}
		}
		least = std::min(least, processor_seconds() - began);
	}
	if (ids)
		fclose(ids), fclose(distances);
	printf("0 %.4f\n", 1e6 * least / np);
}

int
main(int argc, char **argv)
{
	if (argc != 9 && argc != 11)
		return 2;
	if (std::string(argv[1]) == "f32")
		run<float>(argv);
	else
		run<double>(argv);
}
