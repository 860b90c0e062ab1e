"""Temperatures, against a fine grid and logits whose temperature is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from exeunt.calibrate import fit_temperatures
from exeunt.calibrate.temperature import HIGHEST, LOWEST
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable
from exeunt.policies import Confidence

Make = Callable[..., ExitTable]


def test_no_temperature_on_a_grid_makes_the_targets_likelier(noisy_table: Make) -> None:
    table = noisy_table()
    fitted = fit_temperatures(table)
    assert len(fitted) == table.num_exits
    for logits, temperature in zip(table.logits.double(), fitted, strict=True):
        best = F.cross_entropy(logits / temperature, table.targets).item()
        grid = [temperature * 1.01**step for step in range(-200, 200) if step]
        others = [F.cross_entropy(logits / other, table.targets).item() for other in grid]
        assert best < min(others)


def test_a_known_temperature_is_found_again() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(1, 20_000, 5, generator=generator)
    targets = logits[0].softmax(dim=1).multinomial(1, generator=generator)[:, 0]
    scales = torch.tensor([1.0, 0.2, 30.0]).view(3, 1, 1)
    table = ExitTable(
        logits=logits * scales,
        targets=targets,
        task="classification",
        exit_macs=(1, 2, 3),
        names=tuple(map(str, range(20_000))),
        split="calibration",
        weights_fingerprint="",
        data_fingerprint="",
    )
    once, smaller, larger = fit_temperatures(table)
    assert once == pytest.approx(1, rel=0.03)
    assert (smaller, larger) == pytest.approx((0.2 * once, 30 * once), rel=1e-5)


def test_by_hand_for_two_classes(make_table: Make) -> None:
    # Logits (1, 0), right three times in four: the odds of 3 ask for a gap of ln 3.
    logits = torch.tensor([1.0, 0.0]).expand(1, 4, 2)
    table = make_table(logits, torch.tensor([0, 0, 0, 1]))
    assert fit_temperatures(table) == pytest.approx((1 / math.log(3),), rel=1e-5)


def test_the_search_ends_where_there_is_no_best(make_table: Make) -> None:
    logits = torch.tensor([1.0, 0.0]).expand(3, 4, 2)
    always, never = torch.zeros(4).long(), torch.ones(4).long()
    assert fit_temperatures(make_table(logits, always)) == pytest.approx((LOWEST,) * 3)
    assert fit_temperatures(make_table(logits, never)) == pytest.approx((HIGHEST,) * 3)
    same = make_table(torch.zeros(2, 4, 3), always)
    for temperature in fit_temperatures(same):
        Confidence(0.5, temperature)  # in its range


def test_refusals(noisy_table: Make, noisy_values: Make) -> None:
    with pytest.raises(ExeuntError, match="never chosen on the test split"):
        fit_temperatures(replace(noisy_table(), split="test"))
    with pytest.raises(ExeuntError, match="not for regression"):
        fit_temperatures(noisy_values())
