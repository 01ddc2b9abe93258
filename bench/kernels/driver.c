/*
 * driver.c
 *		Runs one kernel, to be timed or followed instruction by instruction.
 *
 *		driver list						name, unit and units a call of every case
 *		driver time CASE LEVEL			core cycles a call
 *		driver trace CASE LEVEL			how often each address was executed in one call
 *
 * Linked with the kernels alone, at fixed addresses, so that a trace can be
 * read beside the program's disassembly.  To add a kernel, add a line to
 * cases[].
 *
 * Cycles: the time stamp counter ticks at its own rate, so a chain of
 * multiplications of known latency is timed beside the kernel, and gives the ratio.
 * The least of many trials is taken; data are in the first or second cache.
 *
 * IDENTIFICATION
 *		bench/kernels/driver.c
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <unistd.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <x86intrin.h>

#include "ct_kernel.h"

#define TRIALS			400
#define MUL_LATENCY		3		/* of a 64-bit multiplication, on all processors considered */
#define MAX_CODE		(1 << 22)

typedef struct Case Case;
struct Case
{
	const char *name;
	const char *unit;			/* what cycles are counted by */
	size_t		n;
	size_t		dim;
	size_t		units;			/* in a call */
	void		(*run) (const CtKernelTable *table, const Case *c);
	CtCovariance kind;
};

/* operands, far larger than any case needs */
#define SPACE	(1 << 19)
static double f64[SPACE] __attribute__((aligned(64)));
static float f32[SPACE] __attribute__((aligned(64)));
static int8_t bytes[SPACE] __attribute__((aligned(64)));
static double out[SPACE] __attribute__((aligned(64)));
static double factor[SPACE] __attribute__((aligned(64)));
static float fout[SPACE] __attribute__((aligned(64)));
static double query[4096] __attribute__((aligned(64)));
static float fquery[4096] __attribute__((aligned(64)));
static double lengthscale[16];
static int16_t words[4096] __attribute__((aligned(64)));
static int32_t sums[SPACE] __attribute__((aligned(64)));
static uint16_t chosen[4096] __attribute__((aligned(64)));
static uint64_t tags[4096] __attribute__((aligned(64)));
static uint64_t kept[4096] __attribute__((aligned(64)));
static uint32_t ranks[4096] __attribute__((aligned(64)));
static uint32_t quads[4096] __attribute__((aligned(64)));
static uint8_t queries[CT_BLOCK];
static const double *vectors[64];
static const double *packs[8];
static const float *rho[CT_BLOCK_BASIS];
static CtBlockQueries block __attribute__((aligned(64)));
static CtCandidate candidates[CT_BLOCK_WIDE + CT_OFFER_BESIDES] __attribute__((aligned(64)));
static volatile double sink;

static void
run_l2_columns_f64(const CtKernelTable *t, const Case *c)
{
	t->l2_columns_f64(query, f64, c->n, c->n, c->dim, out);
}

static void
run_squares_columns_f64(const CtKernelTable *t, const Case *c)
{
	t->squares_columns_f64(query, f64, c->n, c->n, c->dim, out);
}

static void
run_l2_columns_f32(const CtKernelTable *t, const Case *c)
{
	t->l2_columns_f32(query, f32, c->n, c->n, c->dim, out);
}

static void
run_l2_f64(const CtKernelTable *t, const Case *c)
{
	sink = t->l2_f64(query, f64, c->dim);
}

static void
run_l2_f32(const CtKernelTable *t, const Case *c)
{
	sink = t->l2_f32(query, f32, c->dim);
}

static void
run_box_distances(const CtKernelTable *t, const Case *c)
{
	t->box_distances(query, f32, c->n, c->n, c->dim, out);
}

static void
run_box_squares(const CtKernelTable *t, const Case *c)
{
	t->box_squares(query, f32, c->n, c->n, c->dim, out);
}

static void
run_share_products(const CtKernelTable *t, const Case *c)
{
	t->share_products(fquery, bytes, c->n, c->n, c->dim, fout);
}

static void
run_code_sums(const CtKernelTable *t, const Case *c)
{
	t->code_sums(words, (const uint8_t *) bytes, c->n, c->n, c->dim / 2, sums);
}

