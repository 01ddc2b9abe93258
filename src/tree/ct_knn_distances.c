/*-------------------------------------------------------------------------
 *
 * ct_knn_distances.c
 *	  Distances of blocks of queries and rows of a slab (ct_knn_residual.c).
 *
 * The main thread pins pages of records, as many as a batch has room for, and
 * divides the rows on them into parts.  Each thread takes one part after the
 * other, copies its records into memory of its own, which its cache holds, and
 * evaluates the pairs of all blocks with its rows.
 *
 * IDENTIFICATION
 *	  src/tree/ct_knn_distances.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <omp.h>

#include "miscadmin.h"

#include "ct_knn_distances.h"

/* rows of a part that is not divided so that all threads have one */
#define LEAST_PART			8

/* a record is fetched while so many before it are copied */
#define AHEAD				2

/* and what the server knows of a page this many rows before it is pinned */
#define PINS_AHEAD			8

/* What threads share while they compute. */
typedef struct Task
{
	CtSlab	   *slab;
	const CtBlockRows *rows;
	int			nblocks;
	CtBlock    *blocks;
	CtFound    *found;
	size_t		stride;
} Task;

/*
 * Makes ready for a search, with so many bytes for records: no less than one for
 * each thread.
 */
void
ct_distances_create(CtDistances *distances, CtKnn *knn, size_t store_bytes)
{
	MemoryContext context = CurrentMemoryContext;
	CtRecords	form = ct_records_form(knn->index);
	int			nthreads = knn->nthreads;
	int			room;

	distances->knn = knn;
	distances->nthreads = nthreads;
	distances->store_size = Max(store_bytes / nthreads /
								ct_record_bytes(&form), 1);
	distances->store = ct_allocate_records(&form, context,
										   distances->store_size * nthreads);
	distances->work_bytes =
		TYPEALIGN(CT_CACHE_LINE, ct_pairs_work_bytes(knn->index->space.model));
	distances->work = ct_allocate_lines(context,
										distances->work_bytes * nthreads);
	distances->batch = ct_vector_batch_create(knn->index);
	room = ct_vector_batch_room(distances->batch);
	distances->batch_rows = ct_allocate(context, room, sizeof(size_t));
	distances->parts = ct_allocate(context, room, sizeof(CtRowPart));
}

/* -------- in threads -------- */

/* Copies the records of a part; false if one is not where it should be. */
static bool
copy_records(CtDistances *distances, const Task *task, const CtRowPart *part,
			 int thread)
{
	for (int i = 0; i < part->n; i++)
	{
		double	   *record = ct_record_at(&task->slab->form, distances->store,
										  distances->store_size * thread + i);
		int			vector = part->vector + i;

		if (i + AHEAD < part->n)
			ct_vector_batch_prefetch(distances->batch, vector + AHEAD);
		if (!ct_vector_batch_copy(distances->batch, vector, record))
		{
			__atomic_store_n(&distances->broken, vector, __ATOMIC_RELAXED);
			return false;
		}
		task->slab->records[distances->batch_rows[vector]] = record;
	}
	return true;
}

/* Evaluates the pairs of a part's rows.  Returns the number of distances. */
static size_t
evaluate_part(CtDistances *distances, const Task *task, const CtRowPart *part,
			  int thread)
{
	void	   *work = distances->work + distances->work_bytes * thread;
	size_t		first = distances->batch_rows[part->vector];
	/* with those between that nobody needs */
	int			nrows = distances->batch_rows[part->vector + part->n - 1] + 1 - first;
	size_t		count = 0;

	if (!copy_records(distances, task, part, thread))
		return 0;
	for (int b = 0; b < task->nblocks; b++)
		count += ct_pairs_evaluate(task->rows, &task->blocks[b], first, nrows,
								   task->found + task->stride * thread, work);
	return count;
}

/*
 * Lets threads take parts until none is left, or an interrupt wants to be
 * served; each that was taken is done.
 */
