/*-------------------------------------------------------------------------
 *
 * ct_leaf_codes.c
 *	  Codes of the rows of a leaf (ct_codes.h).
 *
 * A leaf of points with more than CT_BOX_DIMS dimensions has a grid, and for
 * each row the code of its point.  Whoever divides a leaf lays new grids over
 * the halves; a row that comes and does not fit the grid has a new one laid.
 * A grid says how wrong the codes of any of its rows are, so that whatever is
 * stored is right.
 *
 * Functions here take no lock but those of vector pages; their caller holds the
 * leaf, exclusively where something is written.
 *
 * IDENTIFICATION
 *	  src/page/ct_leaf_codes.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "utils/rel.h"

#include "ct_page.h"

/* A leaf's grid, as arithmetic sees it. */
void
ct_leaf_grid(CtIndex *index, const CtNode *leaf, CtGridView *view)
{
	view->dims = index->meta.dims;
	view->grid = leaf->grid;
	view->origin = leaf->grid->framed && ct_index_find_frame(index) ?
		index->frame->values : NULL;
	if (leaf->grid->framed && view->origin == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has lost the frame of its leaves",
						RelationGetRelationName(index->rel)),
				 errhint("Please REINDEX it.")));
}

/* The points of all rows (n x point_size). */
void
ct_leaf_points(CtIndex *index, const CtNode *leaf, double *points)
{
	for (int i = 0; i < leaf->header->nentries; i++)
		ct_node_get_point(index, leaf, i,
						  points + (size_t) i * index->point_size);
}

/* Lays a new grid and writes all codes; points are those of all rows. */
void
ct_leaf_code_all(CtIndex *index, CtNode *leaf, const double *points)
{
	int			n = leaf->header->nentries;
	CtGridView	view;
	double		error = 0.0;

	if (n == 0)
		memset(leaf->grid, 0, ct_grid_bytes(index->meta.dims));
	if (n == 0)
		return;
	ct_grid_fit(leaf->grid, index->meta.dims,
				ct_index_find_frame(index) ? index->frame->values : NULL, n,
				points);
	ct_leaf_grid(index, leaf, &view);
	for (int i = 0; i < n; i++)
		error = Max(error, ct_grid_encode(&view,
										  points + (size_t) i * index->point_size,
										  leaf->codes, i,
										  leaf->layout->capacity));
	if (leaf->grid->step > 0.0f)
		leaf->grid->error = ct_grid_stored_error(error);
}

/* The most that codes inside a grid can be off. */
static double
rounding_error(const CtGridView *view)
{
	return 0.5 * view->grid->step * sqrt(view->dims);
}

/*
 * Writes the code of the last row, at slot, whose point has been put there.
 * Where it is outside of the grid, so that it is off by more than those inside
 * can be, a new grid is due, for which the other rows' vectors are read.
 */
void
ct_leaf_put_code(CtIndex *index, CtNode *leaf, int slot, const double *point)
{
	CtGridView	view;
	double		error;

	Assert(slot == leaf->header->nentries - 1);
	ct_leaf_grid(index, leaf, &view);
	error = ct_grid_encode(&view, point, leaf->codes, slot,
						   leaf->layout->capacity);
	if (slot > 0 && error <= Max(leaf->grid->error, rounding_error(&view)))
		leaf->grid->error = Max(leaf->grid->error, ct_grid_stored_error(error));
	else
	{
		double	   *points = palloc(sizeof(double) * index->point_size *
									leaf->header->nentries);

		ct_leaf_points(index, leaf, points);
		ct_leaf_code_all(index, leaf, points);
		pfree(points);
	}
}

/*
 * Codes of a query by a leaf's grid (codes->codes has room), and the sums of its
 * differences to those of the rows: as many words as the rows, rounded up to
 * CT_CODE_ROWS.
 */
void
ct_leaf_code_sums(CtIndex *index, const CtNode *leaf, const double *query,
				  CtQueryCodes *codes, int32 *sums)
{
	CtGridView	view;

	ct_leaf_grid(index, leaf, &view);
	ct_grid_query(&view, index->space.kernels, query, codes);
	index->space.kernels->code_sums(codes->codes, leaf->codes,
									leaf->layout->capacity,
									leaf->header->nentries,
									ct_code_columns(index->meta.dims) / 2, sums);
}
