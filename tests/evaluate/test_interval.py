"""Intervals: Wilson's against its defining equation and published values, the bootstrap's against
the normal distribution and against how often they should hold the truth."""

from __future__ import annotations

import math

import pytest
import torch

from exeunt.errors import ExeuntError
from exeunt.evaluate import (
    ExitTable,
    bootstrap,
    difference_interval,
    paired,
    replay,
    score_interval,
    wilson,
)
from exeunt.policies import Confidence, Full


@pytest.mark.parametrize(
    ("successes", "samples", "low", "high"),
    [  # Newcombe, Statistics in Medicine 1998, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_values(successes: int, samples: int, low: float, high: float) -> None:
    assert wilson(successes, samples) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("level", [0.8, 0.99])
def test_ends_are_as_far_off_as_the_level_allows(level: float) -> None:
    z = {0.8: 1.2815515655446004, 0.99: 2.5758293035489004}[level]
    for end in wilson(30, 100, level):
        assert abs(0.3 - end) == pytest.approx(z * math.sqrt(end * (1 - end) / 100))


def test_all_right_and_all_wrong_mirror_each_other() -> None:
    low, high = wilson(7, 7)
    assert 1 - 1e-9 < high <= 1
    assert wilson(0, 7) == pytest.approx((0.0, 1 - low))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((3, 2), "3 of 2"), ((-1, 2), "-1 of 2"), ((0, 0), "0 of 0"), ((1, 2, 1.0), "level must")],
)
def test_nonsense_is_refused(arguments: tuple[int, ...], message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        wilson(*arguments)


def test_the_bootstrap_of_many_samples_is_normal() -> None:
    values = torch.randn(4000, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor([1, 3])
    for (low, high), column in zip(bootstrap(values, draws=4000), values.T, strict=True):
        reach = 1.96 * column.std().item() / math.sqrt(4000)
        assert low == pytest.approx(column.mean().item() - reach, abs=0.06 * reach)
        assert high == pytest.approx(column.mean().item() + reach, abs=0.06 * reach)


def test_the_bootstrap_holds_the_truth_as_often_as_it_says() -> None:
    generator = torch.Generator().manual_seed(2)
    held = 0
    for seed in range(200):
        ((low, high),) = bootstrap(
            torch.randn(60, 1, generator=generator), level=0.8, draws=200, seed=seed
        )
        held += low <= 0 <= high
    assert 0.7 < held / 200 < 0.88  # 0.8, give or take three standard errors


def test_the_bootstrap_follows_its_seed_and_keeps_rows_together() -> None:
    values = torch.rand(50, 1, generator=torch.Generator().manual_seed(3))
    both = bootstrap(torch.cat([values, 1 - values, values + 2], dim=1), draws=99)
    assert both == bootstrap(torch.cat([values, 1 - values, values + 2], dim=1), draws=99)
    assert both != bootstrap(torch.cat([values, 1 - values, values + 2], dim=1), draws=99, seed=1)
    (low, high), mirrored, shifted = both
    assert mirrored == pytest.approx((1 - high, 1 - low))
    assert shifted == pytest.approx((low + 2, high + 2))


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((3,), {}, r"\(N C\)"),
        ((0, 2), {}, "empty"),
        ((3, 1), {"draws": 0}, "draws"),
        ((3, 1), {"level": 1.0}, "level must"),
    ],
)
def test_a_bootstrap_of_nothing_is_refused(shape, options, message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        bootstrap(torch.zeros(shape), **options)


def make_table(logits: torch.Tensor, targets: torch.Tensor) -> ExitTable:
    return ExitTable(
        logits=logits,
        targets=targets,
        task="regression" if logits.shape[2] == 1 else "classification",
        exit_macs=tuple(range(1, len(logits) + 1)),
        names=("",) * len(targets),
        split="test",
        weights_fingerprint="w",
        data_fingerprint="d",
    )


def test_the_interval_of_an_accuracy_is_wilsons() -> None:
    generator = torch.Generator().manual_seed(0)
    table = make_table(
        torch.randn(2, 100, 3, generator=generator), torch.randint(3, (100,), generator=generator)
    )
    for policy in (Confidence(0.5), Full()):
        outcome = replay(table, policy)
        assert outcome.accuracy is not None
        expected = wilson(round(100 * outcome.accuracy), 100, 0.9)
        assert score_interval(table, outcome.exit_index, 0.9) == expected
    assert score_interval(table, 1, 0.9) == expected  # of Full, just above


def test_the_interval_of_an_error_is_the_bootstraps() -> None:
    table = make_table(torch.randn(2, 80, 1), torch.zeros(80))
    assert [score_interval(table, 1)] == bootstrap(table.logits[1].abs())


def test_differences_are_paired() -> None:
    # the exits differ on 4 of 400 samples, where the second is right: 1 %, surely above none
    targets = torch.zeros(400, dtype=torch.int64)
    logits = torch.tensor([0.0, 1.0]).expand(2, 400, 2).clone()
    logits[:, :200] = torch.tensor([1.0, 0.0])
    logits[1, 200:204] = torch.tensor([1.0, 0.0])
    table = make_table(logits, targets)
    late, early = replay(table, Full()), replay(table, Confidence(0.0))
    low, high = difference_interval(table, late, early)
    assert 0 < low < 0.01 < high < 0.03
    assert difference_interval(table, early, late) == pytest.approx((-high, -low))
    assert score_interval(table, 0)[1] - score_interval(table, 0)[0] > 0.09


def test_paired_shares_cover_the_true_difference() -> None:
    """Of 2,000 draws in which 3 % are won and 5 % lost, about 95 % cover -2 points."""
    generator = torch.Generator().manual_seed(0)
    for samples in (50, 400):
        covered = 0
        for _ in range(2000):
            draw = torch.rand(samples, generator=generator)
            won, lost = int((draw < 0.03).sum()), int((draw > 0.95).sum())
            low, high = paired(won, lost, samples)
            covered += low <= -0.02 <= high
        assert 0.935 < covered / 2000 < 0.995


def test_nothing_seen_is_not_nothing_possible() -> None:
    low, high = paired(0, 0, 3)
    assert low == -high
    assert high > 0.5
    with pytest.raises(ExeuntError, match="4 won and 0 lost of 3"):
        paired(4, 0, 3)
