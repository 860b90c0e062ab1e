from __future__ import annotations

import pytest
from torch import nn

from exeunt.chain import Block, taps_by_rule, taps_by_share


@pytest.mark.parametrize(
    ("sizes", "first", "taps"),
    [
        # the ReX paper's three nets: block positions by hand from "after every two blocks"
        ((1, 2, 3, 4, 3, 3, 1), 3, [7, 9, 11, 14, 16]),
        ((3, 4, 6, 3), 1, [4, 6, 8, 10, 12, 14]),
        ((6, 12, 4), 2, [19, 21]),
        ((1, 1), 0, [0, 1]),
        ((2, 1), 2, []),
    ],
)
def test_taps_by_rule(sizes: tuple[int, ...], first: int, taps: list[int]) -> None:
    assert taps_by_rule([range(size) for size in sizes], first) == taps


def test_taps_by_share() -> None:
    """Ten blocks, of which the fifth costs as much as the other nine."""
    blocks = [
        Block(str(b), nn.Conv2d(2, 2, 3 if b == 4 else 1, padding=int(b == 4)), 2)
        for b in range(10)
    ]
    # 1x1: 4 MACs a pixel, 3x3: 36; reached of 72: 4 8 12 16 52 56 60 64 68 72
    # wanted: 10.8 21.6 32.4 43.2 54 64.8; 52 and 56 are equally near to 54, the first is taken
    assert taps_by_share(blocks, range(10), (2, 8, 8)) == [2, 3, 3, 4, 4, 7]
    assert taps_by_share(blocks, [1, 5, 9], (2, 8, 8)) == [0, 0, 1, 1, 1, 2]  # 8, 56, 72


def test_taps_by_share_changes_nothing() -> None:
    norm = nn.BatchNorm2d(3).train()
    taps_by_share([Block("a", nn.Sequential(nn.Conv2d(3, 3, 1), norm), 3)], [0], (3, 4, 4))
    assert norm.training
    assert norm.num_batches_tracked == 0
