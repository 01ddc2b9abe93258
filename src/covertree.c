/*-------------------------------------------------------------------------
 *
 * covertree.c
 *	  Module start: settings, relation options, choice of kernels.
 *
 * IDENTIFICATION
 *	  src/covertree.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "ct_am.h"
#include "ct_progress.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

PG_FUNCTION_INFO_V1(covertree_kernel_level);

#define KERNEL_AUTO	(-1)

static const struct config_enum_entry kernel_levels[] = {
	{"auto", KERNEL_AUTO, false},
	{"scalar", CT_KERNEL_SCALAR, false},
	{"avx2", CT_KERNEL_AVX2, false},
	{"avx512", CT_KERNEL_AVX512, false},
	{NULL, 0, false}
};

static int	kernel_level = KERNEL_AUTO;
int			ct_bulk_search_stop = 0;
static const CtKernelTable *kernels = &ct_kernel_scalar;

CtScanStats ct_scan_stats;

/* The kernels in use. */
const CtKernelTable *
ct_kernels(void)
{
	return kernels;
}

static bool
check_kernel_level(int *value, void **extra, GucSource source)
{
	if (*value != KERNEL_AUTO &&
		ct_kernel_table((CtKernelLevel) *value) == NULL)
	{
		GUC_check_errdetail("This processor or operating system does not support the instructions.");
		return false;
	}
	return true;
}

static void
assign_kernel_level(int value, void *extra)
{
	kernels = ct_kernel_table(value == KERNEL_AUTO ? ct_kernel_supported() :
							  (CtKernelLevel) value);
}

void
_PG_init(void)
{
	assign_kernel_level(KERNEL_AUTO, NULL);
	DefineCustomEnumVariable("covertree.kernel_level",
							 "Instruction set of the distance kernels.",
							 "All levels compute the same bits; this is for tests.",
							 &kernel_level, KERNEL_AUTO, kernel_levels,
							 PGC_USERSET, 0,
							 check_kernel_level, assign_kernel_level, NULL);
	DefineCustomIntVariable("covertree.bulk_search_stop",
							"Step at which a bulk search waits for an advisory lock.",
							"This is for tests.",
							&ct_bulk_search_stop, 0, 0, INT_MAX,
							PGC_SUSET, GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE,
							NULL, NULL, NULL);
	MarkGUCPrefixReserved("covertree");
	ct_options_init();
}

Datum
covertree_kernel_level(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(kernels->name));
}
