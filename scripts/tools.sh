# Sourced by the other scripts: finds the tools that a build needs, and installs what is missing where
# it may.

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

# build_tests BUILD_TYPE: configures and builds everything into build/<type>, and sets `build` to it.
build_tests() {
  local type=$1
  build=$root_dir/build/$(echo "$type" | tr '[:upper:]' '[:lower:]')
  local generator=()
  if command -v ninja >/dev/null; then generator=(-G Ninja); fi
  if [ -e "$build/CMakeCache.txt" ]; then generator=(); fi
  cmake -S "$root_dir" -B "$build" "${generator[@]}" -DCMAKE_BUILD_TYPE="$type" >/dev/null
  cmake --build "$build" --parallel "$(nproc)"
}

root_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