static void
run_quantize(const CtKernelTable *t, const Case *c)
{
	double		squares,
				offsets;

	t->quantize(query, f32, 0.01, 1000, c->dim, words, &squares, &offsets);
	sink = squares + offsets;
}

static void
run_block_boxes(const CtKernelTable *t, const Case *c)
{
	sink = (double) t->block_boxes(f32, fquery, c->dim, fquery + 2 * c->dim, fout);
}

static void
run_block_codes(const CtKernelTable *t, const Case *c)
{
	static CtBlockCodes codes = {quads};

	t->block_codes(f32, fquery, c->dim / 4, 0, &codes);
}

static void
run_block_reach(const CtKernelTable *t, const Case *c)
{
	CtBlockReach reach = {quads, c->dim / 4, CT_BLOCK, queries, f32, fquery, sums, chosen};

	t->block_reach(&reach, (const uint8_t *) bytes, f32 + CT_BLOCK, c->n);
}

static void
run_block_products(const CtKernelTable *t, const Case *c)
{
	t->block_products(vectors, 24, packs, c->n, c->dim, out);
}

static void
run_largest_products(const CtKernelTable *t, const Case *c)
{
	t->largest_products(f32, c->dim, f32 + SPACE / 2, c->n / CT_KNOT_PANEL, fout);
}

static void
run_block_correlations(const CtKernelTable *t, const Case *c)
{
	CtCorrelations q = {{c->kind, c->dim, 1.0, lengthscale}, lengthscale, c->n, f64, query};

	t->block_correlations(&q, vectors, query, 24, out, fout, CT_BLOCK);
}

static void
run_block_shares(const CtKernelTable *t, const Case *c)
{
	t->block_shares(f32, c->n, rho, block.shares, fout);
}

static void
run_block_weigh(const CtKernelTable *t, const Case *c)
{
	static const CtBlockBasis basis = {1e-4f, 1e-6f, 1e-5f, 1e-5f, 0.1f, 1e-5f, 1e-6f, 0.5f};

	(void) c;
	sink = (double) t->block_weigh(&basis, &block);
}

static void
run_block_survivors(const CtKernelTable *t, const Case *c)
{
	sink = (double) t->block_survivors(&block, queries, c->n, bytes, CT_BLOCK_WIDE, fquery, CT_BLOCK_WIDE,
									   c->dim, fquery + CT_BLOCK_BASIS, fout);
}

/* one row in seven is kept */
static void
run_block_offer(const CtKernelTable *t, const Case *c)
{
	static const CtBlockOffer offer = {0.1f, 0.1f, 1.0f, 0.0f, 0.0f, 0, UINT64_MAX};
	bool		left_out;

	(void) c;
	sink = (double) t->block_offer(&offer, f32, fquery, out, candidates, &left_out);
}

static void
run_grouped_product(const CtKernelTable *t, const Case *c)
{
	t->grouped_product(f32, c->n, query, out);
}

static void
run_argmin_f64(const CtKernelTable *t, const Case *c)
{
	sink = (double) t->argmin_f64(f64, c->n);
}

static void
run_count_f64(const CtKernelTable *t, const Case *c)
{
	sink = (double) t->count_f64(f64, c->n, 0.1);
}

static void
run_choose_f64(const CtKernelTable *t, const Case *c)
{
	double		rest;

	sink = (double) t->choose_f64(f64, c->n, 0.05, 0.1, chosen, &rest);
	sink = rest;
}

static void
run_keep_at_most(const CtKernelTable *t, const Case *c)
{
	sink = (double) t->keep_at_most(f64, tags, c->n, 0.1, out, kept);
}

static void
run_ranks_f64(const CtKernelTable *t, const Case *c)
{
	t->ranks_f64(f64, c->n, ranks);
}

static void
run_dot_f64(const CtKernelTable *t, const Case *c)
{
	sink = t->dot_f64(query, f64, c->dim);
}

static void
run_dots_f64(const CtKernelTable *t, const Case *c)
{
	t->dots_f64(query, vectors, c->n, c->dim, out);
}

