# Shared by demo.sh and check.sh; sourced, not run.
#
# Gives a throw-away place to work in: a copy of the project, a private copy of
# the PostgreSQL installation into which the module is installed, and a cluster
# on a Unix socket.  Everything lies below one temporary folder, which ct_cleanup
# removes together with every server started in it.  The checkout, the system's
# PostgreSQL and its clusters are not touched.
#
# Needs Debian 12.  As root it installs the packages that are missing, and
# drops to the user "postgres" for everything else; as any other user it needs
# the packages to be there.  COVERTREE_PG=17 asks for another major version of
# PostgreSQL, on a Debian that has it.
#
# IDENTIFICATION
#   scripts/lib.sh

ct_pg_major=${COVERTREE_PG:-15}
ct_packages="postgresql-$ct_pg_major postgresql-server-dev-$ct_pg_major gcc libc6-dev make perl libipc-run-perl"
ct_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ct_work=

export LC_ALL=C
unset "${!PG@}"					# no server of the caller's

ct_say() { printf '\n== %s\n' "$*"; }
ct_die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Run a command as the ordinary user that owns the work folder.
ct_run()
{
    if [ "$(id -u)" = 0 ]; then
        runuser -u "$ct_user" -- env HOME="$ct_work/tmp" TMPDIR="$ct_work/tmp" "$@"
    else
        HOME="$ct_work/tmp" TMPDIR="$ct_work/tmp" "$@"
    fi
}

ct_missing_packages()
{
    local p

    for p in $ct_packages; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || printf '%s ' "$p"
    done
}

ct_package_version() { dpkg-query -W -f '${Version}' "$1-$ct_pg_major" 2>/dev/null || true; }

# Server and development files, both of the same minor version.
ct_same_version() { [ "$(ct_package_version postgresql)" = "$(ct_package_version postgresql-server-dev)" ]; }

# Install what is missing.  No service is started and no cluster created by it.
ct_install_packages()
{
    local missing conf= policy= log code=0

    missing=$(ct_missing_packages)
    if [ -z "$missing" ] && ct_same_version; then
        return 0
    fi
    [ "$(id -u)" = 0 ] || ct_die "run this as root once, or install: ${missing:-$ct_packages}"

    ct_say "installing from Debian: ${missing:-the same version of server and development files}"
    if [ ! -e /etc/postgresql-common/createcluster.d/covertree.conf ]; then
        conf=/etc/postgresql-common/createcluster.d/covertree.conf
        mkdir -p "${conf%/*}"
        echo "create_main_cluster = false" >"$conf"
    fi
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        policy=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    log=$(mktemp)
    # naming all packages brings server and development files to one version
    { apt-get -q -o Acquire::Retries=3 update &&
      DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=3 \
          install --no-install-recommends $ct_packages; } >"$log" 2>&1 </dev/null || code=$?
    rm -f $conf $policy
    [ -z "$conf" ] || rmdir --ignore-fail-on-non-empty "${conf%/*}"
    [ "$code" = 0 ] || tail -n 40 "$log" >&2
    rm -f "$log"
    [ "$code" = 0 ] || ct_die "could not install packages"
    ct_same_version || ct_die "postgresql-$ct_pg_major and postgresql-server-dev-$ct_pg_major differ in version"
}

# Stop every server below the work folder, and remove the folder.
ct_cleanup()
{
    local code=$? pidfile pid

    trap - EXIT
    trap '' INT TERM HUP
    if [ -n "$ct_work" ] && [ -d "$ct_work" ]; then
        cd /
        find "$ct_work" -name postmaster.pid 2>/dev/null | while read -r pidfile; do
            read -r pid <"$pidfile" || continue
            # a server's working folder is its data; a left-over file may name another process
            [ "$(readlink "/proc/$pid/cwd")" = "${pidfile%/*}" ] || continue
            ct_run "$ct_bin/pg_ctl" -D "${pidfile%/*}" -m immediate -w -t 30 stop >/dev/null 2>&1 ||
                kill -9 "$pid" 2>/dev/null || true
        done
        rm -rf "$ct_work"
    fi
    exit "$code"
}

