"""Ranges of tensors against NumPy's, on numbers with long tails."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.graph import Graph, Node, StageGraph
from exeunt.graph.operators import Activation
from exeunt.quantize import observe_ranges
from exeunt.quantize.ranges import Range

SHAPE = (3, 20, 30)


def one_relu() -> Graph:
    node = Node(Activation("relu"), ("image",), "relu", "relu", "relu", "")
    return Graph("image", (StageGraph((node,), "relu", ()),), {"image": SHAPE, "relu": SHAPE})


def batches(seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = (4, 7, 1)
    return [torch.randn(n, *SHAPE, generator=generator).pow(3) for n in sizes]


def test_minmax_covers_all_batches() -> None:
    seen = torch.cat(batches())
    found = observe_ranges(one_relu(), batches(), "minmax")
    assert found["image"] == Range(float(seen.min()), float(seen.max()))
    assert found["relu"] == Range(0.0, float(seen.max()))


@pytest.mark.parametrize("percentile", [100.0, 99.99, 99.03, 61.3])
def test_percentiles_are_those_of_numpy_within_a_bin(percentile: float) -> None:
    found = observe_ranges(one_relu(), batches(), "percentile", percentile)
    image = torch.cat(batches()).double().flatten().numpy()
    for name, seen in (("image", image), ("relu", image.clip(min=0))):
        width = (seen.max() - seen.min()) / 65536
        places = [50 - percentile / 2, 50 + percentile / 2]
        low, high = np.percentile(seen, places, method="inverted_cdf")
        assert found[name].low == pytest.approx(low, abs=1.01 * width)
        assert found[name].high == pytest.approx(high, abs=1.01 * width)


def test_the_usual_percentile_leaves_out_one_of_ten_thousand() -> None:
    reach = observe_ranges(one_relu(), batches(), "percentile")["image"]
    seen = torch.cat(batches())
    outside = ((seen < reach.low) | (seen > reach.high)).sum()
    assert abs(int(outside) - 1e-4 * seen.numel()) <= 2


def test_least_squares_clip_a_lone_outlier_and_nothing_that_is_even() -> None:
    even = torch.rand(500, *SHAPE, generator=torch.Generator().manual_seed(0))
    whole = observe_ranges(one_relu(), [even])["image"]
    assert whole.high == float(even.max())
    even[0, 0, 0, 0] = 3.0  # clipping it costs 4, finer steps save 9
    assert observe_ranges(one_relu(), [even])["image"].high < 1.5


def test_a_tensor_that_is_all_0_has_a_range_that_is_0() -> None:
    for method in ("mse", "percentile"):
        found = observe_ranges(one_relu(), [-torch.ones(1, *SHAPE)], method)
        assert found["relu"] == Range(0.0, 0.0)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ExeuntError, match=r"unknown method 'median'.*mse, minmax, percentile"):
        observe_ranges(one_relu(), batches(), "median")
    with pytest.raises(ExeuntError, match=r"percentile=0\.0; give per cent, above 0"):
        observe_ranges(one_relu(), batches(), "percentile", 0.0)
    with pytest.raises(ExeuntError, match="no images to find ranges with"):
        observe_ranges(one_relu(), [])
