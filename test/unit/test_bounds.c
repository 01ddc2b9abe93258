/*-------------------------------------------------------------------------
 *
 * test_bounds.c
 *	  Boxes: no point of a box is nearer than its squares say.
 *
 * make unit runs it.  Points of all magnitudes, boxes that hold one of them
 * barely or loosely, and the distance that is computed for it: a search that
 * wants rows up to that distance has to look into the box.  Prints failures, and
 * "ok" if there was none.
 *
 * IDENTIFICATION
 *	  test/unit/test_bounds.c
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ct_metric.h"

#define RANDOM_SEED			20261128
#include "test_random.h"

#define MAX_DIM		16
#define CASES		20000

/* exponents of coordinates: of any size, ordinary ones, squares that vanish */
static const int least_exponents[] = {-1070, -3, -560};
static const int most_exponents[] = {1020, 3, -500};

static unsigned long failures = 0;

static double
coordinate(int magnitude)
{
	int			span = most_exponents[magnitude] - least_exponents[magnitude];

	return ldexp(random_unit(),
				 least_exponents[magnitude] + (int) (random_bits() % (unsigned int) span));
}

/* A box that holds x; style 0 is the least there is in float. */
static void
put_box(float *box, int dim, const double *x, int style)
{
	for (int j = 0; j < dim; j++)
	{
		float		rounded = (float) x[j];

		box[j] = (double) rounded > x[j] ? nextafterf(rounded, -INFINITY) : rounded;
		box[dim + j] = (double) rounded < x[j] ? nextafterf(rounded, INFINITY) : rounded;
		if (style == 1)
			box[j] -= fabsf(box[j]) * 0.5f;
		if (style == 2)
			box[dim + j] += fabsf(box[dim + j]);
	}
}

static void
check_case(const CtSpace *space, int magnitude, int style)
{
	double		q[MAX_DIM];
	double		x[MAX_DIM];
	float		box[2 * MAX_DIM];
	double		square;
	double		dist;
	double		limit;

	for (int j = 0; j < space->dims; j++)
	{
		q[j] = coordinate(magnitude);
		x[j] = random_bits() % 4 == 0 ? q[j] : coordinate(magnitude);
	}
	put_box(box, space->dims, x, style);
	space->kernels->box_squares(q, box, 1, 1, (size_t) space->dims, &square);
	dist = space->metric->distance(space, q, x);
	limit = ct_space_box_limit(space, dist);
	if (!(square <= limit) && failures++ < 20)
		printf("not ok: dim %d, distance %.17g: square %.17g is above the limit %.17g\n",
			   space->dims, dist, square, limit);
	/* a limit without end would be right, too */
	if (dist > 1e-100 && dist < 1e100 &&
		!(limit <= dist * dist * (1.0 + 1e-12)) && failures++ < 20)
		printf("not ok: dim %d, distance %.17g: limit %.17g says little\n",
			   space->dims, dist, limit);
}

int
main(void)
{
	for (int level = 0; level < CT_KERNEL_LEVELS; level++)
	{
		const CtKernelTable *kernels = ct_kernel_table((CtKernelLevel) level);

		for (int dim = 1; kernels && dim <= MAX_DIM; dim++)
		{
			CtSpace		space;

			ct_space_init(&space, &ct_metric_euclidean, kernels,
						  CT_ELEMENT_FLOAT8, dim, 2.0);
			if (ct_space_box_limit(&space, INFINITY) != INFINITY ||
				ct_space_box_limit(&space, DBL_MAX) != INFINITY)
			{
				printf("not ok: a limit of what is infinitely far\n");
				failures++;
			}
			for (int i = 0; i < CASES; i++)
				check_case(&space, i % 3, i / 3 % 3);
		}
	}
	if (failures > 0)
		return 1;
	printf("ok\n");
	return 0;
}
