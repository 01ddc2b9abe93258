/*-------------------------------------------------------------------------
 *
 * ct_knn_settle.c
 *	  Bulk search by codes: distances of candidates.
 *
 * Candidates of many queries are sorted by where their vectors are, so that each
 * page is read once, and vectors once for all queries that ask for them.  The
 * main thread reads as many as there is room for; all threads compute.
 *
 * IDENTIFICATION
 *	  src/tree/ct_knn_settle.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>
#include <omp.h>

#include "ct_knn_codes.h"

#define ST_SORT			sort_pairs
#define ST_ELEMENT_TYPE CtCodesPair
#define ST_COMPARE(a, b) \
	((a)->place < (b)->place ? -1 : (a)->place > (b)->place)
#define ST_SCOPE		static
#define ST_DEFINE
#include "lib/sort_template.h"

#define ST_SORT			sort_rows
#define ST_ELEMENT_TYPE CtCodeRow
#define ST_COMPARE(a, b) \
	((a)->dist != (b)->dist ? ((a)->dist < (b)->dist ? -1 : 1) : \
	 ((a)->key < (b)->key ? -1 : (a)->key > (b)->key))
#define ST_SCOPE		static
#define ST_DEFINE
#include "lib/sort_template.h"

/* bytes of a vector in memory, and of the pair that has wanted it */
size_t
ct_codes_candidate_bytes(const CtIndex *index)
{
	return TYPEALIGN(CT_CACHE_LINE, index->vector_bytes) + sizeof(CtCodesPair);
}

void
ct_codes_create_pairs(CtCodes *engine, size_t memory)
{
	size_t		n = memory / ct_codes_candidate_bytes(engine->index);

	engine->vector_stride = TYPEALIGN(CT_CACHE_LINE, engine->index->vector_bytes);
	engine->vectors_size = engine->pairs_size = Max(n, CT_READ_BATCH);
	engine->pairs = ct_allocate(engine->context, engine->pairs_size,
								sizeof(CtCodesPair));
	engine->vectors = ct_allocate_lines(engine->context,
										engine->vectors_size *
										engine->vector_stride);
}

static inline CtLocator
locator_of(uint64 place)
{
	CtLocator	locator = {(BlockNumber) (place >> 16), (uint16) place, 0};

	return locator;
}

/* Reads the vectors of pairs first .. until there is no room for more. */
static size_t
read_vectors(CtCodes *engine, size_t first)
{
	CtLocator	locators[CT_READ_BATCH];
	void	   *vectors[CT_READ_BATCH];
	size_t		nvectors = 0;
	int			n = 0;
	size_t		i = first;

	for (; i < engine->npairs; i++)
	{
		CtCodesPair *pair = &engine->pairs[i];

		if (i > first && pair->place == pair[-1].place)
		{
			pair->vector = pair[-1].vector;
			continue;
		}
		if (nvectors == engine->vectors_size)
			break;
		pair->vector = engine->vectors + nvectors++ * engine->vector_stride;
		locators[n] = locator_of(pair->place);
		vectors[n++] = (void *) pair->vector;
		if (n < CT_READ_BATCH)
			continue;
		CHECK_FOR_INTERRUPTS();
		ct_vector_copy(engine->index, n, locators, vectors);
		n = 0;
	}
	ct_vector_copy(engine->index, n, locators, vectors);
	return i;
}

/* Computes the distances of all pairs. */
static void
compute_pairs(CtCodes *engine)
{
	const CtSpace *space = &engine->index->space;
	size_t		first = 0;

	sort_pairs(engine->pairs, engine->npairs);
	while (first < engine->npairs)
	{
		size_t		last = read_vectors(engine, first);
		size_t		bad = SIZE_MAX;
		bool		shared = (double) (last - first) * space->dims >=
			CT_SHARED_COORDINATES;

#pragma omp parallel for num_threads(engine->knn->nthreads) schedule(static) if (shared) reduction(min:bad)
		for (size_t i = first; i < last; i++)
		{
			CtCodesPair *pair = &engine->pairs[i];

			pair->row->dist = space->metric->distance(space, pair->query,
													  pair->vector);
			if (isnan(pair->row->dist))
				bad = Min(bad, i);
		}
		if (bad < last)
			ct_page_corrupted(engine->index,
							  locator_of(engine->pairs[bad].place).block,
							  "A point is not finite.");
		engine->knn->distances += last - first;
		first = last;
	}
	engine->npairs = 0;
}

/* How many candidates of a point are to be settled next? */
static int
next_candidates(const CtCodePoint *point, int round)
{
	int			n = point->n - point->nexact;

	/* those that seem nearest tell which of the others are needed */
	return round == 0 ? Min(n, point->k) : n;
}

/*
 * Settles the candidates of all points, or of those that are full.  In the first
 * of two rounds these are k of each.
 */
static void
settle_round(CtCodes *engine, bool only_full, int round)
{
	CtCodesGroup *group = &engine->group;
	int			nthreads = engine->knn->nthreads;

#pragma omp parallel for num_threads(nthreads) schedule(dynamic, CT_CODE_LANES) if (group->n >= CT_SHARED_POINTS)
	for (int i = 0; i < group->n; i++)
	{
		CtCodePoint *point = &group->points[i];

		if (only_full && !point->full)
			continue;
		ct_code_point_tighten(point);
		if (round == 0)
			sort_rows(point->rows + point->nexact, point->n - point->nexact);
	}
	for (int i = 0; i < group->n; i++)
	{
		CtCodePoint *point = &group->points[i];
		int			n = next_candidates(point, round);

		for (int j = 0; j < n && (!only_full || point->full); j++)
		{
			CtCodesPair *pair = &engine->pairs[engine->npairs++];

			pair->row = &point->rows[point->nexact + j];
			pair->place = pair->row->place;
			pair->query = point->location;
			if (engine->npairs == engine->pairs_size)
				compute_pairs(engine);
		}
	}
	compute_pairs(engine);
#pragma omp parallel for num_threads(nthreads) schedule(dynamic, CT_CODE_LANES) if (group->n >= CT_SHARED_POINTS)
	for (int i = 0; i < group->n; i++)
	{
		CtCodePoint *point = &group->points[i];
		int			n = point->nexact + next_candidates(point, round);

		if (only_full && !point->full)
			continue;
		sort_rows(point->rows, n);
		ct_code_point_settle(point, n, round > 0);
	}
}

/* Gives candidates distances, of all points or of those that are full. */
void
ct_codes_settle(CtCodes *engine, bool only_full)
{
	for (int round = 0; round < 2; round++)
		settle_round(engine, only_full, round);
}
