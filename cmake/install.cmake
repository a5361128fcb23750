# cmake --install: headers, the C++ source, the library, and a package for find_package(MakoRaft).
# Only when this is the top project: a project that adds us decides itself what it installs.

if(NOT MAKO_RAFT_IS_TOP)
  return()
endif()

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

file(STRINGS "${MAKO_RAFT_ROOT}/Cargo.toml" version_line REGEX "^version = " LIMIT_COUNT 1)
string(REGEX REPLACE "^version = \"(.*)\"$" "\\1" MAKO_RAFT_VERSION "${version_line}")

set(MAKO_RAFT_PACKAGE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/MakoRaft")
install(FILES "${MAKO_RAFT_ROOT}/include/mako_raft.h" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(DIRECTORY "${MAKO_RAFT_ROOT}/include/mako_raft" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(PROGRAMS "${MAKO_RAFT_LIBRARY}" DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(FILES "${MAKO_RAFT_LIBRARY_DIR}/libmako_raft.so" DESTINATION "${CMAKE_INSTALL_LIBDIR}")

# Written by hand: install(EXPORT) leaves imported targets out.
configure_package_config_file("${MAKO_RAFT_ROOT}/cmake/MakoRaftConfig.cmake.in"
  "${CMAKE_CURRENT_BINARY_DIR}/MakoRaftConfig.cmake"
  INSTALL_DESTINATION "${MAKO_RAFT_PACKAGE_DIR}"
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/MakoRaftConfigVersion.cmake"
  VERSION "${MAKO_RAFT_VERSION}" COMPATIBILITY SameMinorVersion)
install(FILES
  "${CMAKE_CURRENT_BINARY_DIR}/MakoRaftConfig.cmake"
  "${CMAKE_CURRENT_BINARY_DIR}/MakoRaftConfigVersion.cmake"
  "${MAKO_RAFT_ROOT}/cmake/define_targets.cmake"
  DESTINATION "${MAKO_RAFT_PACKAGE_DIR}")
