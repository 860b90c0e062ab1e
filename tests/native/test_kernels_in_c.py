"""The kernels as C: warnings, sanitizers, and the processor that is not here."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exeunt.native import SIMD, native
from exeunt.native.build import FOLDER
from exeunt.native.rex import KINDS
from exeunt.ops.recurrence import FastGRNN
from exeunt.ops.rex import ReX2d

UNITS = sorted(FOLDER.glob("*.c"))
STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror")

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
ARM = "aarch64-linux-gnu-gcc", "qemu-aarch64"
needs_arm = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ARM), reason=f"needs {' and '.join(ARM)}"
)


HARNESSES = ("harness", "norm_harness")


def compiled(folder: Path, *command: str) -> Path:
    """The folder, with a program of each harness in it."""
    strict = [*command, *STRICT, f"-I{FOLDER}"]
    for unit in UNITS:
        subprocess.run([*strict, "-c", unit, "-o", folder / f"{unit.stem}.o"], check=True)
    objects = [folder / f"{unit.stem}.o" for unit in UNITS]
    for name in HARNESSES:
        source = Path(__file__).with_name(f"{name}.c")
        subprocess.run([*strict, source, *objects, "-o", folder / name, "-lm"], check=True)
    return folder


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    checks = "-fsanitize=address,undefined", "-fno-sanitize-recover"
    return compiled(tmp_path_factory.mktemp("sanitized"), "cc", "-g1", "-O1", *checks)


@pytest.fixture(scope="module")
def for_arm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("arm"), ARM[0], "-O2", "-static")


def array(values: Tensor) -> bytes:
    return struct.pack("=i", values.numel()) + values.detach().numpy().tobytes()


def cell(module: nn.Module, way: str) -> bytes:
    names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    if isinstance(module, FastGRNN):
        names[3] = "mix"
    tensors = [getattr(module, f"{name}_l0{way}", torch.empty(0)) for name in names]
    if isinstance(module, FastGRNN):
        tensors[3] = torch.sigmoid(tensors[3])
    return b"".join(map(array, tensors))


def axis(rex: ReX2d, x: Tensor, which: int) -> bytes:
    window, length = rex.windows(*x.shape[2:])[which], x.shape[2 + which]
    numbers = window.before, window.size, window.stride, window.out, window.repeat
    return struct.pack("=6i", length, *numbers)


def asked(rex: ReX2d, x: Tensor, conv: nn.Conv2d | None) -> bytes:
    read = x if conv is None else conv(x)
    sizes = KINDS.index(rex.cell), rex.in_channels, rex.hidden1, rex.hidden2, len(x)
    cells = cell(rex.rnn1, ""), cell(rex.rnn2, ""), cell(rex.rnn2, "_reverse")
    linear = array(rex.linear.weight), array(rex.linear.bias)
    layer = axis(rex, read, 0), axis(rex, read, 1), struct.pack("=5i", *sizes), *cells, *linear
    return b"".join((*layer, before(conv, x, read), array(x)))


def before(conv: nn.Conv2d | None, x: Tensor, out: Tensor) -> bytes:
    """A convolution whose outputs are kept between 0 and 6, or none."""
    if conv is None:
        return struct.pack("=i", 0)
    axes = [
        (x.shape[2 + a], conv.padding[a], conv.kernel_size[a], conv.stride[a], out.shape[2 + a], 0)
        for a in (0, 1)
    ]
    said = struct.pack("=14i", 1, *axes[0], *axes[1], conv.in_channels)
    assert conv.bias is not None
    return said + array(conv.weight) + array(conv.bias)


def answer(
    program: list[str],
    rex: ReX2d,
    x: Tensor,
    simd: int,
    folder: Path,
    conv: nn.Conv2d | None = None,
) -> NDArray[np.float32]:
    (folder / "in").write_bytes(asked(rex, x, conv))
    names = [str(folder / "in"), str(folder / "out"), str(simd)]
    subprocess.run([*program, *names], check=True)
    return np.fromfile(folder / "out", np.float32)


GEOMETRIES = {
    "overlap": (5, 4, "same", (2, 23, 38)),
    "apart": (2, 5, (6, 1), (3, 13, 22)),
    "narrow": ((3, 1), (1, 2), "replicate_out", (1, 9, 1)),
}


def case(kind: str, geometry: str) -> tuple[ReX2d, Tensor, NDArray[np.float32]]:
    """A layer, its input, and what torch's operators make of it."""
    torch.manual_seed(0)
    size, stride, padding, (images, height, width) = GEOMETRIES[geometry]
    rex = ReX2d(3, 7, 3, size, stride, padding, cell=kind)  # type: ignore[arg-type]
    for parameter in rex.parameters():
        nn.init.uniform_(parameter, -0.7, 0.7)
    x = torch.randn(images, 3, height, width)
    return rex, x, rex(x).detach().numpy().ravel()  # with gradients: no kernels in C


@needs_compiler
@pytest.mark.parametrize("simd", SIMD)
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("kind", KINDS)
def test_under_sanitizers(
    sanitized: Path, tmp_path: Path, kind: str, geometry: str, simd: str
) -> None:
    kernels, number = native(), SIMD.index(simd)
    if kernels is None or not kernels.library.exeunt_has(number):
        pytest.skip(f"{simd} is not here")
    rex, x, expected = case(kind, geometry)
    ours = answer([str(sanitized / "harness")], rex, x, number, tmp_path)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


@needs_compiler
@pytest.mark.parametrize("simd", SIMD)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_convolution_under_sanitizers(
    sanitized: Path, tmp_path: Path, geometry: str, simd: str
) -> None:
    kernels, number = native(), SIMD.index(simd)
    if kernels is None or not kernels.library.exeunt_has(number):
        pytest.skip(f"{simd} is not here")
    rex, maps, _ = case("gru", geometry)
    conv = nn.Conv2d(2, 3, 3, stride=(2, 1), padding=1)
    x = torch.randn(len(maps), 2, 2 * maps.shape[2], maps.shape[3])
    ours = answer([str(sanitized / "harness")], rex, x, number, tmp_path, conv)
    expected = rex(conv(x).clamp(0, 6)).detach().numpy().ravel()
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


@needs_arm
@pytest.mark.parametrize("simd", SIMD[:2])
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("kind", KINDS)
def test_on_arm(for_arm: Path, tmp_path: Path, kind: str, geometry: str, simd: str) -> None:
    rex, x, expected = case(kind, geometry)
    ours = answer(["qemu-aarch64", str(for_arm / "harness")], rex, x, SIMD.index(simd), tmp_path)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


@needs_compiler
def test_batch_norm_under_sanitizers(sanitized: Path) -> None:
    said = subprocess.run([sanitized / "norm_harness"], check=True, capture_output=True).stdout
    kernels = native()
    there = 1 if kernels is None else sum(map(kernels.library.exeunt_has, range(len(SIMD))))
    assert said == b"%d of 4 instruction sets: 0 wrong\n" % there


@needs_arm
def test_batch_norm_on_arm(for_arm: Path) -> None:
    command = ["qemu-aarch64", for_arm / "norm_harness"]
    said = subprocess.run(command, check=True, capture_output=True).stdout
    assert said == b"2 of 4 instruction sets: 0 wrong\n"


@needs_compiler
def test_any_compiler_takes_it(tmp_path: Path) -> None:
    """Without the extensions of GCC and Clang, which say that they are there by a macro."""
    command = ["cc", *STRICT, "-U__GNUC__", "-c", str(FOLDER / "simd.c")]
    subprocess.run([*command, "-o", str(tmp_path / "plain.o")], check=True)
