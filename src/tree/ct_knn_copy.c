/*-------------------------------------------------------------------------
 *
 * ct_knn_copy.c
 *	  Pages of the tree copied for a bulk search.
 *
 * A bulk search keeps what it has read for as long as it likes, and asks for
 * the rest later.  What makes this safe is told in src/README.md under "Bulk
 * search".
 *
 * IDENTIFICATION
 *	  src/tree/ct_knn_copy.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "ct_knn.h"

/* vacuum cannot free pages under one search more often than this */
#define MAX_RESTARTS		10000

/* The link that leads to the root; its height is not known (-1). */
CtLink
ct_knn_root(void)
{
	CtLink		root = {CT_ROOT_BLOCK, 0, 0, 0};

	return root;
}

typedef enum Copied
{
	COPIED,
	COPIED_STALE,				/* the page was freed since */
	COPIED_NOTHING				/* the index has no row that could be seen */
} Copied;

/*
 * Copies the page of a link into image, and says which right sibling has rows
 * of the link, too.
 */
static Copied
copy_page(CtKnn *knn, const CtLink *link, int height, Page image,
		  CtLink *right)
{
	CtIndex    *index = knn->index;
	bool		is_root = link->block == CT_ROOT_BLOCK;
	CtPin		pin = ct_pin(index, link->block, CT_LOCK_SHARE);
	Page		page = ct_pin_page(pin);
	CtPageKind	kind = ct_page_kind(page);
	const CtNodeHeader *header = ct_node_header(image);

	if (!is_root && ct_special(page)->incarnation != link->incarnation)
	{
		/* freed, and perhaps in use for something else: links are stale */
		ct_unpin(pin);
		return COPIED_STALE;
	}
	if (kind != CT_PAGE_ROUTING && kind != CT_PAGE_LEAF)
		ct_page_corrupted(index, link->block, "A link leads to no node.");
	if (!ct_page_has_shape(index, page))
	{
		/*
		 * The dimension was freed since the metapage was read, and that was
		 * after the snapshot was taken: no row with a point was left.
		 */
		if (!is_root)
			ct_page_corrupted(index, link->block,
							  "The page has not the shape of the index.");
		ct_unpin(pin);
		return COPIED_NOTHING;
	}
	memcpy(image, page, BLCKSZ);
	ct_unpin(pin);
	knn->pages++;
	if (height >= 0 && header->height != height)
		ct_page_corrupted(index, link->block,
						  "The page has another height than its parent says.");
	right->block = InvalidBlockNumber;
	if (!is_root && header->split_version > link->version)
	{
		right->block = header->right;
		right->incarnation = header->right_incarnation;
		right->version = link->version;
	}
	return COPIED;
}

/*
 * Hands a copied page on, with what the snapshot sees of its rows; but not a leaf
 * without any, which a vacuum leaves until it comes to free pages.
 */
static void
use_page(CtKnn *knn, Page image, CtKnnPage page, void *arg)
{
	CtNode		node;
	ItemPointerData *seen;

	ct_node_view(knn->index, image, &node);
	if (node.header->height > 0)
	{
		page(arg, &node, NULL);
		return;
	}
	if (node.header->nentries == 0)
		return;
	seen = palloc(sizeof(ItemPointerData) * node.header->nentries);
	knn->see(knn->arg, node.header->nentries, node.tids, seen);
	page(arg, &node, seen);
	pfree(seen);
}

/*
 * Reads what is behind a link of a page of height + 1 (height is -1 for the
 * root): its page, and the right siblings to which a split has moved part of
 * it.  False if a page was freed since the link was read: then all links that
 * the caller has are stale, and it has to begin again from the root, without
 * what it got from them.
 */
bool
ct_knn_read(CtKnn *knn, const CtLink *link, int height, CtKnnPage page,
			void *arg)
{
	PGAlignedBlock *image = palloc(sizeof(PGAlignedBlock));
	CtLink		at = *link;
	CtLink		right = {InvalidBlockNumber, 0, 0, 0};
	int64		steps = 0;
	Copied		copied;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		copied = copy_page(knn, &at, height, (Page) image->data, &right);
		if (copied != COPIED)
			break;
		use_page(knn, (Page) image->data, page, arg);
		if (right.block == InvalidBlockNumber)
			break;
		if (++steps > ct_block_count(knn->index))
			ct_page_corrupted(knn->index, at.block,
							  "Right links form a circle.");
		at = right;
	}
	if (copied == COPIED_STALE && ++knn->restarts > MAX_RESTARTS)
		ct_page_corrupted(knn->index, at.block,
						  "The page never agrees with the link to it.");
	pfree(image);
	return copied != COPIED_STALE;
}

/* -------- all pages -------- */

typedef struct Walk
{
	CtKnnPage	page;
	void	   *arg;
	CtLink	   *links;			/* children of the node at hand */
	int			nlinks;
	int			height;			/* of the node, or -1 */
} Walk;

static void
walk_page(void *arg, const CtNode *node, const ItemPointerData *seen)
{
	Walk	   *walk = arg;
	int			n = node->header->height > 0 ? node->header->nchildren : 0;

	walk->page(walk->arg, node, seen);
	walk->height = node->header->height;
	if (n == 0)
		return;
	walk->links = walk->links ?
		repalloc(walk->links, sizeof(CtLink) * (walk->nlinks + n)) :
		palloc(sizeof(CtLink) * n);
	memcpy(walk->links + walk->nlinks, node->links, sizeof(CtLink) * n);
	walk->nlinks += n;
}

static bool
walk_below(CtKnn *knn, const CtLink *link, int height, CtKnnPage page,
		   void *arg)
{
	Walk		walk = {page, arg, NULL, 0, -1};
	bool		good = ct_knn_read(knn, link, height, walk_page, &walk);

	check_stack_depth();
	for (int i = 0; good && i < walk.nlinks; i++)
		good = walk_below(knn, &walk.links[i], walk.height - 1, page, arg);
	if (walk.links)
		pfree(walk.links);
	return good;
}

/*
 * Reads all pages of the tree, each once, those of neighbours in succession.
 * False as above.
 */
bool
ct_knn_walk(CtKnn *knn, CtKnnPage page, void *arg)
{
	CtLink		root = ct_knn_root();

	return walk_below(knn, &root, -1, page, arg);
}
