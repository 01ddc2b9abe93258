/*-------------------------------------------------------------------------
 *
 * ct_compat.h
 *	  The only place that knows differences between PostgreSQL versions.
 *
 * IDENTIFICATION
 *	  include/ct_compat.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_COMPAT_H
#define CT_COMPAT_H

#include "postgres.h"

#include "miscadmin.h"

#if PG_VERSION_NUM < 150000
#error "covertree needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "storage/relfilelocator.h"
#include "varatt.h"
#else
#include "storage/relfilenode.h"
#endif

/* the file of a relation, which changes when its content is replaced */
#if PG_VERSION_NUM >= 160000
typedef RelFileLocator CtRelFile;
#define ct_relation_file(rel)			((rel)->rd_locator)
#define ct_relation_file_equals(a, b)	RelFileLocatorEquals(a, b)
#define ct_relation_file_number(rel)	((rel)->rd_locator.relNumber)
#else
typedef RelFileNode CtRelFile;
#define ct_relation_file(rel)			((rel)->rd_node)
#define ct_relation_file_equals(a, b)	RelFileNodeEquals(a, b)
#define ct_relation_file_number(rel)	((rel)->rd_node.relNode)
#endif

#if PG_VERSION_NUM >= 180000
#define ct_form_minimal_tuple(desc, values, nulls) \
	heap_form_minimal_tuple(desc, values, nulls, 0)
#else
#define ct_form_minimal_tuple(desc, values, nulls) \
	heap_form_minimal_tuple(desc, values, nulls)
#endif

/*
 * Keeps a path from being chosen as long as there is another one.  Later servers
 * look at the number of disabled nodes before they look at costs, and may have
 * disabled a sequential scan and a sort.
 */
#if PG_VERSION_NUM >= 180000
#define ct_disable_path(path_)		((path_)->disabled_nodes += 100)
#else
#define ct_disable_path(path_)		((void) (path_))
#endif

#if PG_VERSION_NUM >= 180000
#define ct_page_verified(page, block)	PageIsVerified(page, block, 0, NULL)
#else
#define ct_page_verified(page, block)	PageIsVerifiedExtended(page, block, 0)
#endif

#if PG_VERSION_NUM < 180000
#define pg_noreturn		pg_attribute_noreturn()
#endif

#if PG_VERSION_NUM >= 180000
#define ct_vacuum_delay_point()		vacuum_delay_point(false)
#else
#define ct_vacuum_delay_point()		vacuum_delay_point()
#endif

/* what is known of a backend; needs utils/backend_status.h */
#if PG_VERSION_NUM >= 160000
#define ct_backend_status(i) \
	(&pgstat_get_local_beentry_by_index(i)->backendStatus)
#else
#define ct_backend_status(i) \
	(&pgstat_fetch_stat_local_beentry(i)->backendStatus)
#endif

#endif							/* CT_COMPAT_H */
