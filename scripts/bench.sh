#!/usr/bin/env bash
# Measures the library on this machine and writes docs/performance.md, its pictures and docs/performance.json.
#
#   scripts/bench.sh [OPTION]...            the standard set (options of `mako-raft-bench suite`)
#   scripts/bench.sh --long [OPTION]...     ten minutes of full load (options of `mako-raft-bench endure`)
#   scripts/bench.sh --report               the report anew from its files, without measuring
#   scripts/bench.sh --against COMMIT [OPTION]...
#                                           this work tree against a commit, interleaved (options of
#                                           `mako-raft-bench compare`); says what differs beyond the noise
#
# Figures on the C++ surface are taken where there is a cmake and a C++ compiler, those with Mako's allocator where
# libjemalloc.so.2 is installed (Debian: libjemalloc2).
set -euo pipefail
. "$(dirname "$0")/tools.sh"
cd "$root_dir"
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
target=${CARGO_TARGET_DIR:-$root_dir/target}
bench=$target/release/mako-raft-bench

build_bench() { # DIRECTORY TARGET
  (cd "$1" && CARGO_TARGET_DIR=$2 cargo build --locked --quiet --release --bin mako-raft-bench)
}

# Sets `cxx` to the option for the C++ surface, or to nothing.
build_cxx() {
  cxx=()
  if ! command -v cmake >/dev/null || ! command -v "${CXX:-c++}" >/dev/null; then
    echo "No cmake or no C++ compiler: without figures on the C++ surface" >&2
    return
  fi
  cmake -S . -B "$target/bench" -DCMAKE_BUILD_TYPE=Release -UMAKO_RAFT_CARGO_TARGET_DIR \
    -DMAKO_RAFT_BENCH_TARGET_DIR="$target" >/dev/null
  cmake --build "$target/bench" --target bench_node --parallel "$(nproc)" >/dev/null
  cxx=(--cxx "$target/bench/ctest/bench_node")
}

# Sets `preload` to the option for Mako's allocator, or to nothing.
find_jemalloc() {
  preload=()
  local library
  library=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p | sed -n 's/.*libjemalloc\.so\.2 .*=> //p' | head -1)
  if [ -n "$library" ]; then
    preload=(--preload "$library")
  else
    echo "No libjemalloc.so.2: without figures with Mako's allocator" >&2
  fi
}

against() { # COMMIT [OPTION]...
  local commit
  # Not local: the traps run outside of this function.
  tree=$target/against/tree
  [ $# -gt 0 ] || wrong_line "--against needs a commit"
  commit=$(git rev-parse --verify --quiet "$1^{commit}") || wrong_line "there is no commit \"$1\""
  shift
  remove_tree() { git worktree remove --force "$tree" 2>/dev/null || git worktree prune; }
  # Also what an earlier run left behind that was killed.
  remove_tree
  trap remove_tree EXIT
  trap 'exit 130' INT TERM
  git worktree add --quiet --force --detach "$tree" "$commit"
  if [ ! -e "$tree/src/bin/mako-raft-bench" ]; then
    echo "$commit has no mako-raft-bench to compare with" >&2
    exit 2
  fi
  echo "Before: $(git log -1 --format='%h %s' "$commit")"
  echo "After:  the work tree, on $(git log -1 --format='%h %s')"
  # Each build brings its own load: a difference may then be the benchmark's.
  git diff --quiet "$commit" -- src/bin/mako-raft-bench \
    || echo "The benchmark itself differs between them, so a difference need not be the library's"
  build_bench . "$target"
  build_bench "$tree" "$target/against/target"
  "$bench" compare --before "$target/against/target/release/mako-raft-bench" --after "$bench" \
    --data "$target" "$@"
}

case "${1-}" in
  --against) against "${@:2}" ;;
  # The comment at the top of this script.
  -h | --help) sed -n '2,/^[^#]/ { s/^# \{0,1\}//p }' "$root_dir/scripts/bench.sh" ;;
  --long) build_bench . "$target" && exec "$bench" endure "${@:2}" ;;
  --report) build_bench . "$target" && exec "$bench" report docs "${@:2}" ;;
  *)
    build_bench . "$target"
    build_cxx
    find_jemalloc
    exec "$bench" suite --data "$target" "${cxx[@]}" "${preload[@]}" "$@"
    ;;
esac