static size_t
evaluate_parts(CtDistances *distances, const Task *task)
{
	size_t		count = 0;
	CtKnnRegion region;

	ct_knn_region_begin(&region);
#pragma omp parallel num_threads(distances->knn->nthreads) reduction(+:count)
	{
		int			thread = omp_get_thread_num();
		int			part;

		do
		{
			part = __atomic_fetch_add(&distances->next_part, 1,
									  __ATOMIC_RELAXED);
			if (part < distances->nparts)
				count += evaluate_part(distances, task,
									   &distances->parts[part], thread);
		} while (part < distances->nparts && !InterruptPending);
		ct_knn_region_share_done(&region);
	}
	ct_knn_region_end(distances->knn, &region);
	return count;
}

/* -------- in the main thread -------- */

/* Evaluates the pairs of the rows in the batch, and releases it. */
static void
evaluate_batch(CtDistances *distances, const Task *task)
{
	CtKnn	   *knn = distances->knn;

	distances->broken = -1;
	distances->next_part = 0;
	while (distances->next_part < distances->nparts)
	{
		CHECK_FOR_INTERRUPTS();
		knn->distances += evaluate_parts(distances, task);
	}
	if (distances->broken >= 0)
		ct_vector_batch_complain(distances->batch, distances->broken);
	ct_vector_batch_release(distances->batch);
	knn->report(knn->arg);
}

/*
 * Divides the rows in the batch into parts: those of a leaf are together, as far
 * as there is room for their records, until what is left would not keep all
 * threads busy.  *leaf is the number of a leaf that is not behind the first row's,
 * and of the last row's afterwards.
 */
static void
form_parts(CtDistances *distances, const CtSlab *slab, size_t *leaf)
{
	int			n = ct_vector_batch_size(distances->batch);
	CtRowPart  *part = NULL;
	size_t		end = slab->leaves[*leaf].first + slab->leaves[*leaf].n;
	int			size = 0;

	distances->nparts = 0;
	for (int i = 0; i < n; i++)
	{
		size_t		row = distances->batch_rows[i];

		if (part == NULL || part->n >= size || row >= end)
		{
			for (; row >= end; end += slab->leaves[*leaf].n)
				++*leaf;
			size = Max((n - i) / (2 * distances->knn->nthreads), LEAST_PART);
			size = Min(size, distances->store_size);
			part = &distances->parts[distances->nparts++];
			*part = (CtRowPart) {.vector = i};
		}
		part->n++;
	}
}

/*
 * Adds rows that are needed to the batch, from number row on, while there is
 * room.  Returns the number of the next one.
 */
static size_t
fill_batch(CtDistances *distances, const CtSlab *slab, const bool *needed,
		   size_t row)
{
	for (; row < slab->nrows; row++)
	{
		int			n = ct_vector_batch_size(distances->batch);

		if (row + PINS_AHEAD < slab->nrows && needed[row + PINS_AHEAD])
			ct_prefetch_pin(slab->index, slab->row_locators[row + PINS_AHEAD].block);
		if (!needed[row])
			continue;
		if (!ct_vector_batch_add(distances->batch, slab->row_locators[row]))
			break;
		distances->batch_rows[n] = row;
	}
	return row;
}

/*
 * Evaluates the pairs of all blocks, which are with rows that are needed.  Thread
 * number t has what it finds for a query in found[stride * t + number].
 */
void
ct_distances_compute(CtDistances *distances, CtSlab *slab,
					 const CtBlockRows *rows, int nblocks, CtBlock *blocks,
					 const bool *needed, CtFound *found, size_t stride)
{
	Task		task = {slab, rows, nblocks, blocks, found, stride};
	size_t		leaf = 0;
	size_t		row = 0;

	while (row < slab->nrows)
	{
		row = fill_batch(distances, slab, needed, row);
		form_parts(distances, slab, &leaf);
		evaluate_batch(distances, &task);
	}
}
