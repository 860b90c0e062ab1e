"""Values as the command line has them."""

from __future__ import annotations

import pytest

from exeunt.documents import parse_pairs
from exeunt.errors import ExeuntError


def test_values_are_toml_or_words() -> None:
    pairs = [
        "width=0.5",
        "exits=[0, 2]",
        "form.cell=gru",
        "form.norm=true",
        "name=a=b",
        "at={x = 1}",
    ]
    assert parse_pairs(pairs, "--set") == {
        "width": 0.5,
        "exits": [0, 2],
        "form": {"cell": "gru", "norm": True},
        "name": "a=b",
        "at": {"x": 1},
    }
    assert parse_pairs(None, "--set") == {}


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["width"], "--set width: give KEY=VALUE"),
        (["width="], "--set width=: give KEY=VALUE"),
        (["form..cell=gru"], "give KEY=VALUE"),
        (["form={cell=gru}"], "--set form={cell=gru}: .*words in double quotes.*form.PART=VALUE"),
        (["exits=[1,"], "must be TOML"),
        (["form=paper", "form.cell=gru"], "form has a value already, 'paper'"),
        (["form.cell=gru", "form=paper"], "form has parts already, cell"),
        (["x=" + "[" * 9_000], "lists too deep|must be TOML"),
    ],
)
def test_pairs_that_are_none(pairs: list[str], message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        parse_pairs(pairs, "--set")
