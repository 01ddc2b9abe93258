/*-------------------------------------------------------------------------
 *
 * ct_knn.c
 *	  Bulk search: choice of the engine, and what all engines need.
 *
 * IDENTIFICATION
 *	  src/tree/ct_knn.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <omp.h>
#include <sys/resource.h>

#include "utils/memutils.h"

#include "ct_knn.h"

/* rows handed on together */
#define PORTION		256

/* seconds that the main thread has waited before it thinks about it */
#define PATIENCE	0.005

/* what is usual of a machine that has nothing else to do */
#define PREEMPTIONS	4
#define PREEMPTIONS_A_SECOND	50

/* -------- rows without a point -------- */

/* Lists those that the snapshot sees, in the order of the index's TIDs. */
static void
list_nulls(CtKnn *knn)
{
	ItemPointerData *tids;
	ItemPointerData seen[PORTION];
	int64		n = ct_nulls_collect(knn->index, &tids);

	knn->nulls = MemoryContextAllocHuge(knn->context,
										sizeof(CtKnnRow) * Max(n, 1));
	for (int64 from = 0; from < n; from += PORTION)
	{
		int			count = Min(PORTION, n - from);

		CHECK_FOR_INTERRUPTS();
		knn->see(knn->arg, count, tids + from, seen);
		for (int i = 0; i < count; i++)
		{
			CtKnnRow   *row = &knn->nulls[knn->nnulls];

			if (!ItemPointerIsValid(&seen[i]))
				continue;
			row->tid = seen[i];
			row->isnull = true;
			row->dist = 0.0;
			knn->nnulls++;
		}
	}
	pfree(tids);
}

/*
 * The answer to a query: its n nearest rows that have a point, in order.  When
 * there are fewer than k, rows without a point follow, as in a scan.
 */
void
ct_knn_answer(CtKnn *knn, const CtKnnQuery *query, int64 n,
			  const CtKnnRow *rows)
{
	knn->emit(knn->arg, query, 1, n, rows);
	if (n < knn->k)
	{
		if (knn->nulls == NULL)
			list_nulls(knn);
		knn->emit(knn->arg, query, n + 1, Min(knn->k - n, knn->nnulls),
				  knn->nulls);
	}
	knn->answered++;
}

/* -------- one query after the other -------- */

/*
 * Answers a query by a scan of its own, in the main thread: any index, any k.
 * The point has point_size doubles.
 */
void
ct_knn_one_by_one(CtKnn *knn, const CtKnnQuery *query, const double *point)
{
	CtSearch   *search = knn->search;
	CtKnnRow	rows[PORTION];
	CtResult	result;
	int64		rank = 1;
	int			n = 0;

	CHECK_FOR_INTERRUPTS();
	if (search == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(knn->context);

		search = knn->search = ct_search_create(knn->index);
		MemoryContextSwitchTo(old);
	}
	ct_search_start(search, point, CT_REPORT_METRIC);
	while (rank + n <= knn->k && ct_search_next(search, &result))
	{
		knn->see(knn->arg, 1, &result.tid, &rows[n].tid);
		if (!ItemPointerIsValid(&rows[n].tid) ||
			(query->number == 0 &&
			 ItemPointerEquals(&result.tid,
							   (ItemPointer) &query->index_tid)))
			continue;
		rows[n].dist = result.dist;
		rows[n].isnull = result.isnull;
		if (++n < PORTION)
			continue;
		knn->emit(knn->arg, query, rank, n, rows);
		rank += n;
		n = 0;
	}
	if (n > 0)
		knn->emit(knn->arg, query, rank, n, rows);
	if (ct_search_is_outdated(search))
		ct_knn_answer(knn, query, 0, NULL); /* see copy_page() */
	else
		knn->answered++;
	knn->distances += ct_search_stats(search)->distances;
	knn->pages += ct_search_stats(search)->pages_read;
	knn->report(knn->arg);
}