static void
run_covariances(const CtKernelTable *t, const Case *c)
{
	CtCovarianceFunction function = {c->kind, c->dim, 1.0, lengthscale};

	t->covariances(&function, query, f64, c->n, c->n, out);
}

static void
run_substitute(const CtKernelTable *t, const Case *c)
{
	t->substitute(factor, c->n, out);
}

static void
run_substitute_batch(const CtKernelTable *t, const Case *c)
{
	t->substitute_batch(factor, c->n, out);
}

static void
run_factor_update(const CtKernelTable *t, const Case *c)
{
	t->factor_update(out, c->n, c->n / 2, 0, c->n / 2);
}

#define POINTS		"point and dimension"
#define PRODUCT		"product"

static const Case cases[] = {
	{"l2_columns_f64/2", POINTS, 192, 2, 192 * 2, run_l2_columns_f64},
	{"l2_columns_f64/3", POINTS, 192, 3, 192 * 3, run_l2_columns_f64},
	{"l2_columns_f64/8", POINTS, 96, 8, 96 * 8, run_l2_columns_f64},
	{"l2_columns_f64/32", POINTS, 32, 32, 32 * 32, run_l2_columns_f64},
	{"squares_columns_f64/3", POINTS, 192, 3, 192 * 3, run_squares_columns_f64},
	{"squares_columns_f64/8", POINTS, 96, 8, 96 * 8, run_squares_columns_f64},
	{"l2_columns_f32/3", POINTS, 256, 3, 256 * 3, run_l2_columns_f32},
	{"l2_columns_f32/64", POINTS, 32, 64, 32 * 64, run_l2_columns_f32},
	{"l2_f64/64", POINTS, 1, 64, 64, run_l2_f64},
	{"l2_f32/64", POINTS, 1, 64, 64, run_l2_f32},
	{"l2_f32/1536", POINTS, 1, 1536, 1536, run_l2_f32},
	{"box_distances/2", "box and dimension", 96, 2, 96 * 2, run_box_distances},
	{"box_distances/3", "box and dimension", 96, 3, 96 * 3, run_box_distances},
	{"box_distances/8", "box and dimension", 64, 8, 64 * 8, run_box_distances},
	{"box_squares/3", "box and dimension", 96, 3, 96 * 3, run_box_squares},
	{"argmin_f64", "key", 192, 1, 192, run_argmin_f64},
	{"count_f64", "key", 512, 1, 512, run_count_f64},
	{"choose_f64", "key", 192, 1, 192, run_choose_f64},
	{"keep_at_most", "key", 512, 1, 512, run_keep_at_most},
	{"ranks_f64", "pair of keys", 64, 1, 64 * 64, run_ranks_f64},
	{"share_products/40", "row and share", 52, 40, 52 * 40, run_share_products},
	{"code_sums/64", "row and code", 96, 64, 96 * 64, run_code_sums},
	{"quantize/64", "coordinate", 1, 64, 64, run_quantize},
	{"block_boxes/16", "query and dimension", CT_BLOCK, 16, CT_BLOCK * 16, run_block_boxes},
	{"block_codes/64", "query and coordinate", CT_CODE_LANES, 64, CT_CODE_LANES * 64, run_block_codes},
	{"block_reach/64", "query, row and code", 96, 64, CT_BLOCK * 96 * 64, run_block_reach},
	{"block_products/8", PRODUCT, 8, 512, 24 * 8 * CT_PACK * 512, run_block_products},
	{"block_products/1", PRODUCT, 1, 512, 24 * CT_PACK * 512, run_block_products},
	{"largest_products/48", PRODUCT, 48, 512, 48 * 512 * 520 / 2, run_largest_products},
	{"largest_products/16", PRODUCT, 16, 512, 16 * 512 * 520 / 2, run_largest_products},
	{"block_correlations/rbf", "query", CT_BLOCK, 3, 24 * CT_BLOCK, run_block_correlations, CT_COVARIANCE_RBF},
	{"block_correlations/matern52", "query", CT_BLOCK, 3, 24 * CT_BLOCK, run_block_correlations, CT_COVARIANCE_MATERN52},
	{"block_shares/32", PRODUCT, 32, 32, CT_BLOCK * 32 * 33 / 2, run_block_shares},
	{"block_weigh", "query", CT_BLOCK, 1, CT_BLOCK, run_block_weigh},
	{"block_survivors/64", "query, row and share", 64, 32, 64 * CT_BLOCK_WIDE * 32, run_block_survivors},
	{"block_survivors/16", "query, row and share", 16, 32, 16 * CT_BLOCK_WIDE * 32, run_block_survivors},
	{"block_offer", "row", CT_BLOCK_WIDE, 1, CT_BLOCK_WIDE, run_block_offer},
	{"grouped_product/40", PRODUCT, 40, 40, 40 * 41 / 2, run_grouped_product},
	{"dot_f64/512", PRODUCT, 1, 512, 512, run_dot_f64},
	{"dots_f64/512", PRODUCT, 16, 512, 16 * 512, run_dots_f64},
	{"covariances/rbf", "location", 512, 3, 512, run_covariances, CT_COVARIANCE_RBF},
	{"covariances/matern12", "location", 512, 3, 512, run_covariances, CT_COVARIANCE_MATERN12},
	{"covariances/matern52", "location", 512, 3, 512, run_covariances, CT_COVARIANCE_MATERN52},
	{"substitute/512", PRODUCT, 512, 1, 512 * 511 / 2, run_substitute},
	{"substitute_batch/128", PRODUCT, 128, 1, 128 * 127 / 2 * CT_BATCH, run_substitute_batch},
	{"factor_update/128", PRODUCT, 128, 1, 64 * CT_FACTOR_PANEL * (64 - CT_FACTOR_PANEL), run_factor_update},
};

