/*-------------------------------------------------------------------------
 *
 * ct_large_pages.c
 *	  Memory in large pages, where the system has such for who asks.
 *
 * IDENTIFICATION
 *	  src/tree/ct_large_pages.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <sys/mman.h>

#include "ct_tree.h"

/* size and alignment of large pages of memory */
#define LARGE_PAGE		((Size) 2 * 1024 * 1024)

/*
 * Asks for large pages for memory of which nearly all will be used.  Otherwise
 * each small page costs a fault when it is touched first, and entries of the
 * processor's table ever after.
 */
void
ct_prefer_large_pages(void *memory, Size bytes)
{
#ifdef MADV_HUGEPAGE
	uintptr_t	begin = TYPEALIGN(LARGE_PAGE, (uintptr_t) memory);
	uintptr_t	end = TYPEALIGN_DOWN(LARGE_PAGE, (uintptr_t) memory + bytes);

	/* only a hint, so its failure does not matter */
	if (end > begin)
		(void) madvise((void *) begin, end - begin, MADV_HUGEPAGE);
#endif
}
