# SPDX-License-Identifier: Apache-2.0
#
# How every target of the project is built: language, warnings, hardening, and the functions
# kata_library(), kata_program() and kata_test() that apply them.

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
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
# there is none, so those two warnings are off.
set(KATA_WARNINGS -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough
  -Werror $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized> $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  -Wno-missing-field-initializers)

# kata_library(NAME SOURCES a.cc b.cc DEPS other_library ...)
function(kata_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_compile_options(${name} PRIVATE ${KATA_WARNINGS})
  target_link_libraries(${name} PUBLIC kata_options ${ARG_DEPS})
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
  if(NOT KATA_SANITIZE)
    target_link_options(${name} PRIVATE -static-libstdc++ -static-libgcc)
  endif()
endfunction()

# kata_test(NAME SOURCES a_test.cc b_test.cc DEPS library ... [LABELS root])
#
# One program for the unit tests of one folder. LABELS: "root" needs root, "e2e" needs a VM.
function(kata_test name)
  if(NOT GTest_FOUND)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_compile_options(${name} PRIVATE ${KATA_WARNINGS})
  target_link_libraries(${name} PRIVATE kata_options ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "unit;${ARG_LABELS}" TIMEOUT 300)
endfunction()
