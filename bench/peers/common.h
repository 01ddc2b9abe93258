/*
 * common.h
 *		What the drivers share: files of numbers, and clocks.
 *
 * IDENTIFICATION
 *		bench/peers/common.h
 */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

template <class T>
static inline std::vector<T>
read_file(const char *name, size_t count)
{
	std::vector<T> v(count);
	FILE	   *f = fopen(name, "rb");

	if (!f || fread(v.data(), sizeof(T), count, f) != count)
	{
		fprintf(stderr, "could not read %s\n", name);
		exit(1);
	}
	fclose(f);
	return v;
}

static inline double
seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec + 1e-9 * t.tv_nsec;
}

/* time on a processor; for drivers of one thread */
static inline double
processor_seconds()
{
	return seconds(CLOCK_PROCESS_CPUTIME_ID);
}

#endif							/* BENCH_COMMON_H */
