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

/* raises an error if no page could hold one point of this dimension */
void
ct_check_dims(Relation rel, int dims, CtElement element)
{
	if (dims > ct_max_dims(element))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("point with %d dimensions is too large for index \"%s\"",
						dims, RelationGetRelationName(rel)),
				 errdetail("The largest dimension that fits a page is %d for this column type.",
						   ct_max_dims(element)),
				 element == CT_ELEMENT_FLOAT8 ?
				 errhint("A column of type real[] holds up to %d dimensions.",
						 ct_max_dims(CT_ELEMENT_FLOAT4)) : 0));
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
		double	   *point = palloc(sizeof(double) * CT_MAX_DIMS);
		int			dims = ct_point_read(values[0], opclass->column_type, point);

		ct_check_dims(rel, dims, opclass->element);
		if (index->meta.dims == 0)
			ct_meta_set_dims(index, dims);
		if (dims != index->meta.dims)
			ct_dims_mismatch(index->meta.dims, dims);
		ct_insert(index, point, tid);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return false;
}
