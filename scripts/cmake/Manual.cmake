# Manual pages and completions, which the programs write from their tables of flags, and where they
# are installed.
include(GNUInstallDirs)
set(BTM_MANUAL_FOLDER "${PROJECT_BINARY_DIR}/manual")
set(manual_stamp "${BTM_MANUAL_FOLDER}/written")
set(manual_programs btm-convert)
if(BTM_WITH_LIBTORCH)
  list(APPEND manual_programs btm)
endif()
set(manual_commands "")
foreach(program ${manual_programs})
  list(APPEND manual_commands
    COMMAND ${program} manual --overwrite --output-dir "${BTM_MANUAL_FOLDER}/man1")
  foreach(shell bash zsh fish)
    list(APPEND manual_commands
      COMMAND ${program} completion ${shell} --overwrite
      -o "${BTM_MANUAL_FOLDER}/${program}.${shell}")
  endforeach()
  install(FILES "${BTM_MANUAL_FOLDER}/${program}.bash" RENAME ${program}
    DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions" COMPONENT runtime)
  install(FILES "${BTM_MANUAL_FOLDER}/${program}.zsh" RENAME _${program}
    DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions" COMPONENT runtime)
  install(FILES "${BTM_MANUAL_FOLDER}/${program}.fish"
    DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d" COMPONENT runtime)
endforeach()
add_custom_command(OUTPUT "${manual_stamp}"
  COMMAND "${CMAKE_COMMAND}" -E make_directory "${BTM_MANUAL_FOLDER}/man1"
  ${manual_commands}
  COMMAND "${CMAKE_COMMAND}" -E touch "${manual_stamp}"
  DEPENDS ${manual_programs} VERBATIM)
add_custom_target(manual ALL DEPENDS "${manual_stamp}")
# The Debian package has them compressed (InstallBtm.cmake).
install(DIRECTORY "${BTM_MANUAL_FOLDER}/man1" DESTINATION "${CMAKE_INSTALL_MANDIR}"
  COMPONENT manual FILES_MATCHING PATTERN "*.1")
