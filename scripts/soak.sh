#!/usr/bin/env bash
# Runs the simulator for long, on every profile in turn:   scripts/soak.sh [MINUTES]   (default 60)
# Each step begins at seeds that no step before it had. Failures are listed as they come and again at the end.
#
# Or real processes under faults, through the C++ surface: scripts/soak.sh --processes [MINUTES] [--rounds N] [--seed S]
# and what else the campaign takes: --history H, --memory, --durable, --grouped, --only FAULT, --plain (docs/testing.md). It ends at
# the first broken check. scripts/soak.sh --processes --planted runs them on a library with bugs, and ends with 0 if each is found.
set -eu
. "$(dirname "$0")/tools.sh"
cd "$root_dir"

# The same build as that of the planted bugs' simulation test.
planted() {
    need_tools
    build_tests Debug
    cargo build --quiet --locked --lib --features planted-bugs
    mkdir -p "$build/planted"
    cp "${CARGO_TARGET_DIR:-$root_dir/target}/debug/libmako_raft.so" "$build/planted/libmako_raft.so.0"
    LD_LIBRARY_PATH="$build/planted" exec "$build/ctest/campaign" --planted
}

processes() {
    if [ "${1:-}" = --planted ]; then planted; fi
    local length=(--minutes 60) options=(--seed "$(date +%s)")
    case "${1:-}" in [0-9]*) length=(--minutes "$1"); shift ;; esac
    while [ $# -gt 0 ]; do
        case "$1" in
            --rounds | --minutes | --history) whole_number "${@:1:2}"; length=("$1" "$2"); shift ;;
            --seed) whole_number "${@:1:2}"; options+=(--seed "$2"); shift ;;
            --only) [ $# -gt 1 ] || wrong_line "--only needs a value"; options+=(--only "$2"); shift ;;
            --memory | --durable | --grouped | --plain) options+=("$1") ;;
            *) wrong_line "no such option: \"$1\"" ;;
        esac
        shift
    done
    need_tools
    build_tests Debug
    exec "$build/ctest/campaign" "${length[@]}" "${options[@]}"
}

if [ "${1:-}" = --processes ]; then
    shift
    processes "$@"
fi

minutes="${1:-60}"
whole_number MINUTES "$minutes"
[ $# -le 1 ] || wrong_line "nothing is done with \"$2\""
end=$(( $(date +%s) + minutes * 60 ))
first=$(( $(date +%s) * 1000 ))
seeds=0
failures=$(mktemp)
step=$(mktemp)
trap 'rm -f "$failures" "$step"' EXIT
cargo build --quiet --example simulate
while :; do
    for profile in memory durable default reckless rescue old-copy calm; do
        if [ "$(date +%s)" -ge "$end" ]; then break 2; fi
        # Not through a pipe: its status would hide that the simulator itself failed.
        if ! scripts/simulate.sh --profile "$profile" --first "$first" --seeds 50 >"$step" 2>&1; then
            cat "$step"
            echo "-- failed: scripts/simulate.sh --profile $profile --first $first --seeds 50" >>"$failures"
            cat "$step" >>"$failures"
        fi
        first=$(( first + 50 ))
        seeds=$(( seeds + 50 ))
        echo "$seeds seeds, last $profile, $(( end > $(date +%s) ? (end - $(date +%s)) / 60 : 0 )) minutes left"
    done
done
if [ -s "$failures" ]; then
    echo "Failures:"
    cat "$failures"
    exit 1
fi
echo "no invariant was broken by $seeds seeds in $minutes minutes"
