# Writes OUTPUT: the commit that SOURCE is at, and whether the tree was clean. Run at every build; the file changes only
# if what it says does.
set(commit "unknown")
set(state "unknown")
find_program(GIT git)
if(GIT)
  execute_process(COMMAND ${GIT} -C ${SOURCE} rev-parse HEAD OUTPUT_VARIABLE head OUTPUT_STRIP_TRAILING_WHITESPACE
                  RESULT_VARIABLE failed ERROR_QUIET)
  if(NOT failed)
    set(commit "${head}")
    execute_process(COMMAND ${GIT} --no-optional-locks -C ${SOURCE} status --porcelain OUTPUT_VARIABLE changes
                    RESULT_VARIABLE failed ERROR_QUIET)
    if(NOT failed)
      if(changes STREQUAL "")
        set(state "clean")
      else()
        set(state "modified")
      endif()
    endif()
  endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT [[
// The source tree that this was built from.
#pragma once

namespace tally::build_tree {
inline constexpr char kCommit[] = "@commit@";
inline constexpr char kState[] = "@state@";
}  // namespace tally::build_tree
]])
