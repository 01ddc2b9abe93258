/*-------------------------------------------------------------------------
 *
 * ct_am.h
 *	  Options, settings and counters shared by the access method's callbacks
 *	  and the SQL functions.
 *
 * IDENTIFICATION
 *	  include/ct_am.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_AM_H
#define CT_AM_H

#include "ct_compat.h"

#include "access/amapi.h"
#include "access/genam.h"
#include "nodes/pathnodes.h"

#include "ct_metric.h"
#include "ct_point.h"

#define CT_DEFAULT_BASE 2.5

#define CT_AM_NAME		"covertree"

typedef struct CtOptions
{
	int32		vl_len_;
	double		base;
	int			strategy;
} CtOptions;

/* what an operator class's support function 1 tells */
typedef struct CtOpclass
{
	CtMetricId	metric;
	CtElement	element;
	CtArgType	column_type;
} CtOpclass;

#define CT_SUPPORT_METRIC	1
#define CT_SUPPORT_OPTIONS	2
#define CT_NSUPPORT			2

#define CT_STRATEGY_DISTANCE		1	/* <~> */
#define CT_STRATEGY_CORE_DISTANCE	2	/* <-> of built-in point */
#define CT_NSTRATEGIES				2

/* counters of this session, for covertree_scan_stats() */
typedef struct CtScanStats
{
	int64		scans;
	int64		rows_returned;
	int64		pages_read;
	int64		distances;
	int64		subtrees_pruned;
} CtScanStats;

extern CtScanStats ct_scan_stats;

/* ct_options.c */
extern void ct_options_init(void);
extern bytea *ctoptions(Datum reloptions, bool validate);
extern double ct_option_base(Relation index);
extern bool ct_option_nets(Relation index);
extern int	ct_option_strategy(Relation index);
extern const char *ct_strategy_name(int strategy);

/* ct_handler.c */
extern const CtOpclass *ct_opclass(Relation index);

/* ct_open_index.c */
extern Relation ct_open_index(Oid oid, LOCKMODE mode, bool by_columns);

/* ct_insert_row.c */
struct CtIndex;
extern void ct_check_dims(struct CtIndex *index, int dims);

/* ct_ahead.c */
extern void ct_ahead_note(IndexScanDesc scan);
extern void ct_ahead_fetch(IndexScanDesc scan, const ItemPointerData *tid);

/* the callbacks, by file */
extern IndexBuildResult *ctbuild(Relation heap, Relation index,
								 struct IndexInfo *info);
extern void ctbuildempty(Relation index);
extern bool ctinsert(Relation index, Datum *values, bool *isnull,
					 ItemPointer tid, Relation heap,
					 IndexUniqueCheck unique, bool unchanged,
					 struct IndexInfo *info);
extern IndexScanDesc ctbeginscan(Relation index, int nkeys, int norderbys);
extern void ctrescan(IndexScanDesc scan, ScanKey keys, int nkeys,
					 ScanKey orderbys, int norderbys);
extern bool ctgettuple(IndexScanDesc scan, ScanDirection direction);
extern void ctendscan(IndexScanDesc scan);
extern IndexBulkDeleteResult *ctbulkdelete(IndexVacuumInfo *info,
										   IndexBulkDeleteResult *stats,
										   IndexBulkDeleteCallback callback,
										   void *state);
extern IndexBulkDeleteResult *ctvacuumcleanup(IndexVacuumInfo *info,
											  IndexBulkDeleteResult *stats);
extern void ctcostestimate(PlannerInfo *root, IndexPath *path,
						   double loop_count, Cost *startup_cost,
						   Cost *total_cost, Selectivity *selectivity,
						   double *correlation, double *pages);
extern bool ctvalidate(Oid opclassoid);
extern char *ctbuildphasename(int64 phase);

#endif							/* CT_AM_H */
