"""Arguments in another order, or of another kind, are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import exeunt
from exeunt.errors import ExeuntError
from exeunt.models import create_model, save_weights

TABLE = exeunt.ExitTable(
    torch.zeros(2, 3, 4),
    torch.zeros(3, dtype=torch.int64),
    "classification",
    (1, 2),
    ("a", "b", "c"),
    "test",
    "w",
    "d",
)
NET: Any = create_model("mobilenetv2_035", 3).eval()
IMAGES = torch.zeros(1, 3, 32, 32)
FULL: Any = exeunt.Full()


@pytest.mark.parametrize(
    ("function", "arguments", "said"),
    [
        (exeunt.save_table, (TABLE, "x.exits"), "path must be of type str or Path, not ExitTable"),
        (exeunt.save_table, ("x.exits", "y"), "table must be of type ExitTable, not str"),
        (save_weights, (NET.state_dict(), "x", None), "path must be of type str or Path"),
        (save_weights, ("x", NET, None), "tensors must be of type Mapping, not MultiExitNet"),
        (save_weights, ("x", NET.state_dict(), {}), "info must be of type WeightsInfo, not dict"),
        (exeunt.infer, (NET, FULL, IMAGES), "x must be of type Tensor, not Full"),
        (exeunt.infer, (NET, IMAGES, "confidence:0.9"), r"parse_policy\('confidence:0.9'\)"),
        (exeunt.replay, (FULL, TABLE), "table must be of type ExitTable, not Full"),
        (exeunt.replay, (TABLE, "full"), "policy must be a Policy, not str"),
    ],
)
def test_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: Any, arguments: Any, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExeuntError, match=rf"^{function.__name__}\(.*{said}"):
        function(*arguments)
    assert not list(tmp_path.iterdir())
