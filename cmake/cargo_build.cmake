# cmake -D CARGO=.. -D ROOT=.. -D TARGET_DIR=.. -D PROFILE=.. -D "WHAT=build --bin=NAME" -D ARTIFACT=.. -D TO=..
#   -P cargo_build.cmake
#
# Runs cargo, and copies the file ARTIFACT that it built to TO when that differs. Where cargo puts a file depends on what
# the environment and cargo's own configuration say ([build] target adds a directory, for one), so cargo is asked: it
# names each file that it built, or found up to date, in a line of JSON. Its messages for people go to standard error.

separate_arguments(WHAT UNIX_COMMAND "${WHAT}")
execute_process(
  COMMAND "${CMAKE_COMMAND}" -E env "CARGO_TARGET_DIR=${TARGET_DIR}"
          "${CARGO}" ${WHAT} --locked --profile ${PROFILE} --manifest-path "${ROOT}/Cargo.toml"
          --message-format=json-render-diagnostics
  WORKING_DIRECTORY "${ROOT}"
  OUTPUT_VARIABLE artifacts
  RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "mako-raft: \"${CARGO} ${WHAT}\" failed (${failed}); what it said is above.")
endif()

string(REGEX REPLACE "([][+.*?()^$])" "\\\\\\1" pattern "${ARTIFACT}")
if(NOT artifacts MATCHES "\"([^\"]*/${pattern})\"")
  message(FATAL_ERROR
    "mako-raft: ${CARGO} has built no ${ARTIFACT}. A target that has no shared libraries, in CARGO_BUILD_TARGET or "
    "cargo's configuration ([build] target)? It has to be the machine that your C++ compiler builds for.")
endif()
set(built "${CMAKE_MATCH_1}")

get_filename_component(directory "${TO}" DIRECTORY)
file(MAKE_DIRECTORY "${directory}")
execute_process(COMMAND "${CMAKE_COMMAND}" -E copy_if_different "${built}" "${TO}" RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "mako-raft: can't copy ${built}, which cargo names, to ${TO}.")
endif()
