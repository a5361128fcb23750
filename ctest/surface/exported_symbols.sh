#!/usr/bin/env bash
# exported_symbols.sh NM LIBRARY HEADER: the library exports exactly the functions of the header.
set -euo pipefail
exported=$("$1" -D --defined-only "$2" | awk '{print $3}' | sort)
declared=$(grep -v '^ *//' "$3" | grep -o '\bmako_raft_[a-z0-9_]*(' | tr -d '(' | sort -u)
if ! diff <(echo "$declared") <(echo "$exported"); then
  echo "(< declared in the header, > exported by the library)"
  exit 1
fi
echo "$(echo "$exported" | wc -l) functions, all of them declared"
