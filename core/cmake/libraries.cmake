# SPDX-License-Identifier: MIT
# The libraries shunt can use: found or not, and what is lost without each.
#
# shunt_library(name PKG pkg-config-module DEB package LOSES text) sets SHUNT_HAVE_<name> and, when
# found, the target shunt::<name>. A missing library is never an error here: it is reported once, in
# the summary at the end of configure, and by `shunt list` for the plug-ins that need it.

find_package(PkgConfig QUIET)

function(shunt_library name)
  cmake_parse_arguments(ARG "" "PKG;DEB;LOSES" "" ${ARGN})
  set(found NO)
  if(name IN_LIST SHUNT_WITHOUT)
    set(ARG_LOSES "left out on request (SHUNT_WITHOUT); ${ARG_LOSES}")
  elseif(PKG_CONFIG_FOUND)
    pkg_check_modules(shunt_pkg_${name} QUIET IMPORTED_TARGET ${ARG_PKG})
    if(shunt_pkg_${name}_FOUND)
      set(found YES)
      add_library(shunt::${name} ALIAS PkgConfig::shunt_pkg_${name})
    endif()
  endif()
  shunt_library_record(${name} ${found} "${shunt_pkg_${name}_VERSION}" ${ARG_DEB} "${ARG_LOSES}")
endfunction()

# Note the outcome where the summary and the plug-in helpers can read it.
function(shunt_library_record name found version deb loses)
  set(SHUNT_HAVE_${name} ${found} CACHE INTERNAL "")
  set(SHUNT_DEB_${name} ${deb} CACHE INTERNAL "")
  set(SHUNT_WHY_${name} "not built: ${name} not found (Debian package ${deb})" CACHE INTERNAL "")
  set_property(GLOBAL APPEND PROPERTY SHUNT_LIBRARIES ${name})
  if(found)
    set_property(GLOBAL PROPERTY SHUNT_LINE_${name} "found ${version}")
  else()
    set_property(GLOBAL PROPERTY SHUNT_LINE_${name} "absent (Debian package ${deb}): ${loses}")
  endif()
endfunction()

shunt_library(jansson PKG jansson DEB libjansson-dev
    LOSES "the command line `shunt`, the records and shunt-bench cannot be built")
shunt_library(libmd PKG libmd DEB libmd-dev
    LOSES "no SHA-256, so neither the records nor the command line can be built")
shunt_library(hwloc PKG hwloc DEB libhwloc-dev LOSES "no placement on a topology")
shunt_library(liburing PKG "liburing>=2.3" DEB liburing-dev
    LOSES "no io_uring wait slots, which need release 2.3 or later")
shunt_library(lmdb PKG lmdb DEB liblmdb-dev LOSES "no engine=lmdb of the workload kv")

# cmocka. A cross build seldom has the library, but the header is the same on every CPU: there the
# tests link core/test/cmocka_cross.c, the few functions of it they call.
shunt_library(cmocka PKG cmocka DEB libcmocka-dev LOSES "the tests in C are not built")
if(CMAKE_CROSSCOMPILING AND NOT SHUNT_HAVE_cmocka AND NOT "cmocka" IN_LIST SHUNT_WITHOUT)
  find_file(SHUNT_CMOCKA_HEADER cmocka.h PATHS /usr/include NO_CMAKE_FIND_ROOT_PATH)
  if(SHUNT_CMOCKA_HEADER)
    set(SHUNT_CMOCKA_CROSS YES)
    set_property(GLOBAL PROPERTY SHUNT_LINE_cmocka "header only: core/test/cmocka_cross.c runs the tests")
  endif()
endif()

# Google Benchmark is C++; the language is asked for only when the library is there.
set(benchmark_found NO)
if(NOT CMAKE_CROSSCOMPILING AND NOT "benchmark" IN_LIST SHUNT_WITHOUT)
  include(CheckLanguage)
  check_language(CXX)
  if(CMAKE_CXX_COMPILER)
    find_package(benchmark CONFIG QUIET)
    if(benchmark_FOUND)     # not defined where CMAKE_DISABLE_FIND_PACKAGE_benchmark hides it
      set(benchmark_found YES)
    endif()
  endif()
endif()
if(benchmark_found)
  enable_language(CXX)
endif()
shunt_library_record(benchmark ${benchmark_found} "${benchmark_VERSION}" libbenchmark-dev
    "shunt-bench is not built (it needs g++ too)")

