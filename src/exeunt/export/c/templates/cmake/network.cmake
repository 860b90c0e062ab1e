# The network {{ prefix }} as a library: in plain CMake the target exeunt::{{ prefix }}, in ESP-IDF a
# component. Both need the runtime that lies beside it.
set(sources src/{{ prefix }}.c src/{{ prefix }}_self_test.c{% for file in own_sources %} src/{{ file }}{% endfor %})

if(ESP_PLATFORM)
  idf_component_register(SRCS ${sources} INCLUDE_DIRS src REQUIRES exeunt_runtime)
  return()
endif()

cmake_minimum_required(VERSION 3.16)
project(exeunt_{{ prefix }} VERSION {{ version_number }} LANGUAGES C)
include(GNUInstallDirs)

if(NOT TARGET exeunt::runtime)
  if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/../exeunt_runtime/CMakeLists.txt)
    add_subdirectory(../exeunt_runtime ${CMAKE_CURRENT_BINARY_DIR}/exeunt_runtime)
  else()
    find_package(exeunt_runtime REQUIRED)
  endif()
endif()

add_library(exeunt_{{ prefix }} STATIC ${sources})
add_library(exeunt::{{ prefix }} ALIAS exeunt_{{ prefix }})
set_target_properties(exeunt_{{ prefix }} PROPERTIES
    C_STANDARD 99 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF EXPORT_NAME {{ prefix }})
target_include_directories(exeunt_{{ prefix }} PUBLIC
    $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/src>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/exeunt>)
target_link_libraries(exeunt_{{ prefix }} PUBLIC exeunt::runtime)

set(place ${CMAKE_INSTALL_LIBDIR}/cmake/exeunt_{{ prefix }})
install(TARGETS exeunt_{{ prefix }} EXPORT exeunt_{{ prefix }}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES src/{{ prefix }}.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/exeunt)
install(EXPORT exeunt_{{ prefix }} NAMESPACE exeunt::
    FILE exeunt_{{ prefix }}Targets.cmake DESTINATION ${place})
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/exeunt_{{ prefix }}Config.cmake
"include(CMakeFindDependencyMacro)
find_dependency(exeunt_runtime {{ version_number }})
include(\${CMAKE_CURRENT_LIST_DIR}/exeunt_{{ prefix }}Targets.cmake)
")
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/exeunt_{{ prefix }}Config.cmake DESTINATION ${place})
