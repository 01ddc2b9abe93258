/*
 * residual.cpp
 *		The peer of bulk residual search: blocked brute force in double
 *		precision, by OpenBLAS and a vectorised kernel.
 *
 *		residual rbf|matern52 ROWS N KNOTS M [QUERIES NQ K IDS DISTANCES]
 *
 * ROWS and KNOTS are files of doubles, three dimensions; QUERIES a file of
 * 32-bit numbers of rows.  Variance and lengthscale are 1, jitter 1e-6.  A block of 128
 * queries times a block of 1,024 rows is one dgemm(), whose result is still
 * in cache when correlations are made of it, by the compiler's vector exp().
 * Each thread (OMP_NUM_THREADS) takes blocks of queries.  A correlation
 * is looked at more closely only if it is above the worst of the k best.
 * Prints seconds for the features and microseconds a query.  By one thread both
 * are processor times.
 *
 * IDENTIFICATION
 *		bench/peers/residual.cpp
 */
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <omp.h>

#include "common.h"

extern "C"
{
	void		dgemm_(const char *, const char *, const int *, const int *, const int *, const double *,
					   const double *, const int *, const double *, const int *, const double *, double *,
					   const int *);
	void		dtrsm_(const char *, const char *, const char *, const char *, const int *, const int *,
					   const double *, const double *, const int *, double *, const int *);
	void		dpotrf_(const char *, const int *, double *, const int *, int *);
	void		openblas_set_num_threads(int);
}

static const int QUERIES = 128;
static const int ROWS = 1024;

/* elapsed, or processor time where there is one thread */
static double
now()
{
	return seconds(omp_get_max_threads() == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC);
}

/* points by column: coordinate j of point i is x[j * n + i] */
static std::vector<double>
by_column(const std::vector<double> &rows, size_t n)
{
	std::vector<double> x(3 * n);

	for (size_t i = 0; i < n; i++)
		for (int j = 0; j < 3; j++)
			x[j * n + i] = rows[3 * i + j];
	return x;
}

/* covariances of one location and n others, whose columns are stride apart */
template <bool RBF>
static void
covariances(const double *q, const double *x, size_t stride, size_t n, double *result)
{
	const double *x0 = x, *x1 = x + stride, *x2 = x + 2 * stride;

#pragma omp simd
	for (size_t i = 0; i < n; i++)
	{
		double		a = x0[i] - q[0], b = x1[i] - q[1], c = x2[i] - q[2];
		double		s = a * a + b * b + c * c;

		if (RBF)
			result[i] = std::exp(-0.5 * s);
		else
		{
			double		r = std::sqrt(5 * s);

			result[i] = (1 + r + s * (5.0 / 3)) * std::exp(-r);
		}
	}
}

template <bool RBF>
struct Brute
{
	size_t		n;
	int			m;
	std::vector<double> x, v, scale;

	/* features: v = L^-1 K(Z, X), a column for each row of the data */
	void
	features(const std::vector<double> &rows, const std::vector<double> &knots)
	{
		std::vector<double> z = by_column(knots, m), factor((size_t) m * m);
		const double one = 1;
		int			info;

		x = by_column(rows, n);
		for (int i = 0; i < m; i++)
		{
			covariances<RBF>(&knots[3 * i], z.data(), m, m, &factor[(size_t) i * m]);
			factor[(size_t) i * m + i] += 1e-6;
		}
		openblas_set_num_threads(omp_get_max_threads());
		dpotrf_("L", &m, factor.data(), &m, &info);
		v.resize(n * m);
		scale.resize(n);
		openblas_set_num_threads(1);
#pragma omp parallel for schedule(dynamic)
		for (size_t first = 0; first < n; first += ROWS)
		{
			int			count = (int) std::min<size_t>(ROWS, n - first);

			for (int i = 0; i < count; i++)
				covariances<RBF>(&rows[3 * (first + i)], z.data(), m, m, &v[(first + i) * m]);
			dtrsm_("L", "L", "N", "N", &m, &count, &one, factor.data(), &m, &v[first * m], &m);
			for (int i = 0; i < count; i++)
			{
				const double *f = &v[(first + i) * m];
				double		sum = 0;

				for (int j = 0; j < m; j++)
					sum += f[j] * f[j];
				scale[first + i] = 1 / std::sqrt(std::max(1 - sum, 1e-12));
			}
		}
	}

