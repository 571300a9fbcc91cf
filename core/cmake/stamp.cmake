# SPDX-License-Identifier: MIT
# Run at every build: write STAMP, 64 bytes, if it does not say this already.
# Its text: "<40 hex digits> clean" or "<40 hex digits> dirty", or "unknown" outside a clone.
set(text unknown)
if(GIT)
  execute_process(COMMAND ${GIT} -C ${SOURCE} rev-parse HEAD
      OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed ERROR_QUIET)
  execute_process(COMMAND ${GIT} -C ${SOURCE} rev-parse --show-cdup
      OUTPUT_VARIABLE above OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(NOT failed AND above STREQUAL "")
    execute_process(COMMAND ${GIT} -C ${SOURCE} --no-optional-locks status --porcelain
        --untracked-files=no -- . ":!results"
        OUTPUT_VARIABLE changes ERROR_QUIET)
    set(text "${commit} clean")
    if(changes)
      set(text "${commit} dirty")
    endif()
  endif()
endif()
string(LENGTH "${text}" length)
math(EXPR missing "64 - ${length}")
string(REPEAT " " ${missing} padding)
set(old "")
if(EXISTS ${STAMP})
  file(READ ${STAMP} old)
endif()
if(NOT old STREQUAL "${text}${padding}")
  file(WRITE ${STAMP} "${text}${padding}")
endif()
