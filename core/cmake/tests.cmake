# SPDX-License-Identifier: MIT
# shunt_test(name [SOURCES file…] [COMMAND argv…] [LABELS label…] [TIMEOUT seconds] [COST seconds]
#   [ALONE] [WRAP symbol…] [ENV k=v…])
#
# A test in C is test/<name>.c beside what it tests (or SOURCES), one process, on cmocka, linked with
# core, every plug-in and the registry; ALONE leaves those out. WRAP has the linker send the calls of a
# symbol to the test's __wrap_symbol. With COMMAND it is any program.
# Exit status 77 means skipped. TIMEOUT ends what hangs, not what a busy machine is slow at: 300 unless
# given, and five times as long under a sanitizer or an emulator. COST is about what it takes where that
# is several seconds: the longest are begun first, so that none is left over alone in the end. Labels:
# unit conformance matrix torture switch tools, and long for what a quick run leaves out.
#
# The environment of every test: SHUNT_BIN (the built `shunt`), SHUNT_SOURCE (the tree),
# SHUNT_TORTURE_MS (how long a torture test goes on; it keeps an outer setting).

option(BUILD_TESTING "Build the tests" ON)
set(SHUNT_TESTS_BUT "" CACHE STRING
    "Tests neither built nor run: a regular expression of name:label;label:")
enable_testing()
# For tests that read code as GNU's objdump writes it.
set(SHUNT_OBJDUMP ${CMAKE_OBJDUMP})
if(SHUNT_OBJDUMP MATCHES "llvm")
  find_program(SHUNT_GNU_OBJDUMP objdump)
  set(SHUNT_OBJDUMP ${SHUNT_GNU_OBJDUMP})
endif()
set(SHUNT_LABELS unit conformance matrix torture switch tools long)

if(SHUNT_CMOCKA_CROSS)
  add_library(shunt_cmocka OBJECT ${PROJECT_SOURCE_DIR}/core/test/cmocka_cross.c)
  target_include_directories(shunt_cmocka PUBLIC $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/cmocka>)
  file(COPY ${SHUNT_CMOCKA_HEADER} DESTINATION ${PROJECT_BINARY_DIR}/cmocka)
  target_link_libraries(shunt_cmocka PUBLIC shunt_flags)
elseif(SHUNT_HAVE_cmocka)
  add_library(shunt_cmocka INTERFACE)
  target_link_libraries(shunt_cmocka INTERFACE shunt::cmocka)
endif()

# A test that `shunt conformance` runs too, with plug-ins from files: installed in libexec/shunt.
function(shunt_program_of_test target name)
  if(TARGET ${target})
    shunt_exports(${target})
    install(PROGRAMS $<TARGET_FILE:${target}> RENAME ${name} DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/shunt)
  endif()
endfunction()

function(shunt_test name)
  cmake_parse_arguments(ARG "ALONE" "TIMEOUT;COST" "SOURCES;COMMAND;LABELS;WRAP;ENV" ${ARGN})
  foreach(label IN LISTS ARG_LABELS)
    if(NOT label IN_LIST SHUNT_LABELS)
      message(FATAL_ERROR "shunt_test(${name}): unknown label ${label}; the labels are ${SHUNT_LABELS}")
    endif()
  endforeach()
  if(SHUNT_TESTS_BUT AND "${name}:${ARG_LABELS}:" MATCHES "${SHUNT_TESTS_BUT}")
    return()
  endif()
  if(NOT BUILD_TESTING OR ARG_UNPARSED_ARGUMENTS)
    if(ARG_UNPARSED_ARGUMENTS)
      message(FATAL_ERROR "shunt_test(${name}): unknown argument ${ARG_UNPARSED_ARGUMENTS}")
    endif()
    return()
  endif()
  if(ARG_COMMAND)
    add_test(NAME ${name} COMMAND ${ARG_COMMAND} WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  elseif(TARGET shunt_cmocka)
    if(NOT ARG_SOURCES)
      set(ARG_SOURCES test/${name}.c)
    endif()
    add_executable(test_${name} ${ARG_SOURCES})
    set_target_properties(test_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/test)
    target_link_libraries(test_${name} PRIVATE shunt_flags shunt_cmocka)
    list(TRANSFORM ARG_WRAP PREPEND -Wl,--wrap=)
    target_link_options(test_${name} PRIVATE ${ARG_WRAP})
    if(NOT ARG_ALONE)
      target_link_libraries(test_${name} PRIVATE shunt_core shunt_plugins)
      if(TARGET shunt_measure)
        target_link_libraries(test_${name} PRIVATE shunt_measure)
      endif()
    endif()
    add_test(NAME ${name} COMMAND test_${name})
  else()
    return()
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  if(SHUNT_SANITIZE OR CMAKE_CROSSCOMPILING)
    math(EXPR ARG_TIMEOUT "5 * ${ARG_TIMEOUT}")
  endif()
  if(NOT ARG_COST)
    set(ARG_COST 1)
  endif()
  set(env SHUNT_BIN=${PROJECT_BINARY_DIR}/shunt SHUNT_SOURCE=${PROJECT_SOURCE_DIR} ${ARG_ENV})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} COST ${ARG_COST}
      SKIP_RETURN_CODE 77 ENVIRONMENT "${env}")
  if(SHUNT_PYTHON)
    # A script that a test starts takes the Python of the test.
    cmake_path(GET SHUNT_PYTHON PARENT_PATH folder)
    set_tests_properties(${name} PROPERTIES ENVIRONMENT_MODIFICATION "PATH=path_list_prepend:${folder}")
  endif()
endfunction()