# Other runtimes, each a backend. Each is C++ and switches stacks, or has threads of its own, of which
# the sanitizers know nothing. `shunt_other_runtime(name deb loses [TARGET cmake-target…])`.
function(shunt_other_runtime name deb found version)
  if(name IN_LIST SHUNT_WITHOUT)
    shunt_library_record(${name} NO "" ${deb} "left out on request (SHUNT_WITHOUT); no backend of it")
  elseif(SHUNT_SANITIZE)
    shunt_library_record(${name} NO "" ${deb} "left out: the sanitizers do not know its threads and switches")
    set(SHUNT_WHY_${name} "not built: the sanitizers do not know the threads and switches of ${name}" CACHE INTERNAL "")
  elseif(name STREQUAL openmp AND CMAKE_C_COMPILER_ID MATCHES Clang)
    shunt_library_record(${name} NO "" ${deb} "left out: with LLVM's libomp a run ends in an assertion of kmp_alloc.cpp")
    set(SHUNT_WHY_${name} "not built: with LLVM's libomp a run ends in an assertion of kmp_alloc.cpp; gcc's libgomp is used" CACHE INTERNAL "")
  elseif(found)
    shunt_library_record(${name} YES "${version}" ${deb} "")
  else()
    shunt_library_record(${name} NO "" ${deb} "no backend of it (it needs g++ too)")
  endif()
endfunction()

if(NOT CMAKE_CROSSCOMPILING AND NOT SHUNT_SANITIZE)
  include(CheckLanguage)
  check_language(CXX)
  if(CMAKE_CXX_COMPILER)
    enable_language(CXX)
    find_package(Boost QUIET COMPONENTS fiber)
    find_package(TBB QUIET)
  endif()
  find_package(OpenMP QUIET COMPONENTS C)
endif()
foreach(pair boost_fiber=Boost::fiber tbb=TBB::tbb openmp=OpenMP::OpenMP_C)
  string(REGEX MATCH "^([a-z_]+)=(.*)$" pair ${pair})
  if(TARGET ${CMAKE_MATCH_2})
    add_library(shunt::${CMAKE_MATCH_1} ALIAS ${CMAKE_MATCH_2})
  endif()
endforeach()
shunt_other_runtime(boost_fiber libboost-fiber-dev "${Boost_fiber_FOUND}" "${Boost_VERSION_STRING}")
shunt_other_runtime(tbb libtbb-dev "${TBB_FOUND}" "${TBB_VERSION}")
shunt_other_runtime(openmp libgomp1 "${OpenMP_C_FOUND}" "${OpenMP_C_VERSION}")

# The Python of the experiment runner and of the tests. The first python3 on a PATH may be one
# without scipy, so the system's is preferred.
find_program(SHUNT_PYTHON NAMES python3 HINTS /usr/bin NO_CMAKE_ENVIRONMENT_PATH
    NO_CMAKE_FIND_ROOT_PATH)

function(shunt_summary)
  message(STATUS "")
  message(STATUS "shunt ${PROJECT_VERSION}: ${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION}, "
      "${CMAKE_SYSTEM_PROCESSOR}, ${CMAKE_BUILD_TYPE} ${SHUNT_SANITIZE}")
  get_property(names GLOBAL PROPERTY SHUNT_LIBRARIES)
  foreach(name IN LISTS names)
    get_property(line GLOBAL PROPERTY SHUNT_LINE_${name})
    string(SUBSTRING "${name}           " 0 11 padded)
    message(STATUS "  ${padded} ${line}")
  endforeach()
  if(NOT SHUNT_PYTHON)
    message(STATUS "  python3     absent (Debian package python3): no experiments, some tests not run")
  endif()
  foreach(kind IN LISTS SHUNT_KINDS)
    get_property(present GLOBAL PROPERTY SHUNT_PRESENT_${kind})
    get_property(absent GLOBAL PROPERTY SHUNT_ABSENT_${kind})
    list(TRANSFORM absent REPLACE "(.+)" "(\\1)")
    string(REPLACE ";" " " all "${present};${absent}")
    string(SUBSTRING "${kind}           " 0 11 padded)
    message(STATUS "  ${padded} ${all}")
  endforeach()
  if(SHUNT_TESTS_BUT)
    message(STATUS "  tests       without ${SHUNT_TESTS_BUT} (SHUNT_TESTS_BUT)")
  endif()
  message(STATUS "")
endfunction()
