#!/usr/bin/env bash
# run.sh SOURCE BUILD GENERATOR BUILD_TYPE CARGO
#
# Uses mako-raft, built in BUILD, from another project in a temporary directory outside of both: added
# as a subdirectory, installed and found, and left off. BUILD's cargo directory is shared, so that
# nothing is compiled twice.
set -euo pipefail
source=$1 build=$2 generator=$3 type=$4 cargo=$5
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here"/{CMakeLists.txt,main.cc,c_abi.cc} "$work"

# As Mako has us: below a directory that is a cargo workspace, of which we are no member.
mkdir -p "$work/host/third_party" && ln -s "$source" "$work/host/third_party/mako-raft"
printf '[workspace]\nresolver = "2"\nmembers = []\n' >"$work/host/Cargo.toml"
"$cargo" metadata --no-deps --offline --locked --format-version 1 \
  --manifest-path "$work/host/third_party/mako-raft/Cargo.toml" >/dev/null
echo "below a cargo workspace: cargo takes us"

configure() {  # configure NAME HOW ARGUMENTS...
  local name=$1 how=$2
  shift 2
  cmake -S "$work" -B "$work/$name" -G "$generator" -DCMAKE_BUILD_TYPE="$type" -DHOW="$how" "$@" >"$work/$name.txt" \
    || { cat "$work/$name.txt"; echo "configuring $name failed"; exit 1; }
}

check_program() {  # check_program FILE
  "$1" || { echo "$1 failed"; exit 1; }
  # The library is named by its SONAME alone, not by the path at which it was built.
  readelf -d "$1" | grep -q 'NEEDED.*\[libmako_raft\.so\.0\]' \
    || { echo "$1 does not need libmako_raft.so.0:"; readelf -d "$1"; exit 1; }
}

configure off off -DMAKO_RAFT_SOURCE="$source"
cmake --build "$work/off"
echo "left off: nothing of ours is defined"

configure added add_subdirectory -DMAKO_RAFT_SOURCE="$source" -DMAKO_RAFT_CARGO_TARGET_DIR="$build/cargo"
cmake --build "$work/added"
check_program "$work/added/foreign"
check_program "$work/added/foreign_c_abi"
[ ! -e "$work/added/mako_raft/ctest" ] || { echo "our tests are built in a foreign project"; exit 1; }
echo "add_subdirectory: built and run"

cmake --install "$build" --prefix "$work/prefix" >/dev/null
configure found find_package -DCMAKE_PREFIX_PATH="$work/prefix"
cmake --build "$work/found"
check_program "$work/found/foreign"
check_program "$work/found/foreign_c_abi"
echo "find_package: built and run"
