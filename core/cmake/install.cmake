# SPDX-License-Identifier: MIT
# What `cmake --install` puts where:
#
#   bin/shunt, bin/shunt-bench             (by the folders that build them)
#   libexec/shunt/                         the tests that `shunt conformance` runs
#   share/shunt/*.schema.json              what every record and manifest satisfies
#   share/shunt/experiments/               the lab and the experiments, as `shunt lab` looks for them
#   share/man/man1/shunt.1, shunt-run.1 …  made from --help, where help2man is present
#   share/bash-completion/completions/     made from the tables of options
#   share/doc/shunt/                       documents, and the examples of plug-ins and embedding
#   include/shunt/, lib/libshunt.{a,so}    the headers of plug-ins and embedders; shunt.pc and the CMake
#                                          package shunt, which has shunt_plugin(), beside the library
#   share/shunt/installed.list             all of these, to remove them:
#                                          cd PREFIX && xargs -d '\n' rm -f < share/shunt/installed.list

include(CMakePackageConfigHelpers)

# Headers, library, shunt.pc, the CMake package.
function(shunt_install_development)
  foreach(header IN LISTS SHUNT_HEADERS)
    cmake_path(GET header PARENT_PATH folder)
    install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/shunt/${folder})
  endforeach()
  install(FILES ${PROJECT_BINARY_DIR}/core/plugin_fingerprint.h
      DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/shunt/core)
  if(TARGET shunt_shared)
    install(TARGETS shunt_shared shunt_static)
  endif()

  set(SHUNT_INCLUDE ${CMAKE_INSTALL_INCLUDEDIR}/shunt)
  set(SHUNT_LIB ${CMAKE_INSTALL_LIBDIR})
  set(SHUNT_PC_REQUIRES "")
  set(SHUNT_STATIC_NEEDS "")
  foreach(library hwloc liburing lmdb libmd)
    if(SHUNT_HAVE_${library})
      string(APPEND SHUNT_PC_REQUIRES "${library} ")
      string(REGEX REPLACE "^lib" "" name ${library})
      string(APPEND SHUNT_STATIC_NEEDS "${name} ")
    endif()
  endforeach()
  list(JOIN SHUNT_PLUGIN_COMPILE " " SHUNT_PLUGIN_COMPILE_TEXT)
  if(SHUNT_SANITIZE)
    set(SHUNT_PLUGIN_LINK_TEXT -fsanitize=${SHUNT_SANITIZE})
  endif()
  set(package ${CMAKE_INSTALL_LIBDIR}/cmake/shunt)
  set(made ${PROJECT_BINARY_DIR}/package)
  configure_package_config_file(core/cmake/shuntConfig.cmake.in ${made}/shuntConfig.cmake
      INSTALL_DESTINATION ${package} PATH_VARS SHUNT_INCLUDE SHUNT_LIB)
  write_basic_package_version_file(${made}/shuntConfigVersion.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${made}/shuntConfig.cmake ${made}/shuntConfigVersion.cmake DESTINATION ${package})
  cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig
      OUTPUT_VARIABLE SHUNT_UP_FROM_PC)
  configure_file(core/cmake/shunt.pc.in ${made}/shunt.pc @ONLY)
  install(FILES ${made}/shunt.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()

# Last: the list of what was installed before it, by names below the prefix.
function(shunt_install_list share)
  install(CODE "
    set(list ${share}/installed.list)
    set(text \"\${list}\\n\")
    foreach(file IN LISTS CMAKE_INSTALL_MANIFEST_FILES)
      file(RELATIVE_PATH file \"\${CMAKE_INSTALL_PREFIX}\" \"\${file}\")
      string(APPEND text \"\${file}\\n\")
    endforeach()
    file(WRITE \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/\${list}\" \"\${text}\")")
endfunction()

function(shunt_install)
  set(share ${CMAKE_INSTALL_DATADIR}/shunt)
  shunt_install_development()
  install(FILES core/measure/record.schema.json core/measure/env.schema.json DESTINATION ${share})
  install(DIRECTORY experiments/ DESTINATION ${share}/experiments USE_SOURCE_PERMISSIONS
      FILES_MATCHING PATTERN "*.py" PATTERN "*.go" PATTERN "*.rs" PATTERN "*.erl" PATTERN "driver.sh"
      PATTERN "*.toml" PATTERN "lab"
      PATTERN "test" EXCLUDE PATTERN "examples" EXCLUDE PATTERN "__pycache__" EXCLUDE)
  install(DIRECTORY experiments/examples DESTINATION ${CMAKE_INSTALL_DOCDIR})
  install(FILES README.md ARCHITECTURE.md CONTRIBUTING.md LICENSE CITATION.cff DESTINATION ${CMAKE_INSTALL_DOCDIR})
  install(FILES experiments/STATISTICS.md experiments/THREATS.md DESTINATION ${CMAKE_INSTALL_DOCDIR}/experiments)
  install(FILES experiments/drivers/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR}/experiments/drivers)

  shunt_install_made_by_shunt()
  shunt_install_list(${share})
endfunction()

# What only a program that runs can say of itself: its help, its options. Nobody installs one with a
# sanitizer.
function(shunt_install_made_by_shunt)
  if(NOT TARGET shunt OR CMAKE_CROSSCOMPILING OR SHUNT_SANITIZE)
    return()
  endif()
  set(script ${PROJECT_BINARY_DIR}/shunt.bash)
  add_custom_command(OUTPUT ${script} VERBATIM DEPENDS shunt COMMAND shunt help bash-completion > ${script}
      COMMENT "Making the completion for bash from the tables of options")
  add_custom_target(completion ALL DEPENDS ${script})
  install(FILES ${script} RENAME shunt DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)

  find_program(HELP2MAN help2man)
  if(NOT HELP2MAN)
    message(STATUS "help2man absent (Debian package help2man): no man pages are made")
    return()
  endif()
  shunt_man_page(shunt "--help" "testbed for user-level task schedulers")
  foreach(command run list describe doctor record arrivals explore trace conformance version lab)
    if(SHUNT_PYTHON OR NOT command STREQUAL "lab")
      shunt_man_page(shunt-${command} "${command} --help" "command of the testbed for task schedulers")
    endif()
  endforeach()
  add_custom_target(man ALL DEPENDS ${pages})
  install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endfunction()

macro(shunt_man_page page option about)
  # By a name without a folder: help2man hands it to a shell as it is.
  add_custom_command(OUTPUT ${PROJECT_BINARY_DIR}/${page}.1 VERBATIM DEPENDS shunt
      WORKING_DIRECTORY $<TARGET_FILE_DIR:shunt> COMMENT "Making the man page ${page} from its --help"
      COMMAND ${CMAKE_COMMAND} -E env SHUNT=shunt SHUNT_LAB=${PROJECT_SOURCE_DIR}/experiments/lab PYTHONDONTWRITEBYTECODE=1
          ${HELP2MAN} --no-info --version-string=${PROJECT_VERSION} --help-option=${option}
          --name=${about} --output=${page}.1 ./$<TARGET_FILE_NAME:shunt>
      COMMAND sed -i -e "s/^\.TH SHUNT /.TH ${page} /" -e "s/^shunt \\\\- /${page} \\\\- /" ${page}.1)
  list(APPEND pages ${PROJECT_BINARY_DIR}/${page}.1)
endmacro()
