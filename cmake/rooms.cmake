# xh_room(NAME DEPS …): one static library per folder under src/, with the tests beside its sources.
# Sources are found by pattern, so adding a file needs no edit here. *_test.cpp go to xh_NAME_tests;
# per-ISA kernel files are added by compute/cpu/CMakeLists.txt with their own flags.
enable_testing()
if(XH_TESTS)
  if(NOT TARGET GTest::gtest_main)
    find_package(GTest REQUIRED)
  endif()
  include(GoogleTest)
endif()

function(xh_room name)
  cmake_parse_arguments(ROOM "" "" "DEPS;LIBS;EXCLUDE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  foreach(pattern IN LISTS ROOM_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "${pattern}")
    list(FILTER tests EXCLUDE REGEX "${pattern}")
  endforeach()

  if(sources)
    add_library(xh_${name} STATIC ${sources})
    target_include_directories(xh_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(xh_${name} PUBLIC ${ROOM_DEPS} ${ROOM_LIBS})
  else()  # headers only
    add_library(xh_${name} INTERFACE)
    target_include_directories(xh_${name} INTERFACE ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(xh_${name} INTERFACE ${ROOM_DEPS} ${ROOM_LIBS})
  endif()

  set_property(GLOBAL APPEND PROPERTY XH_ROOMS xh_${name})

  if(XH_TESTS AND tests)
    add_executable(xh_${name}_tests ${tests})
    target_link_libraries(xh_${name}_tests PRIVATE xh_${name} GTest::gtest_main)
    target_compile_definitions(xh_${name}_tests PRIVATE XH_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    gtest_discover_tests(xh_${name}_tests DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600)
  endif()
endfunction()
