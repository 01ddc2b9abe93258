/*-------------------------------------------------------------------------
 *
 * ct_kernel_dispatch.c
 *	  Which kernel tables this machine can run.
 *
 * The processor says in CPUID what it can do; the operating system says in
 * XCR0 which registers it saves.  A level needs both.
 *
 * IDENTIFICATION
 *	  src/kernel/ct_kernel_dispatch.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_kernel.h"

#ifdef __x86_64__

#include <cpuid.h>

/* CPUID leaf 1, ECX */
#define CPU_FMA				(1U << 12)
#define CPU_OSXSAVE			(1U << 27)
#define CPU_AVX				(1U << 28)

/* CPUID leaf 7, EBX */
#define CPU_AVX2			(1U << 5)
#define CPU_AVX512F			(1U << 16)
#define CPU_AVX512DQ		(1U << 17)
#define CPU_AVX512BW		(1U << 30)
#define CPU_AVX512VL		(1U << 31)
#define CPU_AVX512 \
	(CPU_AVX512F | CPU_AVX512DQ | CPU_AVX512BW | CPU_AVX512VL)

/* CPUID leaf 7, ECX */
#define CPU_AVX512_VNNI		(1U << 11)

/* XCR0: SSE and AVX registers; also mask registers and both parts of ZMM */
#define SAVED_YMM			0x06U
#define SAVED_ZMM			0xE6U

static unsigned int
read_xcr0(void)
{
	unsigned int low,
				high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return low;
}

static CtKernelLevel
detect_level(void)
{
	unsigned int eax,
				ebx,
				ecx,
				edx;
	unsigned int saved;
	bool		fma;

	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) ||
		(ecx & (CPU_OSXSAVE | CPU_AVX)) != (CPU_OSXSAVE | CPU_AVX))
		return CT_KERNEL_SCALAR;
	fma = (ecx & CPU_FMA) != 0;

	saved = read_xcr0();
	if ((saved & SAVED_YMM) != SAVED_YMM ||
		!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) ||
		(ebx & CPU_AVX2) == 0 || !fma)
		return CT_KERNEL_SCALAR;

	if ((saved & SAVED_ZMM) != SAVED_ZMM ||
		(ebx & CPU_AVX512) != CPU_AVX512)
		return CT_KERNEL_AVX2;
	return CT_KERNEL_AVX512;
}

static bool
detect_vnni(void)
{
	unsigned int eax,
				ebx,
				ecx,
				edx;

	return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) &&
		(ecx & CPU_AVX512_VNNI) != 0;
}

#else

static CtKernelLevel
detect_level(void)
{
	return CT_KERNEL_SCALAR;
}

static bool
detect_vnni(void)
{
	return false;
}

#endif							/* __x86_64__ */

/* CPUID is slow on a virtual machine, so ask once. */
CtKernelLevel
ct_kernel_supported(void)
{
	static bool known = false;
	static CtKernelLevel level;

	if (!known)
	{
		level = detect_level();
		known = true;
	}
	return level;
}

/* Known when the table of AVX-512 has been asked for: threads only read it. */
bool
ct_kernel_has_vnni(void)
{
	static bool known = false;
	static bool has;

	if (!known)
	{
		has = detect_vnni();
		known = true;
	}
	return has;
}

const CtKernelTable *
ct_kernel_table(CtKernelLevel level)
{
	if (level > ct_kernel_supported())
		return NULL;
	switch (level)
	{
		case CT_KERNEL_SCALAR:
			return &ct_kernel_scalar;
#ifdef __x86_64__
		case CT_KERNEL_AVX2:
			return &ct_kernel_avx2;
		case CT_KERNEL_AVX512:
			(void) ct_kernel_has_vnni();
			return &ct_kernel_avx512;
#else
		default:
			break;
#endif
	}
	return NULL;
}
