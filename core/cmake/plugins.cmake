# SPDX-License-Identifier: MIT
# A plug-in is one file and one line: shunt_policy(fifo) compiles fifo.c of this folder and enters
# its one exported symbol, `const struct shunt_policy shunt_policy_fifo`, into the registry.
#
#   shunt_<kind>(name [NEEDS library…] [SOURCES extra files…] [IN file] [RUNTIME file])
#
# RUNTIME makes a backend of another runtime: the file, which exports `shunt_runtime`, and
# backends/runtimes/adapter.c are a plug-in of their own, plugins/<name>.so, which is loaded when it is
# asked for. So neither shunt nor libshunt pulls in that runtime, or the C++ one.
# IN names the file when it is not <name>.c: variants that differ in one constant may share one.
# The kinds: switch wait timers policy place io backend workload. A `-` in a name is a `_` in its
# symbol. With a library of NEEDS absent, the plug-in is listed, with the reason. NEEDS arch asks
# for backends/switch/arch/<cpu>.S. The registry keeps the order of the lines.

set(SHUNT_KINDS switch wait timers policy place io backend workload)
set(SHUNT_ARCH_FILE ${PROJECT_SOURCE_DIR}/backends/switch/arch/${CMAKE_SYSTEM_PROCESSOR}.S)
if(EXISTS ${SHUNT_ARCH_FILE})
  set(SHUNT_HAVE_arch YES)
endif()
set(SHUNT_WHY_arch "not built: no switch in assembly for ${CMAKE_SYSTEM_PROCESSOR} (backends/switch/arch)")

function(shunt_plugin kind name)
  cmake_parse_arguments(ARG "" "IN;RUNTIME" "NEEDS;SOURCES" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "shunt_${kind}(${name}): unknown argument ${ARG_UNPARSED_ARGUMENTS}")
  endif()
  string(REPLACE "-" "_" symbol "shunt_${kind}_${name}")
  foreach(library IN LISTS ARG_NEEDS)
    if(NOT SHUNT_HAVE_${library})
      set_property(GLOBAL APPEND PROPERTY SHUNT_ABSENT_${kind} ${name})
      set_property(GLOBAL APPEND_STRING PROPERTY SHUNT_ENTRIES_${kind}
          "\t{ \"${name}\", NULL, \"${SHUNT_WHY_${library}}\", NULL, NULL },\n")
      return()
    endif()
    if(TARGET shunt::${library} AND NOT ARG_RUNTIME)
      target_link_libraries(shunt_plugins PUBLIC shunt::${library})
    endif()
  endforeach()
  set_property(GLOBAL APPEND PROPERTY SHUNT_PRESENT_${kind} ${name})
  if(ARG_RUNTIME)
    shunt_runtime(${name} ${ARG_RUNTIME} ${ARG_NEEDS})
    list(APPEND SHUNT_RUNTIMES ${name})
    set(SHUNT_RUNTIMES ${SHUNT_RUNTIMES} PARENT_SCOPE)
    set_property(GLOBAL APPEND_STRING PROPERTY SHUNT_ENTRIES_${kind}
        "\t{ \"${name}\", NULL, NULL, NULL, \"${name}.so\" },\n")
    return()
  endif()
  if(NOT ARG_IN)
    set(ARG_IN ${name}.c)
  endif()
  target_sources(shunt_plugins PRIVATE ${ARG_IN} ${ARG_SOURCES})
  if(kind STREQUAL workload)
    list(TRANSFORM ARG_SOURCES PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/ OUTPUT_VARIABLE sources)
    set_property(GLOBAL APPEND PROPERTY SHUNT_EDGES_SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/${ARG_IN} ${sources})
    set_property(GLOBAL APPEND PROPERTY SHUNT_EDGES_NAMES ${name})
    set_property(SOURCE ${ARG_IN} ${ARG_SOURCES} TARGET_DIRECTORY shunt_plugins
        APPEND PROPERTY COMPILE_OPTIONS ${SHUNT_WORKLOAD_FLAGS})
  endif()
  set_property(GLOBAL APPEND_STRING PROPERTY SHUNT_EXTERNS "extern const struct shunt_${kind} ${symbol};\n")
  set_property(GLOBAL APPEND_STRING PROPERTY SHUNT_ENTRIES_${kind} "\t{ \"${name}\", &${symbol}, NULL, NULL, NULL },\n")
