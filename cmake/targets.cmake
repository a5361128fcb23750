# The two targets that other projects link, from the build tree. The installed package defines the same
# ones in MakoRaftConfig.cmake.in.

include("${MAKO_RAFT_ROOT}/cmake/define_targets.cmake")
mako_raft_define_targets("${MAKO_RAFT_ROOT}/include" "${MAKO_RAFT_LIBRARY}" "${MAKO_RAFT_SONAME}")
add_dependencies(MakoRaft::mako_raft mako_raft_cargo)
