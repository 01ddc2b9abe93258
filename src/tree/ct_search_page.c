/*-------------------------------------------------------------------------
 *
 * ct_search_page.c
 *	  A page whose turn has come in a search: is the link to it still good, and
 *	  what takes its place in the queue?
 *
 * IDENTIFICATION
 *	  src/tree/ct_search_page.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "ct_search_private.h"

/* What is kept of a page whose pivots are read without its lock. */
static void
copy_page(CtSearch *search, CtNode *node)
{
	if (search->copy == NULL)
		search->copy = MemoryContextAlloc(search->context,
										  sizeof(PGAlignedBlock));
	memcpy(search->copy->data, (char *) node->header - CT_NODE_OFFSET, BLCKSZ);
	ct_node_view(search->index, (Page) search->copy->data, node);
}

static void
expand_routing(CtSearch *search, const CtNode *node, const PageVisit *visit)
{
	int			n = node->header->nchildren;
	Branch	   *branch;

	if (n == 0)
		return;
	branch = ct_branch_new(search, n, node->header->height - 1);
	memcpy(branch->links, node->links, sizeof(CtLink) * n);
	if (search->report == CT_REPORT_NULL)
		memset(branch->keys, 0, sizeof(double) * n);
	else if (node->boxes)
		ct_box_bounds(search->index, node, &search->place, branch->keys);
	else
		ct_search_ball_bounds(search, node, visit, branch->keys);
	for (int c = 0; c < n; c++)
		branch->keys[c] = Max(branch->keys[c], visit->key);
	if (search->seen && branch->height == 0)
		ct_search_glance_at_leaves(search, branch);
	search->stats.subtrees_pruned += n;
}

/*
 * The right sibling of a page that was split after its link was read.  It has
 * rows of that page, of which those up to the distance taken have been read.
 */
static void
push_right(CtSearch *search, const PageVisit *visit, const CtLink *right,
		   double taken)
{
	Branch	   *branch;

	ct_search_push_page(search, visit->key, right, visit->height, LEAF_NEW, NULL);
	branch = &search->branches[search->nbranches - 1];
	if (branch->taken == NULL && taken >= 0.0)
		branch->taken = palloc(sizeof(double));
	if (branch->taken)
		branch->taken[0] = taken;
}

/*
 * A page that has not the shape of the index: the dimension was freed.  There is
 * nothing to be found any more, or there never was and what was known of the index
 * is out of date.  Only the root can be such a page.
 */
static void
meet_other_shape(CtSearch *search, const PageVisit *visit)
{
	if (visit->block != CT_ROOT_BLOCK)
		ct_page_corrupted(search->index, visit->block,
						  "The page has not the shape of the index.");
	search->outdated = !search->root_read;
}

/*
 * The link to the right sibling, if the node was split after the link to it was
 * read; else its block is invalid.
 */
static CtLink
right_link(CtSearch *search, const CtNode *node, const PageVisit *visit)
{
	CtIndex    *index = search->index;
	CtLink		right = {InvalidBlockNumber, 0, 0, 0};

	if (visit->block == CT_ROOT_BLOCK ||
		node->header->split_version <= visit->version)
		return right;
	if (search->stats.pages_read > MAX_RESTARTS + 4 * (int64) ct_block_count(index))
		ct_page_corrupted(index, visit->block, "Right links form a circle.");
	right.block = node->header->right;
	right.incarnation = node->header->right_incarnation;
	right.version = visit->version;
	return right;
}

/*
 * Makes known what the query has to do with the basis of a node, if that is
 * needed.  Pivots that are to be read are read without the page's lock: then pin
 * is given up, and the node is a copy.
 */
static void
learn_basis(CtSearch *search, CtNode *node, PageVisit *visit, CtPin *pin)
{
	if (visit->version != node->header->version)
		visit->shares = NULL;
	if (search->seen && visit->shares == NULL &&
		!(node->basis && ct_search_basis_correlations(search, node, false)))
	{
		copy_page(search, node);
		ct_unpin(*pin);
		*pin = CT_NO_PIN;
		if (node->basis)
			ct_search_basis_correlations(search, node, true);
	}
	if (node->basis && node->basis->n > 0 && visit->shares == NULL &&
		search->report != CT_REPORT_NULL)
		ct_search_learn_shares(search, node, visit);
}

/*
 * Reads a page; its children or its rows take its place in the queue.  False if
 * it was freed since the link to it was read: all that is in the queue may be
 * stale.
 */
bool
ct_search_visit_page(CtSearch *search, PageVisit *visit)
{
	CtIndex    *index = search->index;
	CtPin		pin = ct_pin(index, visit->block, CT_LOCK_SHARE);
	Page		page = ct_pin_page(pin);
	CtPageKind	kind = ct_page_kind(page);
	CtNode		node;
	CtLink		right;
	int			ncursors = search->ncursors;
	int			nbranches = search->nbranches;
	double		taken = visit->taken;
	uint32		version;

	search->stats.pages_read++;
	if (ct_special(page)->incarnation != visit->incarnation &&
		visit->block != CT_ROOT_BLOCK)
	{
		/* perhaps it is in use for something else */
		ct_unpin(pin);
		return false;
	}
	if (kind != CT_PAGE_ROUTING && kind != CT_PAGE_LEAF)
		ct_page_corrupted(index, visit->block, "A link leads to no node.");
	if (!ct_page_has_shape(index, page))
	{
		meet_other_shape(search, visit);
		ct_unpin(pin);
		return true;
	}
	search->root_read = true;
	ct_node_view(index, page, &node);
	if (visit->height >= 0 && node.header->height != visit->height)
		ct_page_corrupted(index, visit->block,
						  "The page has another height than its parent says.");
	right = right_link(search, &node, visit);
	learn_basis(search, &node, visit, &pin);
	if (kind == CT_PAGE_ROUTING)
		expand_routing(search, &node, visit);
	else if (search->report == CT_REPORT_NULL ||
			 !(node.codes ? ct_search_put_off_coded(search, &node, visit) :
			   ct_search_put_off(search, &node, visit)))
		ct_search_read_leaf(search, &node, visit);
	version = node.header->version;
	if (pin != CT_NO_PIN)
		ct_unpin(pin);

	if (visit->branch >= 0)
		ct_search_leave_page(search, visit, version);
	if (kind == CT_PAGE_ROUTING && search->nbranches > nbranches)
		ct_branch_enqueue(search, nbranches, false);
	if (right.block != InvalidBlockNumber)
		push_right(search, visit, &right, taken);
	if (search->ncursors > ncursors)
		ct_cursor_enqueue(search, ncursors, false);
	return true;
}
