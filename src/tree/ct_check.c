/*-------------------------------------------------------------------------
 *
 * ct_check.c
 *	  Verification of the tree's invariants.
 *
 * The caller has made sure that nobody changes the index.  Any violation is
 * reported as ERRCODE_INDEX_CORRUPTED with the block where it was seen.
 *
 * IDENTIFICATION
 *	  src/tree/ct_check.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "utils/memutils.h"

#include "ct_tree.h"

/* base^level is computed by pow(), which may differ in the last bits */
#define LEVEL_SLACK		1e-9

/*
 * Shares are stored with the slack that applied then; it may be larger now.
 */
#define SHARE_SLACK		1e-3

/* something that covers all rows below it */
typedef struct Cover
{
	const double *pivot;
	double		radius;
	bool		level;			/* of a level: base^level, by shape */
} Cover;

#define MAX_COVERS	2048

typedef struct Check
{
	CtIndex    *index;
	CtRowCallback row;
	void	   *state;
	uint8	   *reached;		/* by block */
	BlockNumber nblocks;
	Cover		covers[MAX_COVERS];
} Check;

static void check_page(Check *check, const CtLink *link, int height,
					   const CtNode *parent, int link_number,
					   double *parent_points, int *parent_covers,
					   Cover **covers);

static void
reach(Check *check, BlockNumber block)
{
	if (block >= check->nblocks)
		ct_page_corrupted(check->index, block, "A link leads beyond the end.");
	if (check->reached[block])
		ct_page_corrupted(check->index, block, "The page is linked to twice.");
	check->reached[block] = true;
}

/* Children of one pivot at one level must be far apart, and near to it. */
static void
check_net(Check *check, const CtNode *node, BlockNumber block,
		  const double *points)
{
	CtIndex    *index = check->index;
	int			n = node->header->nentries;
	int			size = index->point_size;

	for (int i = 0; i < n; i++)
	{
		const CtEntryMeta *meta = &node->metas[i];
		double		separation = ct_level_radius(&index->shape, meta->level) *
			(1.0 - LEVEL_SLACK);
		double		covering = ct_level_radius(&index->shape, meta->level + 1) *
			(1.0 + LEVEL_SLACK);
		const double *point = points + (size_t) i * size;

		if (meta->parent == CT_NO_PARENT || (meta->flags & CT_ENTRY_GROUP))
			continue;
		{
			const CtEntryMeta *above = &node->metas[meta->parent];
			double		d = ct_cover_distance(&index->shape, point,
											  points + (size_t) meta->parent * size);

			if (d > covering)
				ct_page_corrupted(index, block,
								  "A pivot is not covered by its parent.");
			if (d <= separation)
				ct_page_corrupted(index, block,
								  "A pivot is not separated from its parent.");
			if (above->parent != CT_NO_PARENT &&
				!(above->flags & CT_ENTRY_GROUP) && above->level <= meta->level)
				ct_page_corrupted(index, block,
								  "A pivot is on no lower level than its parent.");
		}
		for (int j = 0; j < i; j++)
			if (node->metas[j].parent == meta->parent &&
				node->metas[j].level == meta->level &&
				!(node->metas[j].flags & CT_ENTRY_GROUP) &&
				ct_cover_distance(&index->shape, point,
								  points + (size_t) j * size) <= separation)
				ct_page_corrupted(index, block,
								  "Two pivots of a level are not separated.");
	}
}

/*
 * Collects what must cover rows that leave the page through entry slot: the
 * covers of the root's entry in the parent page, the levels passed within the
 * page, and the entry's own radius.
 */
static int
collect_covers(Check *check, const CtNode *node, BlockNumber block,
			   const double *points, int slot, const Cover *above,
			   int nabove, Cover *covers)
{
	CtIndex    *index = check->index;
	int			size = index->point_size;
	int			n = 0;
	int			steps = 0;
	

	covers[n].pivot = points + (size_t) slot * size;
	covers[n].level = false;
	covers[n++].radius = node->radii[slot];
	while (node->metas[slot].parent != CT_NO_PARENT)
	{
		const CtEntryMeta *meta = &node->metas[slot];

		if (++steps > node->header->nentries)
			ct_page_corrupted(index, block, "Entries form a circle.");
		if (n + nabove + 1 >= MAX_COVERS)
			return n;
		if (!(meta->flags & CT_ENTRY_GROUP))
		{
			covers[n].pivot = points + (size_t) meta->parent * size;
			covers[n].level = true;
			covers[n++].radius =
				ct_level_radius(&index->shape, meta->level + 1) *
				(1.0 + LEVEL_SLACK);
		}
		slot = meta->parent;
	}
	for (int i = 0; i < nabove && n < MAX_COVERS; i++)
		covers[n++] = above[i];
	return n;
}

