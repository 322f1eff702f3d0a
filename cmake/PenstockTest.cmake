# What ./test builds for its passes: everything that --asan runs, what --tsan runs, and the fuzzers.
foreach(group tests threaded_tests fuzzers)
  if(NOT TARGET penstock_${group})
    add_custom_target(penstock_${group})
  endif()
endforeach()

# penstock_test(NAME <folder>_test LABEL unit|vectors|db|e2e|layering SOURCES ... LIBS ... [TIMEOUT seconds] [THREADED])
# One executable; every gtest case becomes a ctest case with that label. Tests find shared data through
# PENSTOCK_VECTORS and PENSTOCK_CAPTURES (defaults: ../shared/… from the source root).
# THREADED: the tests run several threads of ours, so ThreadSanitizer has something to see. Adds the label `threads`.
function(penstock_test)
  cmake_parse_arguments(T "THREADED" "NAME;LABEL;TIMEOUT" "SOURCES;LIBS" ${ARGN})
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  add_executable(${T_NAME} ${T_SOURCES})
  target_link_libraries(${T_NAME} PRIVATE penstock::test_support ${T_LIBS} GTest::gmock GTest::gtest_main)
  set_target_properties(${T_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  # The sanitizers run what stands in one process; end-to-end tests would need the program built once more.
  if(T_THREADED OR NOT T_LABEL STREQUAL "e2e")
    add_dependencies(penstock_tests ${T_NAME})
  endif()
  gtest_discover_tests(${T_NAME} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS ${T_LABEL} TIMEOUT ${T_TIMEOUT} WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  if(T_THREADED)
    add_dependencies(penstock_threaded_tests ${T_NAME})
    # gtest_discover_tests flattens lists, so the second label is set by a script that ctest reads after its own.
    set(script "${CMAKE_CURRENT_BINARY_DIR}/${T_NAME}_threads.cmake")
    file(WRITE "${script}" "if(${T_NAME}_TESTS)\n  set_tests_properties(\${${T_NAME}_TESTS} PROPERTIES LABELS \"${T_LABEL};threads\")\nendif()\n")
    set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES "${script}")
  endif()
endfunction()

# penstock_fuzz(NAME cbor LIBS ...): tests/fuzz/fuzz_<NAME>.cc with LLVMFuzzerTestOneInput. With PENSTOCK_FUZZ it is a
# libFuzzer binary; otherwise a plain main replays tests/fuzz/corpus/<NAME>/ as a test, so the target never rots.
function(penstock_fuzz)
  cmake_parse_arguments(F "" "NAME" "LIBS" ${ARGN})
  add_executable(fuzz_${F_NAME} fuzz_${F_NAME}.cc)
  target_link_libraries(fuzz_${F_NAME} PRIVATE penstock::options ${F_LIBS})
  add_dependencies(penstock_fuzzers fuzz_${F_NAME})
  add_dependencies(penstock_tests fuzz_${F_NAME})
  set_target_properties(fuzz_${F_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/fuzz")
  if(PENSTOCK_FUZZ)
    target_link_options(fuzz_${F_NAME} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(fuzz_${F_NAME} PRIVATE replay_main.cc)
    add_test(NAME fuzz.${F_NAME}.corpus COMMAND fuzz_${F_NAME} "${CMAKE_CURRENT_SOURCE_DIR}/corpus/${F_NAME}")
    set_tests_properties(fuzz.${F_NAME}.corpus PROPERTIES LABELS fuzz TIMEOUT 120)
  endif()
endfunction()
