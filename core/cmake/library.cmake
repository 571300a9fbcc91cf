# SPDX-License-Identifier: MIT
# libshunt: the engine and every plug-in of this build, for programs of one's own (core/embed.h).
#
# The static one has the objects of the executables. The shared one is compiled again with -fPIC: it
# binds its own calls (-Bsymbolic), and its one thread-local is found without a call (initial-exec), so
# it has the same hot paths.

set(library ON)
if(SHUNT_SANITIZE OR CMAKE_CROSSCOMPILING OR CMAKE_BUILD_TYPE STREQUAL "Debug")
  set(library OFF)
endif()
option(SHUNT_LIBRARY "Build libshunt, static and shared" ${library})

function(shunt_library_targets)
  if(NOT SHUNT_LIBRARY)
    return()
  endif()
  add_library(shunt_static STATIC $<TARGET_OBJECTS:shunt_core> $<TARGET_OBJECTS:shunt_plugins>)
  set_target_properties(shunt_static PROPERTIES OUTPUT_NAME shunt)

  get_target_property(sources shunt_core SOURCES)
  get_target_property(plugins shunt_plugins SOURCES)
  list(TRANSFORM SHUNT_C_FLAGS REPLACE "^-fPIE$" "-fPIC" OUTPUT_VARIABLE flags)
  add_library(shunt_shared SHARED ${sources} ${plugins})
  add_dependencies(shunt_shared shunt_headers)
  set_target_properties(shunt_shared PROPERTIES OUTPUT_NAME shunt VERSION ${PROJECT_VERSION} SOVERSION 0
      LINK_DEPENDS ${PROJECT_BINARY_DIR}/exported.map)
  target_include_directories(shunt_shared PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
  target_compile_definitions(shunt_shared PRIVATE _GNU_SOURCE)
  target_compile_options(shunt_shared PRIVATE
      -ffile-prefix-map=${PROJECT_BINARY_DIR}/=build/ -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=
      "$<$<COMPILE_LANGUAGE:C>:${flags};-ftls-model=initial-exec;-fno-semantic-interposition>"
      "$<$<COMPILE_LANGUAGE:ASM>:${SHUNT_ASM_FLAGS}>")
  target_link_options(shunt_shared PRIVATE -Wl,--build-id=sha1 -Wl,-z,relro,-z,now -Wl,-Bsymbolic
      -Wl,--version-script=${PROJECT_BINARY_DIR}/exported.map)
  get_target_property(libraries shunt_plugins LINK_LIBRARIES)
  list(REMOVE_ITEM libraries shunt_flags)
  target_link_libraries(shunt_shared PRIVATE ${libraries} m Threads::Threads)
endfunction()

# As a stranger would use the installed tree.
function(shunt_test_installed)
  if(TARGET shunt_shared AND TARGET shunt AND SHUNT_PYTHON)
    shunt_test(installed LABELS tools long COST 15 COMMAND ${SHUNT_PYTHON}
        ${PROJECT_SOURCE_DIR}/core/test/installed.py ${PROJECT_BINARY_DIR} ${CMAKE_C_COMPILER})
  endif()
endfunction()

# Everything that is built but the library: what a quick run of the tests needs.
function(shunt_target_programs)
  set(folders ${PROJECT_SOURCE_DIR})
  while(folders)
    list(POP_FRONT folders folder)
    get_property(inner DIRECTORY ${folder} PROPERTY SUBDIRECTORIES)
    list(APPEND folders ${inner})
    get_property(targets DIRECTORY ${folder} PROPERTY BUILDSYSTEM_TARGETS)
    foreach(target IN LISTS targets)
      get_target_property(type ${target} TYPE)
      if(type MATCHES "^(EXECUTABLE|MODULE_LIBRARY)$")
        list(APPEND programs ${target})
      endif()
    endforeach()
  endwhile()
  add_custom_target(programs DEPENDS ${programs})
endfunction()
