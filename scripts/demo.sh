#!/bin/bash
# From a bare Debian 12 to exact nearest neighbours: builds covertree, starts a
# throw-away cluster, and runs demo.sql on the Argo floats.  Leaves nothing
# running and nothing behind but Debian's packages.
#
# IDENTIFICATION
#   scripts/demo.sh
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ct_install_packages
ct_prepare
ct_say "building covertree"
ct_build
ct_say "starting a throw-away cluster"
ct_start_cluster
# A trusted extension: an ordinary user who may create in the database is enough.
ct_psql -q -c "CREATE ROLE demo LOGIN" -c "CREATE DATABASE demo OWNER demo"
PGDATABASE=demo ct_psql -q -U demo -f scripts/demo.sql
ct_say "done; the cluster is removed"
