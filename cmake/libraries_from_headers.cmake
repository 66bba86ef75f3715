# For a cross build without the target's packages: the few libraries under src/base … src/model from their
# headers and sources on this machine, which do not depend on the processor. Everything is linked statically.
# -idirafter: the cross compiler's own C headers come first.
add_compile_options("SHELL:-idirafter /usr/include")
add_link_options(-static)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

add_library(fmt_headers INTERFACE)
target_compile_definitions(fmt_headers INTERFACE FMT_HEADER_ONLY)
add_library(fmt::fmt ALIAS fmt_headers)

add_library(spdlog_headers INTERFACE)
target_compile_definitions(spdlog_headers INTERFACE SPDLOG_FMT_EXTERNAL)
add_library(spdlog::spdlog ALIAS spdlog_headers)

file(WRITE ${CMAKE_BINARY_DIR}/boost_json.cpp "#include <boost/json/src.hpp>\n")
add_library(boost_json STATIC ${CMAKE_BINARY_DIR}/boost_json.cpp)
add_library(Boost::json ALIAS boost_json)

if(XH_TESTS)
  add_subdirectory(/usr/src/googletest/googletest ${CMAKE_BINARY_DIR}/googletest EXCLUDE_FROM_ALL)
endif()
