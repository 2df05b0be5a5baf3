# A room is one folder of src/: one library target, its sources named, its dependencies declared.

# `rooms` builds every room and nothing else; `unit_tests` the tests that need nothing but themselves;
# `server_tests` those that need a Redis or a server of MongoDB's protocol.
add_custom_target(rooms)
add_custom_target(unit_tests)
add_custom_target(server_tests)
# `fuzz_targets` builds what scripts/fuzz.sh runs.
add_custom_target(fuzz_targets)

# What rooms and fuzz targets are compiled with; only their coverage guides libFuzzer.
add_library(gpu_telemetry_room_flags INTERFACE)
target_link_libraries(gpu_telemetry_room_flags INTERFACE gpu_telemetry_flags)
if(GPU_TELEMETRY_FUZZ)
  target_compile_options(gpu_telemetry_room_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# What tests include anyway, compiled once (for rooms: src/concurrency/CMakeLists.txt). Tests are
# compiled without the optimisations that take longest, with sanitizers without any: nobody waits for
# them to run, but for what they test.
add_library(test_pch STATIC ${CMAKE_SOURCE_DIR}/cmake/test_pch.cc)
add_library(gpu_telemetry_test_flags INTERFACE)
target_compile_options(gpu_telemetry_test_flags INTERFACE $<$<CONFIG:Release>:-O1> $<$<CONFIG:Sanitize>:-O0>)
target_link_libraries(gpu_telemetry_test_flags
  INTERFACE asio GTest::gmock gpu_telemetry_flags)
target_link_libraries(test_pch PRIVATE gpu_telemetry_test_flags)
target_precompile_headers(test_pch PRIVATE ${CMAKE_SOURCE_DIR}/cmake/test_pch.h)

# gpu_telemetry_room(NAME SOURCES a.cc ... [PUBLIC dep ...] [PRIVATE dep ...] [ASIO])
# ASIO compiles the room with the precompiled headers of Boost.Asio.
function(gpu_telemetry_room name)
  cmake_parse_arguments(ROOM "ASIO" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  if(ROOM_SOURCES)
    add_library(${name} STATIC ${ROOM_SOURCES})
    target_link_libraries(${name} PUBLIC ${ROOM_PUBLIC} PRIVATE ${ROOM_PRIVATE} gpu_telemetry_room_flags)
    add_dependencies(rooms ${name})
    if(ROOM_ASIO)
      target_precompile_headers(${name} REUSE_FROM asio)
    endif()
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE ${ROOM_PUBLIC})
  endif()
endfunction()

# gpu_telemetry_contract(NAME SOURCES a_contract.cc ... LIBRARIES dep ...)
# Tests of what every implementation of an interface does, compiled once; a test that names it among its
# LIBRARIES instantiates them.
function(gpu_telemetry_contract name)
  cmake_parse_arguments(CONTRACT "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_library(${name} OBJECT ${CONTRACT_SOURCES})
  target_link_libraries(${name} PUBLIC ${CONTRACT_LIBRARIES} PRIVATE gpu_telemetry_test_flags)
  target_precompile_headers(${name} REUSE_FROM test_pch)
endfunction()

# gpu_telemetry_test(NAME LABEL unit SOURCES a_test.cc ... LIBRARIES dep ...)
# One executable of GoogleTest cases, and one ctest. LABEL says what it needs: unit (nothing), e2e
# (the built program), chaos (the program, and killing it), mongo (a server of its protocol).
function(gpu_telemetry_test name)
  cmake_parse_arguments(TEST "" "LABEL;TIMEOUT" "SOURCES;LIBRARIES" ${ARGN})
  if(NOT TEST_LABEL)
    set(TEST_LABEL unit)
  endif()
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 120)
  endif()
  if(GPU_TELEMETRY_SANITIZER)  # several times slower
    math(EXPR TEST_TIMEOUT "${TEST_TIMEOUT} * 4")
  endif()
  add_executable(${name} ${TEST_SOURCES})
  target_link_libraries(${name} PRIVATE ${TEST_LIBRARIES} gpu_telemetry_test_flags GTest::gtest_main)
  target_precompile_headers(${name} REUSE_FROM test_pch)
  if(TEST_LABEL STREQUAL unit)
    add_dependencies(unit_tests ${name})
  else()
    add_dependencies(server_tests ${name})
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS ${TEST_LABEL} TIMEOUT ${TEST_TIMEOUT})
endfunction()

# gpu_telemetry_bench(NAME SOURCES a_bench.cc ... LIBRARIES dep ...)
# One executable of Google Benchmark cases under build/<preset>/bin; not built for sanitizers.
function(gpu_telemetry_bench name)
  cmake_parse_arguments(BENCH "" "" "SOURCES;LIBRARIES" ${ARGN})
  if(NOT benchmark_FOUND OR GPU_TELEMETRY_SANITIZER OR GPU_TELEMETRY_COVERAGE)
    return()
  endif()
  add_executable(${name} ${BENCH_SOURCES})
  target_link_libraries(${name} PRIVATE ${BENCH_LIBRARIES} gpu_telemetry_flags benchmark::benchmark_main)
endfunction()

# gpu_telemetry_fuzz(NAME LIBRARIES dep ...)
# The libFuzzer target fuzz/NAME.cc, whose seeds are in fuzz/corpus/NAME/. Only in the asan preset.
function(gpu_telemetry_fuzz name)
  cmake_parse_arguments(FUZZ "" "" "LIBRARIES" ${ARGN})
  if(NOT GPU_TELEMETRY_FUZZ)
    return()
  endif()
  add_executable(${name} ${name}.cc)
  target_link_libraries(${name} PRIVATE ${FUZZ_LIBRARIES} gpu_telemetry_room_flags)
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  add_dependencies(fuzz_targets ${name})
endfunction()
