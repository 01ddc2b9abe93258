#!/bin/bash
# The project's figures: covertree against contrib cube with GiST, and its
# residual metric against exact brute force, on the same rows in one run on a
# throw-away cluster.  Prints a table and leaves it, with every single
# measurement, as CSV in bench/out.  See bench/README.md.
#
#   bench/run.sh [option ...] [figure ...]
#
# Figures are gauss3, uniform3, cluster8, inserts, residual_rbf, residual_m52 (all
# of them by default), and study: how options shape a residual index.
#
#   --quick             a tenth of the rows; ratios mean little, answers count
#   --large             residual figures and study with 131,072 rows, not 32,768
#   --reps=N            repetitions that medians are taken over (default 5)
#   --with=OPTIONS      index options, for example --with='base = 1.3'
#   --cube-only         leave covertree out, and do not build it
#
# Exit status 0 means that answers were exact and, unless --quick, that every
# figure with a limit is within it.
#
# IDENTIFICATION
#   bench/run.sh
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

quick=0
large=0
repetitions=5
cube_only=false
index_options=
figures=
for arg in "$@"; do
    case $arg in
    --quick) quick=1 ;;
    --large) large=1 ;;
    --reps=*) repetitions=${arg#*=} ;;
    --with=*) index_options=" WITH (${arg#*=})" ;;
    --cube-only) cube_only=true ;;
    gauss3 | uniform3 | cluster8 | inserts | residual_rbf | residual_m52 | study) figures+=" $arg" ;;
    *) sed -n '2,/^# IDENT/{/^# IDENT/d;s/^# \{0,1\}//p}' "$0"; exit 2 ;;
    esac
done
if [ -z "$figures" ]; then
    figures=" gauss3 uniform3 cluster8 inserts"
    [ "$cube_only" = true ] || figures+=" residual_rbf residual_m52"
fi
case $cube_only$figures in
true*residual* | true*study*) echo "residual figures need covertree" >&2; exit 2 ;;
*residual* | *study*) ct_packages+=" python3-numpy libopenblas0-pthread" ;;
esac

divisor=1
[ "$quick" = 0 ] || divisor=10
residual_rows=$(((large ? 131072 : 32768) / divisor))

# A figure that brings the server down leaves the next ones a server.
wait_for_server()
{
    local i

    for ((i = 0; i < 60; i++)); do
        ! ct_run "$ct_bin/pg_isready" -q || return 0
        sleep 1
    done
    tail -n 20 "$ct_work/server.log" >&2
    ct_die "the server does not answer"
}

# All of a figure happens in one connection.
figure()
{
    local name=$1 script=$2 vars=() v
    shift 2

    for v in "$@"; do
        vars+=(-v "$v")
    done
    PGOPTIONS="-c client_min_messages=warning" ct_psql -q -At -v figure="$name" -v nprobes=1024 -v repetitions="$repetitions" \
        -v index_options="$index_options" -v cube_only="$cube_only" "${vars[@]}" -f "bench/$script"
}

# Data of a residual figure, and the times and answers of brute force.
# Arguments: kernel, rows, repetitions.
residual_data()
{
    ct_say "brute force: $1, $2 rows"
    ct_run rm -rf "$ct_work/tmp/residual"
    ct_run mkdir "$ct_work/tmp/residual"
    ct_run "${PYTHON:-/usr/bin/python3}" bench/residual.py "$1" "$2" 512 50 1024 "$3" "$ct_work/tmp/residual" |
        ct_run tee "$ct_work/tmp/blas"
}

residual_figure()
{
    local name=$1 kernel=$2
    shift 2

    residual_data "$kernel" "$residual_rows" "$repetitions" &&
        figure "$name" residual.sql kernel="$kernel" k=50 folder="$ct_work/tmp/residual" nseqscan=4 \
            build_at_most="$([ "$large" = 1 ] && echo NULL || echo 7)" proxy_at_most=0.333 "$@"
}

run_figure()
{
    case $1 in
    gauss3)
        figure gauss3 search.sql dims=3 nrows=$((32768 / divisor)) k=50 at_least=5 \
            build_at_most=NULL size_at_most=NULL build_repetitions=3 exact_step=4
        ;;
    uniform3)
        figure uniform3 search.sql dims=3 nrows=$((1000000 / divisor)) k=10 at_least=10 \
            build_at_most=1 size_at_most=1.5 build_repetitions=$((quick ? 1 : 3)) exact_step=32
        ;;
    cluster8)
        figure cluster8 search.sql dims=8 nrows=$((200000 / divisor)) k=10 at_least=5 \
            build_at_most=NULL size_at_most=NULL build_repetitions=1 exact_step=8
        ;;
    inserts)
        figure inserts inserts.sql nrows=$((1000000 / divisor)) k=10 nfresh=$((10000 / divisor)) \
            exact_step=32 rate_at_least=0.5 cost_at_most=2
        ;;
    residual_rbf)
        residual_figure residual_rbf rbf share_at_most=$((large ? 2 : 8))/100.0 \
            brute_at_least=5 seqscan_at_least=300
        ;;
    residual_m52)
        residual_figure residual_m52 matern52 share_at_most=$((large ? 6 : 30))/100.0 \
            brute_at_least=NULL seqscan_at_least=300
        ;;
    study)
        residual_data matern52 "$residual_rows" 0 &&
            figure study study.sql kernel=matern52 k=50 folder="$ct_work/tmp/residual" |
            tee "$ct_work/study.txt"
        ;;
    esac
}

