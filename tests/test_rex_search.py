"""The log of the search: its rows are those of the trials, and the page is made of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from exeunt.models import create_model

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def search(script: Callable[[Path], ModuleType]) -> ModuleType:
    return script(ROOT / "experiments/rex_search.py")


def test_every_trial_can_be_built(search: ModuleType) -> None:
    names = [trial.name for trial in search.TRIALS]
    assert len(set(names)) == len(names)
    for trial in search.TRIALS:
        config = trial.config(0)
        net = create_model(config.model, num_classes=10, **config.exit_heads, **config.model_args)
        assert net.num_exits == search.EXITS


def test_rows_are_those_of_trials(search: ModuleType) -> None:
    trials = {trial.name: trial for trial in search.TRIALS}
    rows = search.read_results()
    assert len({(row["trial"], row["seed"]) for row in rows}) == len(rows)
    for row in rows:
        trial = trials[row["trial"]]
        config = trial.config(int(row["seed"]))
        net = create_model(config.model, num_classes=10, **config.exit_heads, **config.model_args)
        assert int(row["macs"]) == net.exit_info(config.image_size)[-1].macs
        told = " ".join(f"{k}={v}" for k, v in (trial.settings | (trial.form or {})).items())
        assert row["settings"] == told
        assert all(0 < float(row[f"exit_{k}"]) < 1 for k in range(1, search.EXITS + 1))


def test_the_page_has_every_row(search: ModuleType) -> None:
    page = search.PAGE.read_text(encoding="utf-8")
    assert search.with_table(page) == page
    for row in search.read_results():
        last = f"{100 * float(row['exit_6']):.1f}"
        assert any(f"| {row['trial']} |" in line and last in line for line in page.splitlines())
