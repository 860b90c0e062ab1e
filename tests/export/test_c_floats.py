"""The float runtime's functions one by one: exp and its kin, reading rows, judging scores."""

from __future__ import annotations

import ctypes
import shutil
from importlib.resources import files

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from exeunt.data import Transform
from exeunt.export.c.host import STRICT, run_tool
from exeunt.export.c.kernels_f32 import FUNCTIONS
from exeunt.export.c.source import float_texts
from exeunt.graph.pointwise import ACTIVATIONS, activate, named
from exeunt.policies import Confidence, Margin

RUNTIME = files("exeunt") / "runtime"

WRAPPED = """
#include "exn_exp_f32.h"
#include "exn_f32.h"

void exps(const float *x, float *y, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) y[i] = exn_exp(x[i]);
}

void sigmoids(const float *x, float *y, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) y[i] = exn_sigmoid(x[i]);
}

static const uint32_t zero = 0;

void tanhs(const float *x, float *y, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) y[i] = exn_tanh(x[i]);
}

void read_row(const uint8_t *pixels, uint8_t *row, uint16_t width, uint16_t channels,
              const float *means, const float *deviations)
{
    exn_input_f32 input = {means, deviations};
    exn_ring ring = {&zero, 1, 1, width, channels};
    exn_model model = {.rings = &ring, .input = &input};
    exn_read_row_f32(&model, pixels, row);
}

int judge(const float *scores, uint16_t classes, const float *confidence, const float *margin,
          float temperature, uint16_t *found)
{
    exn_policy_f32 thresholds = {confidence, margin, &temperature};
    exn_policy policy = {&thresholds, 0};
    exn_ring ring = {&zero, 1, 1, 1, classes};
    uint16_t logits[2] = {0, 0};
    exn_model model = {.rings = &ring, .logits = logits, .policy = &policy};
    model.class_count = classes;
    model.exit_count = 2;
    return exn_judge_f32(&model, (const uint8_t *)scores, 0, found);
}
"""

Floats = NDArray[np.float32]

