# The packages that compat stands on, as targets. The build uses this file, and so does a program
# that finds an installed btm (find_package(btm)).
include(CMakeFindDependencyMacro)
find_dependency(Boost 1.74 COMPONENTS program_options)
find_dependency(OpenSSL COMPONENTS Crypto)
find_dependency(nlohmann_json 3.9)
find_dependency(Threads)
find_dependency(ZLIB)

# btm_library(NAME LIBRARY HEADER): btm::NAME for a library that brings no CMake package, or one
# without the choice of a static library. LIBRARY may be a list: the first that is found.
function(btm_library name library header)
  if(TARGET btm::${name})
    return()
  endif()
  find_path(BTM_${name}_INCLUDE_DIR ${header})
  find_library(BTM_${name}_LIBRARY NAMES ${library})
  mark_as_advanced(BTM_${name}_INCLUDE_DIR BTM_${name}_LIBRARY)
  if(NOT BTM_${name}_INCLUDE_DIR OR NOT BTM_${name}_LIBRARY)
    message(FATAL_ERROR "btm needs ${header} and lib${library} (scripts/setup installs them)")
  endif()
  add_library(btm::${name} UNKNOWN IMPORTED)
  set_target_properties(btm::${name} PROPERTIES
    IMPORTED_LOCATION "${BTM_${name}_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${BTM_${name}_INCLUDE_DIR}")
endfunction()

btm_library(deflate deflate libdeflate.h)
btm_library(sentencepiece sentencepiece sentencepiece_processor.h)
btm_library(zstd zstd zstd.h)
