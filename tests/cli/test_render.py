from __future__ import annotations

import pytest
from rich.console import Console

from exeunt.cli.render import show_table
from exeunt.policies import parse_policy
from exeunt.text import aligned, millions, percent, short_spec


def test_numbers() -> None:
    assert millions(8_930_400) == "8.93 M"
    assert percent(0.4123) == "41.2 %"


@pytest.mark.parametrize(
    ("spec", "short"),
    [
        ("full", "full"),
        ("consistency:2", "consistency:2"),
        ("entropy:0.11512925464970229", "entropy:0.1151"),
        ("consistency:12,eta=1.25e-07", "consistency:12,eta=1.25e-07"),
        ("entropy:1e-05", "entropy:1e-05"),
    ],
)
def test_short_specs_can_be_given_back(spec: str, short: str) -> None:
    assert short_spec(spec) == short
    parse_policy(short)


def test_columns_stand_below_each_other() -> None:
    assert aligned([("a", "b"), ("long", "10"), ("c", "9")], "lr") == [
        "a      b",
        "long  10",
        "c      9",
    ]


def test_a_pipe_gets_plain_whole_text(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("name", "what"), [("x" * 300, "[bold]y")], "ll")
    out = capsys.readouterr().out
    assert out.splitlines() == [f"{'name':<300}  what", f"{'x' * 300}  [bold]y"]


def test_a_terminal_gets_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Console, "is_terminal", True)
    show_table(("name", "what"), [("[bold]", "1.0 %")], "lr")
    out = capsys.readouterr().out
    assert "─" in out
    assert "[bold]" in out
