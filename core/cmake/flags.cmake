# SPDX-License-Identifier: MIT
# shunt_flags: the one set of compiler options, carried by a target, never by a global variable.
#
# A release build has neither frame pointers (a hook's tail call must stay frameless) nor a path of
# this machine in it: two clones in two folders give the same bytes and the same ELF build-id.

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)    # -O2 -g -DNDEBUG
endif()

# Every function begins at a cache line: see core/engine/hooks.h on where the hot ones lie.
set(SHUNT_C_FLAGS -std=gnu17 -fno-plt -falign-functions=64 -fasynchronous-unwind-tables
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla)
set(SHUNT_CXX_FLAGS -std=gnu++17 -fno-plt -Wall -Wextra -Wshadow)
set(SHUNT_LINK_FLAGS -Wl,--build-id=sha1)

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
  if(SHUNT_SANITIZE MATCHES "undefined")
    list(APPEND SHUNT_C_FLAGS -fno-sanitize-recover=undefined)
  endif()
elseif(CMAKE_BUILD_TYPE STREQUAL "Debug")
  list(APPEND SHUNT_C_FLAGS -Og -fno-omit-frame-pointer)
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
