#!/usr/bin/env bash
# All cluster tests: shards of real processes, driven through Mako's C++ functions.
set -euo pipefail
. "$(dirname "$0")/tools.sh"
no_arguments "$@"
need_tools
build_tests Debug
cd "$build"
exec timeout 1500 ctest -L cluster --output-on-failure --parallel 2 --no-tests=error
