/*-------------------------------------------------------------------------
 *
 * ct_block_private.h
 *	  What the two halves of ct_block.h share: bounds (ct_block.c) and distances
 *	  (ct_block_pairs.c).
 *
 * IDENTIFICATION
 *	  src/metric/ct_block_private.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_BLOCK_PRIVATE_H
#define CT_BLOCK_PRIVATE_H

#include <math.h>

#include "ct_block.h"

#define UNIT				0x1p-53
#define PRODUCT_UNITS(m)	(1.1 * (m) + 64.0)

static inline const double *
features_of(const CtModel *model, const double *record)
{
	return record + model->dims + 1;
}

/* 1 / sqrt(p), or infinity where p may be more than what is left */
static inline double
scale_of(const CtModel *model, const double *record)
{
	double		p = record[model->dims];

	return p > CT_MIN_RESIDUAL * model->variance ? 1.0 / sqrt(p) : INFINITY;
}

/* What the error of a product is multiplied with; see sieve 2 (ct_block_pairs.c). */
static inline double
product_error(const CtModel *model)
{
	return PRODUCT_UNITS(model->m) * UNIT * (model->variance + model->nugget);
}

/* The points of npacks packs of a block, from number first on. */
static inline CtCorrelations
correlated(const CtBlockRows *rows, const CtBlock *block, int first,
		   int npacks)
{
	return (CtCorrelations)
	{
		ct_model_function(rows->space->model), rows->rates, npacks * CT_PACK,
			block->places + first * CT_PACK, block->scale + first * CT_PACK
	};
}

#endif							/* CT_BLOCK_PRIVATE_H */
