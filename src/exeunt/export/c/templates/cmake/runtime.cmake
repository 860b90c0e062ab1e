# The exeunt runtime as a library: in plain CMake the target exeunt::runtime, in ESP-IDF a component.
set(EXEUNT_RUNTIME_SOURCES
{% for file in every_source %}
    src/{{ file }}{{ ")" if loop.last }}
{% endfor %}

if(ESP_PLATFORM)
  idf_component_register(SRCS ${EXEUNT_RUNTIME_SOURCES} INCLUDE_DIRS src)
  target_compile_options(${COMPONENT_LIB} PRIVATE -ffp-contract=off -O2)
  return()
endif()

cmake_minimum_required(VERSION 3.16)
project(exeunt_runtime VERSION {{ version_number }} LANGUAGES C)
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

add_library(exeunt_runtime STATIC ${EXEUNT_RUNTIME_SOURCES})
add_library(exeunt::runtime ALIAS exeunt_runtime)
set_target_properties(exeunt_runtime PROPERTIES
    C_STANDARD 99 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF EXPORT_NAME runtime)
if(CMAKE_C_COMPILER_ID MATCHES "GNU|Clang")
  # floats are the same bits everywhere, and what is not called does not get into the program
  target_compile_options(exeunt_runtime PRIVATE
      -ffp-contract=off -ffunction-sections -fdata-sections)
endif()
target_include_directories(exeunt_runtime PUBLIC
    $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/src>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/exeunt>)

set(place ${CMAKE_INSTALL_LIBDIR}/cmake/exeunt_runtime)
install(TARGETS exeunt_runtime EXPORT exeunt_runtime ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY src/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/exeunt FILES_MATCHING PATTERN "*.h")
install(EXPORT exeunt_runtime NAMESPACE exeunt::
    FILE exeunt_runtimeConfig.cmake DESTINATION ${place})
write_basic_package_version_file(exeunt_runtimeConfigVersion.cmake COMPATIBILITY ExactVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/exeunt_runtimeConfigVersion.cmake DESTINATION ${place})
