/*-------------------------------------------------------------------------
 *
 * ct_model_cache.h
 *	  Models of this database, as this session knows them.
 *
 * Layer 2: above the metrics, below pages, tree and access method.
 *
 * A model is found by its name in the table covertree_model, or by its
 * fingerprint wherever its content is known: in that table, or in an index
 * that embeds it.  The fingerprint names the content for good, so cached
 * content never gets stale; only names do.
 *
 * Lifetime: a pointer returned here stays valid until the end of the top-level
 * transaction.  Who keeps one in longer-lived memory must also keep
 * ct_model_epoch(), and look the model up again when that has changed.
 *
 * Any dimension: a model without inducing points and with a single
 * lengthscale fits points of every dimension.  Its CtModel has dims = 0, and
 * data[0] is the lengthscale; it must be made a model of a certain dimension
 * by ct_model_for_dims() before anything is computed with it.  Both have the
 * same fingerprint.
 *
 * IDENTIFICATION
 *	  include/ct_model_cache.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_MODEL_CACHE_H
#define CT_MODEL_CACHE_H

#include "ct_compat.h"

#include "ct_model.h"

#include "utils/relcache.h"

/* ct_model_cache.c */

/* The model of that name.  Raises an error if there is none. */
extern const CtModel *ct_model_by_name(const char *name);

/*
 * The model of that fingerprint.  If there is none, returns NULL or raises an
 * error, which mentions the name under which the model was known (or NULL).
 */
extern const CtModel *ct_model_by_fingerprint(const uint8 *fingerprint,
											  const char *name,
											  bool missing_ok);

/*
 * The model for points of that many dimensions: mostly the argument itself,
 * or the variant of a model of any dimension.  Raises an error if the model
 * does not fit; name (may be NULL) is for the message.
 */
extern const CtModel *ct_model_for_dims(const CtModel *model, int dims,
										const char *name);

/*
 * The model of that fingerprint and exactly that dimension (0: of any), if it
 * is in the cache; otherwise NULL.  Reads nothing, so an index asks this
 * before it reads its own copy from disk.
 */
extern const CtModel *ct_model_cached(const uint8 *fingerprint, int dims);

/*
 * Puts a copy of an image into the cache and returns it, or the equal model
 * that was there before.  The image comes from an index and is not trusted:
 * returns NULL unless it is a well-formed model of exactly so many bytes whose
 * content has the fingerprint that it states.  (The caller reports damage,
 * because it knows where the image comes from.)
 */
extern const CtModel *ct_model_keep(const CtModel *image, Size bytes);

/* Changes with every transaction; see above. */
extern uint64 ct_model_epoch(void);

/* ct_model_option.c */

/* option of the residual operator classes */
#define CT_OPTION_MODEL "model"

extern const char *ct_option_model(Relation index);

/* ct_model_table.c */

#define CT_MODEL_TABLE	"covertree_model"

/* fingerprints as text: hexadecimal, lower case, with the final zero */
#define CT_FINGERPRINT_TEXT	(2 * CT_FINGERPRINT_BYTES + 1)

extern void ct_fingerprint_to_text(const uint8 *fingerprint, char *text);
extern bool ct_fingerprint_from_text(const char *text, uint8 *fingerprint);

/* The fingerprint of a model's content (does not read model->fingerprint). */
extern void ct_model_fingerprint(const CtModel *model, uint8 *fingerprint);

#endif							/* CT_MODEL_CACHE_H */