# Make the work folder and its copies.  Sets ct_work, ct_user, ct_src, ct_bin.
ct_prepare()
{
    local prefix=usr/lib/postgresql/$ct_pg_major share=usr/share/postgresql/$ct_pg_major

    if [ "$(id -u)" = 0 ]; then
        ct_user=postgres
        id "$ct_user" >/dev/null 2>&1 || ct_die "there is no user \"$ct_user\""
    else
        ct_user=$(id -un)
    fi
    ct_work=$(mktemp -d "${TMPDIR:-/tmp}/covertree.XXXXXX")
    ct_src=$ct_work/covertree
    ct_bin=$ct_work/$prefix/bin
    trap ct_cleanup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP

    # The server finds its files relative to where its program lies, so a copy
    # of the tree is an installation of its own.
    mkdir -p "$ct_work/$prefix" "$ct_work/$share" "$ct_work/usr/include" "$ct_src" "$ct_work/sock" "$ct_work/tmp"
    cp -a "/$prefix/bin" "/$prefix/lib" "$ct_work/$prefix/"
    cp -a "/$share/." "$ct_work/$share/"
    ln -s /usr/include/postgresql "$ct_work/usr/include/postgresql"

    # The project, without what a build in the checkout may have left.
    tar -C "$ct_top" -c --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' --exclude=exports.list \
        --exclude=./results --exclude=./output_iso --exclude=./tmp_check --exclude='./regression.*' . |
        tar -C "$ct_src" -x --no-same-owner
    if [ "$(id -u)" = 0 ]; then
        chown -R "$ct_user": "$ct_work"
    fi
    chmod -R u+rwX "$ct_src"
    chmod 700 "$ct_work"
    cd "$ct_src"
}

# Run make for the private installation.
ct_make() { ct_run make --no-print-directory PG_CONFIG="$ct_bin/pg_config" "$@"; }

# Build and install.  The compiler's output is shown only when it says something.
ct_build()
{
    local log=$ct_work/build.log

    if ! ct_make -j "$(nproc)" all >"$log" 2>&1; then
        grep -E 'error|warning|\*\*\*' "$log" >&2 || tail -n 40 "$log" >&2
        ct_die "the build failed"
    fi
    if grep -q 'warning:' "$log"; then
        grep -A 6 'warning:' "$log" >&2
        ct_warnings=$(grep -c 'warning:' "$log")
    else
        ct_warnings=0
    fi
    ct_make install >>"$log" 2>&1 || { tail -n 20 "$log" >&2; ct_die "make install failed"; }
}

# Create and start a cluster; psql and make find it through PGHOST and PGPORT.
# Arguments: settings, as "name = value".
ct_start_cluster()
{
    local data=$ct_work/data

    ct_run "$ct_bin/initdb" -D "$data" -E UTF8 --no-locale -A trust -N >"$ct_work/initdb.log" 2>&1 ||
        { cat "$ct_work/initdb.log" >&2; ct_die "initdb failed"; }
    # The socket's folder is ours alone, so any port is free in it.
    {
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '$ct_work/sock'"
        echo "port = 54321"
        printf '%s\n' "$@"
    } | ct_run tee -a "$data/postgresql.conf" >/dev/null
    ct_run "$ct_bin/pg_ctl" -D "$data" -l "$ct_work/server.log" -w -t 60 start >/dev/null ||
        { cat "$ct_work/server.log" >&2; ct_die "could not start the server"; }
    export PGHOST=$ct_work/sock PGPORT=54321 PGDATABASE=postgres
}

# psql as the cluster's superuser, without the caller's .psqlrc
ct_psql() { ct_run "$ct_bin/psql" -X -v ON_ERROR_STOP=1 "$@"; }
