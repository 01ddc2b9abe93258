/*-------------------------------------------------------------------------
 *
 * ct_dead_rows.h
 *	  Counting index entries that the next vacuum can remove.
 *
 * IDENTIFICATION
 *	  include/ct_dead_rows.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_DEAD_ROWS_H
#define CT_DEAD_ROWS_H

#include "ct_compat.h"

#include "storage/itemptr.h"
#include "utils/relcache.h"

typedef struct CtDeadRows CtDeadRows;

/* largest number of entries that are added together */
#define CT_DEAD_ROWS_BATCH	(BLCKSZ / sizeof(ItemPointerData))

extern CtDeadRows *ct_dead_rows_begin(Relation heap);
extern void ct_dead_rows_add(CtDeadRows *rows, const ItemPointerData *tids,
							 int n);
extern int64 ct_dead_rows_end(CtDeadRows *rows);

#endif							/* CT_DEAD_ROWS_H */