/*
 * A row's shares must be those that its basis gives it, but for the error that
 * the basis admits.
 */
static void
check_shares(Check *check, const CtNode *leaf, BlockNumber block, int slot,
			 const double *point)
{
	CtShares	shares;
	int			stride = leaf->layout->capacity;
	double		square = 0.0;

	ct_basis_shares(check->index, leaf, point, &shares);
	if ((float) shares.rest > leaf->rests[slot] * (1.0 + SHARE_SLACK) + SHARE_SLACK)
		ct_page_corrupted(check->index, block,
						  "A row has more beyond its leaf's basis than stored.");
	if (leaf->rests[slot] > leaf->basis->most_rest ||
		ct_projection_rest(&shares, leaf->basis->nglance) >
		leaf->basis->glance_rest * (1.0 + SHARE_SLACK) + SHARE_SLACK)
		ct_page_corrupted(check->index, block,
						  "A row has more beyond its leaf's basis than any.");
	for (int j = 0; j < leaf->basis->n; j++)
	{
		double		off = shares.beta[j] -
			leaf->shares[j * stride + slot] * (double) leaf->basis->scales[j];

		square += off * off;
	}
	if (!(sqrt(square) + shares.error <= leaf->basis->error + SHARE_SLACK))
		ct_page_corrupted(check->index, block,
						  "A row's shares in its leaf's basis are wrong.");
}

/* What inducing points have to do with a row must be within the leaf's limits. */
static void
check_knots(Check *check, const CtNode *leaf, BlockNumber block,
			const double *point, double *work)
{
	const CtSpace *space = &check->index->space;

	if (!ct_knots_hold(space->model, space->kernels, point, work,
					   leaf->knots))
		ct_page_corrupted(check->index, block,
						  "An inducing point has more to do with a row than with its leaf.");
}

/* Verifies the rows of a leaf. */
static void
check_leaf(Check *check, Page page, BlockNumber block, const CtNode *parent,
		   int link_number, const int *ncovers, Cover **covers)
{
	CtIndex    *index = check->index;
	CtNode		leaf;
	double	   *point = palloc(sizeof(double) * index->point_size);
	double	   *work = palloc(sizeof(double) * index->point_size);
	int			exit_of[CT_MAX_ROOTS + 1];
	CtGridView	grid = {0};

	ct_node_view(index, page, &leaf);
	if (leaf.grid)
		ct_leaf_grid(index, &leaf, &grid);
	if (!ct_box_covers(index, parent, link_number, &leaf))
		ct_page_corrupted(index, block, "A row is outside the box above.");
	for (int c = 0; c <= CT_MAX_ROOTS; c++)
		exit_of[c] = -1;
	for (int i = 0; i < parent->header->nentries; i++)
		if (parent->metas[i].child == link_number)
		{
			if (exit_of[parent->metas[i].child_root] >= 0)
				ct_page_corrupted(index, block, "Two entries lead to one cell.");
			exit_of[parent->metas[i].child_root] = i;
		}
	for (int i = 0; i < leaf.header->nentries; i++)
	{
		int			exit = exit_of[leaf.cells[i]];

		if (exit < 0)
			ct_page_corrupted(index, block, "A row is in a cell that no entry leads to.");
		if (!ItemPointerIsValid(&leaf.tids[i]))
			ct_page_corrupted(index, block, "A row has an invalid TID.");
		ct_node_get_point(index, &leaf, i, point);
		for (int c = 0; c < ncovers[exit]; c++)
		{
			const Cover *cover = &covers[exit][c];
			double		d = ct_cover_distance(cover->level ? &index->shape :
											  &index->cover,
											  cover->pivot, point);

			if (index->space.model && !cover->level ?
				ct_lower_bound(&index->cover, d, cover->radius) > 0.0 :
				d > cover->radius)
				ct_page_corrupted(index, block,
								  c == 0 ? "A row is outside the covering radius of its cell." :
								  "A row is outside the covering radius of a node above.");
		}
		if (leaf.basis)
		{
			check_shares(check, &leaf, block, i, point);
			check_knots(check, &leaf, block, point, work);
		}
		if (leaf.codes &&
			!(ct_grid_error(&grid, point, leaf.codes, i,
							leaf.layout->capacity) <= leaf.grid->error))
			ct_page_corrupted(index, block,
							  "A row is farther from its code than the leaf says.");
		if (check->row)
			check->row(&leaf.tids[i], point, check->state);
	}
	pfree(work);
	pfree(point);
}

