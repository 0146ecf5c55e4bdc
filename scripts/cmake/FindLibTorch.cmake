# FindLibTorch: finds LibTorch in a pip wheel, an unpacked libtorch zip or a Debian package.
#
# Searches LibTorch_ROOT or Torch_ROOT first: the folder with include/ and lib/, a site folder
# with torch/ in it, or lib/pythonX.Y/site-packages of a virtual environment. Then the cache that
# scripts/setup fills, the Python on the PATH, and the system. Component CUDA adds Torch::nccl.
# Targets: Torch::c10 and Torch::cpu. libtorch.so is not linked, because it loads libtorch_cuda.
#
# The wheel's own CMake package is not used: it needs a CUDA toolkit even for a CPU program.
include(FindPackageHandleStandardArgs)

set(_hints ${LibTorch_ROOT} ${Torch_ROOT} $ENV{LibTorch_ROOT} $ENV{Torch_ROOT})
if(NOT _hints)
  if(DEFINED ENV{XDG_CACHE_HOME})
    set(_cache "$ENV{XDG_CACHE_HOME}")
  else()
    set(_cache "$ENV{HOME}/.cache")
  endif()
  file(GLOB _cached LIST_DIRECTORIES true "${_cache}/btm/libtorch-*")
  list(SORT _cached COMPARE NATURAL ORDER DESCENDING)
  list(APPEND _hints ${_cached})
  find_package(Python3 QUIET COMPONENTS Interpreter)
  if(Python3_Interpreter_FOUND)
    execute_process(COMMAND "${Python3_EXECUTABLE}" -c
      "import importlib.util as u; s = u.find_spec('torch'); 
       print(s.submodule_search_locations[0] if s else '')"
      OUTPUT_VARIABLE _python_torch OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    list(APPEND _hints ${_python_torch})
  endif()
endif()

find_path(LibTorch_INCLUDE_DIR ATen/core/Tensor.h 
  HINTS ${_hints} PATH_SUFFIXES include torch/include libtorch/include)
find_library(LibTorch_CPU_LIBRARY torch_cpu
  HINTS ${_hints} PATH_SUFFIXES lib torch/lib libtorch/lib)
find_library(LibTorch_C10_LIBRARY c10 HINTS ${_hints} PATH_SUFFIXES lib torch/lib libtorch/lib)

if(LibTorch_INCLUDE_DIR)
  foreach(_file torch/headeronly/version.h torch/version.h torch/csrc/api/include/torch/version.h)
    if(NOT LibTorch_VERSION AND EXISTS "${LibTorch_INCLUDE_DIR}/${_file}")
      file(STRINGS "${LibTorch_INCLUDE_DIR}/${_file}" _lines
        REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) [0-9]+")
      if("${_lines}" MATCHES "MAJOR ([0-9]+).*MINOR ([0-9]+).*PATCH ([0-9]+)")
        set(LibTorch_VERSION "${CMAKE_MATCH_1}.${CMAKE_MATCH_2}.${CMAKE_MATCH_3}")
      endif()
    endif()
  endforeach()
endif()

# In a wheel: .../site-packages.
get_filename_component(_site "${LibTorch_INCLUDE_DIR}/../.." ABSOLUTE)
find_path(NCCL_INCLUDE_DIR nccl.h
  HINTS "${_site}/nvidia/nccl/include" ${NCCL_ROOT} /usr/local/cuda PATH_SUFFIXES include)
find_path(CUDA_RUNTIME_INCLUDE_DIR cuda_runtime_api.h
  HINTS "${_site}/nvidia/cu13/include" ${CUDAToolkit_ROOT} /usr/local/cuda PATH_SUFFIXES include)
if("CUDA" IN_LIST LibTorch_FIND_COMPONENTS)
  find_library(LibTorch_CUDA_LIBRARY torch_cuda
    HINTS ${_hints} PATH_SUFFIXES lib torch/lib libtorch/lib)
  find_library(LibTorch_C10_CUDA_LIBRARY c10_cuda
    HINTS ${_hints} PATH_SUFFIXES lib torch/lib libtorch/lib)
  if(LibTorch_CUDA_LIBRARY AND LibTorch_C10_CUDA_LIBRARY AND
      NCCL_INCLUDE_DIR AND CUDA_RUNTIME_INCLUDE_DIR)
    set(LibTorch_CUDA_FOUND TRUE)
  endif()
endif()

find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR
  VERSION_VAR LibTorch_VERSION HANDLE_COMPONENTS
  REASON_FAILURE_MESSAGE
    "scripts/setup fetches it, or give -DTorch_ROOT=FOLDER, the one that holds include/ and lib/.")

if(LibTorch_FOUND AND NOT TARGET Torch::cpu)
  set(_include "${LibTorch_INCLUDE_DIR}")
  if(EXISTS "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include")
    list(APPEND _include "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include")
  endif()
  find_package(Threads REQUIRED)
  add_library(Torch::c10 SHARED IMPORTED)
  set_target_properties(Torch::c10 PROPERTIES IMPORTED_LOCATION "${LibTorch_C10_LIBRARY}"
    INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${_include}" INTERFACE_INCLUDE_DIRECTORIES "${_include}")
  add_library(Torch::cpu SHARED IMPORTED)
  # The wheel's libtorch_cpu finds libcupti and libcudart by its own RPATH.
  set_target_properties(Torch::cpu PROPERTIES IMPORTED_LOCATION "${LibTorch_CPU_LIBRARY}"
    INTERFACE_LINK_LIBRARIES "Torch::c10;Threads::Threads")
  if(LibTorch_CUDA_FOUND)
    add_library(Torch::nccl INTERFACE IMPORTED)
    target_include_directories(Torch::nccl SYSTEM INTERFACE
      "${NCCL_INCLUDE_DIR}" "${CUDA_RUNTIME_INCLUDE_DIR}")
    target_compile_definitions(Torch::nccl INTERFACE USE_C10D_NCCL USE_CUDA)
    # torch_cuda registers its kernels in static initialisers, so it is linked although no symbol is
    # used.
    target_link_libraries(Torch::nccl INTERFACE Torch::cpu
      "-Wl,--push-state,--no-as-needed"
      "${LibTorch_CUDA_LIBRARY}" "${LibTorch_C10_CUDA_LIBRARY}" "-Wl,--pop-state")
    file(GLOB _nvidia LIST_DIRECTORIES true "${_site}/nvidia/*/lib")
    foreach(_folder ${_nvidia})
      target_link_options(Torch::nccl INTERFACE "LINKER:-rpath-link,${_folder}")
    endforeach()
  endif()
endif()
mark_as_advanced(LibTorch_INCLUDE_DIR LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY
  LibTorch_CUDA_LIBRARY
  LibTorch_C10_CUDA_LIBRARY)
