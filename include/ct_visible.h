/*-------------------------------------------------------------------------
 *
 * ct_visible.h
 *	  Which rows of an index a snapshot sees.
 *
 * IDENTIFICATION
 *	  include/ct_visible.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_VISIBLE_H
#define CT_VISIBLE_H

#include "ct_compat.h"

#include "storage/itemptr.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

typedef struct CtVisible CtVisible;

extern CtVisible *ct_visible_begin(Relation heap, Snapshot snapshot,
								   Size memory);
extern void ct_visible_find(CtVisible *visible, int n,
							const ItemPointerData *tids,
							ItemPointerData *seen);
extern void ct_visible_end(CtVisible *visible);

#endif							/* CT_VISIBLE_H */
