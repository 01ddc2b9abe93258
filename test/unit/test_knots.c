/*-------------------------------------------------------------------------
 *
 * test_knots.c
 *	  Limits of the correlations of rows with inducing points: they hold for
 *	  correlations as they are computed, on every instruction set, and are not
 *	  much larger than the largest of these.
 *
 * make unit runs it.  Prints each failed check, and "ok" if nothing failed.
 *
 * IDENTIFICATION
 *	  test/unit/test_knots.c
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ct_knots.h"

#define RANDOM_SEED			20261128
#include "test_random.h"

#define LENGTH(array)		(sizeof(array) / sizeof((array)[0]))
#define ROWS				240
#define DIMS				2

static unsigned long failures = 0;

static void
expect(bool holds, const char *kernel, const char *what, size_t a, size_t b)
{
	if (holds)
		return;
	if (failures++ < 30)
		printf("not ok: %s: %s (%zu, %zu)\n", kernel, what, a, b);
}

static void *
allocate(size_t bytes)
{
	/* whole cache lines, of which some bytes are garbage */
	size_t		size = (bytes + 2 * CT_CACHE_LINE) / CT_CACHE_LINE * CT_CACHE_LINE;
	void	   *p;

	if (posix_memalign(&p, CT_CACHE_LINE, size) != 0)
	{
		perror("test_knots");
		exit(1);
	}
	memset(p, 0x55, size);
	return p;
}

typedef struct Case
{
	CtCovariance covariance;
	size_t		m;
	double		lengthscale;
	double		variance;
	double		nugget;
	double		jitter;
	double		excess;			/* of limits over the largest correlation */
} Case;

/*
 * Where the inverse of the factor is large, products of floats are off by much of a
 * correlation, and so is the slack of correlations.
 */
static const Case cases[] = {
	{CT_COVARIANCE_RBF, 1, 1.0, 1.0, 0.0, 1e-6, 1e-3},
	{CT_COVARIANCE_RBF, 7, 0.3, 1.0, 0.0, 1e-6, 1e-3},
	{CT_COVARIANCE_RBF, 64, 0.7, 3.0, 0.0, 1e-6, 0.1},
	{CT_COVARIANCE_MATERN12, 40, 1.0, 0.01, 0.0, 1e-6, 1e-3},
	{CT_COVARIANCE_MATERN52, 33, 0.5, 1.0, 0.0, 1e-6, 1e-2},
	{CT_COVARIANCE_MATERN52, 40, 0.5, 2.0, 0.1, 1e-6, 1e-2},
	{CT_COVARIANCE_MATERN32, 48, 0.5, 2.0, 1e-3, 1e-4, 1e-2},
	{CT_COVARIANCE_MATERN52, 65, 0.5, 1.0, 0.0, 1e-6, 1.0},
	{CT_COVARIANCE_RBF, 100, 0.5, 1.0, 0.0, 1e-5, 1.0},
	{CT_COVARIANCE_MATERN12, 200, 0.3, 1.0, 0.0, 1e-8, 1.0},
	{CT_COVARIANCE_RBF, 20, 0.1, 1.0, 0.0, 0.0, 1.0}
};

typedef struct Data
{
	CtModel    *model;
	size_t		size;			/* of a record */
	double	   *records;		/* of ROWS rows; inducing points come first */
	double		least;
} Data;

static CtModel *
create_model(const Case *c, const double *places)
{
	size_t		bytes = ct_model_bytes(DIMS, c->m);
	CtModel    *model = allocate(bytes);

	memset(model, 0, bytes);
	model->bytes = bytes;
	model->covariance = c->covariance;
	model->dims = DIMS;
	model->m = c->m;
	model->variance = c->variance;
	model->nugget = c->nugget;
	model->jitter = c->jitter;
	for (int j = 0; j < DIMS; j++)
		ct_model_lengthscale(model)[j] = c->lengthscale;
	memcpy(ct_model_inducing(model), places, sizeof(double) * DIMS * c->m);
	if (ct_model_factorize(model, ct_kernel_table(CT_KERNEL_SCALAR), NULL) !=
		(int) c->m)
		expect(false, "any", "factor", c->m, c->covariance);
	ct_model_set_error(model);
	return model;
}

/* Rows, of which the first are the inducing points, and the next near to these. */
static Data
create_data(const Case *c)
{
	const CtKernelTable *kernels = ct_kernel_table(CT_KERNEL_SCALAR);
	double		places[ROWS * DIMS];
	Data		data = {NULL};
	double	   *work;

	for (size_t i = 0; i < ROWS * DIMS; i++)
		places[i] = i >= c->m * DIMS && i % 3 == 0 ?
			places[i - c->m * DIMS] + 1e-4 * random_unit() : random_unit();
	data.model = create_model(c, places);
	data.size = ct_model_record_size(data.model);
	data.records = allocate(sizeof(double) * data.size * ROWS);
	work = allocate(sizeof(double) * ct_model_work_size(data.model));
	ct_model_expand(data.model, kernels, ROWS, places, data.records, work);
	free(work);
	data.least = INFINITY;
	for (size_t i = 0; i < ROWS; i++)
		data.least = fmin(data.least, data.records[i * data.size + DIMS]);
	return data;
}