endfunction()

# The plug-in of another runtime; installed where shunt and libshunt look for it (core/object.c).
function(shunt_runtime name file)
  set(target runtime-${name})
  add_library(${target} MODULE ${file} ${PROJECT_SOURCE_DIR}/backends/runtimes/adapter.c)
  set_target_properties(${target} PROPERTIES PREFIX "" OUTPUT_NAME ${name}
      LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/plugins)
  add_dependencies(${target} shunt_headers)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE SHUNT_PLUGIN_BUILD SHUNT_RUNTIME=${name})
  # To C++ the structs and functions of one name in core's headers are a shadow each.
  list(REMOVE_ITEM SHUNT_CXX_FLAGS -Wshadow)
  foreach(language C CXX)
    list(TRANSFORM SHUNT_${language}_FLAGS REPLACE "^-fPIE$" "-fPIC" OUTPUT_VARIABLE flags_${language})
  endforeach()
  target_compile_options(${target} PRIVATE -fvisibility=hidden $<$<BOOL:${SHUNT_WERROR}>:-Werror>
      -ffile-prefix-map=${PROJECT_BINARY_DIR}/=build/ -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=
      "$<$<COMPILE_LANGUAGE:C>:${flags_C}>" "$<$<COMPILE_LANGUAGE:CXX>:${flags_CXX}>")
  target_link_options(${target} PRIVATE -Wl,--build-id=sha1 -Wl,-z,relro,-z,now)
  foreach(library IN LISTS ARGN)
    target_link_libraries(${target} PRIVATE shunt::${library})
  endforeach()
  target_link_libraries(${target} PRIVATE Threads::Threads)
  install(TARGETS ${target} DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/shunt)
endfunction()

# shunt_switch(), shunt_wait() and so on, one for each kind.
foreach(kind IN LISTS SHUNT_KINDS)
  cmake_language(EVAL CODE "macro(shunt_${kind})\n  shunt_plugin(${kind} \${ARGV})\nendmacro()")
endforeach()

# Write registry.c: per kind a list that ends in a NULL name, before it room for plug-ins from files.
function(shunt_write_registry)
  set(plurals switches waits timers policies places ios backends workloads)
  set(text "/* Generated by core/cmake/plugins.cmake from the CMake lines of the plug-ins. */\n")
  string(APPEND text "#include \"core/registry.h\"\n\n#include <stddef.h>\n\n")
  foreach(kind IN LISTS SHUNT_KINDS)
    string(APPEND text "struct shunt_${kind};\n")
  endforeach()
  get_property(externs GLOBAL PROPERTY SHUNT_EXTERNS)
  string(APPEND text "\n${externs}")
  foreach(kind plural IN ZIP_LISTS SHUNT_KINDS plurals)
    get_property(entries GLOBAL PROPERTY SHUNT_ENTRIES_${kind})
    get_property(names GLOBAL PROPERTY SHUNT_PRESENT_${kind})
    get_property(absent GLOBAL PROPERTY SHUNT_ABSENT_${kind})
    list(APPEND names ${absent})
    list(LENGTH names count)
    string(APPEND text "\nstruct shunt_plugin shunt_registry_${plural}[] = {\n${entries}"
        "\t[${count} ... ${count} + SHUNT_PLUGINS_MOST - 1] = { NULL, NULL, \"room\", NULL, NULL },\n"
        "\t{ NULL, NULL, NULL, NULL, NULL },\n};\n")
  endforeach()
  get_property(names GLOBAL PROPERTY SHUNT_EDGES_NAMES)
  string(APPEND text "\n")
  foreach(name IN LISTS names)
    string(APPEND text "extern const struct shunt_workload shunt_edges_${name} __attribute__((weak));\n")
    string(APPEND pairs "\t{ &shunt_workload_${name}, &shunt_edges_${name} },\n")
  endforeach()
  string(APPEND text "\nconst struct shunt_texts shunt_registry_texts[] = {\n${pairs}\t{ NULL, NULL },\n};\n")
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/registry.c CONTENT "${text}" @ONLY)
  target_sources(shunt_plugins PRIVATE ${PROJECT_BINARY_DIR}/registry.c)
endfunction()
