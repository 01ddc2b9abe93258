/*-------------------------------------------------------------------------
 *
 * ct_node.c
 *	  Columns of routing pages and leaves: layout, access, copying.
 *
 * Functions here take no locks; their caller holds the page.
 *
 * IDENTIFICATION
 *	  src/page/ct_node.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "ct_page.h"

#define COLUMN_SPACE	(BLCKSZ - CT_COLUMNS_OFFSET - sizeof(CtSpecialData))

/* capacity is a multiple of this, so that columns stay aligned */
#define CAPACITY_UNIT	4

/*
 * One link for so many entries.  Where a page has room for fewer links than
 * entries, splits need every second link (ct_split.c).
 */
#define ENTRIES_PER_LINK	2

/*
 * The largest share that a column of shares can hold is at least LEAST_SCALE,
 * and SCALE_AHEAD times that of a row which comes and asks for more.
 */
#define LEAST_SCALE		0.001f
#define GLANCE_REST		0.6
#define SCALE_AHEAD		1.25f

static int
capacity(size_t fixed, double bytes)
{
	return (int) ((COLUMN_SPACE - fixed) / bytes) / CAPACITY_UNIT * CAPACITY_UNIT;
}

/*
 * Rows of a leaf with codes.  They may be few, so that every one counts; no
 * column but that of codes, before which there is room, cares for alignment.
 */
static int
coded_capacity(const CtIndex *index)
{
	int			dims = index->meta.dims;
	size_t		row = ct_code_columns(dims) + sizeof(CtLocator) +
		sizeof(ItemPointerData) + sizeof(uint8);

	return (COLUMN_SPACE - ct_grid_bytes(dims) - MAXIMUM_ALIGNOF) / row;
}

/*
 * Pages of a group of vectors: the fewest that hold a vector, or more of them
 * where that saves a tenth of the space.  Vectors in columns have none.
 */
static void
choose_group(CtIndex *index)
{
	double		best = 0.0;
	int			slots = CT_VECTOR_SPACE / index->vector_bytes > CT_VECTOR_SLOTS ?
		CT_VECTOR_MANY : CT_VECTOR_SLOTS;

	index->vector_offset = CT_VECTOR_OFFSET + slots - CT_VECTOR_SLOTS;
	index->vector_space = CT_VECTOR_SPACE - (slots - CT_VECTOR_SLOTS);
	for (int pages = 1; pages <= CT_MAX_GROUP; pages++)
	{
		int			vectors = Min(pages * index->vector_space / index->vector_bytes,
								  slots);

		if ((double) vectors / pages > 1.1 * best)
		{
			best = (double) vectors / pages;
			index->group_pages = pages;
			index->vectors_per_group = vectors;
		}
	}
}

/* Bytes of the limits of a residual leaf, up to what comes next. */
static size_t
knots_bytes(const CtIndex *index)
{
	return MAXALIGN(ct_knot_limits(index->space.model));
}

/* Places the columns of both kinds of node. */
void
ct_layout_init(CtIndex *index)
{
	CtLayout   *leaf = &index->leaf;
	CtLayout   *routing = &index->routing;
	size_t		point_bytes = index->vector_bytes;
	bool		residual = index->space.model != NULL;
	size_t		box_bytes = 0;
	int			entries_per_link = ENTRIES_PER_LINK;
	int			offset;

	memset(leaf, 0, sizeof(CtLayout));
	memset(routing, 0, sizeof(CtLayout));
	index->coded = !residual && index->meta.dims > CT_BOX_DIMS;
	index->box_dims = residual ? 0 : Min(index->meta.dims, CT_BOX_DIMS);
	index->external = residual || index->coded;
	choose_group(index);
	if (index->external)
		point_bytes = sizeof(CtLocator);

	leaf->capacity = index->coded ? coded_capacity(index) :
		capacity(residual ? sizeof(CtBasis) + knots_bytes(index) : 0,
				 point_bytes + sizeof(ItemPointerData) + sizeof(uint8) +
				 (residual ? sizeof(float) + CT_BASIS_SIZE : 0));
	offset = CT_COLUMNS_OFFSET;
	if (index->coded)
	{
		leaf->grid = offset;
		offset += ct_grid_bytes(index->meta.dims);
		leaf->codes = offset;
		offset += leaf->capacity * ct_code_columns(index->meta.dims);
		offset = MAXALIGN(offset);
	}
	if (residual)
	{
		leaf->basis = offset;
		offset += sizeof(CtBasis);
		leaf->knots = offset;
		offset += knots_bytes(index);
		leaf->rests = offset;
		offset += leaf->capacity * sizeof(float);
		leaf->shares = offset;
		offset += leaf->capacity * CT_BASIS_SIZE;
	}
	if (index->external)
	{
		leaf->locators = offset;
		offset += leaf->capacity * sizeof(CtLocator);
	}
	else
	{
		leaf->points = offset;
		offset += leaf->capacity * point_bytes;
	}
	leaf->tids = offset;
	offset += leaf->capacity * sizeof(ItemPointerData);
	leaf->cells = offset;

	if (index->box_dims > 0)
	{
		/* cells fill leaves, so that most links belong to one entry */
		box_bytes = 2 * sizeof(float) * index->box_dims;
		entries_per_link = 1;
	}
	routing->capacity = capacity(0, point_bytes + sizeof(double) +
								 sizeof(CtEntryMeta) +
								 (sizeof(CtLink) + box_bytes) / (double) entries_per_link);
	routing->max_children = Min(routing->capacity / entries_per_link,
								CT_MAX_CHILDREN);
	routing->usable_children = routing->max_children / entries_per_link;
	offset = CT_COLUMNS_OFFSET;
	if (index->external)
		routing->locators = offset;
	else
		routing->points = offset;
	offset += routing->capacity * point_bytes;
	routing->radii = offset;
	offset += routing->capacity * sizeof(double);
	routing->metas = offset;
	offset += routing->capacity * sizeof(CtEntryMeta);
	routing->links = offset;
	offset += routing->max_children * sizeof(CtLink);
	if (box_bytes > 0)
		routing->boxes = offset;
}

