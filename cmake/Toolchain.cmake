# Compiler settings that hold for every target.
set(GPU_TELEMETRY_SANITIZER "" CACHE STRING "Value of -fsanitize for every target, or empty")
option(GPU_TELEMETRY_FUZZ "Build the fuzz targets (needs clang)" OFF)
option(GPU_TELEMETRY_COVERAGE "Instrument for gcov" OFF)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_SANITIZE "-O1 -g1 -fno-omit-frame-pointer")
set(CMAKE_INTERPROCEDURAL_OPTIMIZATION OFF)

add_library(gpu_telemetry_flags INTERFACE)
target_compile_options(gpu_telemetry_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
  -Wcast-qual -Wvla)
# Warnings are errors with the compilers that CI has; others know warnings that we have not met.
if((CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13) OR
   (CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 20))
  target_compile_options(gpu_telemetry_flags INTERFACE -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False positives of GCC 12 at -O2 in inlined standard containers and coroutines (PR 105593 and kin).
  target_compile_options(gpu_telemetry_flags INTERFACE
    -Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-array-bounds -Wno-restrict
    -Wno-stringop-overread -Wno-dangling-pointer)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # std::stable_sort of libstdc++ 12 uses what libstdc++ 12 itself calls deprecated.
  target_compile_options(gpu_telemetry_flags INTERFACE -Wthread-safety -Wno-deprecated-declarations)
endif()
target_include_directories(gpu_telemetry_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)

if(GPU_TELEMETRY_SANITIZER)
  target_compile_options(gpu_telemetry_flags INTERFACE
    -fsanitize=${GPU_TELEMETRY_SANITIZER} -fno-sanitize-recover=all)
  target_link_options(gpu_telemetry_flags INTERFACE -fsanitize=${GPU_TELEMETRY_SANITIZER})
  if(GPU_TELEMETRY_SANITIZER MATCHES "undefined")
    # A third of the time to compile, for what the address sanitizer finds too or that we do not do.
    target_compile_options(gpu_telemetry_flags INTERFACE -fno-sanitize=null,object-size,vptr)
  endif()
  if(GPU_TELEMETRY_SANITIZER MATCHES "thread")
    # TSan does not understand the fences that Asio uses by default.
    target_compile_definitions(gpu_telemetry_flags INTERFACE BOOST_ASIO_DISABLE_FENCED_BLOCK)
  endif()
endif()
if(GPU_TELEMETRY_COVERAGE)
  target_compile_options(gpu_telemetry_flags INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(gpu_telemetry_flags INTERFACE --coverage)
endif()

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Precompiled headers are cached only when ccache may ignore their time stamps; base_dir lets two
  # checkouts share one cache.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
    CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=true ${CCACHE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(gpu_telemetry_flags INTERFACE -fpch-preprocess)
  endif()
endif()
find_program(MOLD mold)
if(MOLD AND NOT GPU_TELEMETRY_COVERAGE)
  target_link_options(gpu_telemetry_flags INTERFACE -fuse-ld=mold)
endif()
