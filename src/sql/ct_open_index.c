/*-------------------------------------------------------------------------
 *
 * ct_open_index.c
 *	  Indexes that SQL functions are given by name.
 *
 * IDENTIFICATION
 *	  src/sql/ct_open_index.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "access/relation.h"
#include "access/sysattr.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "optimizer/optimizer.h"
#include "utils/acl.h"
#include "utils/rel.h"

#include "ct_am.h"

/* May the caller read every column that an index is made of? */
static bool
may_read_columns(Relation rel, Oid heap)
{
	Bitmapset  *columns = NULL;
	int			column = -1;

	for (int i = 0; i < rel->rd_index->indnatts; i++)
		if (rel->rd_index->indkey.values[i] != 0)
			columns = bms_add_member(columns, rel->rd_index->indkey.values[i] -
									 FirstLowInvalidHeapAttributeNumber);
	pull_varattnos((Node *) RelationGetIndexExpressions(rel), 1, &columns);
	pull_varattnos((Node *) RelationGetIndexPredicate(rel), 1, &columns);
	while ((column = bms_next_member(columns, column)) >= 0)
	{
		AttrNumber	number = column + FirstLowInvalidHeapAttributeNumber;

		/* a whole row needs the privilege on the table */
		if (number == InvalidAttrNumber ||
			pg_attribute_aclcheck(heap, number, GetUserId(),
								  ACL_SELECT) != ACLCHECK_OK)
			return false;
	}
	return true;
}

/*
 * Opens a covertree index whose content the caller may know: one who may read
 * its table or (by_columns) the columns that it is made of.  An error tells
 * what else the object is.
 */
Relation
ct_open_index(Oid oid, LOCKMODE mode, bool by_columns)
{
	Relation	rel = relation_open(oid, mode);
	Oid			heap;

	if (rel->rd_rel->relkind != RELKIND_INDEX ||
		rel->rd_rel->relam != get_am_oid(CT_AM_NAME, true))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a covertree index",
						RelationGetRelationName(rel)),
				 rel->rd_rel->relkind == RELKIND_PARTITIONED_INDEX ?
				 errhint("Name the index of one of the partitions.") : 0));
	heap = IndexGetRelation(oid, false);
	if (pg_class_aclcheck(heap, GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
		!(by_columns && may_read_columns(rel, heap)))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_INDEX,
					   RelationGetRelationName(rel));
	if (RELATION_IS_OTHER_TEMP(rel))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot access temporary tables of other sessions")));
	if (!rel->rd_index->indisvalid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" is not valid",
						RelationGetRelationName(rel))));
	return rel;
}
