#!/usr/bin/env bash
# which_cargo.sh SOURCE GENERATOR
#
# Which cargo the build calls, and that it takes the library from where that cargo has put it. The cargos here are
# scripts: one on PATH that builds for a target, in a directory of its own, and one in CARGO_HOME that fails.
set -euo pipefail
source=$1 generator=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/path" "$work/home/bin"

cat >"$work/path/cargo" <<'END'
#!/bin/sh
if [ -n "${BUILDS_NOTHING:-}" ]; then exit 0; fi
directory=$CARGO_TARGET_DIR/some-target/debug
mkdir -p "$directory"
echo "a library" >"$directory/libmako_raft.so"
echo '{"reason":"compiler-artifact","target":{"name":"other"},"filenames":["/elsewhere/libother.rlib"],"executable":null}'
echo '{"reason":"compiler-artifact","target":{"name":"mako_raft"},"filenames":["'"$directory/libmako_raft.rlib"'","'"$directory/libmako_raft.so"'"],"executable":null}'
echo '{"reason":"build-finished","success":true}'
END
printf '#!/bin/sh\necho "the cargo of CARGO_HOME was called" >&2\nexit 1\n' >"$work/home/bin/cargo"
chmod +x "$work/path/cargo" "$work/home/bin/cargo"
export PATH="$work/path:$PATH" CARGO_HOME="$work/home"

cmake -S "$source" -B "$work/build" -G "$generator" -DCMAKE_BUILD_TYPE=Debug -DMAKO_RAFT_TESTS=OFF >/dev/null
cmake --build "$work/build" --target mako_raft_cargo
grep -q "a library" "$work/build/lib/libmako_raft.so.0" || { echo "that is not what cargo has built"; exit 1; }
grep -q "a library" "$work/build/lib/libmako_raft.so" || { echo "the name for the linker leads nowhere"; exit 1; }
echo "the library is taken from where cargo says that it is"

rm "$work/build/lib/"*
if BUILDS_NOTHING=1 cmake --build "$work/build" --target mako_raft_cargo >"$work/nothing.txt" 2>&1; then
  echo "a cargo that builds nothing passes for one that does"
  exit 1
fi
grep -q "has built no libmako_raft.so" "$work/nothing.txt" || { cat "$work/nothing.txt"; exit 1; }
echo "a missing library is an error that says so"
