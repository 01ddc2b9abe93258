/*-------------------------------------------------------------------------
 *
 * ct_stats.c
 *	  The shape of the tree: levels, fan-out, overlap.
 *
 * A node of the cover tree is a pivot at a level at which it has children, or
 * a cell.  Levels between are left out, as in the tree itself.  Overlap is the
 * mean share of the other cells of a page's leaf-bound entries whose balls
 * intersect that of a cell.
 *
 * IDENTIFICATION
 *	  src/tree/ct_stats.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "utils/memutils.h"

#include "ct_tree.h"

typedef struct StatsState
{
	CtIndex    *index;
	CtTreeStats *stats;
	int			levels_size;
	double		overlap_pairs;
	double		overlap_cells;
} StatsState;

static CtLevelStats *
level_stats(StatsState *state, int level)
{
	CtTreeStats *stats = state->stats;

	for (int i = 0; i < stats->nlevels; i++)
		if (stats->levels[i].level == level)
			return &stats->levels[i];
	if (stats->nlevels == state->levels_size)
	{
		state->levels_size *= 2;
		stats->levels = repalloc(stats->levels,
								 sizeof(CtLevelStats) * state->levels_size);
	}
	memset(&stats->levels[stats->nlevels], 0, sizeof(CtLevelStats));
	stats->levels[stats->nlevels].level = level;
	return &stats->levels[stats->nlevels++];
}

static void
count_node(StatsState *state, int level, int children, double radius)
{
	CtLevelStats *stats = level_stats(state, level);

	stats->nodes++;
	stats->children += children;
	stats->radius_sum += radius;
	stats->radius_max = Max(stats->radius_max, radius);
}

/* Branching nodes of one page: each pivot, at each level with children. */
static void
count_branches(StatsState *state, const CtNode *node, int i,
			   const double *dist)
{
	int			n = node->header->nentries;
	int			below = PG_INT32_MAX;

	for (;;)
	{
		int			level = PG_INT32_MIN;
		int			children = 1;	/* the pivot itself, one level down */
		double		radius = node->radii[i];

		for (int j = 0; j < n; j++)
			if (node->metas[j].parent == i && node->metas[j].level < below &&
				!(node->metas[j].flags & CT_ENTRY_GROUP))
				level = Max(level, node->metas[j].level);
		if (level == PG_INT32_MIN)
			return;
		for (int j = 0; j < n; j++)
			if (node->metas[j].parent == i && node->metas[j].level <= level &&
				!(node->metas[j].flags & CT_ENTRY_GROUP))
			{
				children += node->metas[j].level == level;
				radius = Max(radius, ct_radius_sum(&state->index->cover, dist[j],
												   node->radii[j]));
			}
		state->stats->max_fanout = Max(state->stats->max_fanout, children);
		count_node(state, level + 1, children,
				   state->index->shape_is_cover ?
				   Min(radius, ct_level_radius(&state->index->shape, level + 1)) :
				   radius);
		below = level;
	}
}

static void
stats_page(StatsState *state, const CtLink *link, int height)
{
	CtIndex    *index = state->index;
	PGAlignedBlock *copy = palloc(sizeof(PGAlignedBlock));
	Page		page = (Page) copy->data;
	CtPin		pin;
	CtNode		node;
	int			n;
	double	   *point = palloc(sizeof(double) * index->point_size);
	double	   *dist;

	CHECK_FOR_INTERRUPTS();
	check_stack_depth();
	pin = ct_pin(index, link->block, CT_LOCK_SHARE);
	memcpy(page, ct_pin_page(pin), BLCKSZ);
	ct_unpin(pin);
	if (ct_page_kind(page) != CT_PAGE_ROUTING ||
		!ct_page_has_shape(index, page) ||
		(link->block != CT_ROOT_BLOCK &&
		 ct_special(page)->incarnation != link->incarnation))
		return;					/* freed meanwhile */
	ct_node_view(index, page, &node);
	if (node.header->height != height)
		ct_page_corrupted(index, link->block,
						  "The page has another height than its parent says.");
	ct_node_check_entries(index, &node, link->block);
	n = node.header->nentries;
	dist = palloc(sizeof(double) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		bool		cell = node.header->height == 1 &&
			node.metas[i].child != CT_NO_CHILD;

		state->stats->entries++;
		ct_node_get_point(index, &node, i, point);
		ct_node_distances(index, &node, point, dist);
		count_branches(state, &node, i, dist);
		if (!cell)
			continue;
		count_node(state, ct_level_of(&index->space, node.radii[i]), 0,
				   node.radii[i]);
		state->stats->exits++;
		for (int j = 0; j < n; j++)
			if (j != i && dist[j] < node.radii[i] + node.radii[j])
				state->overlap_pairs++;
		state->overlap_cells += n - 1;
	}
	if (node.header->height > 1)
		for (int c = 0; c < node.header->nchildren; c++)
			stats_page(state, &node.links[c], height - 1);
	pfree(dist);
	pfree(point);
	pfree(copy);
}

static int
compare_levels(const void *a, const void *b)
{
	return ((const CtLevelStats *) b)->level - ((const CtLevelStats *) a)->level;
}

/* Fills stats; an empty index has no levels. */
void
ct_tree_stats(CtIndex *index, CtTreeStats *stats)
{
	StatsState	state = {index, stats, 64, 0, 0};
	CtLink		root = {CT_ROOT_BLOCK, 0, 0, 0};
	CtPin		pin;

	memset(stats, 0, sizeof(CtTreeStats));
	stats->levels = palloc(sizeof(CtLevelStats) * state.levels_size);
	if (index->meta.dims == 0)
		return;
	pin = ct_pin(index, CT_ROOT_BLOCK, CT_LOCK_SHARE);
	stats->height = ct_node_header(ct_pin_page(pin))->height;
	ct_unpin(pin);
	stats_page(&state, &root, stats->height);
	qsort(stats->levels, stats->nlevels, sizeof(CtLevelStats), compare_levels);
	if (state.overlap_cells > 0)
		stats->overlap = state.overlap_pairs / state.overlap_cells;
}
