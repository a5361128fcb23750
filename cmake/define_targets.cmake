# mako_raft_define_targets(<include directory> <shared library> <soname>)
#
# Used by the build tree and by the installed package alike.
#
# MakoRaft::helper and MakoRaft::raft_impl are interface libraries with a *source*: each executable or library that
# links one compiles raft_main_helper.cc itself, with its own flags. An object file on the link line wins over
# every archive, so a second provider of the same functions (an older helper in some archive) either is
# not taken at all or ends the link with "multiple definition". For a consumer behind a static
# library, where our object is an archive's member too, -u makes the link ask for a symbol that
# only our file has, with the same effect. Without both, the linker would silently take the first one.
#
# MakoRaft::raft_impl has the functions of namespace raft_impl only, for a tree whose own global functions choose
# between that namespace and another one at run time. Such a tree has nothing to choose when it is compiled, so this
# target defines no MAKO_USE_RAFT.
function(mako_raft_define_targets include_dir library soname)
  find_package(Threads REQUIRED)

  add_library(MakoRaft::mako_raft SHARED IMPORTED GLOBAL)
  set_target_properties(MakoRaft::mako_raft PROPERTIES
    IMPORTED_LOCATION "${library}"
    IMPORTED_SONAME "${soname}"
    INTERFACE_INCLUDE_DIRECTORIES "${include_dir}")

  foreach(surface helper raft_impl)
    add_library(MakoRaft::${surface} INTERFACE IMPORTED GLOBAL)
    target_sources(MakoRaft::${surface} INTERFACE "${include_dir}/mako_raft/raft_main_helper.cc")
    target_include_directories(MakoRaft::${surface} INTERFACE "${include_dir}")
    target_compile_features(MakoRaft::${surface} INTERFACE cxx_std_11)
    # A flag among the libraries, since link options don't pass through a private dependency of a static
    # library under every policy setting of the consumer (CMP0099).
    target_link_libraries(MakoRaft::${surface} INTERFACE
      -Wl,-u,mako_raft_cpp_surface MakoRaft::mako_raft Threads::Threads)
  endforeach()
  target_compile_definitions(MakoRaft::helper INTERFACE MAKO_USE_RAFT=1)
  target_compile_definitions(MakoRaft::raft_impl INTERFACE MAKO_RAFT_IMPL_ONLY=1)
endfunction()