/* Points a view at the columns of a page. */
void
ct_node_view(CtIndex *index, Page page, CtNode *node)
{
	bool		leaf = ct_page_kind(page) == CT_PAGE_LEAF;
	const CtLayout *layout = leaf ? &index->leaf : &index->routing;
	char	   *base = (char *) page;

#define COLUMN(offset) ((offset) ? (void *) (base + (offset)) : NULL)
	node->header = ct_node_header(page);
	node->layout = layout;
	node->points = COLUMN(layout->points);
	node->locators = COLUMN(layout->locators);
	node->grid = COLUMN(layout->grid);
	node->codes = COLUMN(layout->codes);
	node->basis = COLUMN(layout->basis);
	node->knots = COLUMN(layout->knots);
	node->rests = COLUMN(layout->rests);
	node->shares = COLUMN(layout->shares);
	node->radii = COLUMN(layout->radii);
	node->links = COLUMN(layout->links);
	node->boxes = COLUMN(layout->boxes);
	node->metas = COLUMN(layout->metas);
	node->tids = COLUMN(layout->tids);
	node->cells = COLUMN(layout->cells);
#undef COLUMN
}

/*
 * Verifies what the entries of a routing page refer to.  Whoever follows
 * parent slots, or copies links, calls this first; ct_page_check, which every
 * read pays for, looks at the header only.
 */
void
ct_node_check_entries(CtIndex *index, const CtNode *node, BlockNumber block)
{
	int			n = node->header->nentries;

	for (int i = 0; i < n; i++)
	{
		const CtEntryMeta *meta = &node->metas[i];

		if ((meta->parent != CT_NO_PARENT && meta->parent >= n) ||
			meta->parent == i ||
			(meta->child != CT_NO_CHILD &&
			 meta->child >= node->header->nchildren))
			ct_page_corrupted(index, block, "Entry refers to nothing.");
	}
}

/* Prepares an empty node and its view. */
void
ct_node_init(CtIndex *index, Page page, CtPageKind kind, uint32 incarnation,
			 int height, CtNode *node)
{
	ct_page_init(page, kind, incarnation);
	ct_special(page)->shape = index->meta.shape;
	ct_node_view(index, page, node);
	node->header->height = height;
	node->header->version = 1;
	node->header->right = InvalidBlockNumber;
}

