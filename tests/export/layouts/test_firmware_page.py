"""The programs of docs/firmware.md compile, against stand-ins for what a board's maker has."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from exeunt.export.c.host import STRICT, run_tool
from exeunt.export.c.layouts import LAYOUTS

PAGE = Path(__file__).parents[3] / "docs" / "firmware.md"

ESP_CAMERA_H = """\
#include <stddef.h>
#include <stdint.h>
typedef enum { PIXFORMAT_RGB565 } pixformat_t;
typedef enum { FRAMESIZE_QVGA } framesize_t;
typedef struct {
    int pin_pwdn; pixformat_t pixel_format; framesize_t frame_size; size_t fb_count;
} camera_config_t;
typedef struct { uint8_t *buf; size_t len, width, height; } camera_fb_t;
typedef int esp_err_t;
#define ESP_OK 0
esp_err_t esp_camera_init(const camera_config_t *config);
camera_fb_t *esp_camera_fb_get(void);
void esp_camera_fb_return(camera_fb_t *frame);
"""
KERNEL_H = """\
#include <stdint.h>
int64_t k_uptime_get(void);
int32_t k_msleep(int32_t ms);
void printk(const char *format, ...);
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_programs_compile(everything: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```c\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 2
    (tmp_path / "zephyr").mkdir()
    (tmp_path / "zephyr" / "kernel.h").write_text(KERNEL_H)
    (tmp_path / "esp_camera.h").write_text(ESP_CAMERA_H)
    text = (everything / "one" / "one" / "src" / "one.h").read_text()
    named = text.replace("one_", "net_").replace("ONE_", "NET_")
    (tmp_path / "net.h").write_text(named)
    includes = [f"-I{tmp_path}", f"-I{everything / 'one' / 'exeunt_runtime' / 'src'}"]
    for number, block in enumerate(blocks):
        path = tmp_path / f"{number}.c"
        path.write_text(block)
        run_tool(["cc", *STRICT, "-Wmissing-field-initializers", *includes, "-c", str(path),
                  "-o", str(tmp_path / "out.o")])  # fmt: skip


def test_it_names_every_layout() -> None:
    text = PAGE.read_text()
    told = re.findall(r"`(?:--layout )?([a-z-]+)`", text)
    assert set(LAYOUTS) <= set(told)
