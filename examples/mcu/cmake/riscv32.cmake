# cmake -DCMAKE_TOOLCHAIN_FILE=riscv32.cmake: GCC for a 32-bit RISC-V without floats, as in an ESP32-C3
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR riscv32)
set(CMAKE_C_COMPILER riscv64-unknown-elf-gcc)
set(CMAKE_C_FLAGS_INIT "-march=rv32imac -mabi=ilp32")
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY) # there may be no library of C to link with
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