/* Copies all columns of one slot; both nodes are of the same kind. */
void
ct_node_copy_slot(CtIndex *index, CtNode *to, int to_slot,
				  const CtNode *from, int from_slot)
{
	Assert(to->layout == from->layout);
	if (to->points)
	{
		size_t		size = ct_element_size(index->space.element);
		size_t		stride = size * to->layout->capacity;

		for (int j = 0; j < index->point_size; j++)
			memcpy(to->points + j * stride + to_slot * size,
				   from->points + j * stride + from_slot * size, size);
	}
	else
		to->locators[to_slot] = from->locators[from_slot];
	if (to->codes)
	{
		int			stride = to->layout->capacity;

		for (int j = 0; j < ct_code_columns(index->meta.dims); j += 2)
			memcpy(&to->codes[ct_code_at(j, to_slot, stride)],
				   &from->codes[ct_code_at(j, from_slot, stride)], 2);
	}
	if (to->shares)
	{
		int			stride = to->layout->capacity;

		to->rests[to_slot] = from->rests[from_slot];
		for (int j = 0; j < CT_BASIS_SIZE; j++)
			to->shares[j * stride + to_slot] = from->shares[j * stride + from_slot];
	}
	if (to->radii)
		to->radii[to_slot] = from->radii[from_slot];
	if (to->metas)
		to->metas[to_slot] = from->metas[from_slot];
	if (to->tids)
		to->tids[to_slot] = from->tids[from_slot];
	if (to->cells)
		to->cells[to_slot] = from->cells[from_slot];
}

/* Writes a point (or the address of its vector) into a slot. */
void
ct_node_put_point(CtIndex *index, CtNode *node, int slot,
				  const double *point, CtLocator locator)
{
	int			capacity = node->layout->capacity;

	if (node->locators)
		node->locators[slot] = locator;
	else if (index->space.element == CT_ELEMENT_FLOAT8)
	{
		for (int j = 0; j < index->point_size; j++)
			((double *) node->points)[j * capacity + slot] = point[j];
	}
	else
	{
		for (int j = 0; j < index->point_size; j++)
			((float *) node->points)[j * capacity + slot] = (float) point[j];
	}
}

/* Reads the point of a slot as point_size doubles. */
void
ct_node_get_point(CtIndex *index, const CtNode *node, int slot,
				  double *point)
{
	int			capacity = node->layout->capacity;

	if (node->locators)
		ct_vector_read(index, node->locators[slot], point);
	else if (index->space.element == CT_ELEMENT_FLOAT8)
	{
		for (int j = 0; j < index->point_size; j++)
			point[j] = ((double *) node->points)[j * capacity + slot];
	}
	else
	{
		for (int j = 0; j < index->point_size; j++)
			point[j] = ((float *) node->points)[j * capacity + slot];
	}
}

/* Computes the cover distances of a query to all points of a node. */
void
ct_node_distances(CtIndex *index, const CtNode *node, const double *query,
				  double *dist)
{
	int			n = node->header->nentries;

	if (node->points)
		index->space.metric->distances(&index->space, query, node->points,
									   node->layout->capacity, n, dist);
	else
		for (int i = 0; i < n; i++)
			dist[i] = ct_vector_cover_distance(index, node->locators[i], query);
}

/*
 * Where points are in columns: the squares that the distances are roots of, if
 * they tell.
 */
bool
ct_node_squares(CtIndex *index, const CtNode *node, const double *query,
				double *squares)
{
	return index->space.metric->squares(&index->space, query, node->points,
										node->layout->capacity,
										node->header->nentries, squares);
}

/* The distances in the metric that shapes the tree. */
void
ct_node_shape_distances(CtIndex *index, const CtNode *node,
						const double *query, double *dist)
{
	if (index->shape_is_cover)
		ct_node_distances(index, node, query, dist);
	else
		for (int i = 0; i < node->header->nentries; i++)
			dist[i] = ct_vector_shape_distance(index, node->locators[i], query);
}

/* The same in the distance by which groups are made (ct_group_distance()). */
void
ct_node_group_distances(CtIndex *index, const CtNode *node,
						const double *query, double *dist)
{
	const CtModel *model = index->shape.model;
	double	   *location;

	if (model == NULL)
	{
		ct_node_shape_distances(index, node, query, dist);
		return;
	}
	location = palloc(sizeof(double) * index->meta.dims);
	for (int i = 0; i < node->header->nentries; i++)
	{
		ct_vector_location(index, node->locators[i], location);
		dist[i] = ct_model_place_distance(model, query, location);
	}
	pfree(location);
}

/* Gives a page another version, and the link to it; both are being edited. */
void
ct_node_new_version(CtNode *parent, int link, CtNode *child)
{
	child->header->version++;
	parent->links[link].version = child->header->version;
}

/* Gives a residual leaf what another one says of all its rows. */
void
ct_node_copy_basis(CtIndex *index, CtNode *to, const CtNode *from)
{
	*to->basis = *from->basis;
	memcpy(to->knots, from->knots, ct_knot_limits(index->space.model));
}

