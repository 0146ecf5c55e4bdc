# What `cmake --install` puts where, and the Debian package.
#
#   bin/btm, bin/btm-convert
#   lib/btm/            LibTorch's libraries that btm needs (component runtime)
#   share/btm/          the release's scripts
#   share/doc/btm/      README, licences, the list of dependencies (LICENCES.txt, btm.spdx.json)
#   share/man, share/bash-completion, share/zsh, share/fish  (Manual.cmake)
#   include/btm/compat/, lib/libcompat.a, lib/cmake/btm/  the library btm::compat (component dev)
#
# btm finds lib/btm relative to itself, so the tree may be moved. With BTM_INSTALL_LIBTORCH=OFF,
# the default with CUDA, nothing of LibTorch is copied, and btm keeps the path of the LibTorch that
# it was built with.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(BTM_LIBTORCH_FOLDER lib/btm)
if(BTM_CUDA)
  option(BTM_INSTALL_LIBTORCH "Install LibTorch's libraries beside btm" OFF)
else()
  option(BTM_INSTALL_LIBTORCH "Install LibTorch's libraries beside btm" ON)
endif()

install(TARGETS btm-convert RUNTIME COMPONENT runtime)
install(FILES README.md LICENSE CHANGELOG.md
  DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/btm" COMPONENT runtime)
find_package(Python3 QUIET COMPONENTS Interpreter)
if(Python3_Interpreter_FOUND)
  set(_list "${PROJECT_BINARY_DIR}/LICENCES.txt" "${PROJECT_BINARY_DIR}/btm.spdx.json")
  install(CODE "execute_process(COMMAND \"${Python3_EXECUTABLE}\"
    \"${PROJECT_SOURCE_DIR}/scripts/licences\" --build \"${PROJECT_BINARY_DIR}\" --write
    ${_list} COMMAND_ERROR_IS_FATAL ANY)" COMPONENT runtime)
  install(FILES ${_list} DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/btm" COMPONENT runtime)
endif()
if(BTM_WITH_LIBTORCH)
  install(TARGETS btm RUNTIME COMPONENT runtime)
  install(DIRECTORY scripts/btm_shell_scripts scripts/btm_utils
    DESTINATION "${CMAKE_INSTALL_DATADIR}/btm" COMPONENT runtime
    USE_SOURCE_PERMISSIONS PATTERN __pycache__ EXCLUDE)
  if(BTM_INSTALL_LIBTORCH)
    set_target_properties(btm PROPERTIES INSTALL_RPATH "$ORIGIN/../${BTM_LIBTORCH_FOLDER}")
    # Everything that btm loads from outside the system's folders is LibTorch's.
    install(CODE "
      file(GET_RUNTIME_DEPENDENCIES EXECUTABLES \"$<TARGET_FILE:btm>\"
        RESOLVED_DEPENDENCIES_VAR found UNRESOLVED_DEPENDENCIES_VAR missing
        PRE_EXCLUDE_REGEXES \"^ld-linux\" POST_EXCLUDE_REGEXES \"^/lib\" \"^/usr/lib\")
      if(missing)
        message(FATAL_ERROR \"btm needs libraries that are not found: \${missing}\")
      endif()
      file(INSTALL DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${BTM_LIBTORCH_FOLDER}\"
        TYPE SHARED_LIBRARY FOLLOW_SYMLINK_CHAIN FILES \${found})" COMPONENT runtime)
    # Where dpkg-shlibdeps finds the same libraries.
    get_filename_component(_folder "${LibTorch_CPU_LIBRARY}" DIRECTORY)
    file(GLOB _nvidia LIST_DIRECTORIES true "${_folder}/../../nvidia/*/lib")
    set(BTM_LIBTORCH_FOLDERS "${_folder}" ${_nvidia})
    get_filename_component(_licences "${LibTorch_INCLUDE_DIR}/../../licenses" ABSOLUTE)
    if(EXISTS "${_licences}")
      install(DIRECTORY "${_licences}/"
        DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/btm/libtorch" COMPONENT runtime)
    endif()
  else()
    set_target_properties(btm PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
  endif()
endif()

# The library. It is static, so a program that links it needs no btm at run time.
set_target_properties(compat PROPERTIES EXPORT_NAME compat)
install(TARGETS compat EXPORT btm-targets ARCHIVE DESTINATION lib/btm COMPONENT dev)
install(DIRECTORY compat DESTINATION include/btm COMPONENT dev FILES_MATCHING PATTERN "*.h")
install(EXPORT btm-targets NAMESPACE btm:: DESTINATION lib/cmake/btm COMPONENT dev)
configure_package_config_file(scripts/cmake/btm-config.cmake.in
  "${PROJECT_BINARY_DIR}/btm-config.cmake" INSTALL_DESTINATION lib/cmake/btm)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/btm-config-version.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/btm-config.cmake"
  "${PROJECT_BINARY_DIR}/btm-config-version.cmake" scripts/cmake/BtmDependencies.cmake
  DESTINATION lib/cmake/btm COMPONENT dev)

# The Debian package: `cpack -G DEB` in the build folder; scripts/package calls it. The files of
# component debian belong to it alone. Its programs are stripped, its manual pages compressed.
execute_process(COMMAND "${CMAKE_COMMAND}" -E env LC_ALL=C date -u -R -d "${BTM_DATE}"
  OUTPUT_VARIABLE BTM_CHANGELOG_DATE OUTPUT_STRIP_TRAILING_WHITESPACE)
configure_file(scripts/debian/changelog.in "${PROJECT_BINARY_DIR}/debian/changelog" @ONLY)
install(CODE "
  file(GLOB pages \"${BTM_MANUAL_FOLDER}/man1/*.1\")
  foreach(program btm btm-convert)
    execute_process(COMMAND \"${CMAKE_STRIP}\" --remove-section=.comment
      \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/bin/\${program}\")
  endforeach()
  execute_process(COMMAND gzip -9nkf \"${PROJECT_BINARY_DIR}/debian/changelog\" \${pages})"
  COMPONENT debian EXCLUDE_FROM_ALL)
install(DIRECTORY "${BTM_MANUAL_FOLDER}/man1" DESTINATION "${CMAKE_INSTALL_MANDIR}"
  COMPONENT debian EXCLUDE_FROM_ALL FILES_MATCHING PATTERN "*.1.gz")
install(FILES "${PROJECT_BINARY_DIR}/debian/changelog.gz" scripts/debian/copyright
  DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/btm" COMPONENT debian EXCLUDE_FROM_ALL)
install(FILES scripts/debian/lintian-overrides
  DESTINATION "${CMAKE_INSTALL_DATADIR}/lintian/overrides" RENAME btm
  COMPONENT debian EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME btm)
set(CPACK_PACKAGE_VENDOR "the btm authors")
set(CPACK_PACKAGE_CONTACT "the btm authors <btm@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "train, combine and use expert language models")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
  "btm trains language models by Branch-Train-Merge: a seed model is branched
into one expert per domain, and the experts work as a weighted ensemble or
become one model. It reads fairseq's data and checkpoints.

The package carries LibTorch, because Debian's own is too old.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES OFF)
set(CPACK_COMPONENTS_ALL runtime debian)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS "${BTM_LIBTORCH_FOLDERS}")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "python3, slurm-client")
set(CPACK_DEBIAN_COMPRESSION_TYPE gzip)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
include(CPack)
