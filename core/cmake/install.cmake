# SPDX-License-Identifier: MIT
# What `cmake --install` puts where:
#
#   bin/shunt, bin/shunt-bench             (by the folders that build them)
#   share/shunt/*.schema.json              what every record and manifest satisfies
#   share/shunt/experiments/               the lab and the experiments, as `shunt lab` looks for them
#   share/man/man1/shunt.1                 made from `shunt --help`, where help2man is present
#   share/doc/shunt/

function(shunt_install)
  set(share ${CMAKE_INSTALL_DATADIR}/shunt)
  install(FILES core/measure/record.schema.json core/measure/env.schema.json DESTINATION ${share})
  install(DIRECTORY experiments/ DESTINATION ${share}/experiments USE_SOURCE_PERMISSIONS
      FILES_MATCHING PATTERN "*.py" PATTERN "*.go" PATTERN "*.rs" PATTERN "*.toml" PATTERN "lab"
      PATTERN "test" EXCLUDE PATTERN "__pycache__" EXCLUDE)
  install(FILES README.md ARCHITECTURE.md LICENSE CITATION.cff DESTINATION ${CMAKE_INSTALL_DOCDIR})

  if(NOT TARGET shunt OR CMAKE_CROSSCOMPILING)
    return()
  endif()
  find_program(HELP2MAN help2man)
  if(NOT HELP2MAN)
    message(STATUS "help2man absent (Debian package help2man): no man page is made")
    return()
  endif()
  set(page ${PROJECT_BINARY_DIR}/shunt.1)
  # By a name without a folder: help2man hands it to a shell as it is.
  add_custom_command(OUTPUT ${page} VERBATIM DEPENDS shunt WORKING_DIRECTORY $<TARGET_FILE_DIR:shunt>
      COMMENT "Making the man page from shunt --help"
      COMMAND ${HELP2MAN} --no-info --version-string=${PROJECT_VERSION} --output=${page}
          "--name=testbed for user-level task schedulers" ./$<TARGET_FILE_NAME:shunt>)
  add_custom_target(man ALL DEPENDS ${page})
  install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endfunction()
