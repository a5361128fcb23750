#!/usr/bin/env bash
# built_twice.sh CMAKE BUILD
#
# A build of the library with nothing changed compiles nothing.
set -euo pipefail
cmake=$1 build=$2
# What the environment says may be another than at the last build.
"$cmake" --build "$build" --target mako_raft_cargo >/dev/null 2>&1
said=$("$cmake" --build "$build" --target mako_raft_cargo 2>&1)
echo "$said"
case "$said" in *Compiling*) echo "the second build compiles"; exit 1 ;; esac
