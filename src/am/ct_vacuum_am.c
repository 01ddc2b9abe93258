/*-------------------------------------------------------------------------
 *
 * ct_vacuum_am.c
 *	  Vacuum callbacks.
 *
 * IDENTIFICATION
 *	  src/am/ct_vacuum_am.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "access/genam.h"
#include "utils/rel.h"

#include "ct_am.h"
#include "ct_tree.h"

typedef struct DeadState
{
	IndexBulkDeleteCallback callback;
	void	   *state;
} DeadState;

static bool
is_dead(ItemPointer tid, void *arg)
{
	DeadState  *dead = arg;

	return dead->callback(tid, dead->state);
}

static IndexBulkDeleteResult *
run_vacuum(Relation rel, IndexBulkDeleteResult *stats, DeadState *dead)
{
	CtIndex    *index = ct_index_open(rel);
	CtVacuumCounts counts;

	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));
	ct_vacuum(index, dead ? is_dead : NULL, dead, &counts);
	stats->num_pages = counts.pages;
	stats->estimated_count = false;
	stats->num_index_tuples = counts.rows + counts.nulls;
	stats->tuples_removed += counts.removed;
	stats->pages_newly_deleted += counts.freed;
	stats->pages_deleted = counts.free_pages;
	stats->pages_free = counts.free_pages;
	pfree(index);
	return stats;
}

IndexBulkDeleteResult *
ctbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
			 IndexBulkDeleteCallback callback, void *callback_state)
{
	DeadState	dead = {callback, callback_state};

	return run_vacuum(info->index, stats, &dead);
}

IndexBulkDeleteResult *
ctvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	if (info->analyze_only)
		return stats;
	if (stats == NULL)
		stats = run_vacuum(info->index, NULL, NULL);
	if (!info->estimated_count)
		stats->num_index_tuples = Min(stats->num_index_tuples,
									  info->num_heap_tuples);
	return stats;
}
