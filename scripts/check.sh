#!/bin/bash
# Every test of the project, on a bare Debian 12: house rules, kernels without a
# server, then pg_regress, isolation and TAP tests on throw-away clusters.
# Leaves nothing running and nothing behind but Debian's packages.  Exit status
# 0 means that everything passed.
#
#   scripts/check.sh                 all of it
#   scripts/check.sh regress tap     these steps only, after building
#
# Steps: rules build symbols unit sanitize regress isolation tap
#
# With COVERTREE_RESULTS=folder the tests' output is copied there at the end.
#
# IDENTIFICATION
#   scripts/check.sh
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ct_steps=${*:-rules build symbols unit sanitize regress isolation tap}
ct_results=${COVERTREE_RESULTS:+$(realpath -m "$COVERTREE_RESULTS")}
ct_summary=
ct_failed=0

# Run one step and note how it went; the steps after it run all the same.
step()
{
    local name=$1 began code=0
    shift

    case " $ct_steps " in *" $name "*) ;; *) return 0 ;; esac
    ct_say "$name"
    began=$SECONDS
    "$@" || code=$?
    if [ "$code" = 0 ]; then
        ct_summary+=$(printf '%-10s ok      %4d s' "$name" $((SECONDS - began)))$'\n'
    else
        ct_summary+=$(printf '%-10s FAILED  %4d s' "$name" $((SECONDS - began)))$'\n'
        ct_failed=1
    fi
}

check_warnings()
{
    [ "$ct_warnings" = 0 ] || { echo "$ct_warnings compiler warnings"; return 1; }
    echo "no compiler warnings"
}

# The module shows the server its entry points and nothing else, and lacks no
# function of its own.
check_symbols()
{
    local strays missing

    strays=$(nm -D --defined-only covertree.so | awk '{print $NF}' |
        grep -vE '^(Pg_magic_func|_PG_init|pg_finfo_covertree_[a-z0-9_]+|covertree_[a-z0-9_]+)$' || true)
    [ -z "$strays" ] || { printf 'exported, but no entry point:\n%s\n' "$strays"; return 1; }
    missing=$(nm -D --undefined-only covertree.so | awk '$NF ~ /^(ct|covertree)_/ {print $NF}')
    [ -z "$missing" ] || { printf 'called, but not defined:\n%s\n' "$missing"; return 1; }
    echo "only entry points are exported, and nothing is missing"
}

check_regress()
{
    ct_make installcheck ISOLATION= TAP_TESTS= && return 0
    cat regression.diffs 2>/dev/null || tail -n 40 "$ct_work/server.log"
    return 1
}

check_isolation()
{
    ct_make installcheck REGRESS= TAP_TESTS= && return 0
    cat output_iso/regression.diffs 2>/dev/null || tail -n 40 "$ct_work/server.log"
    return 1
}

check_tap()
{
    ct_make installcheck REGRESS= ISOLATION= PROVE_FLAGS=--timer && return 0
    for f in tmp_check/log/regress_log_*; do
        if grep -qE '^not ok|# (Failed|Looks like)|Bail out|died' "$f" 2>/dev/null; then
            printf -- '-- %s\n' "$f"
            tail -n 60 "$f"
        fi
    done
    return 1
}

# A server that went down did so behind some test's back.
check_server()
{
    ! grep -nE 'PANIC|TRAP:|was terminated by signal' "$ct_work/server.log"
}

ct_install_packages
ct_prepare
step rules ct_run scripts/check_layers.sh
ct_say "building covertree"
ct_build
step build check_warnings
step symbols check_symbols
step unit ct_make -j "$(nproc)" unit
step sanitize ct_make -B -j "$(nproc)" unit UNIT_CFLAGS="-fsanitize=undefined -fno-sanitize-recover=all"

case " $ct_steps " in
*" regress "* | *" isolation "*)
    ct_say "starting a throw-away cluster"
    # fsync does not matter: nothing outlives the run
    ct_start_cluster "fsync = off" "max_prepared_transactions = 4"
    step regress check_regress
    step isolation check_isolation
    if ! check_server; then
        ct_summary+=$'server     CRASHED, see above\n'
        ct_failed=1
    fi
    ct_run "$ct_bin/pg_ctl" -D "$ct_work/data" -m fast -w stop >/dev/null
    unset PGHOST PGPORT PGDATABASE
    ;;
esac
step tap check_tap

if [ -n "$ct_results" ]; then
    mkdir -p "$ct_results"
    for f in results output_iso tmp_check/log "$ct_work/server.log"; do
        [ ! -e "$f" ] || cp -r "$f" "$ct_results/"
    done
fi

ct_say "summary after $SECONDS s"
printf '%s' "$ct_summary"
if [ "$ct_failed" = 0 ]; then
    echo "all passed"
else
    echo "FAILED"
fi
exit "$ct_failed"