# Where and when; load tells whether the machine was quiet.
environment()
{
    echo "date: $(date -u +%Y-%m-%dT%H:%MZ)"
    echo "processor: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | sed q), $(nproc) cores"
    echo "load before: $load"
    echo "PostgreSQL: $(ct_psql -At -c 'SHOW server_version')"
    [ "$cube_only" = true ] || echo "kernels: $(ct_psql -At -c 'SELECT covertree_kernel_level()')"
    [ ! -e "$ct_work/tmp/blas" ] || echo "brute force: $(cat "$ct_work/tmp/blas")"
    echo "rows: $([ "$quick" = 1 ] && echo "a tenth" || echo all), of residual figures: $residual_rows, repetitions: $repetitions," \
        "index options:${index_options:- default}"
}

report_query="
    SELECT figure, what, round(ours::numeric, 3) AS covertree,
           round(theirs::numeric, 3) AS other, against, unit,
           round(ratio::numeric, 2) AS ratio,
           coalesce('>= ' || at_least, '<= ' || at_most) AS wanted,
           CASE WHEN note LIKE '%WRONG%' THEN 'NO'
                WHEN ratio IS NULL OR coalesce(at_least, at_most) IS NULL THEN ''
                WHEN ratio >= at_least OR ratio <= at_most THEN 'yes'
                ELSE 'NO' END AS met,
           note
    FROM bench.figure ORDER BY no"

read -r load _ </proc/loadavg
ct_install_packages
ct_prepare
if [ "$cube_only" = false ]; then
    ct_say "building covertree"
    ct_build
fi
ct_say "starting a throw-away cluster"
ct_start_cluster "shared_buffers = 2GB" "maintenance_work_mem = 2GB" "work_mem = 64MB" \
    "max_parallel_workers_per_gather = 0" "jit = off" "fsync = off" "synchronous_commit = off" \
    "autovacuum = off" "checkpoint_timeout = 1d" "max_wal_size = 40GB"
ct_psql -q -f bench/bench.sql
[ "$cube_only" = true ] || ct_psql -q -c "CREATE EXTENSION covertree"

failed=
for name in $figures; do
    ct_say "$name"
    wait_for_server
    run_figure "$name" || failed+=" $name"
done

wait_for_server
out=$ct_top/bench/out
mkdir -p "$out"
environment >"$out/environment.txt"
ct_psql --csv -c "$report_query" >"$out/figures.csv"
ct_psql --csv -c "SELECT figure, what, method, repetition, value, unit
    FROM bench.measurement ORDER BY no" >"$out/measurements.csv"
ct_say "figures"
{
    cat "$out/environment.txt"
    echo
    [ ! -e "$ct_work/study.txt" ] || cat "$ct_work/study.txt"
    ct_psql -P null= -P footer=off -c "$report_query"
    ct_psql -P null= -P footer=off -c "
        SELECT figure, what, method, count(*) AS n,
               round(percentile_cont(0.5) WITHIN GROUP (ORDER BY value)::numeric, 3) AS median,
               round(min(value)::numeric, 3) AS min, round(max(value)::numeric, 3) AS max, unit
        FROM bench.measurement WHERE what NOT LIKE 'warm-up%' AND figure <> 'study'
        GROUP BY figure, what, method, unit ORDER BY min(no)"
} | tee "$out/report.txt"
ct_say "done after $SECONDS s; the cluster is removed, the CSV files are in bench/out"

if [ -n "$failed" ]; then
    echo "FAILED:$failed"
    exit 1
fi
if [ "$(ct_psql -At -c "SELECT count(*) FROM bench.figure WHERE note LIKE '%WRONG%'")" != 0 ]; then
    echo "an index gave wrong answers"
    exit 1
fi
if [ "$quick" = 0 ] &&
    [ "$(ct_psql -At -c "SELECT count(*) FROM ($report_query) r WHERE met = 'NO'")" != 0 ]; then
    echo "a figure misses its limit"
    exit 1
fi
