/*-------------------------------------------------------------------------
 *
 * ct_model_table.h
 *	  The table covertree_model: rows to models and back.
 *
 * Layer 2.  Only the model cache and the SQL functions that create and drop
 * models use this; everyone else asks the cache.
 *
 * IDENTIFICATION
 *	  include/ct_model_table.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_MODEL_TABLE_H
#define CT_MODEL_TABLE_H

#include "ct_compat.h"

#include "ct_model.h"

/* beyond these limits the metric's bounds do not hold */
#define CT_MIN_VARIANCE		1e-300
#define CT_MAX_VARIANCE		1e300
#define CT_MAX_JITTER		1e6

/* lengthscales that a model stores; see ct_model_cache.h about dims = 0 */
static inline int
ct_model_lengthscales(const CtModel *model)
{
	return model->dims > 0 ? (int) model->dims : 1;
}

/* doubles of a model in all */
extern size_t ct_model_values(int dims, int m);

/*
 * A model without content, zeroed, in the current memory context.  dims may
 * be 0 when m is.
 */
extern CtModel *ct_model_allocate(int dims, int m);

/*
 * What is wrong with the content of a model whose shape is right: a sentence
 * for the detail of an error, or NULL.
 */
extern const char *ct_model_problem(const CtModel *model);

/*
 * Changes whenever models may have been created or dropped, here or in another
 * session: what was found in the table before is to be looked up again.
 */
extern uint64 ct_model_table_changes(void);

/*
 * Reads a model by name or by fingerprint into the current memory context, or
 * returns NULL.  Whoever looks sees what is committed now, plus what the own
 * transaction did.  Raises an error if the row does not hold a proper model.
 */
extern CtModel *ct_model_table_read(const char *name,
									const uint8 *fingerprint);
extern bool ct_model_table_contains(const char *name,
									const uint8 *fingerprint);

/* Adds a model, whose name must be new, and tells all sessions. */
extern void ct_model_table_insert(const char *name, Oid owner,
								  const CtModel *model);

/*
 * Deletes a model and tells all sessions.  Returns false if there is none.
 * allowed() gets its owner and raises an error if this must not be.
 */
extern bool ct_model_table_delete(const char *name,
								  void (*allowed) (const char *name, const char *owner));

#endif							/* CT_MODEL_TABLE_H */
