"""The example that explains ReX says what the library says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from exeunt import Consistency, ReX2d
from exeunt.evaluate import ExitTable, replay

FILE = Path(__file__).parent.parent / "examples" / "rex_in_100_lines.py"


@pytest.fixture(scope="module")
def example(script: Callable[[Path], ModuleType]) -> ModuleType:
    return script(FILE)


@pytest.mark.parametrize(("shape", "size", "stride"), [((13, 17, 3), 6, 4), ((8, 8, 2), 3, 3)])
def test_rex(example: ModuleType, shape: tuple[int, int, int], size: int, stride: int) -> None:
    torch.manual_seed(0)
    layer = ReX2d(shape[2], hidden1=5, hidden2=2, patch_size=size, stride=stride).double()
    weights = {name: value.numpy() for name, value in layer.state_dict().items()}
    image = np.random.default_rng(0).random(shape)
    with torch.no_grad():
        expected = layer(torch.from_numpy(image).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    found = example.rex(image, weights, size, stride)
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-6)
    rows = list(example.rex_by_rows(iter(image), shape, weights, size, stride))
    np.testing.assert_array_equal(np.array(rows), found)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("eta", [None, 0.3])
def test_consistency(example: ModuleType, k: int, eta: float | None) -> None:
    draw = np.random.default_rng(k)
    said = draw.integers(0, 2, (5, 50)) if eta is None else draw.random((5, 50))
    if eta is None:
        logits = torch.nn.functional.one_hot(torch.from_numpy(said), 2).float()
        table = ExitTable.from_logits(logits, torch.zeros(50, dtype=torch.long), range(1, 6))
    else:
        values = torch.from_numpy(said).float()[..., None]
        table = ExitTable.from_logits(values, torch.zeros(50), range(1, 6))
    expected = replay(table, Consistency(k, eta)).exit_index.tolist()
    assert [example.consistency(one, k, eta) for one in said.T.tolist()] == expected


def test_length() -> None:
    text = FILE.read_text(encoding="utf-8")
    body = text.split('if __name__ == "__main__"')[0].split('"""', 2)[2]
    assert len([line for line in body.splitlines() if line.strip()]) <= 100
