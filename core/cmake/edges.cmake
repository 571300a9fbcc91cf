# SPDX-License-Identifier: MIT
# The workloads' second text: every file of a workload once more, with a call at every edge of its
# control flow (preempt=compiler, core/engine/edge.c), and shunt_work_ns, which is their computing.
#
# It is one object, edges.o, of which nothing is visible but the tables, shunt_edges_<workload>: so the
# two texts of a file may have the same names. Only what links it (shunt_has_edges) can choose it: to the
# registry the tables are weak. Nothing else is compiled so, and nothing of it is optimised at link time.

include(CheckCCompilerFlag)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)    # nothing is there to link with
check_c_compiler_flag(-fsanitize-coverage=trace-pc SHUNT_TAKES_trace_pc)
unset(CMAKE_TRY_COMPILE_TARGET_TYPE)
if(SHUNT_TAKES_trace_pc AND CMAKE_LINKER AND CMAKE_OBJCOPY)
  set(SHUNT_EDGES ${PROJECT_BINARY_DIR}/edges.o)
endif()

# Context: the root, when all workloads are known.
function(shunt_edges)
  if(NOT SHUNT_EDGES)
    return()
  endif()
  get_property(sources GLOBAL PROPERTY SHUNT_EDGES_SOURCES)
  get_property(names GLOBAL PROPERTY SHUNT_EDGES_NAMES)
  add_library(shunt_edges OBJECT ${sources} core/work_ns.c)
  list(TRANSFORM names REPLACE "(.+)" "shunt_workload_\\1=shunt_edges_\\1" OUTPUT_VARIABLE renamed)
  target_compile_definitions(shunt_edges PRIVATE ${renamed})
  target_link_libraries(shunt_edges PRIVATE shunt_flags)
  target_compile_options(shunt_edges PRIVATE -fsanitize-coverage=trace-pc -fno-lto)
  add_dependencies(shunt_edges shunt_headers)
  add_custom_command(OUTPUT ${SHUNT_EDGES} VERBATIM COMMAND_EXPAND_LISTS
      DEPENDS shunt_edges $<TARGET_OBJECTS:shunt_edges>
      COMMAND ${CMAKE_LINKER} -r -o ${SHUNT_EDGES} $<TARGET_OBJECTS:shunt_edges>
      COMMAND ${CMAKE_OBJCOPY} --wildcard "--keep-global-symbol=shunt_edges_*" ${SHUNT_EDGES})
  add_custom_target(shunt_edges_object DEPENDS ${SHUNT_EDGES})
endfunction()

# Gives a program, or a test, the second text.
function(shunt_has_edges target)
  if(SHUNT_EDGES AND TARGET ${target})
    add_dependencies(${target} shunt_edges_object)    # which the linker does not ask for
    target_link_libraries(${target} PRIVATE ${SHUNT_EDGES})
  endif()
endfunction()
