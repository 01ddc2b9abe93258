/*-------------------------------------------------------------------------
 *
 * ct_box.c
 *	  Boxes around what lies behind the links of a routing page.
 *
 * In a Euclidean space the box around a child page says more than the balls
 * around its roots, costs less to look at, and a search needs no pivot then.  A
 * box has two limits per dimension, rounded outward to float.  The limits of one
 * kind and dimension stand in a column, by link number.
 *
 * Where there are more than CT_BOX_DIMS dimensions, boxes are around the points'
 * sketches (ct_frame.h).  As long as the index has no frame they are infinite.
 *
 * Other metrics have no boxes (CtNode.boxes is NULL); all functions here do
 * nothing then.  Their caller holds the page, exclusively where something is
 * written.
 *
 * IDENTIFICATION
 *	  src/page/ct_box.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "ct_page.h"

static inline float *
lower_limit(const CtNode *node, int link, int dim)
{
	return &node->boxes[dim * node->layout->max_children + link];
}

static inline float *
upper_limit(CtIndex *index, const CtNode *node, int link, int dim)
{
	return lower_limit(node, link, index->box_dims + dim);
}

static void
clear(CtIndex *index, CtBox *box)
{
	for (int j = 0; j < index->box_dims; j++)
	{
		box->lower[j] = INFINITY;
		box->upper[j] = -INFINITY;
	}
}

/*
 * The limits of a point: its coordinates, or those of its sketch.  Without a
 * frame there are none; whoever asks for one that has come meanwhile gets it.
 */
static void
sketch_point(CtIndex *index, const double *point, CtSketch *sketch)
{
	if (!index->coded)
		for (int j = 0; j < index->box_dims; j++)
			sketch->lower[j] = sketch->upper[j] = point[j];
	else if (ct_index_find_frame(index))
		ct_frame_sketch(index->frame, index->space.kernels, point, sketch);
	else
		for (int j = 0; j < index->box_dims; j++)
		{
			sketch->lower[j] = -INFINITY;
			sketch->upper[j] = INFINITY;
		}
}

static void
add_limits(CtIndex *index, CtBox *box, const double *lower,
		   const double *upper)
{
	for (int j = 0; j < index->box_dims; j++)
	{
		box->lower[j] = Min(box->lower[j], ct_float_down(lower[j]));
		box->upper[j] = Max(box->upper[j], ct_float_up(upper[j]));
	}
}

static void
add_point(CtIndex *index, CtBox *box, const double *point)
{
	CtSketch	sketch;

	sketch_point(index, point, &sketch);
	add_limits(index, box, sketch.lower, sketch.upper);
}

static void
add_box(CtIndex *index, CtBox *box, const CtBox *other)
{
	for (int j = 0; j < index->box_dims; j++)
	{
		box->lower[j] = Min(box->lower[j], other->lower[j]);
		box->upper[j] = Max(box->upper[j], other->upper[j]);
	}
}

void
ct_box_get(CtIndex *index, const CtNode *node, int link, CtBox *box)
{
	for (int j = 0; j < index->box_dims; j++)
	{
		box->lower[j] = *lower_limit(node, link, j);
		box->upper[j] = *upper_limit(index, node, link, j);
	}
}

void
ct_box_put(CtIndex *index, CtNode *node, int link, const CtBox *box)
{
	for (int j = 0; node->boxes && j < index->box_dims; j++)
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
	ct_box_get(index, from, from_link, &box);
	ct_box_put(index, to, to_link, &box);
}

/* Looks again where a point is, if that was not known. */
static inline void
find_place(CtIndex *index, CtBoxQuery *place)
{
	if (!place->known)
		ct_box_query(index, place->point, place);
}

/* Is the point there in the box of a link? */
bool
ct_box_contains(CtIndex *index, const CtNode *node, int link,
				CtBoxQuery *place)
{
	if (node->boxes == NULL)
		return true;
	find_place(index, place);
	for (int j = 0; j < index->box_dims; j++)
		if (!(*lower_limit(node, link, j) <= place->lower[j] &&
			  *upper_limit(index, node, link, j) >= place->upper[j]))
			return false;
	return true;
}

/* Widens the box of a link so that it contains the point there. */
void
ct_box_widen(CtIndex *index, CtNode *node, int link, CtBoxQuery *place)
{
	CtBox		box;

	if (node->boxes == NULL)
		return;
	find_place(index, place);
	ct_box_get(index, node, link, &box);
	add_limits(index, &box, place->lower, place->upper);
	ct_box_put(index, node, link, &box);
}

