# Sets up the peers; sourced by run.sh after scripts/lib.sh.
#
# What Debian 12 has is installed as the other packages are.  pgvector and mlpack
# come from Debian 13, in a folder of their own that is kept for the next run
# ($ct_trixie): PostgreSQL 17 runs there, with this project's module built for it, so that
# both are measured in one server.  Nothing is mounted; that server's data lie
# below the folder and are removed at the end.
#
# IDENTIFICATION
#   bench/peers/setup.sh

peers_packages="postgresql-15-postgis-3 g++ libnanoflann-dev python3-numpy python3-scipy python3-sklearn \
    python3-psycopg2 python3-matplotlib libopenblas0-pthread"
trixie_packages="postgresql-17 postgresql-17-pgvector postgresql-server-dev-17 gcc libc6-dev make mlpack-bin"
ct_trixie=${CT_TRIXIE:-/var/tmp/covertree-trixie}
trixie_port=54322
trixie_run=				# this run's folder below $ct_trixie, as seen from inside

# A command in the folder of Debian 13, as root or as the server's user.
trixie() { chroot "$ct_trixie" env -i LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp "$@"; }
trixie_as_user() { chroot --userspec=postgres:postgres "$ct_trixie" env -i LC_ALL=C PATH=/usr/bin:/bin HOME=/tmp "$@"; }

# The folder with its packages.  Fails where there is no root, or no Debian.
trixie_install()
{
    local mirror

    [ "$(id -u)" = 0 ] || return 1
    if [ ! -e "$ct_trixie/etc/covertree-peers" ]; then
        ct_say "Debian 13 with pgvector and mlpack in $ct_trixie"
        command -v debootstrap >/dev/null || ct_packages+=" debootstrap" ct_install_packages
        mirror=$(sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\{0,1\}\(http[^ ]*\) .*/\2/p' \
            /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | sed q)
        rm -rf --one-file-system "$ct_trixie"
        debootstrap --variant=minbase --include=ca-certificates trixie "$ct_trixie" \
            "${mirror:-http://deb.debian.org/debian}" >"$ct_work/debootstrap.log" 2>&1 ||
            { tail -n 5 "$ct_work/debootstrap.log" >&2; return 1; }
        mkdir -p "$ct_trixie/etc/postgresql-common/createcluster.d"
        echo "create_main_cluster = false" >"$ct_trixie/etc/postgresql-common/createcluster.d/covertree.conf"
        printf '#!/bin/sh\nexit 101\n' >"$ct_trixie/usr/sbin/policy-rc.d"
        chmod 755 "$ct_trixie/usr/sbin/policy-rc.d"
        cp /etc/resolv.conf "$ct_trixie/etc/"
        trixie DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $trixie_packages \
            >"$ct_work/trixie.log" 2>&1 || { tail -n 5 "$ct_work/trixie.log" >&2; return 1; }
        touch "$ct_trixie/etc/covertree-peers"
    fi
}

# Build this project there, and start a server.  Sets trixie_sock.
trixie_start()
{
    local pg=/usr/lib/postgresql/17/bin

    trixie_run=/srv/run.$$
    mkdir -p "$ct_trixie$trixie_run/covertree"
    tar -C "$ct_src" -c --exclude='*.o' --exclude='*.so' --exclude=exports.list . |
        tar -C "$ct_trixie$trixie_run/covertree" -x --no-same-owner
    trixie sh -c "cd $trixie_run/covertree && make -s -j2 PG_CONFIG=$pg/pg_config && \
        make -s install PG_CONFIG=$pg/pg_config" >"$ct_work/trixie-build.log" 2>&1 ||
        { tail -n 5 "$ct_work/trixie-build.log" >&2; return 1; }
    trixie chown postgres: "$trixie_run"
    chmod 755 "$ct_trixie$trixie_run"
    trixie_as_user $pg/initdb -D "$trixie_run/data" -E UTF8 --no-locale -A trust -N >/dev/null || return 1
    {
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '$trixie_run'"
        echo "port = $trixie_port"
        # nothing is mounted in the folder, /dev/shm included
        echo "dynamic_shared_memory_type = mmap"
        printf '%s\n' "${bench_settings[@]}"
    } >>"$ct_trixie$trixie_run/data/postgresql.conf"
    trixie_as_user $pg/pg_ctl -D "$trixie_run/data" -l "$trixie_run/log" -w -t 60 start >/dev/null ||
        { tail -n 5 "$ct_trixie$trixie_run/log" >&2; return 1; }
    trixie_sock=$ct_trixie$trixie_run
}

# Stop that server and remove its data; for use in ct_cleanup's place.
trixie_stop()
{
    [ -n "$trixie_run" ] || return 0
    trixie_as_user /usr/lib/postgresql/17/bin/pg_ctl -D "$trixie_run/data" -m immediate -w -t 30 stop \
        >/dev/null 2>&1 || true
    rm -rf --one-file-system "$ct_trixie$trixie_run"
    trixie_run=
}

# Compile the drivers into $ct_work/bin, for the machine at hand.
peers_compile()
{
    local name flags libraries

    mkdir -p "$ct_work/bin"
    for name in brute nanoflann residual; do
        flags="-O3 -march=native -mprefer-vector-width=512 -Wall -Wno-psabi"
        libraries=
        [ "$name" = nanoflann ] || flags+=" -ffast-math"
        # without the package of its headers, OpenBLAS has no name that -l finds
        [ "$name" != residual ] || libraries="-fopenmp $(ls /usr/lib/*/openblas-pthread/libopenblas.so.0)"
        g++ $flags -o "$ct_work/bin/$name" "$ct_src/bench/peers/$name.cpp" $libraries || return 1
    done
}
