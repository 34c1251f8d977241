# `cmake --install` gives the program, and what others build on: the layers as libraries with their
# headers, and the files that find_package(dragoman) reads (examples/).
include(CMakePackageConfigHelpers)
set(package lib/cmake/dragoman)

install(TARGETS dragoman)
get_property(layers GLOBAL PROPERTY dragoman_layers)
foreach(layer ${layers})
  set_target_properties(dragoman_${layer} PROPERTIES EXPORT_NAME ${layer})
  install(TARGETS dragoman_${layer} EXPORT dragoman ARCHIVE DESTINATION lib)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/src/${layer} DESTINATION include/dragoman
    FILES_MATCHING PATTERN "*.h" PATTERN detail.h EXCLUDE)
endforeach()
# Headers have code that is compiled for a processor: for the same one everywhere.
target_include_directories(dragoman_core PUBLIC $<INSTALL_INTERFACE:include/dragoman>)
target_compile_features(dragoman_core PUBLIC $<INSTALL_INTERFACE:cxx_std_20>)
target_compile_options(dragoman_core PUBLIC
  $<INSTALL_INTERFACE:$<$<COMPILE_LANGUAGE:CXX>:-march=${DRAGOMAN_ARCH}>>)
if(DRAGOMAN_SANITIZE)
  target_link_options(dragoman_core PUBLIC $<INSTALL_INTERFACE:-fsanitize=${DRAGOMAN_SANITIZE}>)
endif()
install(EXPORT dragoman NAMESPACE dragoman:: FILE dragoman-targets.cmake DESTINATION ${package})

configure_package_config_file(cmake/dragoman-config.cmake.in
  ${PROJECT_BINARY_DIR}/dragoman-config.cmake INSTALL_DESTINATION ${package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/dragoman-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/dragoman-config.cmake
  ${PROJECT_BINARY_DIR}/dragoman-config-version.cmake cmake/libraries.cmake DESTINATION ${package})

# What scripts/bundle.sh installs: the program, the tests of the engine and of models (tests/), and the
# shared libraries that a machine without development packages lacks. Not among these are the C
# library and the GPU's driver, which belong to the machine, and cuBLASLt, which is large.
set(of_the_machine "^ld-linux" "^lib(c|m|mvec|pthread|dl|rt|resolv|util)\\.so" "^libcuda\\.so"
  "^libcublasLt\\.so")
install(TARGETS dragoman RUNTIME_DEPENDENCY_SET libraries
  RUNTIME COMPONENT bundle EXCLUDE_FROM_ALL)
install(RUNTIME_DEPENDENCY_SET libraries PRE_EXCLUDE_REGEXES ${of_the_machine}
  POST_EXCLUDE_REGEXES ${of_the_machine}
  LIBRARY DESTINATION lib COMPONENT bundle EXCLUDE_FROM_ALL)
