/*-------------------------------------------------------------------------
 *
 * ct_knn_memory.h
 *	  Large pieces of memory, as bulk searches want them.
 *
 * IDENTIFICATION
 *	  src/tree/ct_knn_memory.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_KNN_MEMORY_H
#define CT_KNN_MEMORY_H

#include "utils/memutils.h"

#include "ct_tree.h"

/* vectors read between two checks for interrupts */
#define CT_READ_BATCH		64

static inline void *
ct_allocate(MemoryContext context, size_t n, size_t size)
{
	return MemoryContextAllocHuge(context, Max(n * size, 1));
}

/*
 * Memory that begins on a cache line, nearly all of which will be used: much of it
 * is of large pages, if possible.
 */
static inline void *
ct_allocate_lines(MemoryContext context, size_t bytes)
{
	char	   *memory = ct_allocate(context, bytes + CT_CACHE_LINE, 1);

	ct_prefer_large_pages(memory, bytes);
	return (void *) TYPEALIGN(CT_CACHE_LINE, memory);
}

#endif							/* CT_KNN_MEMORY_H */
