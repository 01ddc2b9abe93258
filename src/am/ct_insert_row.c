/*-------------------------------------------------------------------------
 *
 * ct_insert_row.c
 *	  Insertion callback: from a datum to a point in the tree.
 *
 * IDENTIFICATION
 *	  src/am/ct_insert_row.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "utils/memutils.h"
#include "utils/rel.h"

#include "ct_am.h"
#include "ct_tree.h"

/* Raises an error unless the index's model fits points of this dimension. */
static void
check_model_dims(CtIndex *index, int dims)
{
	const CtModel *model = ct_index_model(index);
	Size		bytes;

	model = ct_model_for_dims(model, dims, ct_option_model(index->rel));
	bytes = ct_model_record_size(model) * sizeof(double);
	if (bytes > CT_MAX_GROUP * CT_VECTOR_SPACE)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("points with %d dimensions and %u inducing points are too large for index \"%s\"",
						dims, model->m, RelationGetRelationName(index->rel)),
				 errdetail("Dimensions and inducing points together may be at most %d.",
						   (int) (CT_MAX_GROUP * CT_VECTOR_SPACE / sizeof(double)) - 1)));
}

/* Raises an error if the index cannot hold points of this dimension. */
void
ct_check_dims(CtIndex *index, int dims)
{
	CtElement	element = (CtElement) index->meta.element;

	if (index->meta.metric == CT_METRIC_RESIDUAL)
	{
		check_model_dims(index, dims);
		return;
	}
	if (dims > ct_max_dims(element))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("point with %d dimensions is too large for index \"%s\"",
						dims, RelationGetRelationName(index->rel)),
				 errdetail("The largest dimension that fits a page is %d for this column type.",
						   ct_max_dims(element)),
				 element == CT_ELEMENT_FLOAT8 ?
				 errhint("A column of type real[] holds up to %d dimensions.",
						 ct_max_dims(CT_ELEMENT_FLOAT4)) : 0));
}

/*
 * Inserts a point.  The dimension may be freed by a vacuum as long as there is
 * no row in the index; then it is fixed anew.
 */
static void
insert_point(CtIndex *index, int dims, const double *location, ItemPointer tid)
{
	bool		done = false;

	while (!done)
	{
		double	   *point;

		if (index->meta.dims == 0)
		{
			ct_check_dims(index, dims);
			ct_meta_set_dims(index, dims);
		}
		if (!ct_index_has_dims(index, dims))
		{
			if (index->meta.dims == 0)
				continue;
			ct_dims_mismatch(index->meta.dims, dims);
		}
		point = palloc(sizeof(double) * index->point_size);
		ct_index_expand(index, 1, location, point);
		done = ct_insert(index, point, tid);
		if (!done)
			ct_index_refresh(index);
		pfree(point);
	}
}

bool
ctinsert(Relation rel, Datum *values, bool *isnull, ItemPointer tid,
		 Relation heap, IndexUniqueCheck unique, bool unchanged,
		 struct IndexInfo *info)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "Cover tree insert context",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	CtIndex    *index = ct_index_open(rel);

	if (isnull[0])
		ct_nulls_insert(index, tid);
	else
	{
		const CtOpclass *opclass = ct_opclass(rel);
		double	   *location = palloc(sizeof(double) * CT_MAX_DIMS);
		int			dims = ct_point_read(values[0], opclass->column_type,
										 location);

		insert_point(index, dims, location, tid);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return false;
}
