#!/bin/sh
# Runs the deterministic simulator (docs/testing.md).
#   scripts/simulate.sh                      200 seeds
#   scripts/simulate.sh --seeds N            N seeds, from --first S on
#   scripts/simulate.sh --minutes M          as many seeds as fit
#   scripts/simulate.sh --seed S             one seed again, with its transcript when it fails
#   ... [--profile P] [--without FAULT,..] [--only FAULT,..] [--transcript FILE]
# Ends with 1 when an invariant did not hold; each failure is one line with the command that repeats it.
set -eu
cd "$(dirname "$0")/.."
exec cargo run --quiet --example simulate -- "$@"
