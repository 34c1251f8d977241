# The libraries that the layers link. Read by the build, and by find_package(dragoman) where it is
# installed, so that both look for the same.
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(dnnl REQUIRED)
find_package(HDF5 REQUIRED COMPONENTS C)
find_package(yaml-cpp REQUIRED)
set(yaml_cpp yaml-cpp)
if(TARGET yaml-cpp::yaml-cpp)  # since 0.8
  set(yaml_cpp yaml-cpp::yaml-cpp)
endif()
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(ZLIB REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(sentencepiece REQUIRED IMPORTED_TARGET sentencepiece)
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)
