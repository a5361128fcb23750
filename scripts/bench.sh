#!/bin/sh
# Measures the library on this machine and writes docs/performance.md, its pictures and docs/performance.json.
#
#   scripts/bench.sh [OPTION]...            the standard set; options of `mako-raft-bench suite`
#   scripts/bench.sh --against COMMIT [OPTION]...
#                                           this work tree against a commit, interleaved; options of
#                                           `mako-raft-bench compare`; says what differs beyond the noise
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}

build() { # DIRECTORY TARGET
  (cd "$1" && CARGO_TARGET_DIR=$2 cargo build --quiet --release --bin mako-raft-bench)
}

if [ "${1-}" != --against ]; then
  build . "$target"
  exec "$target/release/mako-raft-bench" suite --out docs --data "$target" "$@"
fi

commit=$(git rev-parse --verify "${2:?"--against needs a commit"}^{commit}")
shift 2
other=$target/against
tree=$other/tree
git worktree prune
if [ -e "$tree" ]; then
  git -C "$tree" checkout --quiet --detach "$commit"
else
  git worktree add --quiet --detach "$tree" "$commit"
fi
trap 'git worktree remove --force "$tree"' EXIT INT TERM
build . "$target"
build "$tree" "$other/target"
"$target/release/mako-raft-bench" compare --before "$other/target/release/mako-raft-bench" \
  --after "$target/release/mako-raft-bench" "$@"