/* The box around the points in the columns of a leaf. */
static void
box_of_columns(CtIndex *index, const CtNode *leaf, CtBox *box)
{
	int			n = leaf->header->nentries;
	size_t		capacity = leaf->layout->capacity;

	for (int j = 0; j < index->point_size; j++)
	{
		const double *f8 = (const double *) leaf->points + j * capacity;
		const float *f4 = (const float *) leaf->points + j * capacity;
		double		lower = INFINITY;
		double		upper = -INFINITY;

		for (int i = 0; i < n; i++)
		{
			double		x = index->space.element == CT_ELEMENT_FLOAT8 ?
				f8[i] : f4[i];

			lower = Min(lower, x);
			upper = Max(upper, x);
		}
		box->lower[j] = ct_float_down(lower);
		box->upper[j] = ct_float_up(upper);
	}
}

/* The box around all that a page holds or leads to. */
void
ct_box_of_page(CtIndex *index, const CtNode *node, CtBox *box)
{
	double	   *point;

	if (node->header->height == 0 && node->points)
	{
		box_of_columns(index, node, box);
		return;
	}
	clear(index, box);
	if (node->header->height > 0)
	{
		for (int c = 0; c < node->header->nchildren; c++)
		{
			CtBox		child;

			ct_box_get(index, node, c, &child);
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

/* The box around n points (n x point_size). */
void
ct_box_of_points(CtIndex *index, int n, const double *points, CtBox *box)
{
	clear(index, box);
	for (int i = 0; i < n; i++)
		add_point(index, box, points + (size_t) i * index->point_size);
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
	ct_box_get(index, node, link, &box);
	ct_box_of_page(index, child, &inner);
	for (int j = 0; j < index->box_dims; j++)
		if (inner.lower[j] <= inner.upper[j] &&
			!(box.lower[j] <= inner.lower[j] && box.upper[j] >= inner.upper[j]))
			return false;
	return true;
}

/* Is the box of a link larger than that of the page that it leads to? */
bool
ct_box_is_loose(CtIndex *index, const CtNode *node, int link,
				const CtNode *child)
{
	CtBox		box;
	CtBox		inner;

	if (node->boxes == NULL)
		return false;
	ct_box_get(index, node, link, &box);
	ct_box_of_page(index, child, &inner);
	for (int j = 0; j < index->point_size; j++)
		if (box.lower[j] < inner.lower[j] || box.upper[j] > inner.upper[j])
			return true;
	return false;
}

/*
 * Says where a point is for the functions here, which look at it again where
 * that was not known.  The point must stay.
 */
void
ct_box_query(CtIndex *index, const double *point, CtBoxQuery *query)
{
	const CtSketch *sketch = &query->sketch;
	double		square = 0.0;

	query->point = point;
	query->at = query->lower = query->upper = point;
	query->slack = 0.0;
	query->known = true;
	if (!index->coded)
		return;
	query->at = query->own;
	query->lower = sketch->lower;
	query->upper = sketch->upper;
	sketch_point(index, point, &query->sketch);
	for (int j = 0; j < index->box_dims; j++)
	{
		double		half = sketch->upper[j] / 2.0 - sketch->lower[j] / 2.0;

		query->own[j] = sketch->upper[j] / 2.0 + sketch->lower[j] / 2.0;
		square += half * half;
	}
	/* what the roundings here add is much less than what sketches allow for */
	query->slack = sqrt(square) * (1.0 + 1e-6);
	query->known = query->slack < INFINITY;
}

/*
 * Lower bounds of reported distances behind each link of a page, INFINITY where
 * there is nothing.
 */
void
ct_box_bounds(CtIndex *index, const CtNode *node, CtBoxQuery *query,
			  double *bounds)
{
	find_place(index, query);
	if (!query->known)
		memset(bounds, 0, sizeof(double) * node->header->nchildren);
	else
		ct_space_box_bounds(&index->space, index->box_dims, query->at,
							query->slack, node->boxes,
							node->layout->max_children,
							node->header->nchildren, bounds);
}

/*
 * box_dims coordinates by which rows that are near to each other can be told
 * from others: the point's, or of its sketch, or (without a frame) the point's
 * first ones.
 */
void
ct_box_sketch(CtIndex *index, const double *point, double *sketch)
{
	CtBoxQuery	query;

	ct_box_query(index, point, &query);
	memcpy(sketch, query.known ? query.at : point,
		   sizeof(double) * index->box_dims);
}