static void
free_data(Data *data)
{
	free(data->model);
	free(data->records);
}

/* Are limits of n rows as they should be? */
static void
check_limits(const Case *c, const Data *data, const CtKernelTable *kernels,
			 const char *what, const double *const *rows, size_t n,
			 const uint8_t *limits)
{
	double	   *work = allocate(sizeof(double) * c->m);

	for (size_t i = 0; i < n; i++)
		expect(ct_knots_hold(data->model, kernels, rows[i], work, limits),
			   kernels->name, what, n, i);
	free(work);
	for (size_t j = 0; j < c->m; j++)
	{
		const double *record = data->records + j * data->size;
		CtKnot		knot = ct_knot_find(data->model, record, data->least);
		double		largest = 0.0;
		double		limit;

		expect(c->jitter == 0.0 || knot.number >= 0, kernels->name,
			   "inducing point not found", c->m, j);
		if (knot.number < 0)
			continue;
		for (size_t i = 0; i < n; i++)
			largest = fmax(largest, fabs(ct_model_correlation(data->model, kernels,
															  record, rows[i])));
		limit = ct_knot_limit(&knot, limits);
		expect(largest <= limit, kernels->name, what, n, j);
		expect(limit <= 1.05 * largest + c->excess, kernels->name,
			   "limit is too large", n, j);
	}
}

static void
check_rows(const Case *c, const Data *data, const CtKnots *knots, size_t first,
		   size_t n)
{
	const CtModel *model = data->model;
	const double *rows[ROWS];
	uint8_t		limits[CT_MOST_LIMITS];
	uint8_t		row[CT_MOST_LIMITS];
	float	   *work = allocate(sizeof(float) * ct_knots_measure_work(model));
	double	   *weights = allocate(sizeof(double) * ct_knots_solve_work(model));

	for (size_t i = 0; i < n; i++)
		rows[i] = data->records + (first + i) * data->size;
	ct_knots_measure(knots, n, rows, work, limits);
	check_limits(c, data, knots->kernels, "limits of many rows", rows, n, limits);
	ct_knots_solve(model, knots->kernels, n, rows, weights, limits);
	check_limits(c, data, knots->kernels, "limits by solves", rows, n, limits);
	memset(limits, 0, sizeof(limits));
	for (size_t i = 0; i < n; i++)
	{
		ct_knots_solve(model, knots->kernels, 1, &rows[i], weights, row);
		ct_knots_join(model, limits, row);
	}
	check_limits(c, data, knots->kernels, "limits of single rows", rows, n, limits);
	/* which those of no rows are not for an inducing point */
	memset(limits, 0, sizeof(limits));
	expect(n == 0 || first > 0 || c->jitter == 0.0 ||
		   !ct_knots_hold(model, knots->kernels, rows[0], weights, limits),
		   knots->kernels->name, "no limits hold", n, 0);
	free(work);
	free(weights);
}

static void
check_case(const Case *c, const CtKernelTable *kernels)
{
	static const size_t counts[] = {0, 1, 15, 16, 17, 33, 48, 49, 96, 100};
	Data		data = create_data(c);
	CtKnots		knots;
	void	   *memory = allocate(ct_knots_bytes(data.model));
	double	   *work = allocate(sizeof(double) * ct_knots_fill_work(data.model));

	ct_knots_init(data.model, kernels, memory, &knots);
	for (size_t first = 0; first < c->m; first += CT_BATCH)
		ct_knots_fill(&knots, first, work);
	for (size_t i = 0; i < LENGTH(counts); i++)
	{
		check_rows(c, &data, &knots, 0, counts[i]);
		check_rows(c, &data, &knots, ROWS - counts[i], counts[i]);
	}
	expect(ct_knot_find(data.model, data.records + (ROWS - 1) * data.size,
						data.least).number < 0,
		   kernels->name, "other points are none", c->m, 0);
	free(work);
	free(memory);
	free_data(&data);
}

int
main(void)
{
	for (int level = 0; level < CT_KERNEL_LEVELS; level++)
	{
		const CtKernelTable *kernels = ct_kernel_table((CtKernelLevel) level);

		for (size_t i = 0; kernels != NULL && i < LENGTH(cases); i++)
			check_case(&cases[i], kernels);
		if (kernels == NULL)
			printf("skipped: level %d\n", level);
	}
	if (failures > 0)
	{
		printf("%lu checks failed\n", failures);
		return 1;
	}
	printf("ok\n");
	return 0;
}
