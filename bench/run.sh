#!/bin/bash
# The project's figures, each beside its peers on the same rows in one run, on a
# throw-away cluster.  Prints tables and leaves them, with every
# measurement, as CSV in bench/out.  See bench/README.md.
#
#   bench/run.sh [option ...] [figure ...]
#
# Figures in SQL (all of them by default): gauss3, uniform3, cluster8, inserts,
# residual_rbf, residual_m52.  Figures in Python: peers (everything else that
# finds neighbours), bulk (many queries at once), builds, study (how options
# shape an index), kernels (inner loops).  "all" is every one of them.
#
#   --quick             a tenth of the rows; ratios mean little, answers count
#   --large             residual figures with 131,072 rows, builds with 10,000,000
#   --reps=N            repetitions that medians are taken over (default 5)
#   --with=OPTIONS      index options, for example --with='base = 1.3'
#   --data=A,B          some of the data sets (peers, bulk, builds) or kernels only
#   --cube-only         leave covertree out, and do not build it
#   --docs              copy the plots to docs/
#
# Exit status 0 means that answers were exact and, unless --quick, that every
# figure with a limit is within it.
#
# IDENTIFICATION
#   bench/run.sh
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

. "$(dirname "${BASH_SOURCE[0]}")/peers/setup.sh"

# Set for old versions of OpenBLAS on some machines; they would slow our peers.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE

sql_figures="gauss3 uniform3 cluster8 inserts residual_rbf residual_m52"
python_figures="peers bulk builds study kernels"
quick=0
large=0
repetitions=5
cube_only=false
index_options=
data_sets=
docs=false
figures=
for arg in "$@"; do
    case $arg in
    --quick) quick=1 ;;
    --large) large=1 ;;
    --reps=*) repetitions=${arg#*=} ;;
    --with=*) index_options=" WITH (${arg#*=})" ;;
    --data=*) data_sets=${arg#*=} ;;
    --cube-only) cube_only=true ;;
    --docs) docs=true ;;
    all) figures+=" $sql_figures $python_figures" ;;
    *)
        case " $sql_figures $python_figures " in
        *" $arg "*) figures+=" $arg" ;;
        *) sed -n '2,/^# IDENT/{/^# IDENT/d;s/^# \{0,1\}//p}' "$0"; exit 2 ;;
        esac
        ;;
    esac
done
if [ -z "$figures" ]; then
    figures=" $sql_figures"
    [ "$cube_only" = false ] || figures=" gauss3 uniform3 cluster8 inserts"
fi
for name in $figures; do
    case $cube_only$name in
    trueresidual* | truepeers | truebulk | truebuilds | truestudy | truekernels)
        echo "$name needs covertree" >&2
        exit 2
        ;;
    *peers | *bulk | *builds | *study | *kernels) ct_packages+=" $peers_packages" ;;
    *residual*) ct_packages+=" python3-numpy libopenblas0-pthread" ;;
    esac
done

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

# A figure that is a program of its own; peers also need their servers and drivers.
python_figure()
{
    local name=$1 args=() set

    args=(--server "$ct_work/sock:$PGPORT" --out "$out" --scratch "$ct_work/tmp" --drivers "$ct_work/bin"
        --divisor "$divisor" --reps "$repetitions" --options "$index_options")
    [ "$quick" = 0 ] || args+=(--quick)
    [ "$large" = 0 ] || args+=(--large)
    [ -e "$ct_work/bin/brute" ] || peers_compile || return 1
    if [ "$name" = peers ]; then
        args+=(--pgbench "$ct_bin/pgbench")
        if [ -n "$trixie_run" ] || { trixie_install && trixie_start; }; then
            args+=(--vector-server "$trixie_sock:$trixie_port" --trixie "$ct_trixie")
        else
            echo "without Debian 13, and so without pgvector and mlpack" >&2
        fi
    fi
    for set in ${data_sets//,/ }; do
        args+=("$set")
    done
    "${PYTHON:-/usr/bin/python3}" "bench/$name.py" "${args[@]}" 2>&1 | tee "$out/$name.txt"
}

# Instructions and cycles of the kernels alone; they need no server.
kernel_report()
{
    "${PYTHON:-/usr/bin/python3}" bench/kernels.py --work "$ct_work/kernels" --out "$out" --listing \
        ${data_sets//,/ } | tee "$out/kernels.txt"
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
    kernels) kernel_report ;;
    *) python_figure "$1" ;;
    esac
}

# The other server goes before the work folder does.
bench_cleanup()
{
    local code=$?

    set +e
    trixie_stop
    (exit "$code")
    ct_cleanup
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
trap bench_cleanup EXIT
if [ "$cube_only" = false ]; then
    ct_say "building covertree"
    ct_build
fi
ct_say "starting a throw-away cluster"
bench_settings=("shared_buffers = 2GB" "maintenance_work_mem = 2GB" "work_mem = 64MB"
    "max_parallel_workers_per_gather = 0" "jit = off" "fsync = off" "synchronous_commit = off"
    "autovacuum = off" "checkpoint_timeout = 1d" "max_wal_size = 40GB")
ct_start_cluster "${bench_settings[@]}"
ct_psql -q -f bench/bench.sql
[ "$cube_only" = true ] || ct_psql -q -c "CREATE EXTENSION covertree"

out=$ct_top/bench/out
mkdir -p "$out"
failed=
for name in $figures; do
    ct_say "$name"
    wait_for_server
    run_figure "$name" || failed+=" $name"
done

wait_for_server
environment >"$out/environment.txt"
ct_psql --csv -c "$report_query" >"$out/figures.csv"
ct_psql --csv -c "SELECT figure, what, method, repetition, value, unit
    FROM bench.measurement ORDER BY no" >"$out/measurements.csv"
ct_say "figures"
{
    cat "$out/environment.txt"
    echo
    if [ "$(ct_psql -At -c 'SELECT count(*) FROM bench.measurement')" != 0 ]; then
        ct_psql -P null= -P footer=off -c "$report_query"
        ct_psql -P null= -P footer=off -c "
            SELECT figure, what, method, count(*) AS n,
                   round(percentile_cont(0.5) WITHIN GROUP (ORDER BY value)::numeric, 3) AS median,
                   round(min(value)::numeric, 3) AS min, round(max(value)::numeric, 3) AS max, unit
            FROM bench.measurement WHERE what NOT LIKE 'warm-up%'
            GROUP BY figure, what, method, unit ORDER BY min(no)"
    fi
} | tee "$out/report.txt"
if "${PYTHON:-/usr/bin/python3}" -c 'import matplotlib' 2>/dev/null; then
    "${PYTHON:-/usr/bin/python3}" bench/report.py "$out" plots
    if [ "$docs" = true ]; then
        mkdir -p "$ct_top/docs"
        cp "$out"/*.svg "$ct_top/docs/"
    fi
fi
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
