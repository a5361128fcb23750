#!/bin/sh
# Runs the simulator for long, on every profile in turn: scripts/soak.sh [MINUTES]   (default 60)
# Each step begins at seeds that no step before it had. Failures are listed as they come and again at the end.
set -eu
cd "$(dirname "$0")/.."
minutes="${1:-60}"
end=$(( $(date +%s) + minutes * 60 ))
first=$(( $(date +%s) * 1000 ))
seeds=0
failures=$(mktemp)
step=$(mktemp)
trap 'rm -f "$failures" "$step"' EXIT
cargo build --quiet --example simulate
while :; do
    for profile in memory durable default reckless calm; do
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
