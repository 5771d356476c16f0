# SPDX-License-Identifier: Apache-2.0
#
# How every target of the project is built: language, warnings, hardening, precompiled headers, and
# the functions kata_library(), kata_program() and kata_test() that apply them.

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # What ccache asks for before it keeps results of sources that use precompiled headers, of which one
  # reads headers that protoc has made a moment before.
  set(CMAKE_CXX_COMPILER_LAUNCHER
    ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE_PROGRAM})
endif()

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(GTest)

# Properties of our own code. Generated code and fuzz targets do not take the warnings.
add_library(kata_options INTERFACE)
target_include_directories(kata_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(kata_options INTERFACE
  -fstack-protector-strong -ffunction-sections -fdata-sections
  "$<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=3>")
target_compile_definitions(kata_options INTERFACE _GLIBCXX_ASSERTIONS _GNU_SOURCE)
target_link_options(kata_options INTERFACE -Wl,--gc-sections -Wl,-z,relro,-z,now)
if(KATA_SANITIZE)
  target_compile_options(kata_options INTERFACE
    -fsanitize=${KATA_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(kata_options INTERFACE -fsanitize=${KATA_SANITIZE})
endif()

# g++ 12 reports uninitialised and overlapping memory inside std::expected and std::string where
# there is none, so those warnings are off.
set(KATA_WARNINGS -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough
  -Werror $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized> $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds> $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overread>
  -Wno-missing-field-initializers)
if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # A joined source is no header, but g++ takes the parts of one for headers.
  list(APPEND KATA_WARNINGS -Wno-subobject-linkage)
  # Joined sources are large: g++ would look for garbage in its own memory for a tenth of the time.
  target_compile_options(kata_options INTERFACE
    "SHELL:--param ggc-min-expand=300 --param ggc-min-heapsize=786432")
endif()

# Precompiled headers make the build three times faster. There is one set a kind of target, made on
# first use: with or without the messages of src/proto, with or without GoogleTest. Sources still
# include what they use: scripts/lib/tidy.py reads them without.
set(KATA_PCH_STANDARD
  <algorithm> <array> <chrono> <condition_variable> <cstdint> <expected> <functional> <map> <memory>
  <mutex> <optional> <span> <string> <string_view> <unordered_map> <utility> <variant> <vector>
  <fmt/format.h> <nlohmann/json.hpp>)
set(KATA_PCH_PROTO <proto/agent.pb.h> <proto/oci.pb.h> <proto/task.pb.h>)
set(KATA_PCH_TEST <gmock/gmock.h> <gtest/gtest.h>)

# kata_links(OUT TARGET LIBRARY): whether TARGET links LIBRARY, directly or through others.
function(kata_links out target library)
  set(${out} FALSE PARENT_SCOPE)
  if(NOT TARGET ${target})
    return()
  endif()
  get_target_property(todo ${target} LINK_LIBRARIES)
  foreach(dep ${todo})
    if(dep STREQUAL library)
      set(found TRUE)
    elseif(dep MATCHES "^kata_")
      kata_links(found ${dep} ${library})
    endif()
    if(found)
      set(${out} TRUE PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

# kata_precompile(TARGET [TEST])
function(kata_precompile target)
  set(name kata_pch)
  set(headers ${KATA_PCH_STANDARD})
  set(deps kata_options kata_fmt)
  kata_links(proto ${target} kata_proto)
  if(proto)
    string(APPEND name _proto)
    list(APPEND headers ${KATA_PCH_PROTO})
    list(APPEND deps kata_proto)
  endif()
  if("TEST" IN_LIST ARGN)
    string(APPEND name _test)
    list(APPEND headers ${KATA_PCH_TEST})
    list(APPEND deps GTest::gmock)
  endif()
  if(NOT TARGET ${name})
    file(WRITE ${CMAKE_BINARY_DIR}/pch/${name}.cc "")
    add_library(${name} OBJECT ${CMAKE_BINARY_DIR}/pch/${name}.cc)
    target_compile_options(${name} PRIVATE ${KATA_WARNINGS})
    target_link_libraries(${name} PRIVATE ${deps})
    target_precompile_headers(${name} PRIVATE ${headers})
  endif()
  target_precompile_headers(${target} REUSE_FROM ${name})
endfunction()

# kata_library(NAME SOURCES a.cc b.cc DEPS other_library ...)
function(kata_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_compile_options(${name} PRIVATE ${KATA_WARNINGS})
  target_link_libraries(${name} PUBLIC kata_options ${ARG_DEPS})
  kata_precompile(${name})
endfunction()

# kata_program(NAME SOURCES main.cc DEPS library ...)
#
# The C++ library is linked statically: a shim's private memory is a promise of SPECIFICATION.md,
# and every shared library adds relocated pages to it.
function(kata_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_compile_options(${name} PRIVATE ${KATA_WARNINGS})
  target_link_libraries(${name} PRIVATE kata_options ${ARG_DEPS})
  kata_precompile(${name})
  if(NOT KATA_SANITIZE)
    target_link_options(${name} PRIVATE -static-libstdc++ -static-libgcc)
  endif()
endfunction()

# The tests whose folder has code that threads share: what the thread sanitizer looks at.
add_custom_target(thread_tests)

# kata_test(NAME SOURCES a_test.cc b_test.cc DEPS library ... [LABELS root])
#
# One program for the unit tests of one folder. LABELS: "root" needs root, "e2e" needs a VM, "threads"
# is run under the thread sanitizer as well.
function(kata_test name)
  if(NOT GTest_FOUND)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_compile_options(${name} PRIVATE ${KATA_WARNINGS})
  target_link_libraries(${name} PRIVATE kata_options ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  kata_precompile(${name} TEST)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "unit;${ARG_LABELS}" TIMEOUT 300)
  if("threads" IN_LIST ARG_LABELS)
    add_dependencies(thread_tests ${name})
  endif()
endfunction()
