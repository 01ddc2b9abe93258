/*-------------------------------------------------------------------------
 *
 * ct_box.c
 *	  Boxes around what lies behind the links of a routing page.
 *
 * In a space of few dimensions the box around a child page says more than the
 * balls around its roots, costs less to look at, and a search needs no pivot
 * then.  A box has two limits per dimension, rounded outward to float.  The
 * limits of one kind and dimension stand in a column, by link number.
 *
 * Spaces of many dimensions, and other metrics than the Euclidean, have no
 * boxes (CtNode.boxes is NULL); all functions here do nothing then.  Their
 * caller holds the page, exclusively where something is written.
 *
 * IDENTIFICATION
 *	  src/page/ct_box.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "ct_page.h"

/* The greatest float that is not above x, and the least not below it. */
static inline float
float_down(double x)
{
	float		f = (float) x;

	return f > x ? nextafterf(f, -INFINITY) : f;
}

static inline float
float_up(double x)
{
	float		f = (float) x;

	return f < x ? nextafterf(f, INFINITY) : f;
}

static inline float *
lower_limit(const CtNode *node, int link, int dim)
{
	return &node->boxes[dim * node->layout->max_children + link];
}

static inline float *
upper_limit(CtIndex *index, const CtNode *node, int link, int dim)
{
	return lower_limit(node, link, index->point_size + dim);
}

static void
clear(CtIndex *index, CtBox *box)
{
	for (int j = 0; j < index->point_size; j++)
	{
		box->lower[j] = INFINITY;
		box->upper[j] = -INFINITY;
	}
}

static void
add_point(CtIndex *index, CtBox *box, const double *point)
{
	for (int j = 0; j < index->point_size; j++)
	{
		box->lower[j] = Min(box->lower[j], float_down(point[j]));
		box->upper[j] = Max(box->upper[j], float_up(point[j]));
	}
}

static void
add_box(CtIndex *index, CtBox *box, const CtBox *other)
{
	for (int j = 0; j < index->point_size; j++)
	{
		box->lower[j] = Min(box->lower[j], other->lower[j]);
		box->upper[j] = Max(box->upper[j], other->upper[j]);
	}
}

static void
get(CtIndex *index, const CtNode *node, int link, CtBox *box)
{
	for (int j = 0; j < index->point_size; j++)
	{
		box->lower[j] = *lower_limit(node, link, j);
		box->upper[j] = *upper_limit(index, node, link, j);
	}
}

void
ct_box_put(CtIndex *index, CtNode *node, int link, const CtBox *box)
{
	for (int j = 0; node->boxes && j < index->point_size; j++)
	{
		*lower_limit(node, link, j) = box->lower[j];
		*upper_limit(index, node, link, j) = box->upper[j];
	}
}

/* A link with nothing behind it. */
void
ct_box_clear(CtIndex *index, CtNode *node, int link)
{
	CtBox		box;

	if (node->boxes == NULL)
		return;
	clear(index, &box);
	ct_box_put(index, node, link, &box);
}

void
ct_box_copy(CtIndex *index, CtNode *to, int to_link,
			const CtNode *from, int from_link)
{
	CtBox		box;

	if (to->boxes == NULL)
		return;
	get(index, from, from_link, &box);
	ct_box_put(index, to, to_link, &box);
}

/* Is the point in the box of a link? */
bool
ct_box_contains(CtIndex *index, const CtNode *node, int link,
				const double *point)
{
	for (int j = 0; node->boxes && j < index->point_size; j++)
		if (!(*lower_limit(node, link, j) <= point[j] &&
			  *upper_limit(index, node, link, j) >= point[j]))
			return false;
	return true;
}

/* Widens the box of a link so that it contains the point. */
void
ct_box_widen(CtIndex *index, CtNode *node, int link, const double *point)
{
	CtBox		box;

	if (node->boxes == NULL)
		return;
	get(index, node, link, &box);
	add_point(index, &box, point);
	ct_box_put(index, node, link, &box);
}

/* The box around all that a page holds or leads to. */
void
ct_box_of_page(CtIndex *index, const CtNode *node, CtBox *box)
{
	double	   *point;

	clear(index, box);
	if (node->header->height > 0)
	{
		for (int c = 0; c < node->header->nchildren; c++)
		{
			CtBox		child;

			get(index, node, c, &child);
			add_box(index, box, &child);
		}
		return;
	}
	point = palloc(sizeof(double) * index->point_size);
	for (int i = 0; i < node->header->nentries; i++)
	{
		ct_node_get_point(index, node, i, point);
		add_point(index, box, point);
	}
	pfree(point);
}

/* Gives a link the box of the page that it leads to. */
void
ct_box_measure(CtIndex *index, CtNode *node, int link, const CtNode *child)
{
	CtBox		box;

	if (node->boxes == NULL)
		return;
	ct_box_of_page(index, child, &box);
	ct_box_put(index, node, link, &box);
}

/* Does the box of a link contain that of the page that it leads to? */
bool
ct_box_covers(CtIndex *index, const CtNode *node, int link,
			  const CtNode *child)
{
	CtBox		box;
	CtBox		inner;

	if (node->boxes == NULL)
		return true;
	get(index, node, link, &box);
	ct_box_of_page(index, child, &inner);
	for (int j = 0; j < index->point_size; j++)
		if (inner.lower[j] <= inner.upper[j] &&
			!(box.lower[j] <= inner.lower[j] && box.upper[j] >= inner.upper[j]))
			return false;
	return true;
}

/*
 * Lower bounds of reported distances behind each link of a page, INFINITY where
 * there is nothing.
 */
void
ct_box_bounds(CtIndex *index, const CtNode *node, const double *query,
			  double *bounds)
{
	ct_space_box_bounds(&index->space, query, node->boxes,
						node->layout->max_children, node->header->nchildren,
						bounds);
}
