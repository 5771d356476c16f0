# SPDX-License-Identifier: Apache-2.0
#
# KATA_REVISION: the commit that is built, for --version; "unknown" where the tree is no clone, as one
# from an archive. It may belong to another user than the one who builds, and may lie in a clone of
# something else, whose commit is not ours.

if(NOT KATA_REVISION)
  set(KATA_REVISION unknown)
  execute_process(
    COMMAND git -C ${CMAKE_SOURCE_DIR} -c safe.directory=${CMAKE_SOURCE_DIR}
            rev-parse --show-toplevel --short=12 HEAD
    OUTPUT_VARIABLE answer OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  string(REGEX MATCH "^(.*)\n([0-9a-f]+)$" answer "${answer}")
  if(CMAKE_MATCH_1 STREQUAL CMAKE_SOURCE_DIR)
    set(KATA_REVISION ${CMAKE_MATCH_2})
  endif()
endif()
