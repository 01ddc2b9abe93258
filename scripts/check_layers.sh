#!/bin/bash
# House rules that a grep can check: which layer may include what, unique base
# names, one version number, every test listed.  Prints each breach; exit
# status 1 if there is one.  src/README.md explains the layers.
#
# IDENTIFICATION
#   scripts/check_layers.sh
set -euo pipefail
shopt -s lastpipe				# so that breach counts in this shell
cd "$(dirname "${BASH_SOURCE[0]}")/.."
breaches=0

# breach RULE: prints the lines on standard input, if any, under the rule
breach()
{
    local lines

    lines=$(cat)
    if [ -n "$lines" ]; then
        printf '%s:\n%s\n' "$1" "$(sed 's/^/    /' <<<"$lines")"
        breaches=$((breaches + 1))
    fi
}

# includes FILE...: "file:line:name" of every header included by the files that exist
includes()
{
    local f

    for f; do
        [ ! -f "$f" ] || sed -nE "s|^[[:space:]]*#[[:space:]]*include[[:space:]]*([<\"][^>\"]+[>\"]).*|\1|;T;=;p" "$f" |
            paste -d: - - | sed "s|^|$f:|"
    done
}

# files_of DIRECTORY: its own .c and .h files
files_of() { find "$1" -maxdepth 1 -name '*.[ch]' 2>/dev/null | sort; }

pure="$(files_of src/kernel) $(files_of src/metric) include/ct_kernel.h include/ct_metric.h include/ct_model.h include/ct_exp.h include/ct_projection.h include/ct_frame.h include/ct_codes.h include/ct_block.h include/ct_candidates.h include/ct_code_block.h include/ct_knots.h"
includes $pure | grep -vE ':<(assert|cpuid|float|immintrin|inttypes|limits|math|stdalign|stdbool|stddef|stdint|stdlib|string)\.h>$' |
    grep -vE ':"ct_(kernel[a-z0-9_]*|metric|model|exp|projection|frame|codes|block|block_private|candidates|code_block|knots)\.h"$' |
    breach "kernels and metrics include only C's own headers and their own" || true
includes $(files_of src/kernel) include/ct_kernel.h | grep -E ':"ct_(metric|model|projection|block|candidates|code|knots)' |
    breach "kernels do not know metrics" || true

models="$(files_of src/model) include/ct_model_cache.h include/ct_model_table.h include/ct_residual_query.h"
includes $models | grep -E ':"ct_(page|format|tree|bulk|am)\.h"$' |
    breach "models do not know pages, trees or the access method" || true
includes $(find src include -name '*.[ch]' ! -path 'src/model/*' ! -name 'ct_models.c') | grep -E ':"ct_model_table\.h' |
    breach "only src/model and the functions that create and drop models know their table" || true

includes $(files_of src/tree) include/ct_tree.h |
    grep -E 'storage/(bufmgr|buf_internals)\.h|access/(generic_xlog|xloginsert)\.h' |
    breach "the tree sees page handles, never a buffer or WAL" || true
includes $(files_of src/tree) include/ct_tree.h | grep -E ':"ct_kernel' |
    breach "the tree sees metrics, never a kernel" || true
includes $(find src include -name '*.[ch]' ! -path 'src/page/*') | grep -E 'access/generic_xlog\.h' |
    breach "only src/page knows generic WAL" || true
includes $(find src include -name '*.[ch]' ! -path 'src/kernel/*') | grep -E 'immintrin\.h|cpuid\.h' |
    breach "intrinsics live in src/kernel" || true

grep -rn 'PG_VERSION_NUM' src include --include='*.[ch]' | grep -v '^include/ct_compat\.h:' |
    breach "server versions are told apart in include/ct_compat.h only" || true

find src -name '*.c' -printf '%f\n' | sort | uniq -d |
    breach "base names are unique" || true

version=$(sed -nE "s/^default_version *= *'([^']+)'.*/\1/p" covertree.control)
{
    [ -f "covertree--$version.sql" ] || echo "covertree--$version.sql is missing"
    [ "$(sed '/"meta-spec"/,$d' META.json | grep -cE "\"version\": *\"$version\.[0-9]+\"")" = 2 ] || echo "META.json does not say $version.x twice"
    grep -q "^DATA = .*covertree--$version\.sql" Makefile || echo "Makefile does not install covertree--$version.sql"
    grep -qE "^## $version\b" CHANGELOG.md || echo "CHANGELOG.md has no entry for $version"
} | breach "one version, $version" || true

listed=$(sed -nE '/^REGRESS =/,/[^\\]$/p' Makefile | sed -E 's/^REGRESS =//; s/\\$//' | tr -s ' \t' '\n' | sed '/^$/d' | sort)
present=$(find sql -name '*.sql' -printf '%f\n' 2>/dev/null | sed 's/\.sql$//' | sort)
{
    comm -23 <(echo "$listed") <(echo "$present") | sed 's/^./listed, but missing: &/'
    comm -13 <(echo "$listed") <(echo "$present") | sed 's/^./present, but not listed: &/'
} |
    breach "REGRESS in Makefile lists sql/*.sql" || true
{
    for t in sql/*.sql; do
        t=${t#sql/}
        [ "$t" = '*.sql' ] || [ -f "expected/${t%.sql}.out" ] || echo "expected/${t%.sql}.out"
    done
    for t in specs/*.spec; do
        t=${t#specs/}
        [ "$t" = '*.spec' ] || [ -f "expected/${t%.spec}.out" ] || echo "expected/${t%.spec}.out"
    done
} | breach "each test has expected output" || true

if [ "$breaches" = 0 ]; then
    echo "house rules hold"
else
    echo "$breaches house rules broken"
    exit 1
fi