	typedef std::vector<std::pair<double, int32_t>> Heap;	/* (-|rho|, row), the worst in front */

	static void
	take(double rho, int32_t row, size_t k, Heap &best)
	{
		if (best.size() == k)
		{
			std::pop_heap(best.begin(), best.end());
			best.pop_back();
		}
		best.emplace_back(-rho, row);
		std::push_heap(best.begin(), best.end());
	}

	/* one query and a block of rows; product holds the products of their features */
	void
	look(int32_t query, size_t first, size_t count, const double *product, size_t k, Heap &best) const
	{
		double		rho[ROWS];
		double		q[3] = {x[query], x[n + query], x[2 * n + query]};
		double		limit = best.size() == k ? -best.front().first : -1;

		covariances<RBF>(q, &x[first], n, count, rho);
#pragma omp simd
		for (size_t i = 0; i < count; i++)
			rho[i] = std::fabs((rho[i] - product[i]) * scale[first + i] * scale[query]);
		if (first <= (size_t) query && (size_t) query < first + count)
			rho[query - first] = 1;
		for (size_t i = 0; i < count; i += 16)
		{
			size_t		end = std::min(i + 16, count);
			double		most = -1;

			for (size_t j = i; j < end; j++)
				most = std::max(most, rho[j]);
			if (most <= limit)
				continue;
			for (size_t j = i; j < end; j++)
				if (rho[j] > limit)
				{
					take(rho[j], (int32_t) (first + j), k, best);
					limit = best.size() == k ? -best.front().first : -1;
				}
		}
	}

	void
	search(const std::vector<int32_t> &queries, size_t k, std::vector<Heap> &best) const
	{
		const double one = 1, zero = 0;
		int			nq = (int) queries.size();

#pragma omp parallel for schedule(dynamic)
		for (int b = 0; b < nq; b += QUERIES)
		{
			int			count = std::min(QUERIES, nq - b);
			std::vector<double> f((size_t) count * m), product((size_t) ROWS * QUERIES);

			for (int i = 0; i < count; i++)
				std::copy_n(&v[(size_t) queries[b + i] * m], m, &f[(size_t) i * m]);
			for (size_t first = 0; first < n; first += ROWS)
			{
				int			rows = (int) std::min<size_t>(ROWS, n - first);

				dgemm_("T", "N", &rows, &count, &m, &one, &v[first * m], &m, f.data(), &m, &zero,
					   product.data(), &rows);
				for (int i = 0; i < count; i++)
					look(queries[b + i], first, rows, &product[(size_t) i * rows], k, best[b + i]);
			}
			for (int i = 0; i < count; i++)
				std::sort_heap(best[b + i].begin(), best[b + i].end());
		}
	}
};

template <bool RBF>
static void
run(int argc, char **argv)
{
	Brute<RBF>	brute;
	double		began, features;

	brute.n = atol(argv[3]);
	brute.m = atoi(argv[5]);
	std::vector<double> rows = read_file<double>(argv[2], 3 * brute.n);
	std::vector<double> knots = read_file<double>(argv[4], 3 * brute.m);

	began = now();
	brute.features(rows, knots);
	features = now() - began;
	if (argc == 6)
	{
		printf("%.4f 0\n", features);
		return;
	}
	std::vector<int32_t> queries = read_file<int32_t>(argv[6], atol(argv[7]));
	std::vector<typename Brute<RBF>::Heap> best(queries.size());
	FILE	   *ids = fopen(argv[9], "wb"), *distances = fopen(argv[10], "wb");

	began = now();
	brute.search(queries, atol(argv[8]), best);
	printf("%.4f %.4f\n", features, 1e6 * (now() - began) / queries.size());
	for (auto &heap : best)
		for (auto &b : heap)
		{
			double		d = std::sqrt(std::max(0.0, 1 + b.first));

			fwrite(&b.second, sizeof(b.second), 1, ids);
			fwrite(&d, sizeof(d), 1, distances);
		}
	fclose(ids);
	fclose(distances);
}

int
main(int argc, char **argv)
{
	if (argc != 6 && argc != 11)
		return 2;
	if (std::string(argv[1]) == "rbf")
		run<true>(argc, argv);
	else
		run<false>(argc, argv);
}
