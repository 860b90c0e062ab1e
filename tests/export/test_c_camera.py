"""Rows of cameras: the C runtime against Python, bit for bit, and both against numbers by hand."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exeunt.data import Sensor, Transform
from exeunt.data.sensor import FORMATS
from exeunt.errors import ExeuntError
from exeunt.export.c.folder import RUNTIME
from exeunt.export.c.host import CHECKED, STRICT, run_tool

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

WRAPPED = """\
#include "exn_camera.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A network whose whole image is read before the first exit, row by row, into `seen`. */
static uint8_t *seen;
static void keep(const exn_model *model, const uint8_t *pixels, uint8_t *row)
{
    size_t bytes = (size_t)model->rings[0].width * model->rings[0].channels;
    (void)row;
    memcpy(seen, pixels, bytes);
    seen += bytes;
}
static int judge(const exn_model *model, const uint8_t *arena, uint8_t exit, uint16_t *found)
{
    (void)model, (void)arena, (void)exit;
    *found = 0;
    return 1;
}

int camera(int format, unsigned width, unsigned height, int scaling, unsigned out_width,
           unsigned out_height, unsigned channels, const uint8_t *frame, unsigned row_bytes,
           uint8_t *image)
{
    static const uint32_t zero = 0;
    static const uint16_t logits = 0;
    static const exn_policy policy = {NULL, 0, NULL, NULL, NULL};
    exn_event *events = calloc(out_height, sizeof *events);
    exn_ring ring = {&zero, 1, (uint16_t)out_height, (uint16_t)out_width, (uint16_t)channels};
    uint32_t end = out_height, arena[2048];
    size_t bytes = EXN_CAMERA_SUMS(out_width) * sizeof(uint16_t);
    uint16_t *sums = malloc(bytes);
    exn_model model = {.rings = &ring, .events = events, .stage_ends = &end, .logits = &logits,
                       .policy = &policy, .read_row = keep, .judge = judge, .class_count = 1,
                       .exit_count = 1};
    exn_state state;
    exn_camera camera;
    unsigned y;
    int status;
    seen = image;
    for (y = 0; y < out_height; y++) events[y].node = EXN_IMAGE;
    status = exn_init(&state, &model, arena, sizeof arena);
    if (status == EXN_ROW) {
        status = exn_camera_init(&camera, &state, (exn_format)format, width, height,
                                 (exn_scaling)scaling, sums, bytes);
    }
    for (y = 0; y < height && status == EXN_ROW; y++) {
        uint8_t *row = malloc(row_bytes); /* so that what is read beside it is found */
        memcpy(row, frame + (size_t)y * row_bytes, row_bytes);
        status = exn_camera_push(&camera, &state, row);
        free(row);
    }
    free(sums);
    free(events);
    return status;
}