/* A residual leaf's basis, as arithmetic sees it. */
void
ct_node_projection(const CtNode *node, CtProjection *projection)
{
	projection->n = Min(node->basis->n, CT_BASIS_SIZE);
	projection->inverse = node->basis->inverse;
	projection->norm = node->basis->norm;
}

/* What a residual leaf says of its rows. */
void
ct_node_row_shares(const CtNode *node, CtRowShares *rows)
{
	rows->nbasis = Min(node->basis->n, CT_BASIS_SIZE);
	rows->shares = node->shares;
	rows->scales = node->basis->scales;
	rows->stride = node->layout->capacity;
	rows->rests = node->rests;
	rows->error = node->basis->error;
}

/* Makes the unit of a column of shares so large that it can hold share. */
static void
coarsen_column(CtNode *node, int column, float share)
{
	CtBasis    *basis = node->basis;
	int8_t	   *shares = node->shares + column * node->layout->capacity;
	float		scale = SCALE_AHEAD / 127.0f * fabsf(share);

	for (int i = 0; i < node->header->nentries; i++)
		shares[i] = (int8_t) rintf(shares[i] * (basis->scales[column] / scale));
	basis->scales[column] = scale;
	/* half a unit, and what the arithmetic may add to it */
	basis->error += 0.501f * scale;
}

/* Writes what the basis says of a row.  The node has entries up to slot. */
void
ct_node_put_shares(CtNode *node, int slot, const CtShares *shares)
{
	CtBasis    *basis = node->basis;
	int			stride = node->layout->capacity;
	double		square = 0.0;

	for (int j = 0; j < CT_BASIS_SIZE; j++)
	{
		int8_t	   *stored = &node->shares[j * stride + slot];
		double		rounded;

		*stored = 0;
		if (j >= basis->n)
			continue;
		if (fabsf(shares->beta[j]) > 127.0f * basis->scales[j])
			coarsen_column(node, j, shares->beta[j]);
		*stored = (int8_t) rintf(shares->beta[j] / basis->scales[j]);
		rounded = shares->beta[j] - (double) *stored * basis->scales[j];
		square += rounded * rounded;
	}
	basis->error = Max(basis->error,
					   (float) ((shares->error + sqrt(square)) * (1.0 + 1e-6)));
	node->rests[slot] = ct_projection_stored_rest(shares->rest);
	ct_node_admit(node, shares, 1.0f);
}

static float
glance_rest(const CtBasis *basis, const CtShares *shares)
{
	return ct_projection_stored_rest(ct_projection_rest(shares, basis->nglance));
}

/* Is no more left of a row than a leaf's basis says? */
bool
ct_node_admits(const CtNode *node, const CtShares *shares)
{
	const CtBasis *basis = node->basis;

	return basis == NULL ||
		(ct_projection_stored_rest(shares->rest) <= basis->most_rest &&
		 glance_rest(basis, shares) <= basis->glance_rest);
}

/* Sees to it, where that is not so, with `ahead` times what is needed. */
void
ct_node_admit(CtNode *node, const CtShares *shares, float ahead)
{
	CtBasis    *basis = node->basis;
	float		rest = ct_projection_stored_rest(shares->rest);

	if (rest > basis->most_rest)
		basis->most_rest = Max(rest, Min(1.0f, rest * ahead));
	rest = glance_rest(basis, shares);
	if (rest > basis->glance_rest)
		basis->glance_rest = Max(rest, Min(1.0f, rest * ahead));
}

/*
 * How many pivots of a basis say enough for a first look?  Of a query that has
 * little to do with any of them, they should say that it has little to do with
 * the rows, however few they are.
 */
static int
glance_pivots(int nbasis, const CtShares *shares, int n)
{
	for (int k = 4; k < nbasis; k += 4)
	{
		double		most = 0.0;

		for (int i = 0; i < n; i++)
			most = Max(most, ct_projection_rest(&shares[i], k));
		if (most <= GLANCE_REST)
			return k;
	}
	return nbasis;
}

/* Writes what a new basis says of all rows, in units that are just enough. */
void
ct_node_put_all_shares(CtNode *node, const CtShares *shares)
{
	CtBasis    *basis = node->basis;
	int			n = node->header->nentries;

	for (int j = 0; j < basis->n; j++)
	{
		float		most = LEAST_SCALE;

		for (int i = 0; i < n; i++)
			most = Max(most, fabsf(shares[i].beta[j]));
		basis->scales[j] = most / 127.0f * (1.0f + 1e-6f);
	}
	basis->nglance = glance_pivots(basis->n, shares, n);
	for (int i = 0; i < n; i++)
		ct_node_put_shares(node, i, &shares[i]);
}
