/*-------------------------------------------------------------------------
 *
 * ct_threads.c
 *	  The OpenMP threads that builds and bulk searches share work with.
 *
 * Threads other than the main one call no PostgreSQL function, raise no error
 * and see no signal.
 *
 * IDENTIFICATION
 *	  src/tree/ct_threads.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <omp.h>
#include <signal.h>

#include "ct_tree.h"

/*
 * Leaves signals to nobody until ct_threads_unblock(): a thread inherits the
 * mask of the one that creates it, so that threads of a first region in between
 * see none ever.
 */
void
ct_threads_block(sigset_t *before)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, before);
}

void
ct_threads_unblock(const sigset_t *before)
{
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

/*
 * Starts so many threads, including the main one, to which the others leave
 * signals.  Regions that follow must ask for no more threads than these.
 */
void
ct_threads_start(int nthreads)
{
	sigset_t	before;
	int			started = 0;

	ct_threads_block(&before);
	/* compilers drop a region in which nothing happens */
#pragma omp parallel num_threads(nthreads)
	{
#pragma omp atomic
		started++;
	}
	ct_threads_unblock(&before);
}

/* Ends the threads, so that an idle session has none. */
void
ct_threads_stop(void)
{
	omp_pause_resource_all(omp_pause_hard);
}
