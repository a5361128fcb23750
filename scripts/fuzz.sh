#!/bin/sh
# Fuzzes what reads bytes of others (docs/testing.md, "Fuzzing").
#   scripts/fuzz.sh [TARGET...] [--minutes M]     each target for M minutes (1), from its committed corpus
# Works with a stable toolchain. New inputs go to fuzz/work/TARGET, a find to fuzz/artifacts/TARGET; copy a find to
# fuzz/corpus/TARGET once its cause is fixed. Ends with 1 on a find: a panic, an overflow, an input that takes more than
# 20 s, one allocation of more than 64 MiB, or more than 1 GiB in all; with 2 if nothing could be fuzzed.
set -eu
cd "$(dirname "$0")/.."
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
export RUSTC_BOOTSTRAP=1
minutes=1
targets=
wrong_line() {
    echo "fuzz.sh: $1" >&2
    echo "usage: scripts/fuzz.sh [TARGET...] [--minutes M]; targets:" $(ls fuzz/fuzz_targets | sed 's/\.rs$//') >&2
    exit 2
}
while [ $# -gt 0 ]; do
    case "$1" in
        --minutes)
            [ $# -gt 1 ] || wrong_line "--minutes needs a value"
            minutes=$2
            shift 2
            ;;
        -*) wrong_line "no such option: \"$1\"" ;;
        *)
            [ -e "fuzz/fuzz_targets/$1.rs" ] || wrong_line "no such target: \"$1\""
            targets="$targets $1"
            shift
            ;;
    esac
done
case "$minutes" in
    "" | . | *[!0-9.]* | *.*.*) wrong_line "--minutes takes a number, not \"$minutes\"" ;;
esac
[ -n "$targets" ] || targets=$(ls fuzz/fuzz_targets | sed 's/\.rs$//')
seconds=$(awk "BEGIN { print int($minutes * 60) }")
# To libFuzzer 0 is no limit.
[ "$seconds" -gt 0 ] || wrong_line "--minutes takes more than a second, not \"$minutes\""
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "cargo-fuzz is missing; install it with: cargo install --locked cargo-fuzz" >&2
    exit 2
fi
mkdir -p fuzz/work
if ! cargo fuzz build --sanitizer none --dev >fuzz/work/build.log 2>&1; then
    tail -30 fuzz/work/build.log >&2
    echo "fuzz.sh: the targets can't be built; nothing was fuzzed" >&2
    exit 2
fi
found=0
for target in $targets; do
    mkdir -p "fuzz/work/$target"
    log="fuzz/work/$target.log"
    # No sanitizer: safe code, and overflows and bounds are checked in these builds anyway.
    if cargo fuzz run --sanitizer none --dev "$target" "fuzz/work/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -timeout=20 -malloc_limit_mb=64 -rss_limit_mb=1024 -max_len=4096 \
        -print_final_stats=1 >"$log" 2>&1
    then result="no find"; else result="FIND, see fuzz/artifacts/$target and $log"; found=1; fi
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1)
    coverage=$(sed -n 's/^#.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)
    echo "$target: ${executions:-no} executions, ${coverage:-?} edges, $result"
done
exit $found
