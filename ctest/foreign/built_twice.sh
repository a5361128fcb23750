#!/usr/bin/env bash
# built_twice.sh CMAKE BUILD
#
# A second build of the library and of the program that cargo builds beside it, with nothing changed, compiles nothing: neither
# undoes the other's.
set -euo pipefail
cmake=$1 build=$2
both() {
  for target in mako_raft_cargo mako_raft_bench; do
    "$cmake" --build "$build" --target "$target" 2>&1
  done
}
# What the environment says, and what else was built in cargo's own directory, may be another than at the last build.
first=$(both) || { echo "$first"; exit 1; }
second=$(both) || { echo "$second"; exit 1; }
echo "$second"
case "$second" in *"Compiling mako-raft"*) echo "the second build compiles"; exit 1 ;; esac
case "$second" in *Finished*Finished*) ;; *) echo "cargo was not asked twice"; exit 1 ;; esac
