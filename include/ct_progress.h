/*-------------------------------------------------------------------------
 *
 * ct_progress.h
 *	  How far bulk searches are, for covertree_knn_progress().
 *
 * The server has a place for the progress of a backend's command, which every
 * session can read, and views of its own commands only.  This is one command
 * more, with a view of ours.
 *
 * IDENTIFICATION
 *	  include/ct_progress.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_PROGRESS_H
#define CT_PROGRESS_H

#include "ct_compat.h"

/* numbers of the parameters */
typedef enum CtProgressParam
{
	CT_PROGRESS_TOTAL,			/* queries; 0 while rows are being listed */
	CT_PROGRESS_ANSWERED,
	CT_PROGRESS_PAGES,
	CT_PROGRESS_DISTANCES,
	CT_PROGRESS_THREADS
} CtProgressParam;

/*
 * Setting, for tests: when a search reports progress for the so manyth time, it
 * waits until nobody holds this advisory lock exclusively; 0: never.
 */
extern int	ct_bulk_search_stop;

#define CT_STOP_LOCK	25460

extern bool ct_progress_start(Oid index);
extern void ct_progress_end(void);

#endif							/* CT_PROGRESS_H */
