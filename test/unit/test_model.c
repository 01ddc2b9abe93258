/*-------------------------------------------------------------------------
 *
 * test_model.c
 *	  The residual-correlation metric: known values, every instruction set
 *	  against plain loops, bit for bit, and the error bounds against wider
 *	  arithmetic.
 *
 * make unit runs it.  Prints each failed check, the largest errors seen, and
 * "ok" if nothing failed.  Fixtures are in data/ next to the program.
 *
 * Where long double is no wider than double, what needs wider arithmetic is
 * skipped.
 *
 * IDENTIFICATION
 *	  test/unit/test_model.c
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ct_model.h"

#define RANDOM_SEED			20231102
#include "test_random.h"

#define LENGTH(array)		(sizeof(array) / sizeof((array)[0]))

#define WIDER				(LDBL_MANT_DIG >= 64)

static unsigned long failures = 0;

static const CtKernelTable *tables[CT_KERNEL_LEVELS];
static const CtKernelTable *best;	/* of them */

static const size_t awkward_sizes[] = {
	0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 100, 257, 512
};

__attribute__((format(printf, 2, 3)))
static void
check(bool holds, const char *format,...)
{
	va_list		args;

	if (holds)
		return;
	failures++;
	if (failures > 30)
		return;
	printf("not ok: ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

static bool
same_bits(const double *a, const double *b, size_t n)
{
	return n == 0 || memcmp(a, b, n * sizeof(double)) == 0;
}


/* ---- Input ---- */

static double
random_normal(void)
{
	double		sum = 0.0;

	for (int i = 0; i < 12; i++)
		sum += random_unit();
	return sum / 2.0;
}

static void
fill_normal(double *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
		values[i] = random_normal();
}

static void *
allocate(size_t n, size_t size)
{
	void	   *p = calloc(n + 1, size);

	if (p == NULL)
	{
		perror("test_model");
		exit(1);
	}
	return p;
}

static double *
doubles(size_t n)
{
	return allocate(n, sizeof(double));
}

static CtModel *
create_model(CtCovariance covariance, size_t dims, size_t m,
			 double lengthscale, double variance, double jitter)
{
	CtModel    *model = allocate(ct_model_bytes(dims, m), 1);

	model->bytes = ct_model_bytes(dims, m);
	model->covariance = covariance;
	model->dims = (uint32_t) dims;
	model->m = (uint32_t) m;
	model->variance = variance;
	model->jitter = jitter;
	for (size_t j = 0; j < dims; j++)
		ct_model_lengthscale(model)[j] = lengthscale;
	return model;
}

static void
finish_model(CtModel *model)
{
	int			m = ct_model_factorize(model, best, NULL);

	check(m == (int) model->m, "%s: factorization ended at column %d of %u",
		  ct_covariance_name(model->covariance), m, model->m);
	ct_model_set_error(model);
}

/* the records of n locations, to be freed */
static double *
expand(const CtModel *model, const CtKernelTable *kernels, size_t n,
	   const double *locations)
{
	double	   *records = doubles(n * ct_model_record_size(model));
	double	   *work = doubles(ct_model_work_size(model));

	ct_model_expand(model, kernels, n, locations, records, work);
	free(work);
	return records;
}

static const CtCovariance covariances[] = {
	CT_COVARIANCE_RBF, CT_COVARIANCE_MATERN12, CT_COVARIANCE_MATERN32,
	CT_COVARIANCE_MATERN52
};


/* ---- Known values ---- */

static void
check_names(void)
{
	static const struct
	{
		const char *name;
		int			covariance;
	}			names[] = {
		{"rbf", 1}, {"RBF", 1}, {"Gaussian", 1}, {"squared_exponential", 1},
		{"matern12", 2}, {"exponential", 2}, {"Matern32", 3}, {"MATERN52", 4},
		{"", 0}, {"rb", 0}, {"rbff", 0}, {"matern", 0}, {"r\302\242f", 0}
	};

	for (size_t i = 0; i < LENGTH(names); i++)
		check((int) ct_covariance_lookup(names[i].name) == names[i].covariance,
			  "name \"%s\"", names[i].name);
	for (size_t i = 0; i < LENGTH(covariances); i++)
		check(ct_covariance_lookup(ct_covariance_name(covariances[i])) ==
			  covariances[i], "name of number %d", covariances[i]);
	check(ct_covariance_name(0) == NULL && ct_covariance_name(5) == NULL,
		  "name of no covariance");
}

/* one inducing point at 0; locations 1, 2, -1 */
static void
check_hand_table(void)
{
	static const double expected[][5] = {
		/* p(1), p(2), d(1,2), d(1,-1), rho(1,-1) */
		{0.632120558829, 0.981684361111, 0.578139036504, 0.795060097621, -0.367879441171},
		{0.864664716763, 0.981684361111, 0.809161441425, 1, 0},
		{0.766365310073, 0.980475149773, 0.721320666992, 0.936733270100, -0.122530780687},
		{0.725430173910, 0.980773343628, 0.681850372295, 0.901470818306, -0.187350363743}
	};
	static const double locations[] = {1, 2, -1};

	for (size_t i = 0; i < LENGTH(covariances); i++)
	{
		CtModel    *model = create_model(covariances[i], 1, 1, 1, 1, 0);
		double	   *records;
		double		is[5];

		finish_model(model);
		records = expand(model, best, 3, locations);
		is[0] = records[1];
		is[1] = records[3 + 1];
		is[2] = ct_model_distance(model, best, records, records + 3);
		is[3] = ct_model_distance(model, best, records, records + 6);
		is[4] = ct_model_correlation(model, best, records, records + 6);
		for (int k = 0; k < 5; k++)
			check(fabs(is[k] - expected[i][k]) <= 1e-11,
				  "hand table, %s, column %d: %.15g instead of %.15g",
				  ct_covariance_name(covariances[i]), k, is[k], expected[i][k]);
		free(records);
		free(model);
	}
}

/*
 * Reads columns first .. first + count - 1 of a file with a line of names;
 * returns the number of rows.
 */
static size_t
read_fixture(const char *directory, const char *name, int first, int count,
			 double *values)
{
	char		path[1024];
	char		line[1024];
	size_t		rows = 0;
	FILE	   *file;

	snprintf(path, sizeof(path), "%s/data/%s", directory, name);
	file = fopen(path, "r");
	if (file == NULL || fgets(line, sizeof(line), file) == NULL)
	{
		perror(path);
		exit(1);
	}
	for (; fgets(line, sizeof(line), file) != NULL; rows++)
	{
		char	   *p = line;

		for (int k = 0; k < first + count; k++, p += (*p == ','))
		{
			double		value = strtod(p, &p);

			if (k >= first)
				*values++ = value;
		}
	}
	fclose(file);
	return rows;
}

/*
 * Row 83 is an inducing point, where p = 1.6e-6 is left of a difference of
 * numbers near 1.6: there one unit in the last place of these is 1.4e-10 of p,
 * and the file itself is 2e-11 off the exact value.  Hence the absolute term,
 * which matters for no other row.
 */
static void
check_fixture(const char *directory)
{
	static const double lengthscale[] = {0.1, 0.2, 0.15};
	CtModel    *model = create_model(CT_COVARIANCE_MATERN12, 3, 20, 1, 1.6, 1e-6);
	double		locations[300];
	double		p[100];
	double		largest = 0;
	double	   *records;

	memcpy(ct_model_lengthscale(model), lengthscale, sizeof(lengthscale));
	check(read_fixture(directory, "vif_ard_inducing.csv", 0, 3,
					   ct_model_inducing(model)) == 20 &&
		  read_fixture(directory, "vif_ard_data.csv", 1, 3, locations) == 100 &&
		  read_fixture(directory, "vif_ard_pdiag.csv", 1, 1, p) == 100,
		  "rows of fixtures");
	finish_model(model);
	records = expand(model, best, 100, locations);
	for (size_t i = 0; i < 100; i++)
	{
		double		is = records[i * ct_model_record_size(model) + 3];
		double		error = fabs(is / p[i] - 1.0);

		if (p[i] > 1e-3 && error > largest)
			largest = error;
		check(fabs(is - p[i]) <= 1e-12 * p[i] + 2 * DBL_EPSILON * model->variance,
			  "fixture, row %zu: p = %.17g instead of %.17g",
			  i + 1, is, p[i]);
	}
	printf("# fixture: p within %.1e, but for row 83\n", largest);
	free(records);
	free(model);
}


/* ---- exp ---- */

/* e^-x of n numbers, by way of a covariance function that is just that */
static void
exp_minus(const CtKernelTable *kernels, size_t n, const double *x,
		  double *result)
{
	static const double one = 1.0;
	static const double zero = 0.0;
	CtCovarianceFunction function = {
		.kind = CT_COVARIANCE_MATERN12,
		.dim = 1,
		.variance = 1.0,
		.lengthscale = &one
	};

	kernels->covariances(&function, &zero, x, n, n, result);
}

/* error in units in the last place of the exact result */
static double
error_of_exp(double x, double result)
{
	long double exact = expl(-(long double) x);
	int			exponent;

	frexpl(exact, &exponent);
	if (exponent < -1021)
		exponent = -1021;
	return (double) fabsl(((long double) result - exact) /
						  ldexpl(1.0L, exponent - 53));
}

static void
check_exp_range(const char *name, double from, double to, double limit)
{
	enum
	{
		COUNT = 200003
	};
	double	   *x = doubles(COUNT);
	double	   *result = doubles(COUNT);
	double	   *other = doubles(COUNT);
	double		largest = 0;

	for (size_t i = 0; i < COUNT; i++)
		x[i] = from + (to - from) * (0.5 + 0.5 * random_unit());
	exp_minus(tables[0], COUNT, x, result);
	for (size_t i = 0; i < COUNT && WIDER; i++)
	{
		double		error = error_of_exp(x[i], result[i]);

		if (error > largest)
			largest = error;
		check(error < limit, "exp(%.17g) is %.17g, %.3f units off", -x[i],
			  result[i], error);
	}
	printf("# exp, %s: at most %.3f units in the last place\n", name, largest);
	for (int level = 1; level < CT_KERNEL_LEVELS; level++)
	{
		if (tables[level] == NULL)
			continue;
		exp_minus(tables[level], COUNT, x, other);
		check(same_bits(result, other, COUNT), "exp, %s, %s: other bits", name,
			  tables[level]->name);
	}
	free(x);
	free(result);
	free(other);
}

static void
check_exp(void)
{
	static const double special[] = {
		0.0, -0.0, 0x1p-60, 1000.0, 1e150, 1e300, 746.0, 745.2, NAN
	};
	static const double expected[] = {1, 1, 1, 0, 0, 0, 0, 0, NAN};
	double		result[LENGTH(special)];

	check_exp_range("0 .. ln 2", 0.0, 0.7, 0.92);
	check_exp_range("to 40", 0.0, 40.0, 0.92);
	check_exp_range("to 708", 40.0, 708.0, 0.92);
	check_exp_range("subnormal", 708.0, 746.0, 0.96);
	for (int level = 0; level < CT_KERNEL_LEVELS; level++)
	{
		if (tables[level] == NULL)
			continue;
		exp_minus(tables[level], LENGTH(special), special, result);
		for (size_t i = 0; i < LENGTH(special); i++)
			check(isnan(expected[i]) ? isnan(result[i]) : result[i] == expected[i],
				  "%s: exp(-%g) is %g", tables[level]->name, special[i], result[i]);
	}
}


/* ---- Plain loops that every level must agree with ---- */

static double
plain_dot(const double *x, const double *y, size_t n)
{
	double		lanes[CT_SUM_LANES] = {0};

	for (size_t j = 0; j < n; j++)
		lanes[j % CT_SUM_LANES] += x[j] * y[j];
	for (int half = CT_SUM_LANES / 2; half > 0; half /= 2)
		for (int k = 0; k < half; k++)
			lanes[k] += lanes[k + half];
	return lanes[0];
}

static void
plain_substitute(const double *factor, size_t m, double *v)
{
	for (size_t i = 0; i < m; i++)
	{
		for (size_t j = 0; j < i; j++)
			v[i] -= factor[ct_factor_at(m, i, j)] * v[j];
		v[i] /= factor[ct_factor_at(m, i, i)];
	}
}

static void
plain_factorize(CtModel *model)
{
	double	   *factor = ct_model_factor(model);
	const double *inducing = ct_model_inducing(model);
	size_t		m = model->m;

	for (size_t j = 0; j < m; j++)
	{
		for (size_t i = j; i < m; i++)
		{
			double		rest = ct_model_covariance(model,
												   inducing + i * model->dims,
												   inducing + j * model->dims);

			if (i == j)
				rest += model->jitter * model->variance;
			for (size_t c = 0; c < j; c++)
				rest -= factor[ct_factor_at(m, i, c)] * factor[ct_factor_at(m, j, c)];
			factor[ct_factor_at(m, i, j)] = i == j ? sqrt(rest) :
				rest / factor[ct_factor_at(m, j, j)];
		}
	}
}

static void
plain_expand(const CtModel *model, const double *x, double *record)
{
	size_t		dims = model->dims;
	double	   *v = record + dims + 1;
	double		p;

	memcpy(record, x, dims * sizeof(double));
	for (size_t i = 0; i < model->m; i++)
		v[i] = ct_model_covariance(model, x, ct_model_inducing(model) + i * dims);
	plain_substitute(ct_model_factor(model), model->m, v);
	p = model->variance - plain_dot(v, v, model->m) + model->nugget;
	record[dims] = fmax(p, CT_MIN_RESIDUAL * model->variance);
}

/* a covariance in wide arithmetic */
static long double
wide_covariance(const CtModel *model, const double *x, const double *y)
{
	long double squares = 0;
	long double a;

	for (size_t j = 0; j < model->dims; j++)
	{
		long double ratio = ((long double) x[j] - y[j]) /
			ct_model_lengthscale(model)[j];

		squares += ratio * ratio;
	}
	switch (model->covariance)
	{
		case CT_COVARIANCE_MATERN12:
			return model->variance * expl(-sqrtl(squares));
		case CT_COVARIANCE_MATERN32:
			a = sqrtl(3 * squares);
			return model->variance * ((1 + a) * expl(-a));
		case CT_COVARIANCE_MATERN52:
			a = sqrtl(5 * squares);
			return model->variance * ((1 + a + a * a / 3) * expl(-a));
		default:
			return model->variance * expl(-squares / 2);
	}
}

static void
check_covariances(const CtModel *model, size_t n, const double *locations,
				  size_t stride)
{
	size_t		dims = model->dims;
	double	   *columns = doubles(dims * stride);
	double	   *result = doubles(n + 1);
	CtCovarianceFunction function = {
		.kind = (CtCovariance) model->covariance,
		.dim = dims,
		.variance = model->variance,
		.lengthscale = ct_model_lengthscale(model)
	};

	for (size_t i = 0; i < dims * stride; i++)
		columns[i] = NAN;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < dims; j++)
			columns[j * stride + i] = locations[i * dims + j];
	for (int level = 0; level < CT_KERNEL_LEVELS; level++)
	{
		if (tables[level] == NULL)
			continue;
		result[n] = 42.0;
		tables[level]->covariances(&function, locations, columns, stride, n,
								   result);
		check(result[n] == 42.0, "%s: wrote beyond covariances",
			  tables[level]->name);
		for (size_t i = 0; i < n; i++)
		{
			double		one = ct_model_covariance(model, locations + i * dims,
												  locations);
			double		other = ct_model_covariance(model, locations,
													locations + i * dims);

			check(same_bits(&one, result + i, 1) && same_bits(&one, &other, 1),
				  "%s %s: covariance %zu of %zu in %zu dimensions",
				  tables[level]->name, ct_covariance_name(model->covariance),
				  i, n, dims);
			check(!WIDER ||
				  fabsl(one - wide_covariance(model, locations, locations + i * dims)) <=
				  (0.5 * dims + 12) * 0x1p-53 * model->variance,
				  "%s: error of covariance %zu",
				  ct_covariance_name(model->covariance), i);
		}
	}
	free(columns);
	free(result);
}

/* factor and records of every level, in batches of any size */
static void
check_levels_of_model(CtModel *model, size_t n, const double *locations)
{
	size_t		size = ct_model_record_size(model);
	size_t		elements = ct_model_factor_size(model->m);
	double	   *factor = doubles(elements);
	double	   *expected = doubles(n * size);

	plain_factorize(model);
	memcpy(factor, ct_model_factor(model), elements * sizeof(double));
	for (size_t i = 0; i < n; i++)
		plain_expand(model, locations + i * model->dims, expected + i * size);
	for (int level = 0; level < CT_KERNEL_LEVELS; level++)
	{
		if (tables[level] == NULL)
			continue;
		memset(ct_model_factor(model), 0, elements * sizeof(double));
		check(ct_model_factorize(model, tables[level], NULL) == (int) model->m &&
			  same_bits(factor, ct_model_factor(model), elements),
			  "%s: other factor, m = %u", tables[level]->name, model->m);
		for (size_t batch = 1; batch <= n; batch += 1 + batch / 3)
		{
			double	   *records = expand(model, tables[level], batch, locations);

			check(same_bits(expected, records, batch * size),
				  "%s: other records, m = %u, %zu at once",
				  tables[level]->name, model->m, batch);
			free(records);
		}
	}
	free(factor);
	free(expected);
}

static void
check_levels(void)
{
	static double locations[53 * 10];

	for (size_t k = 0; k < LENGTH(awkward_sizes); k++)
	{
		size_t		m = awkward_sizes[k];
		size_t		dims = 1 + k % 10;
		size_t		n = m < 200 ? 53 : 19;
		CtModel    *model = create_model(covariances[k % 4], dims, m, 0.7, 1.7,
										 1e-6);

		fill_normal(ct_model_inducing(model), m * dims);
		fill_normal(locations, n * dims);
		check_levels_of_model(model, n, locations);
		for (size_t i = 0; i < LENGTH(covariances); i++)
		{
			model->covariance = covariances[i];
			check_covariances(model, n, locations, n + k % 3);
			check_covariances(model, 1 + k, locations, n);
		}
		free(model);
	}
}

/* dot products at any alignment, of any size, several at a time */
static void
check_dots(void)
{
	enum
	{
		LARGEST = 520, VECTORS = 11
	};
	static double space[(VECTORS + 1) * (LARGEST + 1)];
	char	   *base = (char *) space;
	double		x[LARGEST];
	double		y[VECTORS][LARGEST];

	for (size_t k = 0; k < 4 * LENGTH(awkward_sizes); k++)
	{
		size_t		n = awkward_sizes[k / 4];
		size_t		gap = k * 5 % 8;
		const double *operands[VECTORS];
		double		result[VECTORS + 1];
		double		table[VECTORS][VECTORS];

		fill_normal(x, n);
		memcpy(base + gap, x, n * sizeof(double));
		for (size_t i = 0; i < VECTORS; i++)
		{
			char	   *p = base + (i + 1) * (LARGEST + 1) * sizeof(double) + (gap + i) % 8;

			fill_normal(y[i], n);
			memcpy(p, y[i], n * sizeof(double));
			operands[i] = (const double *) (void *) p;
		}
		for (int level = 0; level < CT_KERNEL_LEVELS; level++)
		{
			const double *q = (const double *) (void *) (base + gap);

			if (tables[level] == NULL)
				continue;
			result[VECTORS] = 42.0;
			tables[level]->dots_f64(q, operands, VECTORS, n, result);
			check(result[VECTORS] == 42.0, "wrote beyond dot products");
			/* of all but one with all but one: no whole number of tiles */
			table[VECTORS - 2][VECTORS - 1] = 42.0;
			tables[level]->dot_table_f64(operands + 1, VECTORS - 1, operands,
										 VECTORS - 1, n, table[0], VECTORS);
			check(table[VECTORS - 2][VECTORS - 1] == 42.0,
				  "wrote beyond a table of dot products");
			for (size_t i = 0; i < VECTORS - 1; i++)
				for (size_t j = 0; j < VECTORS - 1; j++)
				{
					double		expected = plain_dot(y[i + 1], y[j], n);

					check(same_bits(&expected, &table[i][j], 1),
						  "%s: table of products of %zu elements",
						  tables[level]->name, n);
				}
			for (size_t i = 0; i < VECTORS; i++)
			{
				double		expected = plain_dot(x, y[i], n);
				double		one = tables[level]->dot_f64(q, operands[i], n);
				double		other = tables[level]->dot_f64(operands[i], q, n);

				check(same_bits(&expected, &one, 1) &&
					  same_bits(&expected, &other, 1) &&
					  same_bits(&expected, result + i, 1),
					  "%s: dot product of %zu elements", tables[level]->name, n);
			}
		}
	}
}

static void
check_combinations(void)
{
	enum
	{
		ROWS = 37, STRIDE = 530
	};
	static double rows[ROWS * STRIDE];
	double		weights[ROWS];
	double		expected[STRIDE];
	double		result[STRIDE];

	fill_normal(rows, ROWS * STRIDE);
	fill_normal(weights, ROWS);
	for (size_t k = 0; k < LENGTH(awkward_sizes); k++)
		for (size_t n = 0; n <= ROWS; n += 1 + n / 3)
		{
			size_t		count = awkward_sizes[k];

			for (size_t i = 0; i < count; i++)
			{
				volatile double sum = 0.0;

				for (size_t j = 0; j < n; j++)
				{
					volatile double product = weights[j] * rows[j * STRIDE + 1 + i];

					sum += product;
				}
				expected[i] = sum;
			}
			for (int level = 0; level < CT_KERNEL_LEVELS; level++)
			{
				if (tables[level] == NULL)
					continue;
				result[count] = 42.0;
				tables[level]->combine_f64(weights, n, rows + 1, STRIDE, count,
										   result);
				check(result[count] == 42.0, "wrote beyond a combination");
				check(same_bits(expected, result, count),
					  "%s: combination of %zu rows of %zu elements",
					  tables[level]->name, n, count);
			}
		}
}

/* ---- Error bounds and axioms ---- */

/* a record in wide arithmetic on the stored factor: p, features */
static void
wide_expand(const CtModel *model, const double *x, long double *wide)
{
	const double *factor = ct_model_factor(model);
	size_t		m = model->m;
	long double *v = wide + 1;

	for (size_t i = 0; i < m; i++)
		v[i] = wide_covariance(model, x, ct_model_inducing(model) + i * model->dims);
	wide[0] = model->variance;
	for (size_t j = 0; j < m; j++)
	{
		const double *column = factor + ct_factor_at(m, 0, j);

		v[j] /= column[j];
		for (size_t i = j + 1; i < m; i++)
			v[i] -= column[i] * v[j];
		wide[0] -= v[j] * v[j];
	}
	wide[0] += model->nugget;
	if (wide[0] < CT_MIN_RESIDUAL * model->variance)
		wide[0] = CT_MIN_RESIDUAL * model->variance;
}

/* the largest share of a bound that was used */
typedef struct Usage
{
	double		error;
	double		slack;
} Usage;

static void
use(double *largest, double share, const char *what, const CtModel *model)
{
	if (share > *largest)
		*largest = share;
	check(share <= 1.0, "%s, m = %u, jitter %g: %s is %g times its bound",
		  ct_covariance_name(model->covariance), model->m, model->jitter, what,
		  share);
}

static void
check_pair(const CtModel *model, const double *x, const double *y,
		   const long double *wide_x, const long double *wide_y, Usage *usage)
{
	size_t		dims = model->dims;
	long double covariance = wide_covariance(model, x, y);
	long double rho;
	double		is = ct_model_covariance(model, x, y) -
		best->dot_f64(x + dims + 1, y + dims + 1, model->m);
	double		slack = ct_model_slack(model, x[dims], y[dims]);

	for (size_t i = 1; i <= model->m; i++)
		covariance -= wide_x[i] * wide_y[i];
	rho = covariance / (sqrtl(wide_x[0]) * sqrtl(wide_y[0]));
	use(&usage->error, (double) fabsl(is - covariance) / model->error,
		"error of a covariance", model);
	use(&usage->error, (double) fabsl(x[dims] - wide_x[0]) / model->error,
		"error of p", model);
	check(slack <= 2.0 && slack > 0.0 && slack == ct_model_slack(model, y[dims], x[dims]) &&
		  slack >= ct_model_slack(model, 2 * x[dims], y[dims]), "slack %g", slack);

	/* equal places have correlation 1 by definition */
	if (memcmp(x, y, dims * sizeof(double)) != 0)
		use(&usage->slack,
			(double) fabsl(ct_model_correlation(model, best, x, y) - rho) / slack,
			"error of a correlation", model);
}

/* locations anywhere, near inducing points, at them, and far away */
static void
mixed_locations(const CtModel *model, size_t n, double *locations)
{
	for (size_t i = 0; i < n; i++)
	{
		double	   *x = locations + i * model->dims;
		const double *z = ct_model_inducing(model) +
			(model->m ? random_bits() % model->m : 0) * model->dims;

		for (size_t j = 0; j < model->dims; j++)
		{
			if (i % 4 == 0 || model->m == 0)
				x[j] = random_normal();
			else if (i % 4 == 1)
				x[j] = z[j] + random_unit() * 1e-3;
			else if (i % 4 == 2)
				x[j] = z[j] + random_unit() * 1e-8;
			else
				x[j] = i % 8 == 3 ? z[j] : 5 * random_normal();
		}
	}
}

static void
check_bounds_of_model(CtModel *model, Usage *usage)
{
	enum
	{
		COUNT = 24
	};
	size_t		size = ct_model_record_size(model);
	double	   *locations = doubles(COUNT * model->dims);
	long double *wide = allocate(COUNT * (model->m + 1), sizeof(*wide));
	double	   *records;

	fill_normal(ct_model_inducing(model), (size_t) model->m * model->dims);
	finish_model(model);
	mixed_locations(model, COUNT, locations);
	records = expand(model, best, COUNT, locations);
	for (size_t i = 0; i < COUNT; i++)
		wide_expand(model, locations + i * model->dims, wide + i * (model->m + 1));
	for (size_t i = 0; i < COUNT; i++)
		for (size_t k = 0; k < i; k++)
			check_pair(model, records + i * size, records + k * size,
					   wide + i * (model->m + 1), wide + k * (model->m + 1), usage);
	free(locations);
	free(wide);
	free(records);
}

static void
check_bounds(void)
{
	static const size_t sizes[] = {0, 1, 20, 150, 400};
	static const double jitters[] = {1e-4, 1e-6, 1e-9};
	static const double variances[] = {1.0, 1e-300, 3e299};
	Usage		usage = {0, 0};

	if (!WIDER)
	{
		printf("skipped: no wider arithmetic to check error bounds with\n");
		return;
	}
	for (size_t i = 0; i < LENGTH(sizes) * LENGTH(jitters) * 4; i++)
	{
		size_t		m = sizes[i / 4 % LENGTH(sizes)];
		CtModel    *model = create_model(covariances[i % 4], 1 + i % 3, m,
										 i % 2 ? 1.0 : 0.3, variances[i % 3],
										 jitters[i / 4 / LENGTH(sizes)]);

		if (i % 5 == 4)
			model->nugget = 0.1 * model->variance;
		check_bounds_of_model(model, &usage);
		free(model);
	}

	/* no jitter: well-conditioned without */
	for (int i = 0; i < 2; i++)
	{
		CtModel    *model = create_model(CT_COVARIANCE_MATERN12, 3, 100, 1.0, 2.0, 0);

		check_bounds_of_model(model, &usage);
		check(model->error < 1e-8, "no jitter: error %g", model->error);
		free(model);
	}
	printf("# bounds: at most %.2g of the error and %.2g of the slack were used\n",
		   usage.error, usage.slack);
}

/* the least or the most that the true angle may be */
static double
angle(double rho, double slack)
{
	rho = fabs(rho) - slack;
	return acos(fmin(1.0, fmax(0.0, rho)));
}

static void
check_triple(const CtModel *model, const double *x, const double *y,
			 const double *z)
{
	size_t		dims = model->dims;
	double		xy = ct_model_correlation(model, best, x, y);
	double		yz = ct_model_correlation(model, best, y, z);
	double		xz = ct_model_correlation(model, best, x, z);
	double		slack_xy = ct_model_slack(model, x[dims], y[dims]);
	double		slack_yz = ct_model_slack(model, y[dims], z[dims]);
	double		slack_xz = ct_model_slack(model, x[dims], z[dims]);
	double		d = ct_model_distance(model, best, x, y);

	check(xy == ct_model_correlation(model, best, y, x) &&
		  d == ct_model_distance(model, best, y, x), "symmetry");
	check(d >= 0.0 && d <= 1.0 && d == sqrt(1.0 - fabs(xy)), "d is %g", d);
	check(ct_model_distance(model, best, x, x) == 0.0 || model->nugget > 0,
		  "d of a location and itself");
	check(angle(xz, -slack_xz) <= angle(xy, slack_xy) + angle(yz, slack_yz) + 1e-15,
		  "triangle of angles: %g, %g, %g", xz, xy, yz);
	check(sqrt(fmax(0.0, 1 - fabs(xz) - slack_xz)) <=
		  sqrt(1 - fabs(xy) + slack_xy) + sqrt(1 - fabs(yz) + slack_yz) + 1e-15,
		  "triangle of distances: %g, %g, %g", xz, xy, yz);
}

static void
check_axioms(void)
{
	enum
	{
		COUNT = 40
	};
	double		locations[COUNT * 2];

	for (size_t k = 0; k < 8; k++)
	{
		CtModel    *model = create_model(covariances[k % 4], 2, 60, 1.0, 1.0,
										 1e-6);
		size_t		size = ct_model_record_size(model);
		double	   *records;

		model->nugget = k < 4 ? 0.0 : 1e-3;
		fill_normal(ct_model_inducing(model), 120);
		finish_model(model);
		mixed_locations(model, COUNT, locations);
		records = expand(model, best, COUNT, locations);
		for (size_t i = 0; i < COUNT; i++)
			for (size_t j = 0; j < COUNT; j++)
				for (size_t h = 0; h < COUNT; h++)
					check_triple(model, records + i * size, records + j * size,
								 records + h * size);
		free(records);
		free(model);
	}
}

/* signed zeros, nuggets at one place */
static void
check_same_place(void)
{
	static const double locations[] = {0.0, 1.0, -0.0, 1.0, 0.0, 1.0};
	CtModel    *model = create_model(CT_COVARIANCE_RBF, 2, 9, 1, 1, 1e-6);
	size_t		size = ct_model_record_size(model);
	double	   *records;
	double		d;

	fill_normal(ct_model_inducing(model), 18);
	finish_model(model);
	records = expand(model, best, 3, locations);
	check(ct_model_distance(model, best, records, records + size) == 0.0,
		  "distance of 0 and -0");
	free(records);

	model->nugget = 0.5;
	ct_model_set_error(model);
	records = expand(model, best, 3, locations);
	d = ct_model_distance(model, best, records, records + 2 * size);
	check(d > 0.1 && d == ct_model_distance(model, best, records + size, records),
		  "with a nugget, two rows at one place are at distance %g", d);
	free(records);
	free(model);
}

/* nothing is NaN, however large or small */
static void
check_extremes(void)
{
	static const double scales[] = {1e-300, 1e-8, 1, 1e8, 1e160, 1e300};
	static const double variances[] = {1e-300, 1, 1e300};
	double		locations[20];

	for (size_t k = 0; k < LENGTH(scales) * LENGTH(scales) * LENGTH(variances) * 4; k++)
	{
		CtModel    *model = create_model(covariances[k % 4], 2, 5,
										 scales[k / 4 % 6], variances[k / 24 % 3],
										 1e-6);
		size_t		size = ct_model_record_size(model);
		double	   *records;

		fill_normal(locations, 20);
		for (size_t i = 0; i < 20; i++)
			locations[i] *= scales[k / 72];
		memcpy(ct_model_inducing(model), locations, 10 * sizeof(double));
		locations[19] = -DBL_MAX;
		locations[18] = DBL_MAX;
		locations[17] = 0x1p-1074;
		finish_model(model);
		check(model->error < 1e-7 * model->variance, "error %g", model->error);
		records = expand(model, best, 10, locations);
		for (size_t i = 0; i < 100; i++)
		{
			double		d = ct_model_distance(model, best, records + i / 10 * size,
											  records + i % 10 * size);

			check(d >= 0.0 && d <= 1.0 && (i / 10 != i % 10 || d == 0.0),
				  "extremes: d is %g", d);
			check(records[i / 10 * size + 2] > 0.0 &&
				  records[i / 10 * size + 2] <= model->variance, "extremes: p is %g",
				  records[i / 10 * size + 2]);
		}
		free(records);
		free(model);
	}
}

static bool
always(void)
{
	return true;
}

static void
check_failures(void)
{
	CtModel    *model = create_model(CT_COVARIANCE_RBF, 1, 30, 1, 1, 0);

	for (size_t i = 0; i < 30; i++)
		ct_model_inducing(model)[i] = i == 20 ? 0.0 : 50.0 * (double) i;
	for (int level = 0; level < CT_KERNEL_LEVELS; level++)
		if (tables[level] != NULL)
			check(ct_model_factorize(model, tables[level], NULL) == 20,
				  "%s: column that is not positive definite", tables[level]->name);
	check(ct_model_factorize(model, best, always) == -1,
		  "interrupted factorization");

	/* nearly the same: no bound, and it shows */
	for (size_t i = 0; i < 30; i++)
		ct_model_inducing(model)[i] = 0.3 * (double) i;
	if (ct_model_factorize(model, best, NULL) == 30)
	{
		ct_model_set_error(model);
		check(ct_model_slack(model, 1e-9, 1e-9) == 2.0, "slack without jitter");
	}
	free(model);
}


/* ---- k-means ---- */

static double
inertia(const double *points, size_t n, size_t dims, const double *centres,
		size_t m)
{
	double		sum = 0.0;

	for (size_t i = 0; i < n; i++)
	{
		double		least = INFINITY;

		for (size_t c = 0; c < m; c++)
			least = fmin(least, best->l2_f64(points + i * dims, centres + c * dims, dims));
		sum += least * least;
	}
	return sum;
}

/* well separated groups are found, each with its mean for a centre */
static void
check_groups(void)
{
	double		points[600];
	double		centres[12];

	for (size_t i = 0; i < 300; i++)
	{
		points[2 * i] = 100.0 * (double) (i % 6) + random_unit();
		points[2 * i + 1] = random_unit();
	}
	for (uint64_t seed = 0; seed < 20; seed++)
	{
		check(ct_kmeans(best, points, 300, 2, 6, seed, 30, centres, NULL),
			  "kmeans failed");
		check(inertia(points, 300, 2, centres, 6) < 300.0, "groups not found");
	}
}

static void
check_kmeans(void)
{
	enum
	{
		COUNT = 2000, DIMS = 3, CENTRES = 40
	};
	static double points[COUNT * DIMS];
	double		centres[2][CENTRES * DIMS];
	double		seeded;

	fill_normal(points, COUNT * DIMS);
	check(ct_kmeans(tables[0], points, COUNT, DIMS, CENTRES, 7, 0, centres[0], NULL),
		  "kmeans failed");
	seeded = inertia(points, COUNT, DIMS, centres[0], CENTRES);
	check(seeded < inertia(points, COUNT, DIMS, points, CENTRES) * 1.1, "seeding");
	ct_kmeans(tables[0], points, COUNT, DIMS, CENTRES, 7, 20, centres[0], NULL);
	check(inertia(points, COUNT, DIMS, centres[0], CENTRES) < 0.9 * seeded, "Lloyd");
	for (int level = 0; level < CT_KERNEL_LEVELS; level++)
	{
		if (tables[level] == NULL)
			continue;
		ct_kmeans(tables[level], points, COUNT, DIMS, CENTRES, 7, 20, centres[1], NULL);
		check(same_bits(centres[0], centres[1], CENTRES * DIMS),
			  "%s: other centres", tables[level]->name);
	}
	ct_kmeans(best, points, COUNT, DIMS, CENTRES, 8, 20, centres[1], NULL);
	check(!same_bits(centres[0], centres[1], CENTRES * DIMS),
		  "the seed does not matter");

	/* as many centres as points: each point is one */
	ct_kmeans(best, points, CENTRES, DIMS, CENTRES, 1, 5, centres[0], NULL);
	check(inertia(points, CENTRES, DIMS, centres[0], CENTRES) == 0.0, "n = m");

	/* interrupted */
	check(!ct_kmeans(best, points, COUNT, DIMS, COUNT / 2, 1, 5,
					 doubles(COUNT * DIMS), always), "not interrupted");

	/* too few places, then too large ones */
	for (size_t i = 0; i < COUNT * DIMS; i++)
		points[i] = (double) (i / DIMS % 5);
	ct_kmeans(best, points, COUNT, DIMS, CENTRES, 1, 5, centres[0], NULL);
	check(inertia(points, COUNT, DIMS, centres[0], CENTRES) == 0.0, "few places");
	for (size_t i = 0; i < COUNT * DIMS; i++)
		points[i] = random_unit() * DBL_MAX;
	ct_kmeans(best, points, COUNT, DIMS, CENTRES, 1, 5, centres[0], NULL);
	for (size_t i = 0; i < CENTRES * DIMS; i++)
		check(fabs(centres[0][i]) <= DBL_MAX, "a centre is not finite");
	check_groups();
}

int
main(int argc, char **argv)
{
	char	   *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;

	for (int level = 0; level < CT_KERNEL_LEVELS; level++)
	{
		tables[level] = ct_kernel_table((CtKernelLevel) level);
		if (tables[level] != NULL)
			best = tables[level];
		else
			printf("skipped: level %d\n", level);
	}
	if (slash)
		*slash = '\0';

	check_names();
	check_hand_table();
	check_fixture(slash ? argv[0] : ".");
	check_exp();
	check_levels();
	check_dots();
	check_combinations();
	check_bounds();
	check_axioms();
	check_same_place();
	check_extremes();
	check_failures();
	check_kmeans();

	if (failures > 0)
	{
		printf("%lu checks failed\n", failures);
		return 1;
	}
	printf("ok\n");
	return 0;
}
