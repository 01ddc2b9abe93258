/*-------------------------------------------------------------------------
 *
 * ct_frame_tree.c
 *	  The frame of an index that is filled row by row.
 *
 * Until the tree has grown to some dozens of leaves below one routing page there
 * is no frame, and the boxes of that page are infinite.  Then a frame is made of
 * the rows that there are, and the boxes are measured.  From then on every box
 * is finite, since it comes from rows or from such boxes.
 *
 * IDENTIFICATION
 *	  src/tree/ct_frame_tree.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "ct_tree.h"

/* The links of the root page, if its children are leaves; returns their number. */
static int
lowest_links(CtIndex *index, CtLink *links)
{
	CtPin		pin = ct_pin(index, CT_ROOT_BLOCK, CT_LOCK_SHARE);
	CtNode		node;
	int			n = 0;

	if (ct_page_has_shape(index, ct_pin_page(pin)) &&
		ct_node_header(ct_pin_page(pin))->height == 1)
	{
		ct_node_view(index, ct_pin_page(pin), &node);
		n = node.header->nchildren;
		memcpy(links, node.links, sizeof(CtLink) * n);
	}
	ct_unpin(pin);
	return n;
}

/*
 * Adds each step-th row of the leaf behind a link to the n points of a sample;
 * none if the page is not what it was.  Returns their number.
 */
static int
sample_leaf(CtIndex *index, const CtLink *link, int step, double *points,
			int n)
{
	CtPin		pin = ct_pin(index, link->block, CT_LOCK_SHARE);
	CtNode		leaf;

	if (ct_page_kind(ct_pin_page(pin)) == CT_PAGE_LEAF &&
		ct_special(ct_pin_page(pin))->incarnation == link->incarnation)
	{
		ct_node_view(index, ct_pin_page(pin), &leaf);
		for (int i = 0; i < leaf.header->nentries && n < CT_FRAME_SAMPLE;
			 i += step)
			ct_vector_read(index, leaf.locators[i],
						   points + (size_t) n++ * index->meta.dims);
	}
	ct_unpin(pin);
	return n;
}

/*
 * Measures the box of a link of the root page.  The leaf gets another version:
 * an insertion on its way has seen that the box holds its row.
 */
static void
measure_link(CtIndex *index, int link)
{
	CtPin		pin = ct_pin(index, CT_ROOT_BLOCK, CT_LOCK_EXCLUSIVE);
	CtNode		root;
	CtPin		child_pin;
	CtNode		child;

	ct_node_view(index, ct_pin_page(pin), &root);
	if (!ct_page_has_shape(index, ct_pin_page(pin)) ||
		root.header->height != 1 || link >= root.header->nchildren)
	{
		ct_unpin(pin);
		return;
	}
	child_pin = ct_pin(index, root.links[link].block, CT_LOCK_EXCLUSIVE);
	if (ct_page_kind(ct_pin_page(child_pin)) == CT_PAGE_LEAF)
	{
		CtEdit	   *edit = ct_edit_begin(index);

		ct_node_view(index, ct_edit_page(edit, pin, false), &root);
		ct_node_view(index, ct_edit_page(edit, child_pin, false), &child);
		ct_box_measure(index, &root, link, &child);
		ct_node_new_version(&root, link, &child);
		ct_edit_commit(edit);
	}
	ct_unpin(child_pin);
	ct_unpin(pin);
}

/*
 * Makes a frame of the rows of an index that has none yet, and measures its
 * boxes.  The caller holds no lock.
 */
void
ct_frame_from_leaves(CtIndex *index)
{
	int			dims = index->meta.dims;
	CtLink		links[CT_MAX_CHILDREN + 1];
	int			nlinks = lowest_links(index, links);
	int			step = nlinks * index->leaf.capacity / CT_FRAME_SAMPLE + 1;
	double	   *points = palloc(sizeof(double) * dims * CT_FRAME_SAMPLE);
	int			n = 0;
	double	   *work;
	CtFrame    *frame;

	for (int c = 0; c < nlinks; c++)
	{
		CHECK_FOR_INTERRUPTS();
		n = sample_leaf(index, &links[c], step, points, n);
	}
	if (n == 0)
		return;
	work = palloc(sizeof(double) * CT_FRAME_DIRECTIONS * n);
	frame = palloc(ct_frame_bytes(dims));
	ct_frame_fit(frame, dims, n, points, work);
	if (ct_index_install_frame(index, frame))
		for (int c = 0; c < nlinks; c++)
		{
			CHECK_FOR_INTERRUPTS();
			measure_link(index, c);
		}
}