EXACT = (
    *("clip:-1.5:2", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh", "hardswish", "hardsigmoid"),
    *("leaky_relu:0.2", "elu:1.5", "mish", "softplus:1.0:20.0", "softplus:3.0:2.0"),
)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    place = tmp_path_factory.mktemp("runtime")
    (place / "wrapped.c").write_text(WRAPPED)
    files = [f"exn_{name}_f32.c" for name in ("functions", "input", "judge")]
    sources = [place / "wrapped.c", *(RUNTIME / file for file in files)]
    made = str(place / "runtime.so")
    flags = [*STRICT, "-O2", "-shared", "-fPIC", f"-I{RUNTIME}"]
    run_tool(["cc", *flags, *map(str, sources), "-o", made])
    return ctypes.CDLL(made)


def address(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def applied(runtime: ctypes.CDLL, name: str, x: Floats) -> Floats:
    y = np.empty_like(x)
    getattr(runtime, name)(address(x), address(y), len(x))
    return y


def test_exp_and_its_kin_are_as_near_as_they_say(runtime: ctypes.CDLL) -> None:
    """Over all of their range; the limits are those that exn_exp_f32.h states."""
    x = np.linspace(-87.3, 87.3, 1_000_003).astype(np.float32)
    exact = np.exp(x.astype(np.float64))
    assert np.abs(applied(runtime, "exps", x) / exact - 1).max() < 9e-8
    x = np.concatenate([np.linspace(-20, 20, 1_000_003), np.linspace(-100, 100, 1001)])
    x = x.astype(np.float32)
    exact = x.astype(np.float64)
    assert np.abs(applied(runtime, "sigmoids", x) - 1 / (1 + np.exp(-exact))).max() < 9e-8
    assert np.abs(applied(runtime, "tanhs", x) - np.tanh(exact)).max() < 1.4e-7


@pytest.mark.parametrize("act", EXACT)
def test_functions_are_as_near_as_the_page_says(runtime: ctypes.CDLL, act: str) -> None:
    """`docs/operators.md`, against torch in float64."""
    name, numbers = named(act)
    x = np.linspace(-30, 30, 200_001).astype(np.float32)
    found = x.copy()
    settled = [ctypes.c_float(number) for number in (*numbers, 0.0, 0.0)[:2]]
    getattr(runtime, f"exn_{name}_f32")(address(found), len(x), *settled)
    exact = activate(act, torch.from_numpy(x).double()).numpy()
    assert (np.abs(found - exact) <= 3e-7 * np.maximum(np.abs(x), 1)).all()


def test_every_function_is_there() -> None:
    assert {named(act)[0] for act in EXACT} == {*FUNCTIONS} == {*ACTIVATIONS} - {"relu", "relu6"}


def test_beyond_their_range_they_stay_at_its_end(runtime: ctypes.CDLL) -> None:
    x = np.float32([-np.inf, -1e30, 0, -0.0, 1e-30, 1e30, np.inf])
    low, high = applied(runtime, "exps", np.float32([-87.3, 87.3]))
    assert applied(runtime, "exps", x).tolist() == [low, low, 1, 1, 1, high, high]
    assert applied(runtime, "tanhs", x).tolist() == [-1, -1, 0, 0, 0, 1, 1]
    sigmoids = applied(runtime, "sigmoids", x)
    assert sigmoids[2:].tolist() == [0.5, 0.5, 0.5, 1, 1]
    assert (sigmoids[:2] < 1e-37).all()
    assert np.isfinite(applied(runtime, "exps", np.float32([np.nan]))).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("in_place", [False, True])
def test_rows_become_what_the_transform_makes(
    runtime: ctypes.CDLL, channels: int, in_place: bool
) -> None:
    pixels = np.arange(256, dtype=np.uint8).repeat(channels).reshape(1, 256, channels)
    transform = Transform((1, 256), mode="L" if channels == 1 else "RGB")
    wanted = transform.normalise_pixels(pixels)[:, 0].t().numpy()
    row = np.zeros((256, channels), np.float32)
    source = pixels
    if in_place:
        source = row.view(np.uint8).reshape(-1)
        source[: pixels.size] = pixels.reshape(-1)
    means, deviations = np.float32(transform.mean), np.float32(transform.std)
    runtime.read_row(
        address(source), address(row), 256, channels, address(means), address(deviations)
    )
    assert np.array_equal(row, wanted)


@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_scores_are_judged_as_by_the_policies(runtime: ctypes.CDLL, temperature: float) -> None:
    chance = np.random.default_rng(0)
    found = np.zeros(1, np.uint16)
    sure = {Confidence: 0, Margin: 0}
    for _ in range(300):
        scores = np.float32(chance.normal(0, chance.uniform(0.1, 6), chance.integers(2, 12)))
        for kind, (confident, apart) in {Confidence: (True, False), Margin: (False, True)}.items():
            threshold = float(chance.uniform(0, 1))
            policy = kind(threshold, temperature)
            (reading,) = policy.readings(0)
            if abs(float(reading(torch.from_numpy(scores)[None])) - threshold) < 1e-6:
                continue
            leaves, _ = policy.observe(0, torch.from_numpy(scores)[None], ())
            array = np.float32([threshold])
            said = runtime.judge(
                address(scores),
                len(scores),
                address(array) if confident else None,
                address(array) if apart else None,
                ctypes.c_float(temperature),
                address(found),
            )
            assert bool(said) == bool(leaves), (scores, threshold)
            assert found[0] == scores.argmax()
            sure[kind] += said
    assert all(50 < count < 250 for count in sure.values()), sure


def test_of_equal_scores_the_first_counts(runtime: ctypes.CDLL) -> None:
    found, never = np.zeros(1, np.uint16), np.float32([2.0])
    scores = np.float32([1, 3, 3, -1])
    said = runtime.judge(
        address(scores), 4, address(never), None, ctypes.c_float(1), address(found)
    )
    assert (said, found[0]) == (0, 1)


def test_constants_are_read_as_they_were() -> None:
    chance = np.random.default_rng(0)
    values = chance.integers(0, 2**32, 5000, np.uint32).view(np.float32)
    values = np.concatenate([values[np.isfinite(values)], np.float32([0, 1, -2, 1e10, 1e-45])])
    texts = float_texts(values.tolist())
    assert all(text.endswith("f") and ("." in text or "e" in text) for text in texts)
    assert np.array_equal(np.float32([text[:-1] for text in texts]), values)
