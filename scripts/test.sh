#!/usr/bin/env bash
# Runs every test: cargo's, then the C and C++ ones under ctest. Installs cmake and a C++ compiler where they
# are missing. The last line is "N passed, N failed", where steps that do not compile or hang count as a failure.
# Takes some twenty minutes on two cores.
set -uo pipefail
. "$(dirname "$0")/tools.sh"
no_arguments "$@"
need_tools
cd "$root_dir"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The header is compared, not rewritten.
export MAKO_RAFT_HEADER=check
# Longest for one step, in seconds: nothing here may hang for ever.
cargo_limit=1500 build_limit=1200 ctest_limit=1500

echo "== cargo test"
timeout "$cargo_limit" cargo test --locked --no-fail-fast 2>&1 | tee "$work/cargo.txt"
cargo_ok=${PIPESTATUS[0]}
# What is measured by hand now and then is not forgotten by a change.
timeout "$cargo_limit" cargo check --locked --benches || cargo_ok=1

echo "== cmake"
# In a shell of its own: `timeout` runs programs, and `set -e` ends it at the first command that fails.
timeout "$build_limit" bash -c 'set -e; . scripts/tools.sh; build_tests Debug; echo "$build" >"$1/build"' build "$work"
ctest_ok=$?

# After what needs the programs of `cargo test`: this builds them anew with its feature.
echo "== planted bugs, and mends taken out: does the simulator find them?"
timeout "$cargo_limit" cargo test --locked --features planted-bugs --test simulation -- planted mends 2>&1 | tee -a "$work/cargo.txt"
planted_ok=${PIPESTATUS[0]}
if [ "$planted_ok" -ne 0 ]; then cargo_ok=$planted_ok; fi

: >"$work/ctest.txt"
if [ "$ctest_ok" -eq 0 ]; then
  echo "== ctest"
  # Not --test-dir, which is younger than the cmake that is asked for.
  cd "$(cat "$work/build")"
  timeout "$ctest_limit" ctest --output-on-failure --parallel 2 --no-tests=error 2>&1 | tee "$work/ctest.txt"
  ctest_ok=${PIPESTATUS[0]}
  cd "$root_dir"
fi

echo "== the demo, and the library as hosts have it: optimised, and linked at once"
timeout "$build_limit" scripts/demo.sh
release_ok=$?
if [ "$release_ok" -eq 0 ]; then
  timeout "$build_limit" bash -c 'set -e; . scripts/tools.sh; build_tests Release c_abi_test thread_local_destructors unreplayed_freed' build
  release_ok=$?
fi
: >"$work/release.txt"
if [ "$release_ok" -eq 0 ]; then
  cd build/release
  surface='exported_symbols|c_program|thread_local_destructor|unreplayed'
  timeout "$ctest_limit" ctest --output-on-failure --no-tests=error -R "^surface\..*($surface)" 2>&1 | tee "$work/release.txt"
  release_ok=${PIPESTATUS[0]}
  cd "$root_dir"
fi

sum() { awk -v name="$1" '/^test result:/ { for (i = 2; i <= NF; ++i) if ($i ~ "^" name) total += $(i - 1) } END { print total + 0 }' "$work/cargo.txt"; }
passed=$(sum passed)
failed=$(sum failed)
# A step that ended otherwise (does not compile, hangs) counts as one failure.
if [ "$cargo_ok" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
for part in ctest release; do
  # "97% tests passed, 1 tests failed out of 40"
  read -r part_failed part_total < <(sed -n 's/^[0-9]*% tests passed, \([0-9]*\) tests failed out of \([0-9]*\)$/\1 \2/p' "$work/$part.txt")
  if [ -z "${part_total:-}" ]; then part_failed=1 part_total=1; fi
  passed=$((passed + part_total - part_failed))
  failed=$((failed + part_failed))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$cargo_ok" -eq 0 ] && [ "$ctest_ok" -eq 0 ] && [ "$release_ok" -eq 0 ]