/* Verifies a routing page and all below. */
static void
check_routing(Check *check, Page page, BlockNumber block,
			  const CtNode *parent, int link_number, double *parent_points,
			  int *parent_ncovers, Cover **parent_covers)
{
	CtIndex    *index = check->index;
	CtNode		node;
	int			n;
	int			size = index->point_size;
	double	   *points;
	Cover	  **covers;
	int		   *ncovers;

	ct_node_view(index, page, &node);
	ct_node_check_entries(index, &node, block);
	if (parent && !ct_box_covers(index, parent, link_number, &node))
		ct_page_corrupted(index, block, "A box is outside the box above.");
	n = node.header->nentries;
	points = palloc(sizeof(double) * size * (n + 1));
	covers = palloc0(sizeof(Cover *) * (n + 1));
	ncovers = palloc0(sizeof(int) * (n + 1));
	for (int i = 0; i < n; i++)
		ct_node_get_point(index, &node, i, points + (size_t) i * size);
	check_net(check, &node, block, points);

	for (int i = 0; i < n; i++)
	{
		int			root = i;
		int			steps = 0;
		Cover	   *above = NULL;
		int			nabove = 0;
		int			count;

		while (node.metas[root].parent != CT_NO_PARENT)
		{
			if (++steps > n)
				ct_page_corrupted(index, block, "Entries form a circle.");
			root = node.metas[root].parent;
		}
		if (parent)
		{
			int			exit = -1;

			for (int j = 0; j < parent->header->nentries; j++)
				if (parent->metas[j].child == link_number &&
					parent->metas[j].child_root == node.metas[root].root)
					exit = j;
			if (exit < 0)
				ct_page_corrupted(index, block, "No entry of the parent leads to a root.");
			if (memcmp(parent_points + (size_t) exit * size,
					   points + (size_t) root * size,
					   sizeof(double) * size) != 0)
				ct_page_corrupted(index, block,
								  "A root's pivot is not that of the entry above.");
			above = parent_covers[exit];
			nabove = parent_ncovers[exit];
		}
		count = collect_covers(check, &node, block, points, i, above, nabove,
							   check->covers);
		covers[i] = palloc(sizeof(Cover) * count);
		memcpy(covers[i], check->covers, sizeof(Cover) * count);
		ncovers[i] = count;
	}

	for (int c = 0; c < node.header->nchildren; c++)
	{
		CHECK_FOR_INTERRUPTS();
		check_page(check, &node.links[c], node.header->height - 1, &node, c,
				   points, ncovers, covers);
	}
	for (int i = 0; i < n; i++)
		pfree(covers[i]);
	pfree(covers);
	pfree(ncovers);
	pfree(points);
}

