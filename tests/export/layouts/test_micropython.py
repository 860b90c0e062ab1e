"""The native module of MicroPython, with a stand-in for its header and makefile.

The stand-in declares what the module calls, and compiles position-independent code for Arm, as
MicroPython's makefile does. Whether its linker would take the objects is tested by its rules: no
variables with values, none that are static, and nothing undefined but what the compiler's own
library has.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from exeunt.export.c.host import run_tool

pytestmark = pytest.mark.skipif(
    shutil.which("arm-none-eabi-gcc") is None or shutil.which("make") is None,
    reason="needs make and arm-none-eabi-gcc",
)

HEADER = """\
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
typedef void *mp_obj_t;
typedef struct { void *globals; } mp_obj_fun_bc_t;
typedef struct { void *buf; size_t len; int typecode; } mp_buffer_info_t;
typedef struct { const void *type; void *fun; } mp_fun_t;
typedef struct {
    void *(*memset_)(void *, int, size_t);
    void *(*memmove_)(void *, const void *, size_t);
    void (*raise_msg)(int, const char *);
    void (*get_buffer)(mp_obj_t, mp_buffer_info_t *, int);
    mp_obj_t (*new_tuple)(size_t, mp_obj_t *);
    mp_obj_t (*native_to_obj)(long, int);
    void (*store_global)(int, mp_obj_t);
    mp_obj_t const_none;
} mp_fun_table_t;
extern const mp_fun_table_t mp_fun_table;
enum {
    MP_BUFFER_READ = 1, MP_QSTR_result = 1, MP_QSTR_init, MP_QSTR_push_row, MP_QSTR_step,
    MP_QSTR_leave, MP_QSTR_run, MP_QSTR_HEIGHT, MP_QSTR_WIDTH, MP_QSTR_CHANNELS, MP_QSTR_CLASSES,
    MP_QSTR_EXITS
};
#define mp_const_none (mp_fun_table.const_none)
#define mp_raise_ValueError(message) (mp_fun_table.raise_msg(0, (message)))
#define mp_get_buffer_raise(object, buffer, flags) (mp_fun_table.get_buffer(object, buffer, flags))
#define mp_obj_new_int(number) (mp_fun_table.native_to_obj((number), 2))
#define mp_obj_new_bool(truth) (mp_fun_table.native_to_obj((truth), 1))
#define mp_obj_new_tuple(count, items) (mp_fun_table.new_tuple((count), (items)))
#define mp_store_global(name, object) (mp_fun_table.store_global((name), (object)))
#define MP_OBJ_FROM_PTR(pointer) ((mp_obj_t)(uintptr_t)(pointer))
#define MP_DEFINE_CONST_FUN_OBJ_0(name, function) const mp_fun_t name = {0, (void *)(function)}
#define MP_DEFINE_CONST_FUN_OBJ_1(name, function) const mp_fun_t name = {0, (void *)(function)}
#define MP_DYNRUNTIME_INIT_ENTRY (void)self, (void)n_args, (void)n_kw, (void)args;
#define MP_DYNRUNTIME_INIT_EXIT return mp_const_none;
"""
MAKEFILE = """\
CFLAGS += -I$(MPY_DIR) -std=c99 -Os -Wall -Werror -mthumb -mcpu=cortex-m3 -fpic -fno-common
$(MOD).o: $(SRC:%.c=$(BUILD)/%.o)
	arm-none-eabi-ld -r $^ -o $@
$(BUILD)/%.o: %.c
	@mkdir -p $(BUILD)
	arm-none-eabi-gcc $(CFLAGS) -c $< -o $@
"""


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_module_follows_the_rules_of_the_linker(
    name: str, everything: Path, tmp_path: Path
) -> None:
    (tmp_path / "py").mkdir()
    (tmp_path / "py" / "dynruntime.h").write_text(HEADER)
    (tmp_path / "py" / "dynruntime.mk").write_text(MAKEFILE)
    folder = shutil.copytree(everything / name, tmp_path / name)
    place = folder / "micropython"
    run_tool(["make", "-C", str(place), f"MPY_DIR={tmp_path}", "BUILD=build"])
    symbols = [
        line.split()[-2:]
        for line in run_tool(["arm-none-eabi-nm", str(place / f"{name}.o")]).splitlines()
    ]
    undefined = {symbol for kind, symbol in symbols if kind == "U"}
    ours = {symbol for symbol in undefined if not re.match(r"__aeabi_|__gnu_thumb1_", symbol)}
    assert ours == {"mp_fun_table", "_GLOBAL_OFFSET_TABLE_"}
    assert {"mpy_init", f"{name}_init"} <= {symbol for kind, symbol in symbols if kind == "T"}
    assert [symbol for kind, symbol in symbols if kind == "b" and symbol[0] not in ".$"] == []
    sizes = run_tool(["arm-none-eabi-size", "-A", str(place / f"{name}.o")])
    written = [line.split()[:2] for line in sizes.splitlines() if line.startswith(".data")]
    assert [section for section, size in written if ".rel.ro" not in section and size != "0"] == []
