/*
 * nanoflann.cpp
 *		Exact neighbours by nanoflann's k-d tree in memory, one thread.
 *
 *		nanoflann ROWS N D PROBES NPROBES K REPETITIONS
 *
 * ROWS and PROBES are files of doubles.  Prints seconds of the build and
 * microseconds a query, the least of all repetitions each.
 *
 * IDENTIFICATION
 *		bench/peers/nanoflann.cpp
 */
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include <nanoflann.hpp>

#include "common.h"

struct Cloud
{
	std::vector<double> x;
	size_t		n, d;

	size_t kdtree_get_point_count() const { return n; }
	double kdtree_get_pt(size_t i, size_t j) const { return x[i * d + j]; }
	template <class Box> bool kdtree_get_bbox(Box &) const { return false; }
};

/* the dimension is a constant where the library profits from one */
template <int DIM, class Metric>
static void
run(const Cloud &cloud, const std::vector<double> &probes, size_t np, size_t k, int repetitions)
{
	typedef nanoflann::KDTreeSingleIndexAdaptor<Metric, Cloud, DIM, uint32_t> Tree;

	std::vector<uint32_t> ids(k);
	std::vector<double> squares(k);
	double		build = 1e300, query = 1e300;

	for (int r = 0; r < repetitions; r++)
	{
		double		began = processor_seconds();
		std::unique_ptr<Tree> tree(new Tree((int) cloud.d, cloud, nanoflann::KDTreeSingleIndexAdaptorParams(10)));

		tree->buildIndex();
		build = std::min(build, processor_seconds() - began);
		began = processor_seconds();
		for (size_t i = 0; i < np; i++)
			tree->knnSearch(&probes[i * cloud.d], k, ids.data(), squares.data());
		query = std::min(query, processor_seconds() - began);
	}
	printf("%.4f %.4f\n", build, 1e6 * query / np);
}

int
main(int argc, char **argv)
{
	Cloud		cloud;
	size_t		np, k;
	int			repetitions;
	std::vector<double> probes;

	if (argc != 8)
		return 2;
	cloud.n = atol(argv[2]);
	cloud.d = atol(argv[3]);
	cloud.x = read_file<double>(argv[1], cloud.n * cloud.d);
	np = atol(argv[5]);
	probes = read_file<double>(argv[4], np * cloud.d);
	k = atol(argv[6]);
	repetitions = atoi(argv[7]);
	if (cloud.d == 2)
		run<2, nanoflann::L2_Simple_Adaptor<double, Cloud, double, uint32_t>>(cloud, probes, np, k, repetitions);
	else if (cloud.d == 3)
		run<3, nanoflann::L2_Simple_Adaptor<double, Cloud, double, uint32_t>>(cloud, probes, np, k, repetitions);
	else if (cloud.d == 8)
		run<8, nanoflann::L2_Adaptor<double, Cloud, double, uint32_t>>(cloud, probes, np, k, repetitions);
	else
		run<-1, nanoflann::L2_Adaptor<double, Cloud, double, uint32_t>>(cloud, probes, np, k, repetitions);
}
