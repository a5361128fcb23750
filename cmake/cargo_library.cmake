# Builds libmako_raft with cargo, in the build tree.
#
# Sets: MAKO_RAFT_SONAME, MAKO_RAFT_LIBRARY_DIR, MAKO_RAFT_LIBRARY (the shared library). A static library
# is not offered: it would show the symbols of every crate in it, and clash with
# those of another Rust static library in the same program. Mako links one.
# Defines the target mako_raft_cargo. Cargo is called on every build: it knows best what is out of
# date, and a build with nothing to do takes it a fraction of a second.

# The same name as in build.rs.
set(MAKO_RAFT_SONAME libmako_raft.so.0)

# The cargo of PATH first, as scripts/tools.sh has it. Behind it, where rustup installs one: shells have that on their
# PATH, others that start a build may not.
set(mako_raft_cargo_places "")
if(NOT "$ENV{CARGO_HOME}" STREQUAL "")
  list(APPEND mako_raft_cargo_places "$ENV{CARGO_HOME}/bin")
endif()
if(NOT "$ENV{HOME}" STREQUAL "")
  list(APPEND mako_raft_cargo_places "$ENV{HOME}/.cargo/bin")
endif()
find_program(MAKO_RAFT_CARGO cargo PATHS ${mako_raft_cargo_places})
if(NOT MAKO_RAFT_CARGO)
  message(FATAL_ERROR
    "mako-raft: no cargo found. Install a Rust toolchain (https://rustup.rs), "
    "or pass -DMAKO_RAFT_CARGO=/path/to/cargo.")
endif()

# Debug builds get cargo's dev profile, all others its release profile. A multi-configuration generator
# has one library for all of its configurations, the release one.
get_property(multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
if(NOT multi_config AND CMAKE_BUILD_TYPE STREQUAL "Debug")
  set(mako_raft_profile dev)
else()
  set(mako_raft_profile release)
endif()

set(MAKO_RAFT_CARGO_TARGET_DIR "${CMAKE_CURRENT_BINARY_DIR}/cargo" CACHE PATH
  "Where cargo builds the library; several build trees may share one, but a plain `cargo build` should have another")
set(MAKO_RAFT_LIBRARY_DIR "${CMAKE_CURRENT_BINARY_DIR}/lib")
set(MAKO_RAFT_LIBRARY "${MAKO_RAFT_LIBRARY_DIR}/${MAKO_RAFT_SONAME}")

# mako_raft_run_cargo(<variable> <target directory> <what> <file> <to>): sets the variable to a command that builds what
# there and copies its file.
function(mako_raft_run_cargo variable target_dir what file to)
  set(${variable} "${CMAKE_COMMAND}" -D "CARGO=${MAKO_RAFT_CARGO}" -D "ROOT=${MAKO_RAFT_ROOT}"
    -D "TARGET_DIR=${target_dir}" -D "PROFILE=${mako_raft_profile}" -D "WHAT=${what}"
    -D "ARTIFACT=${file}" -D "TO=${to}" -P "${MAKO_RAFT_ROOT}/cmake/cargo_build.cmake" PARENT_SCOPE)
endfunction()

# A copy under the SONAME, so that what is linked is what is loaded; copied only when it differs, so
# that programs are not linked again for nothing. The host's linker and compiler settings are
# cargo's own business: RUSTFLAGS and the like are taken from the environment as usual.
#
# `cargo rustc` with this one crate type, since `cargo build` makes a Rust library in the same step, and then leaves out
# the link-time optimisation that the release profile asks for, without a word. The two share their file names and what
# cargo knows of them, so that in one target directory each would undo the other's, and be built anew every time.
mako_raft_run_cargo(mako_raft_build_library "${MAKO_RAFT_CARGO_TARGET_DIR}" "rustc --lib --crate-type=cdylib" libmako_raft.so "${MAKO_RAFT_LIBRARY}")
add_custom_target(mako_raft_cargo ALL
  COMMAND ${mako_raft_build_library}
  COMMAND "${CMAKE_COMMAND}" -E create_symlink ${MAKO_RAFT_SONAME} "${MAKO_RAFT_LIBRARY_DIR}/libmako_raft.so"
  BYPRODUCTS "${MAKO_RAFT_LIBRARY}" "${MAKO_RAFT_LIBRARY_DIR}/libmako_raft.so"
  WORKING_DIRECTORY "${MAKO_RAFT_ROOT}"
  USES_TERMINAL
  VERBATIM
  COMMENT "mako-raft: cargo build (profile ${mako_raft_profile})")
