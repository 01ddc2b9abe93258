# covertree: exact nearest neighbours, an index access method for PostgreSQL
#
#   make                 build the module
#   make install         install it into the server that PG_CONFIG belongs to
#   make installcheck    pg_regress, isolation and TAP tests on a running server
#   make unit            tests of the distance kernels, without a server
#   make check-layers    house rules: who may include what, every test is listed
#
# scripts/check.sh does all of it on a throw-away cluster.

MODULE_big = covertree
EXTENSION = covertree
DATA = covertree--1.0.sql
PGFILEDESC = "covertree - exact nearest neighbours with a cover tree"

# Base names are unique over all folders (scripts/check_layers.sh sees to it).
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))

REGRESS = \
	setup \
	types \
	operands \
	knn \
	orders \
	near \
	insert \
	build \
	build_parallel \
	delete_vacuum \
	null \
	options \
	unlogged \
	duplicates \
	dimensions \
	sketches \
	validate \
	inspect \
	errors \
	tables_setup \
	bulk_setup \
	bulk_search \
	bulk_search_codes \
	bulk_search_residual \
	differential \
	ddl \
	partition \
	kernels \
	models \
	inducing \
	residual \
	residual_errors \
	residual_growth \
	residual_knots \
	residual_ddl

ISOLATION := $(sort $(patsubst specs/%.spec,%,$(wildcard specs/*.spec)))

TAP_TESTS = 1

# A distance must have the same bits on every machine, so arithmetic stays as
# written: no fast-math, no contraction into FMA, no -march.  Instruction sets
# are chosen at run time, by target attributes on single functions.
# -fno-math-errno keeps IEEE results; it only lets sqrt() be one instruction.
STRICT_FP = -ffp-contract=off -fno-math-errno

PG_CPPFLAGS = -I$(srcdir)/include
PG_CFLAGS = $(STRICT_FP) -fopenmp
SHLIB_LINK = -fopenmp

# The server loads modules with global symbols: export the entry points only.
SHLIB_EXPORTS = src/exports.txt

# No bitcode.  The only use of it is to inline functions into JIT-compiled
# expressions, which would compile a distance a second time, with another
# compiler, for the CPU at hand, which is what STRICT_FP rules out.  Nor does
# clang find omp.h on Debian.  So clang need not be there to build.
override with_llvm = no

UNIT_TESTS = $(patsubst %.c,%,$(sort $(wildcard test/unit/test_*.c)))

EXTRA_CLEAN = $(UNIT_TESTS) test/unit/obj output_iso

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS): $(wildcard include/*.h src/*/*.h)

# Kernels and metrics know nothing of PostgreSQL, and are tested without it:
# plain CC, not PostgreSQL's flags.  UNIT_CFLAGS adds to them, for example
# make -B unit UNIT_CFLAGS=-fsanitize=undefined
UNIT_OBJS = $(patsubst src/%.c,test/unit/obj/%.o,$(sort $(wildcard src/kernel/*.c src/metric/*.c)))
UNIT_CC = $(CC) -std=gnu99 -O2 -g -Wall -Wextra $(STRICT_FP) $(UNIT_CFLAGS) -Iinclude

test/unit/obj/%.o: src/%.c $(wildcard include/*.h src/kernel/*.h src/metric/*.h)
	@mkdir -p $(@D)
	$(UNIT_CC) -c -o $@ $<

test/unit/%: test/unit/%.c $(UNIT_OBJS) $(wildcard include/*.h test/unit/*.h)
	$(UNIT_CC) -o $@ $< $(UNIT_OBJS) -lm

.PHONY: unit check-layers
unit: $(UNIT_TESTS)
	@test -n "$(UNIT_TESTS)" || { echo "no unit tests found in test/unit" >&2; exit 1; }
	@set -e; for t in $(UNIT_TESTS); do echo "# $$t"; ./$$t; done

check-layers:
	@scripts/check_layers.sh
