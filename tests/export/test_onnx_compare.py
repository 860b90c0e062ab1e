"""What is said of a folder that answers like PyTorch, nearly, or not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from exeunt.errors import ExeuntError
from exeunt.export.onnx.compare import compare_onnx
from exeunt.models import create_model
from exeunt.policies import Confidence
from exeunt.runner import Policy, Prediction


def compared(change: Any, dtype: str = "float32", leaving: Any = None, alone: Any = None) -> Any:
    """Holds a folder against a net whose scores it has, but for a change (E N K).

    With `alone`, one graph too, by which images leave there with the scores changed by so much.
    """
    torch.manual_seed(0)
    net = create_model("mobilenetv2_035", 3, exits=[2]).eval()
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        scores = torch.stack(net(x)).numpy()
    told = scores + change(np.zeros_like(scores))
    left = np.array([0, 1, 1, 0] if leaving is None else leaving)
    folder: Any = SimpleNamespace(
        manifest={"dtype": dtype},
        policy=Policy(Confidence(0.0).spec if leaving is None else "confidence:0"),
        forward=lambda images: told,
        predict=lambda images: Prediction(told[left, range(4)], left, (4, 2)),
    )
    single: Any = None
    if alone is not None:
        exits, off = alone
        answers = iter([(scores[k, n] + off[n], k) for n, k in enumerate(exits)])
        single = SimpleNamespace(run=lambda image: next(answers))
    return compare_onnx(folder, net, [(["a", "b", "c", "d"], x)], single)


def unchanged(off: np.ndarray) -> np.ndarray:
    return off


def spoilt(off: np.ndarray) -> np.ndarray:
    off[1, 2, 0] = 2e-4
    return off


def test_who_leaves_elsewhere_with_the_same_scores_is_on_the_edge() -> None:
    """With a threshold of 0 everybody leaves at the first exit in PyTorch."""
    found = compared(unchanged)
    assert found.borderline == ["b", "c"]
    assert found.same == 0.5
    assert found.exit_agreement == [1.0, 1.0]
    assert found.largest_difference == 0
    assert compared(unchanged, leaving=[0] * 4).borderline == []


def test_scores_that_differ_are_refused_in_float32() -> None:
    with pytest.raises(ExeuntError, match=r"c: a score of exit 2 is 0\.0002 off"):
        compared(spoilt)
    found = compared(spoilt, "int8")
    assert found.largest_difference == pytest.approx(2e-4, rel=1e-2)
    assert found.borderline == []


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ExeuntError, match="a: a score of exit 1 is nan off"):
        compared(lambda off: off + np.nan)


def test_one_graph_is_held_to_the_same() -> None:
    exact = np.zeros(4, np.float32)
    assert compared(unchanged).single_same is None
    assert compared(unchanged, alone=([0, 1, 1, 0], exact), leaving=[0, 1, 1, 0]).single_same == 1
    assert (
        compared(unchanged, alone=([0, 0, 1, 0], exact), leaving=[0, 1, 1, 0]).single_same == 0.75
    )
    off = np.array([0, 0, 3e-4, 0], np.float32)
    with pytest.raises(ExeuntError, match=r"c by one graph: a score of exit 2 is 0\.0003 off"):
        compared(unchanged, alone=([0, 1, 1, 0], off), leaving=[0, 1, 1, 0])
    found = compared(unchanged, "int8", leaving=[0, 1, 1, 0], alone=([0, 1, 1, 0], off))
    assert found.single_same == 1
