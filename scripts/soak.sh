#!/bin/sh
# Runs the simulator for long, on every profile in turn: scripts/soak.sh [MINUTES]   (default 60)
# Each round begins at seeds that no round before it had. Failures are listed as they come and again at the end.
set -eu
cd "$(dirname "$0")/.."
minutes="${1:-60}"
end=$(( $(date +%s) + minutes * 60 ))
first=$(( $(date +%s) * 1000 ))
failures=$(mktemp)
trap 'rm -f "$failures"' EXIT
cargo build --quiet --example simulate
while [ "$(date +%s)" -lt "$end" ]; do
    for profile in memory durable default reckless calm; do
        scripts/simulate.sh --profile "$profile" --first "$first" --seeds 100 | tee -a "$failures"
        first=$(( first + 100 ))
    done
done
if grep 'does not hold' "$failures"; then
    exit 1
fi
echo "no invariant was broken in $minutes minutes"
