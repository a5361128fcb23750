#!/usr/bin/env bash
# The quick cluster tests, about a minute.
set -euo pipefail
. "$(dirname "$0")/tools.sh"
no_arguments "$@"
need_tools
build_tests Debug
exec timeout 600 ctest --test-dir "$build" -L smoke --output-on-failure --parallel 2 --no-tests=error
