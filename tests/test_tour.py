"""The notebook runs from its first cell to its last, and shows every result."""

from __future__ import annotations

import ast
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

TOUR = Path(__file__).parent.parent / "examples" / "tour.ipynb"
CELLS = json.loads(TOUR.read_text(encoding="utf-8"))["cells"]


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Runs a cell as a notebook does, and returns what its last line is worth."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(TOUR), "exec"), names)
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), str(TOUR), "eval"), names)


@pytest.mark.filterwarnings("ignore::exeunt.ExeuntWarning")
def test_the_tour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("skimage")
    monkeypatch.chdir(TOUR.parent)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    names: dict[str, Any] = {"__name__": "__main__"}
    shown: dict[str, Any] = {}
    for cell in CELLS:
        if cell["cell_type"] == "code":
            value = run_cell("".join(cell["source"]), names)
            if hasattr(value, "_repr_html_"):
                assert "<table" in value._repr_html_()
            shown[type(value).__name__] = value
    kinds = {"Classifier", "Answer", "ExitTable", "Outcome", "Calibration", "Measurement"}
    assert kinds | {"Profile", "Benchmark", "Export"} <= shown.keys()
    assert shown["Answer"].label == "food"
    same, saving = shown["tuple"]
    assert same == 1
    assert 0 < saving < 1
    assert (names["work"] / "report.html").stat().st_size > 10_000
    assert "a page to explore" in capsys.readouterr().out


def test_nothing_that_was_run_is_kept_with_it() -> None:
    for cell in CELLS:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