static void
check_page(Check *check, const CtLink *link, int height,
		   const CtNode *parent, int link_number, double *parent_points,
		   int *parent_ncovers, Cover **parent_covers)
{
	CtIndex    *index = check->index;
	PGAlignedBlock *copy = palloc(sizeof(PGAlignedBlock));
	Page		page = (Page) copy->data;
	CtPin		pin;
	CtNodeHeader *header;

	check_stack_depth();
	reach(check, link->block);
	pin = ct_pin(index, link->block, CT_LOCK_SHARE);
	memcpy(page, ct_pin_page(pin), BLCKSZ);
	ct_unpin(pin);
	header = ct_node_header(page);
	if (ct_page_kind(page) != (height == 0 ? CT_PAGE_LEAF : CT_PAGE_ROUTING) ||
		header->height != height)
		ct_page_corrupted(index, link->block, "The page has another height than its parent says.");
	if (parent && (ct_special(page)->incarnation != link->incarnation ||
				   header->version != link->version))
		ct_page_corrupted(index, link->block,
						  "The page has another version than its parent says.");
	if (height == 0)
		check_leaf(check, page, link->block, parent, link_number,
				   parent_ncovers, parent_covers);
	else
		check_routing(check, page, link->block, parent, link_number,
					  parent_points, parent_ncovers, parent_covers);
	pfree(copy);
}

/* NULL rows, and pages that nothing leads to. */
static void
check_rest(Check *check)
{
	CtIndex    *index = check->index;
	CtPin		pin = ct_pin(index, CT_META_BLOCK, CT_LOCK_SHARE);
	BlockNumber block = ct_meta(ct_pin_page(pin))->nulls_head;

	ct_unpin(pin);
	while (block != InvalidBlockNumber)
	{
		Page		page;

		CHECK_FOR_INTERRUPTS();
		reach(check, block);
		pin = ct_pin(index, block, CT_LOCK_SHARE);
		page = ct_pin_page(pin);
		if (ct_page_kind(page) != CT_PAGE_NULLS)
			ct_page_corrupted(index, block, "The chain of NULLs leads elsewhere.");
		if (check->row)
			for (uint32 i = 0; i < ct_nulls_header(page)->ntids; i++)
				check->row(&ct_nulls_tids(page)[i], NULL, check->state);
		block = ct_nulls_header(page)->next;
		ct_unpin(pin);
	}
	for (block = CT_ROOT_BLOCK + 1; block < check->nblocks; block++)
	{
		CtPageKind	kind;

		CHECK_FOR_INTERRUPTS();
		if (check->reached[block])
			continue;
		pin = ct_pin_new_allowed(index, block, CT_LOCK_SHARE);
		kind = ct_page_is_new(ct_pin_page(pin)) ? CT_PAGE_FREE :
			ct_page_kind(ct_pin_page(pin));
		ct_unpin(pin);
		if (kind == CT_PAGE_MODEL && block <= CT_ROOT_BLOCK + index->meta.model_pages)
			continue;
		if (kind != CT_PAGE_FREE && kind != CT_PAGE_VECTOR &&
			kind != CT_PAGE_FRAME)
			ct_page_corrupted(index, block, "Nothing leads to the page.");
	}
}

/*
 * Verifies the whole index and calls row (unless NULL) for every row, with
 * its point, or NULL for rows whose point is NULL.
 */
void
ct_check(CtIndex *index, CtRowCallback row, void *state)
{
	Check	   *check = palloc0(sizeof(Check));
	CtLink		root = {CT_ROOT_BLOCK, 0, 0, 0};

	check->index = index;
	check->row = row;
	check->state = state;
	check->nblocks = ct_block_count(index);
	check->reached = MemoryContextAllocExtended(CurrentMemoryContext,
												check->nblocks + 1,
												MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	if (index->meta.dims > 0)
	{
		CtPin		pin = ct_pin(index, CT_ROOT_BLOCK, CT_LOCK_SHARE);
		int			height = ct_node_header(ct_pin_page(pin))->height;
		CtNode		node;
		int			nroots = 0;

		if (ct_page_kind(ct_pin_page(pin)) != CT_PAGE_ROUTING)
			ct_page_corrupted(index, CT_ROOT_BLOCK, "The root page is no routing page.");
		ct_node_view(index, ct_pin_page(pin), &node);
		for (int i = 0; i < node.header->nentries; i++)
			nroots += node.metas[i].parent == CT_NO_PARENT;
		if (node.header->nentries > 0 && nroots != 1)
			ct_page_corrupted(index, CT_ROOT_BLOCK, "The tree has not exactly one root.");
		ct_unpin(pin);
		check_page(check, &root, height, NULL, 0, NULL, NULL, NULL);
	}
	check_rest(check);
	pfree(check->reached);
	pfree(check);
}