#define NCASES	(sizeof(cases) / sizeof(cases[0]))

static double
number(void)
{
	static uint64_t state = 42;

	state = state * 6364136223846793005u + 1442695040888963407u;
	return (double) (state >> 11) * 0x1p-53;
}

/* Values that no kernel takes a rare path for; a factor near the unit matrix. */
static void
fill(size_t m)
{
	for (size_t i = 0; i < SPACE; i++)
	{
		f64[i] = number();
		f32[i] = (float) number();
		bytes[i] = (int8_t) (252 * number() - 126);
		out[i] = number();
		factor[i] = 1e-3 * number();
	}
	for (size_t j = 0; j < m; j++)
		factor[ct_factor_at(m, j, j)] = 1.0;
	for (size_t i = 0; i < 4096; i++)
	{
		query[i] = number();
		fquery[i] = (float) number();
		words[i] = (int16_t) (255 * number());
		quads[i] = (uint32_t) (0x1p32 * number());
	}
	for (size_t i = 0; i < CT_BLOCK; i++)
		queries[i] = (uint8_t) i;
	for (size_t i = 0; i < 16; i++)
		lengthscale[i] = 1.0;
	for (size_t i = 0; i < 64; i++)
		vectors[i] = f64 + i * 520;
	for (size_t i = 0; i < 8; i++)
		packs[i] = factor + i * CT_PACK * 512;
	for (size_t i = 0; i < CT_BLOCK_BASIS; i++)
		rho[i] = f32 + 2048 + (i * 7919 + 13) % 509 * CT_BLOCK; /* anywhere, like pivots */
	for (size_t i = 0; i < CT_BLOCK_BASIS * CT_BLOCK; i++)
		block.shares[i] = (float) number();
	for (size_t i = 0; i < CT_BLOCK; i++)
	{
		block.squares[i] = (float) number();
		block.slack[i] = 1e-5f;
		block.cuts[i] = block.rests[i] = block.needed[i] = (float) number();
	}
}

/* boxes: upper limits above the lower ones */
static void
fix_boxes(const Case *c)
{
	if (c->run == run_box_distances || c->run == run_box_squares)
		for (size_t i = 0; i < c->n * c->dim; i++)
			f32[c->n * c->dim + i] = f32[i] + 0.1f;
	if (c->run == run_block_boxes)
		for (size_t j = 0; j < c->dim; j++)
			fquery[c->dim + j] = fquery[j] + 0.1f;
}

