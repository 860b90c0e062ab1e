if(CONFIG_EXEUNT_RUNTIME)
  zephyr_include_directories(../src)
  zephyr_library_named(exeunt_runtime)
  zephyr_library_sources(
{% for file in every_source %}
      ../src/{{ file }}{{ ")" if loop.last }}
{% endfor %}
  zephyr_library_compile_options(-ffp-contract=off -O2)
endif()
