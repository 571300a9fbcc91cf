# SPDX-License-Identifier: MIT
# shunt_flags: the one set of compiler options, carried by a target, never by a global variable.
#
# A release build has neither frame pointers (a hook's tail call must stay frameless) nor a path of
# this machine in it: two clones in two folders give the same bytes and the same ELF build-id.

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)    # -O2 -g -DNDEBUG
endif()

# Line tables are all the debug information that an optimised build needs: what else -g writes takes half
# of a policy's compile time, and its locals are "optimized out" nearly everywhere. `debug` has all of it.
if(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  set(SHUNT_DEBUG_INFO -g1)
endif()

# Every function begins at a cache line: see core/engine/hooks.h on where the hot ones lie.
set(SHUNT_C_FLAGS -std=gnu17 ${SHUNT_DEBUG_INFO} -fno-plt -falign-functions=64 -fasynchronous-unwind-tables
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla)
set(SHUNT_CXX_FLAGS -std=gnu++17 ${SHUNT_DEBUG_INFO} -fno-plt -Wall -Wextra -Wshadow)
set(SHUNT_LINK_FLAGS -Wl,--build-id=sha1)

# Hardening, with what the compiler has of it. SHADOW STACKS are not in it: the switches in assembly do
# not exchange them, and refuse to run under one (backends/switch/arch.c); nor is aarch64's branch
# target identification, under which a jump to a return address is a fault (switch/arch/aarch64.S).
#   cf-protection=branch      every target of an indirect branch is marked (IBT), in assembly by hand
#   stack-clash-protection    a frame larger than a stack's guard meets the guard all the same. gcc takes
#                             the flag for riscv64 and probes nothing: there a workload with a frame
#                             larger than a guard is not built
# What it costs is beyond what can be measured, so no file is left out. Processor time of one operation,
# least of 7 alternate runs, with over without: yield 0.995, spawn_join 0.997, ring 0.976 (`shunt run asm
# yield switches=10M` …).
# A sanitizer has checks of its own.
set(SHUNT_HARDENING -fPIE)
if(NOT SHUNT_SANITIZE)
  include(CheckCCompilerFlag)
  foreach(flag -fstack-protector-strong -fcf-protection=branch -fstack-clash-protection)
    string(MAKE_C_IDENTIFIER "SHUNT_TAKES${flag}" takes)
    check_c_compiler_flag(${flag} ${takes})
    if(${takes})
      list(APPEND SHUNT_HARDENING ${flag})
    endif()
  endforeach()
  if(CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    # gcc assumes a guard of 64 KiB there; ours is one page, which may have 4 KiB.
    list(APPEND SHUNT_HARDENING --param=stack-clash-protection-guard-size=12)
  endif()
  if(CMAKE_SYSTEM_PROCESSOR STREQUAL "riscv64")
    set(SHUNT_WORKLOAD_FLAGS -Werror=frame-larger-than=4096)
  endif()
  list(APPEND SHUNT_HARDENING -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
list(APPEND SHUNT_C_FLAGS ${SHUNT_HARDENING})
list(APPEND SHUNT_CXX_FLAGS ${SHUNT_HARDENING})
list(APPEND SHUNT_LINK_FLAGS $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie> -Wl,-z,relro,-z,now)

# clang 14 keeps the full name of an assembly file in its line table, whatever the prefix map says.
set(SHUNT_ASM_FLAGS -g)
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
  set(SHUNT_ASM_FLAGS -g0)
endif()

if(SHUNT_SANITIZE)
  # At -O1, as in the presets, gcc does not know how long a text can be, and warns.
  list(APPEND SHUNT_C_FLAGS -fsanitize=${SHUNT_SANITIZE} -fno-omit-frame-pointer -Wno-format-truncation)
  list(APPEND SHUNT_CXX_FLAGS -fsanitize=${SHUNT_SANITIZE} -fno-omit-frame-pointer)
  list(APPEND SHUNT_LINK_FLAGS -fsanitize=${SHUNT_SANITIZE})
  find_program(SHUNT_LLD ld.lld)
  if(SHUNT_LLD)    # a hundred tests are linked with everything: it takes six tenths of ld's time
    list(APPEND SHUNT_LINK_FLAGS -fuse-ld=lld)
  endif()
  if(SHUNT_SANITIZE MATCHES "undefined")
    list(APPEND SHUNT_C_FLAGS -fno-sanitize-recover=undefined)
  endif()
elseif(CMAKE_BUILD_TYPE STREQUAL "Debug")
  list(APPEND SHUNT_C_FLAGS -Og -fno-omit-frame-pointer)
endif()
# What a plug-in in a file of its own is compiled with, in the tree and outside (core/plugin.h).
set(SHUNT_PLUGIN_COMPILE -std=gnu17 -D_GNU_SOURCE -DSHUNT_PLUGIN_BUILD -fPIC -fvisibility=hidden -fno-plt
    -falign-functions=64)
if(SHUNT_SANITIZE)
  list(APPEND SHUNT_PLUGIN_COMPILE -fsanitize=${SHUNT_SANITIZE} -fno-omit-frame-pointer)
endif()
add_library(shunt_flags INTERFACE)
target_include_directories(shunt_flags INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
target_compile_definitions(shunt_flags INTERFACE _GNU_SOURCE)
target_compile_options(shunt_flags INTERFACE
    -ffile-prefix-map=${PROJECT_BINARY_DIR}/=build/ -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=
    "$<$<COMPILE_LANGUAGE:C>:${SHUNT_C_FLAGS}>" "$<$<COMPILE_LANGUAGE:CXX>:${SHUNT_CXX_FLAGS}>"
    "$<$<COMPILE_LANGUAGE:ASM>:${SHUNT_ASM_FLAGS}>" $<$<BOOL:${SHUNT_WERROR}>:-Werror>)
target_link_options(shunt_flags INTERFACE ${SHUNT_LINK_FLAGS})

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
target_link_libraries(shunt_flags INTERFACE Threads::Threads)

# Reads the flags of those of the programs that there are. Any readelf reads every machine's files.
function(shunt_test_hardening)
  find_program(SHUNT_READELF readelf)
  if(NOT SHUNT_PYTHON OR NOT SHUNT_READELF OR SHUNT_SANITIZE)
    return()
  endif()
  foreach(program IN LISTS ARGN)
    if(TARGET ${program})
      list(APPEND programs $<TARGET_FILE:${program}>)
    endif()
  endforeach()
  shunt_test(hardened LABELS tools COMMAND ${SHUNT_PYTHON} ${PROJECT_SOURCE_DIR}/core/test/hardened.py
      ${SHUNT_READELF} ${PROJECT_BINARY_DIR} ${CMAKE_C_COMPILER} ${programs})
endfunction()
