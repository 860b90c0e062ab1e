"""The programs that recompute what papers print: their parts, not their minutes."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from exeunt.graph import build_graph
from exeunt.models import create_model, list_models
from exeunt.models.downsample import KEEPING, WIDENING
from exeunt.profile.planned import layerwise_memory

FOLDER = Path(__file__).parent.parent / "experiments"


@pytest.fixture
def experiment(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


@pytest.mark.parametrize(
    ("text", "value", "shown", "ratio", "agrees"),
    [
        ("3.1MB", 112 * 112 * 64 * 4, "3.062MB", "0.99", True),
        ("245KB", 250_880, "245.00KB", "1.00", True),
        ("0.24G", 278_271_872, "0.2783G", "1.16", False),
        ("20M", 21_590_000, "21.59M", "1.08", False),
    ],
)
def test_printed_figures(
    experiment: Any, text: str, value: float, shown: str, ratio: str, agrees: bool
) -> None:
    printed = experiment("published").Printed(text)
    assert (printed.ours(value), printed.ratio(value)) == (shown, ratio)
    assert printed.agrees(value) == agrees
    assert printed.verdict(value) == ("reproduced" if agrees else "differs")
    assert printed.verdict(value, "why") == ("reproduced" if agrees else "differs: why")


def test_table_2_has_the_rows_of_the_paper(experiment: Any) -> None:
    table = experiment("table2")
    assert len(table.ROWS) == 8
    for row in table.ROWS:
        assert row.model in list_models()
        assert len(row.printed) == len(table.FIGURES)
        assert {*row.reasons} <= {*table.FIGURES}


def test_cuts_that_pay(experiment: Any) -> None:
    from exeunt.profile import Cut

    table = experiment("table2")
    found = [Cut("a", 30, 1), Cut("b", 40, 2), Cut("c", 20, 3), Cut("d", 20, 2)]
    assert [cut.block for cut in table.worthwhile(found)] == ["a", "d"]


def test_table_4_changes_rex_alone(experiment: Any) -> None:
    table = experiment("table4")
    plain = dict(create_model("rex_mobilenetv2", rex_form="paper").named_parameters())
    for row in table.ROWS:
        net = create_model("rex_mobilenetv2", rex_form=row.change)
        assert net.num_exits == 6
        other = {
            name
            for name, value in net.named_parameters()
            if name not in plain or value.shape != plain[name].shape
        }
        assert all("rex" in name or "group3_block0" in name for name in other), row.name
        assert bool(other) == (row.name not in ("Table 1", "stride 6"))
    assert sum("differs" in row.reason or bool(row.reason) for row in table.ROWS) == 3


def test_the_live_set_of_a_known_network_is_planned_to_the_byte(experiment: Any) -> None:
    """The Visual Wake Words network of MLPerf Tiny, for which TFLite Micro plans 73,728 bytes."""
    graph = build_graph(experiment("references").mobilenetv1_025(), 96)
    assert round(graph.exit_macs[-1] / 1e6, 2) == 7.49
    assert layerwise_memory(graph, "int8").total_bytes == 55_296


def test_table_3_on_a_device_has_every_operator(
    experiment: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = experiment("table3_device")
    asked = []

    def measure(name: str, pixels: int, classes: int, arguments: dict[str, Any]) -> Any:
        asked.append(arguments.get("downsample"))
        assert (name, pixels, classes) == ("mobilenetv2_035", 64, 10)
        return table.Measured(1000, 64, 2_000_000, 30_000, 28, 500, 1536, 9000, 5_000_000)

    monkeypatch.setattr(table, "measure", measure)
    table.main("035", "64")
    assert sorted(map(str, asked)) == sorted(map(str, [None, *WIDENING, *KEEPING]))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(asked)
    cells = "1,536 (1.5 KiB) | 1,000 | 9,000 | 30,000 | 2.0 | 5.0 | 2.50 |"
    assert lines[2] == f"| none: plain MobileNetV2 | {cells}"
