# Sourced by the other scripts: finds the tools that a build needs, and installs what is missing where
# it may.

# wrong_line TEXT: says what is wrong with the command line, and how it should be. Exit status 2.
wrong_line() {
  echo "$(basename "$0"): $1" >&2
  # The comment at the top of the script.
  sed -n '2,/^[^#]/ { s/^# \{0,1\}//p }' "$root_dir/scripts/$(basename "$0")" >&2
  exit 2
}

# no_arguments "$@"
no_arguments() {
  [ $# -eq 0 ] || wrong_line "takes no arguments, not \"$1\""
}

# whole_number NAME VALUE
whole_number() {
  [ $# -eq 2 ] || wrong_line "$1 needs a value"
  case "$2" in "" | *[!0-9]*) wrong_line "$1 takes a whole number, not \"$2\"" ;; esac
}

need_tools() {
  export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
  if ! command -v cargo >/dev/null; then
    echo "No cargo: install a Rust toolchain first, see https://rustup.rs" >&2
    exit 1
  fi
  local missing=()
  command -v cmake >/dev/null || missing+=(cmake)
  command -v g++ >/dev/null || missing+=(g++)
  command -v make >/dev/null || missing+=(make)
  [ ${#missing[@]} -eq 0 ] && return
  local root=()
  if [ "$(id -u)" -ne 0 ]; then root=(sudo); fi
  local install="${root[*]:+${root[*]} }apt-get install -y --no-install-recommends ${missing[*]}"
  echo "Missing: ${missing[*]}. Installing: $install"
  if ! command -v apt-get >/dev/null || { [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null; }; then
    echo "Can't install them from here. Please run:  $install" >&2
    exit 1
  fi
  # shellcheck disable=SC2068
  DEBIAN_FRONTEND=noninteractive ${root[@]} apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive ${root[@]} apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null \
    || { echo "That failed. Please run:  $install" >&2; exit 1; }
}

# build_tests BUILD_TYPE [TARGET]...: configures and builds everything, or these targets, into build/<type>, and sets `build`
# to it.
build_tests() {
  local type=$1 targets=()
  shift
  if [ $# -gt 0 ]; then targets=(--target "$@"); fi
  build=$root_dir/build/$(echo "$type" | tr '[:upper:]' '[:lower:]')
  local generator=()
  if command -v ninja >/dev/null; then generator=(-G Ninja); fi
  if [ -e "$build/CMakeCache.txt" ]; then generator=(); fi
  cmake -S "$root_dir" -B "$build" "${generator[@]}" -DCMAKE_BUILD_TYPE="$type" >/dev/null
  cmake --build "$build" --parallel "$(nproc)" "${targets[@]}"
}

root_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