/* An engine that serves any index. */
static void
run_scans(CtKnn *knn)
{
	CtIndex    *index = knn->index;
	CtKnnSource *source = ct_knn_source_open(knn);
	double	   *location = palloc(sizeof(double) * Max(index->meta.dims, 1));
	double	   *point = palloc(sizeof(double) * Max(index->point_size, 1));
	CtKnnQuery	query;
	CtLocator	locator;

	while (ct_knn_source_next(source, 1, &query, location, &locator) > 0)
	{
		if (knn->locations == NULL && index->external)
			ct_vector_read(index, locator, point);
		else
			ct_index_expand(index, 1, location, point);
		ct_knn_one_by_one(knn, &query, point);
	}
	ct_knn_source_close(source);
}

/* -------- threads -------- */

static void
stop_threads(void *arg)
{
	ct_threads_stop();
}

/*
 * Sees to it that threads end with the current memory context, so also when an
 * error ends the search.
 */
void
ct_knn_own_threads(void)
{
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));

	callback->func = stop_threads;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
}

/* How often has this thread lost its processor to another? */
static long
times_preempted(void)
{
#ifdef RUSAGE_THREAD
	struct rusage usage;

	if (getrusage(RUSAGE_THREAD, &usage) == 0)
		return usage.ru_nivcsw;
#endif
	return 0;
}

/* Starts the threads. */
void
ct_knn_start_threads(CtKnn *knn)
{
	if (knn->nthreads == 1)
		return;
	ct_knn_own_threads();
	ct_threads_start(knn->nthreads);
	INSTR_TIME_SET_CURRENT(knn->begun);
	knn->preempted = times_preempted();
}

/* Notes that a parallel region begins. */
void
ct_knn_region_begin(CtKnnRegion *region)
{
	INSTR_TIME_SET_CURRENT(region->begun);
}

/* A thread has done its share of the region; the main one notes when. */
void
ct_knn_region_share_done(CtKnnRegion *region)
{
	if (omp_get_thread_num() == 0)
		INSTR_TIME_SET_CURRENT(region->done);
}

/*
 * Tells that the region is over.  Where the main thread waits for others longer
 * than it works, or often loses its processor, the machine has none to spare: it
 * hands out time by milliseconds, and may do that in each of hundreds of regions.
 * The rest of the search does without other threads then.
 */
void
ct_knn_region_end(CtKnn *knn, const CtKnnRegion *region)
{
	instr_time	waited;
	instr_time	worked = region->done;
	instr_time	elapsed;

	if (knn->nthreads == 1)
		return;
	INSTR_TIME_SET_CURRENT(waited);
	elapsed = waited;
	INSTR_TIME_SUBTRACT(elapsed, knn->begun);
	INSTR_TIME_SUBTRACT(waited, region->done);
	INSTR_TIME_SUBTRACT(worked, region->begun);
	knn->waited += INSTR_TIME_GET_DOUBLE(waited);
	knn->worked += INSTR_TIME_GET_DOUBLE(worked);
	if (knn->waited > PATIENCE + knn->worked / 4 ||
		times_preempted() - knn->preempted >
		PREEMPTIONS + INSTR_TIME_GET_DOUBLE(elapsed) * PREEMPTIONS_A_SECOND)
		knn->nthreads = 1;
}

/* -------- choice of the engine -------- */

/* Answers all queries. */
void
ct_knn_run(CtKnn *knn)
{
	CtKnnQuery	query = {0};

	if (knn->index->meta.dims > 0 && ct_knn_columns_can(knn))
	{
		ct_knn_columns(knn);
		return;
	}
	if (knn->index->meta.dims > 0 && ct_knn_codes_can(knn))
	{
		ct_knn_codes(knn);
		return;
	}
	if (knn->index->meta.dims > 0 && ct_knn_residual_can(knn))
	{
		ct_knn_residual(knn);
		return;
	}
	if (knn->index->meta.dims > 0)
	{
		run_scans(knn);
		return;
	}
	/* no row has a point */
	knn->total = knn->locations ? knn->nqueries : 0;
	for (query.number = 1; query.number <= knn->total; query.number++)
	{
		CHECK_FOR_INTERRUPTS();
		ct_knn_answer(knn, &query, 0, NULL);
	}
}
