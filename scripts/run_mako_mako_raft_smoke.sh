#!/usr/bin/env bash
# The quick cluster tests, about a minute.
set -euo pipefail
. "$(dirname "$0")/tools.sh"
no_arguments "$@"
need_tools
build_tests Debug
cd "$build"
exec timeout 600 ctest -L smoke --output-on-failure --parallel 2 --no-tests=error