static uint64_t
ticks(void)
{
	uint64_t	t;

	_mm_lfence();
	t = __rdtsc();
	_mm_lfence();
	return t;
}

/* ticks of a chain of a thousand multiplications */
static uint64_t
chain(void)
{
	uint64_t	x = 3,
				began = ticks();

	for (int i = 0; i < 100; i++)
		__asm__ volatile("imul %0, %0\n\timul %0, %0\n\timul %0, %0\n\timul %0, %0\n\timul %0, %0\n\t"
						 "imul %0, %0\n\timul %0, %0\n\timul %0, %0\n\timul %0, %0\n\timul %0, %0"
						 : "+r" (x));
	return ticks() - began;
}

static void
time_case(const CtKernelTable *table, const Case *c)
{
	double		best = 1e300;
	int			calls = 1;

	for (;;)
	{
		uint64_t	began = ticks();

		for (int i = 0; i < calls; i++)
			c->run(table, c);
		if (ticks() - began > 20000 || calls >= 4096)
			break;
		calls *= 2;
	}
	for (int trial = 0; trial < TRIALS; trial++)
	{
		uint64_t	before = chain(),
					began = ticks(),
					spent,
					after;
		double		cycles;

		for (int i = 0; i < calls; i++)
			c->run(table, c);
		spent = ticks() - began;
		after = chain();
		/* the clock may change meanwhile, or another task come between */
		if (before > after * 1.02 || after > before * 1.02)
			continue;
		cycles = (double) spent / calls * (1000.0 * MUL_LATENCY / ((before + after) / 2.0));
		if (cycles < best)
			best = cycles;
	}
	printf("%.2f\n", best);
}

static void __attribute__((noinline))
trace_end(void)
{
	__asm__ volatile("");
}

static void
trace_case(const CtKernelTable *table, const Case *c)
{
	pid_t		child = fork();
	unsigned   *count = calloc(MAX_CODE, sizeof(unsigned));
	int			status;
	unsigned long long last = 0;
	struct user_regs_struct regs;

	if (child == 0)
	{
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
			_exit(1);
		c->run(table, c);
		raise(SIGSTOP);
		c->run(table, c);
		trace_end();
		_exit(0);
	}
	if (!count || waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status))
	{
		fprintf(stderr, "no process to trace\n");
		exit(1);
	}
	for (;;)
	{
		if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0 || waitpid(child, &status, 0) < 0 ||
			!WIFSTOPPED(status) || ptrace(PTRACE_GETREGS, child, NULL, &regs) != 0)
			break;
		if (regs.rip == (uintptr_t) trace_end)
			break;
		/* a repeated instruction stops once for each time, but is one */
		if (regs.rip >= 0x400000 && regs.rip < 0x400000 + MAX_CODE && regs.rip != last)
			count[regs.rip - 0x400000]++;
		last = regs.rip;
	}
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	for (size_t i = 0; i < MAX_CODE; i++)
		if (count[i])
			printf("%zx %u\n", i + 0x400000, count[i]);
}

int
main(int argc, char **argv)
{
	const CtKernelTable *table = NULL;

	if (argc == 2 && strcmp(argv[1], "list") == 0)
	{
		for (size_t i = 0; i < NCASES; i++)
			printf("%s\t%s\t%zu\n", cases[i].name, cases[i].unit, cases[i].units);
		return 0;
	}
	if (argc != 4)
		return 2;
	for (int level = 0; level < CT_KERNEL_LEVELS; level++)
		if (ct_kernel_table(level) && strcmp(ct_kernel_table(level)->name, argv[3]) == 0)
			table = ct_kernel_table(level);
	if (!table)
		return 3;				/* not on this machine */
	for (size_t i = 0; i < NCASES; i++)
	{
		if (strcmp(cases[i].name, argv[2]) != 0)
			continue;
		fill(cases[i].n);
		fix_boxes(&cases[i]);
		if (strcmp(argv[1], "time") == 0)
			time_case(table, &cases[i]);
		else
			trace_case(table, &cases[i]);
		return 0;
	}
	return 2;
}