#ifdef PROGRAM
/* Arguments as `camera` has them; the frame comes in, the image goes out. */
int main(int count, char **words)
{
    static uint8_t frame[1 << 20], image[1 << 18];
    unsigned n[8];
    int k, status;
    for (k = 1; k < count; k++) n[k - 1] = (unsigned)atoi(words[k]);
    if (fread(frame, 1, n[2] * n[7], stdin) != n[2] * n[7]) return 9;
    status = camera((int)n[0], n[1], n[2], (int)n[3], n[4], n[5], n[6], frame, n[7], image);
    fwrite(image, 1, (size_t)n[4] * n[5] * n[6], stdout);
    return status == EXN_EXIT ? 0 : 1;
}
#endif
"""
BYTES = {"grey": 1, "rgb888": 3, "rgb565": 2, "rgb565-le": 2, "yuyv": 2, "uyvy": 2}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    place = tmp_path_factory.mktemp("camera")
    (place / "wrapped.c").write_text(WRAPPED)
    parts = [RUNTIME / "exn_camera.c", RUNTIME / "exn_engine.c"]
    return [f"-I{RUNTIME}", str(place / "wrapped.c"), *map(str, parts)]


@pytest.fixture(scope="module")
def library(source: list[str], tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    made = str(tmp_path_factory.mktemp("made") / "camera.so")
    run_tool(["cc", *STRICT, "-O2", "-shared", "-fPIC", *source, "-o", made])
    return ctypes.CDLL(made)


def arguments(sensor: Sensor, size: tuple[int, int], channels: int) -> list[int]:
    height, width = sensor.size
    scaling = int(sensor.scaling == "box")
    return [FORMATS.index(sensor.format), width, height, scaling, size[1], size[0], channels]


def in_c(
    library: ctypes.CDLL, sensor: Sensor, rows: np.ndarray, size: tuple[int, int], channels: int
) -> tuple[int, np.ndarray]:
    image = np.full((*size, channels), 77, np.uint8)
    rows = np.ascontiguousarray(rows)
    places = ctypes.c_void_p(rows.ctypes.data), ctypes.c_void_p(image.ctypes.data)
    numbers = arguments(sensor, size, channels)
    return library.camera(*numbers, places[0], rows.shape[1], places[1]), image


def frame_of(sensor: Sensor, seed: int = 0) -> np.ndarray:
    """Bytes by chance, with stretches of the least and the largest."""
    height, width = sensor.size
    chance = np.random.default_rng(seed)
    rows = chance.integers(0, 256, (height, width * BYTES.get(sensor.format, 1)), dtype=np.uint8)
    rows[: height // 4] = 255
    rows[-(height // 8) :] = 0
    return rows


@needs_compiler
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scaling", ["box", "nearest"])
@pytest.mark.parametrize("name", FORMATS)
def test_c_and_python_give_the_same_bytes(
    name: str, scaling: str, channels: int, library: ctypes.CDLL
) -> None:
    """Of 320x240 to 112 pixels, high and wide images, frames as large as may be."""
    for frame, size in (
        ((240, 320), (112, 112)),
        ((240, 320), (48, 90)),
        ((120, 80), (50, 20)),
        ((96, 96), (48, 48)),
        ((514, 32), (257, 16)) if name.startswith("bayer") else ((257, 32), (257, 16)),
    ):
        sensor = Sensor(name, frame, scaling)  # type: ignore[arg-type]
        rows = frame_of(sensor)
        status, image = in_c(library, sensor, rows, size, channels)
        assert status == 0
        assert (image == sensor.decode(rows, size, channels)).all()


@needs_compiler
def test_sanitizers_have_nothing_to_say(source: list[str], tmp_path: Path) -> None:
    """Each row in memory of its own."""
    program = str(tmp_path / "program")
    run_tool(["cc", *STRICT, *CHECKED, "-DPROGRAM", *source, "-o", program])
    for name in FORMATS:
        sensor = Sensor(name, (64, 90), "box")
        rows = frame_of(sensor)
        (tmp_path / "frame").write_bytes(rows.tobytes())
        words = map(str, [*arguments(sensor, (32, 32), 3), rows.shape[1]])
        command = f"{program} {' '.join(words)} < {tmp_path / 'frame'} > {tmp_path / 'image'}"
        run_tool(["sh", "-c", command])
        found = np.frombuffer((tmp_path / "image").read_bytes(), np.uint8).reshape(32, 32, 3)
        assert (found == sensor.decode(rows, (32, 32), 3)).all()


@needs_compiler
def test_both_refuse_the_same(library: ctypes.CDLL) -> None:
    """A frame smaller than the image, 17 times as large, or one that only just is not."""
    for sensor, size, fits in (
        (Sensor("grey", (111, 200)), (112, 112), False),
        (Sensor("grey", (112, 200)), (112, 112), True),
        (Sensor("bayer-rggb", (222, 400)), (112, 112), False),
        (Sensor("bayer-rggb", (224, 400)), (112, 112), True),
        (Sensor("grey", (64, 64)), (4, 4), True),
        (Sensor("grey", (68, 68)), (4, 4), False),
        (Sensor("bayer-rggb", (88, 88)), (4, 4), True),
        (Sensor("bayer-rggb", (96, 96)), (4, 4), False),
    ):
        status, _ = in_c(library, sensor, frame_of(sensor), size, 3)
        assert status == (0 if fits else -6), sensor.spec
        if fits:
            Transform(size, sensor=sensor)
        else:
            with pytest.raises(ExeuntError, match=f"the sensor {sensor.spec} gives no image of"):
                Transform(size, sensor=sensor)
    odd = Sensor("grey", (64, 64))
    assert library.camera(4, 63, 64, 1, 8, 8, 3, None, 126, None) == -6  # YUYV
    assert library.camera(6, 64, 63, 1, 8, 8, 3, None, 64, None) == -6  # Bayer
    assert library.camera(10, 64, 64, 1, 8, 8, 3, None, 64, None) == -6  # no such format
    assert odd.spec == "grey:64x64:box"


def decoded(name: str, rows: list[list[int]], channels: int = 3, by: str = "box") -> list[object]:
    """A frame that is one pixel of the image, by hand."""
    array = np.array(rows, np.uint8)
    width = array.shape[1] // BYTES.get(name, 1)
    sensor = Sensor(name, (len(rows), width), by)  # type: ignore[arg-type]
    return sensor.decode(array, (1, 1), channels)[0, 0].tolist()


def test_colours_by_hand() -> None:
    assert decoded("rgb565", [[0b11111000, 0b00000000]]) == [255, 0, 0]
    assert decoded("rgb565", [[0b00000111, 0b11100000]]) == [0, 255, 0]
    assert decoded("rgb565-le", [[0b00011111, 0b00000000]]) == [0, 0, 255]
    assert decoded("rgb565", [[0b10000100, 0b00010000]]) == [132, 130, 132]
    # BT.601: R = Y + 1.402 (V - 128), B = Y + 1.772 (U - 128); means of two pixels that are alike
    assert decoded("yuyv", [[100, 128, 100, 128]]) == [100, 100, 100]
    assert decoded("yuyv", [[100, 128, 100, 178]]) == [170, 64, 100]
    assert decoded("uyvy", [[178, 100, 128, 100]]) == [100, 83, 189]
    assert decoded("yuyv", [[250, 0, 250, 255]]) == [255, 203, 23]
    assert decoded("uyvy", [[9, 40, 200, 43]] * 2, 1) == [42]  # luma alone, 41.5 rounded up
    # two greens of 10 and 31, whose mean is 20.5
    assert decoded("bayer-rggb", [[200, 10], [31, 90]]) == [200, 21, 90]
    assert decoded("bayer-bggr", [[200, 10], [31, 90]]) == [90, 21, 200]
    assert decoded("bayer-grbg", [[10, 200], [90, 31]]) == [200, 21, 90]
    assert decoded("bayer-gbrg", [[10, 90], [200, 31]]) == [200, 21, 90]
    assert decoded("grey", [[1, 2], [3, 5]]) == [3, 3, 3]  # 2.75
    assert decoded("grey", [[1, 2], [3, 5]], by="nearest") == [5, 5, 5]
    assert decoded("rgb888", [[255, 0, 0]], 1) == [76]  # 0.299 of it


def test_what_is_sent_and_taken_in_is_nearly_the_same() -> None:
    """A smooth photograph through every format; a grey camera gives luma."""
    y, x = np.mgrid[:240, :320]
    parts = 40 + x * 0.5, 200 - y * 0.6, 60 + (x + y) * 0.2
    photograph = Image.fromarray(np.stack(parts, 2).astype(np.uint8))
    plain = np.asarray(Transform((112, 112)).pixels(photograph)).astype(int)
    for name in FORMATS:
        seen = Transform((112, 112), sensor=Sensor(name)).pixels(photograph)
        wanted = plain
        if name == "grey":
            luma = plain @ [0.299, 0.587, 0.114]
            wanted = np.repeat(luma[:, :, None], 3, 2)
        assert np.abs(np.asarray(seen) - wanted).max() <= (6 if "565" in name else 4), name
        assert seen.mode == "RGB"
    grey = Transform((112, 112), mode="L", sensor=Sensor("yuyv")).pixels(photograph)
    assert grey.mode == "L"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("rgb555", "format is one of grey, .*, not 'rgb555'"),
        ("rgb565:320", "not 'rgb565:320'"),
        ("rgb565:320x240:area", "scaling is box or nearest, not 'area'"),
        ("yuyv:321x240", "a yuyv sensor of 321x240 pixels"),
        ("bayer-rggb:320x241", "a bayer-rggb sensor of 320x241 pixels"),
        ("grey:0x4", "a grey sensor of 0x4 pixels"),
    ],
)
def test_what_is_no_sensor_is_refused(spec: str, said: str) -> None:
    with pytest.raises(ExeuntError, match=said):
        Sensor.parse(spec)


def test_a_sensor_goes_with_its_transform() -> None:
    sensor = Sensor.parse("rgb565")
    assert sensor == Sensor("rgb565", (240, 320), "box")
    transform = Transform((112, 112), sensor=sensor)
    values = transform.to_dict()
    assert values["sensor"] == "rgb565:320x240:box"
    assert Transform.from_dict(values) == transform
    plain = Transform((112, 112))
    assert "sensor" not in plain.to_dict()
    assert Transform.from_dict(plain.to_dict()) == plain
