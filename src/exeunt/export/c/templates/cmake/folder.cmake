# {{ prefix }} and the runtime that it needs, for a project of yours:
#
#     add_subdirectory(this_folder)
#     target_link_libraries(firmware PRIVATE exeunt::{{ prefix }})
#
# or installed (cmake --install), with find_package(exeunt_{{ prefix }}). Several such folders go
# into one project; the first one's runtime serves all. Alone it builds the programs of example/
# and tests/ as well.
cmake_minimum_required(VERSION 3.16)
project(exeunt_{{ prefix }}_folder LANGUAGES C)

if(NOT TARGET exeunt::runtime)
  add_subdirectory(exeunt_runtime)
endif()
add_subdirectory({{ prefix }})

if(CMAKE_SOURCE_DIR STREQUAL CMAKE_CURRENT_SOURCE_DIR AND NOT CMAKE_CROSSCOMPILING)
  enable_testing()
  add_executable({{ prefix }}_classify example/classify.c)
  target_link_libraries({{ prefix }}_classify PRIVATE exeunt::{{ prefix }})
  add_executable({{ prefix }}_test tests/self_test.c)
  target_link_libraries({{ prefix }}_test PRIVATE exeunt::{{ prefix }})
  add_test(NAME {{ prefix }}_self_test COMMAND {{ prefix }}_test)
endif()
