#!/usr/bin/env bash
# Three replicas of a shard on this machine, driven through Mako's C++ functions; the leader is killed on the way
# and comes back; in the end the replicas are compared. Installs cmake and a C++ compiler where they are
# missing. The first run builds the library (a few minutes).
set -euo pipefail
. "$(dirname "$0")/tools.sh"
no_arguments "$@"
need_tools
echo "Building (release; the first time takes a few minutes) ..."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
(build_tests Release cluster_test) >"$log" 2>&1 || { cat "$log"; echo "The build failed."; exit 1; }
echo
timeout 120 "$root_dir/build/release/ctest/cluster_test" demo
