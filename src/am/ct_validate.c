/*-------------------------------------------------------------------------
 *
 * ct_validate.c
 *	  Validation of operator classes.
 *
 * IDENTIFICATION
 *	  src/am/ct_validate.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "access/amvalidate.h"
#include "access/htup_details.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "ct_am.h"

static bool
validate_function(Form_pg_amproc proc, const char *family)
{
	bool		ok;

	switch (proc->amprocnum)
	{
		case CT_SUPPORT_METRIC:
			ok = check_amproc_signature(proc->amproc, INTERNALOID, true,
										1, 1, INTERNALOID);
			break;
		case CT_SUPPORT_OPTIONS:
			ok = check_amoptsproc_signature(proc->amproc);
			break;
		default:
			ereport(INFO,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("operator family \"%s\" of access method %s contains function %s with invalid support number %d",
							family, "covertree",
							format_procedure(proc->amproc), proc->amprocnum)));
			return false;
	}
	if (!ok)
		ereport(INFO,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator family \"%s\" of access method %s contains function %s with wrong signature for support number %d",
						family, "covertree",
						format_procedure(proc->amproc), proc->amprocnum)));
	return ok;
}

/* Is this the extension's type residual_query? */
static bool
is_residual_query(Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	bool		result = HeapTupleIsValid(tuple) &&
		strcmp(NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname),
			   "residual_query") == 0;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return result;
}

/* Can a scan read a right operand of this type? */
static bool
is_operand(Oid type)
{
	CtArgType	arg_type;

	return ct_arg_type_from_oid(type, &arg_type) || is_residual_query(type);
}

static bool
validate_operator(Form_pg_amop op, const char *family)
{
	bool		ok = true;

	if (op->amopstrategy < 1 || op->amopstrategy > CT_NSTRATEGIES)
	{
		ereport(INFO,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator family \"%s\" of access method %s contains operator %s with invalid strategy number %d",
						family, "covertree",
						format_operator(op->amopopr), op->amopstrategy)));
		ok = false;
	}
	if (op->amoppurpose != AMOP_ORDER)
	{
		ereport(INFO,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator family \"%s\" of access method %s contains operator %s that is not an ordering operator",
						family, "covertree", format_operator(op->amopopr))));
		ok = false;
	}
	else if (!opfamily_can_sort_type(op->amopsortfamily, FLOAT8OID))
	{
		ereport(INFO,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator family \"%s\" of access method %s contains invalid ORDER BY specification for operator %s",
						family, "covertree", format_operator(op->amopopr))));
		ok = false;
	}
	if (!check_amop_signature(op->amopopr, FLOAT8OID, op->amoplefttype,
							  op->amoprighttype) ||
		!is_operand(op->amoprighttype))
	{
		ereport(INFO,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator family \"%s\" of access method %s contains operator %s with wrong signature",
						family, "covertree", format_operator(op->amopopr))));
		ok = false;
	}
	return ok;
}

bool
ctvalidate(Oid opclassoid)
{
	bool		result = true;
	bool		has_metric = false;
	bool		has_options = false;
	bool		has_operator = false;
	bool		needs_options = false;
	HeapTuple	class_tuple;
	HeapTuple	family_tuple;
	Form_pg_opclass class_form;
	char	   *family;
	CatCList   *procs;
	CatCList   *ops;

	class_tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclassoid));
	if (!HeapTupleIsValid(class_tuple))
		elog(ERROR, "cache lookup failed for operator class %u", opclassoid);
	class_form = (Form_pg_opclass) GETSTRUCT(class_tuple);
	family_tuple = SearchSysCache1(OPFAMILYOID,
								   ObjectIdGetDatum(class_form->opcfamily));
	if (!HeapTupleIsValid(family_tuple))
		elog(ERROR, "cache lookup failed for operator family %u",
			 class_form->opcfamily);
	family = NameStr(((Form_pg_opfamily) GETSTRUCT(family_tuple))->opfname);

	procs = SearchSysCacheList1(AMPROCNUM,
								ObjectIdGetDatum(class_form->opcfamily));
	ops = SearchSysCacheList1(AMOPSTRATEGY,
							  ObjectIdGetDatum(class_form->opcfamily));
	for (int i = 0; i < procs->n_members; i++)
	{
		Form_pg_amproc proc = (Form_pg_amproc)
			GETSTRUCT(&procs->members[i]->tuple);

		result &= validate_function(proc, family);
		if (proc->amprocnum == CT_SUPPORT_METRIC &&
			proc->amproclefttype == class_form->opcintype)
			has_metric = true;
		if (proc->amprocnum == CT_SUPPORT_OPTIONS &&
			proc->amproclefttype == class_form->opcintype)
			has_options = true;
	}
	for (int i = 0; i < ops->n_members; i++)
	{
		Form_pg_amop op = (Form_pg_amop) GETSTRUCT(&ops->members[i]->tuple);

		result &= validate_operator(op, family);
		if (op->amopstrategy == CT_STRATEGY_DISTANCE &&
			op->amoplefttype == class_form->opcintype)
		{
			has_operator = true;
			needs_options |= is_residual_query(op->amoprighttype);
		}
	}
	if (!has_metric)
	{
		ereport(INFO,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator class \"%s\" of access method %s is missing support function %d",
						NameStr(class_form->opcname), "covertree",
						CT_SUPPORT_METRIC)));
		result = false;
	}
	if (needs_options && !has_options)
	{
		ereport(INFO,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator class \"%s\" of access method %s is missing support function %d",
						NameStr(class_form->opcname), "covertree",
						CT_SUPPORT_OPTIONS)));
		result = false;
	}
	if (!has_operator)
	{
		ereport(INFO,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator class \"%s\" of access method %s is missing its distance operator",
						NameStr(class_form->opcname), "covertree")));
		result = false;
	}
	ReleaseCatCacheList(ops);
	ReleaseCatCacheList(procs);
	ReleaseSysCache(family_tuple);
	ReleaseSysCache(class_tuple);
	return result;
}
