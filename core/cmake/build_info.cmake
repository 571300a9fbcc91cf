# SPDX-License-Identifier: MIT
# core/build_info.h, and the commit in the executables.
#
# The commit must be right at every build and yet not be part of what the ELF build-id hashes: the
# build-id names the code, so that a commit which touches no code does not make every record of a
# campaign a different experiment. So core/build_stamp.c reserves a section, and after each link
# objcopy writes the commit into it. shunt_stamp_target is always run, costs one `git status`, and
# touches its file only when the answer changed.

set(SHUNT_DEBUG_TEXT 0)
if(CMAKE_BUILD_TYPE STREQUAL "Debug" OR SHUNT_SANITIZE)
  set(SHUNT_DEBUG_TEXT 1)
endif()
string(TOUPPER "${CMAKE_BUILD_TYPE}" type)
string(STRIP "${CMAKE_C_FLAGS} ${CMAKE_C_FLAGS_${type}}" SHUNT_FLAGS_TEXT)
list(JOIN SHUNT_C_FLAGS " " own_flags)
set(SHUNT_FLAGS_TEXT "${SHUNT_FLAGS_TEXT} ${own_flags}")
set(SHUNT_BUILD_TYPE_TEXT "${CMAKE_BUILD_TYPE}")
if(SHUNT_SANITIZE)
  string(APPEND SHUNT_BUILD_TYPE_TEXT "+${SHUNT_SANITIZE}")
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/build_info.h.in ${PROJECT_BINARY_DIR}/core/build_info.h @ONLY)

find_package(Git QUIET)
set(SHUNT_STAMP_FILE ${PROJECT_BINARY_DIR}/commit.stamp)
set(SHUNT_STAMP_COMMAND ${CMAKE_COMMAND} -DGIT=${GIT_EXECUTABLE} -DSOURCE=${PROJECT_SOURCE_DIR}
    -DSTAMP=${SHUNT_STAMP_FILE} -P ${CMAKE_CURRENT_LIST_DIR}/stamp.cmake)
execute_process(COMMAND ${SHUNT_STAMP_COMMAND})
add_custom_target(shunt_stamp_target COMMAND ${SHUNT_STAMP_COMMAND} BYPRODUCTS ${SHUNT_STAMP_FILE} VERBATIM)

# Give an executable the commit it was built from.
function(shunt_stamp target)
  if(NOT CMAKE_OBJCOPY)
    return()
  endif()
  add_dependencies(${target} shunt_stamp_target)
  set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${SHUNT_STAMP_FILE})
  add_custom_command(TARGET ${target} POST_BUILD VERBATIM
      COMMAND ${CMAKE_OBJCOPY} --update-section .shunt_commit=${SHUNT_STAMP_FILE} $<TARGET_FILE:${target}>)
endfunction()
