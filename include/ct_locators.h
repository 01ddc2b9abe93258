/*-------------------------------------------------------------------------
 *
 * ct_locators.h
 *	  A hash table by the address of a vector.
 *
 * What lib/simplehash.h makes of it: locators_create(), locators_insert() and
 * so on.  An entry has room for what its users note of a vector.
 *
 * IDENTIFICATION
 *	  include/ct_locators.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_LOCATORS_H
#define CT_LOCATORS_H

#include "common/hashfn.h"

#include "ct_format.h"

typedef struct CtLocatorEntry
{
	CtLocator	locator;
	uint32		hash;
	char		status;			/* for simplehash */
	uint32		number;
	double		rho;			/* a query's correlation with it */
} CtLocatorEntry;

#define SH_PREFIX		locators
#define SH_ELEMENT_TYPE	CtLocatorEntry
#define SH_KEY_TYPE		CtLocator
#define SH_KEY			locator
#define SH_HASH_KEY(tb, key) \
	murmurhash32((key).block * 64 + (key).slot)
#define SH_EQUAL(tb, a, b) \
	((a).block == (b).block && (a).slot == (b).slot)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) ((a)->hash)
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

#endif							/* CT_LOCATORS_H */
