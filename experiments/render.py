"""Makes the results of `docs/reproduction.md`, its pictures, and the tables of `docs/rex.md`, of
`experiments/results` alone.

python experiments/render.py
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.claims import Claim, counts
from harness.measure import numbers
from harness.pictures import BUDGETS, BY_COST, EPOCHS, Panel, draw
from harness.results import FOLDER, ROOT, Row, read_rows, read_table
from harness.study import Study
from studies import (
    CLAIMED,
    equal_ram,
    figure4,
    figure5,
    figure6,
    figure7,
    ranet,
    regression,
    rex_search,
    table2,
    table3,
    table4,
    targets,
    training,
)

PAGE = ROOT / "docs" / "reproduction.md"
REX_PAGE = ROOT / "docs" / "rex.md"
PICTURES, REX_PICTURES = PAGE.with_suffix(""), REX_PAGE.with_suffix("")
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
SCALE = "small"
SETTING = {
    "imagenette128": "Imagenette at 64 pixels",
    "people": "person or not, made of ten everyday classes (half of the images show people)",
    "cifar10": "CIFAR-10, from JPEG files of quality 75",
    "tinyimagenet100": "a hundred classes of Tiny ImageNet, 32 pixels",
    "digits": "MNIST's digits, turned by up to 60 degrees (`python experiments/rotated_digits.py`)",
}
DRAWN = {
    **dict.fromkeys(
        ("table3", "table3_people", "table4", "figure5", "figure7", "training"), BY_COST
    ),
    **dict.fromkeys(("ranet_cifar10", "ranet_hundred"), BUDGETS),
    **{"figure6": EPOCHS, "table2": BY_COST},
}


def with_results(page: str, results: Path = FOLDER, pictures: Path = PICTURES) -> str:
    """The page of claims with what the rows say; draws its pictures into a folder."""
    rows = {study.name: _rows(study, results) for study in CLAIMED}
    found = claims(rows)
    timed = figure4.timed(rows["table3"], read_table("latency", results))
    parts = [
        _summary([*(claim for one in found.values() for claim in one), *figure4.claims(timed)])
    ]
    for study in CLAIMED:
        parts.append(_section(study, rows[study.name], found[study.name], pictures))
        if study is table3.STUDY:
            parts.append(_latency(timed, pictures))
    return _between(page, "\n".join(parts))


def with_trials(page: str, results: Path = FOLDER, pictures: Path = REX_PICTURES) -> str:
    """The page of the search with its trials, and what RAM buys; draws a picture of the latter."""
    lines = rex_search.table(_rows(rex_search.STUDY, results))
    larger = _rows(targets.STUDY, results)
    if larger:
        lines += ["", f"## {targets.STUDY.title}", "", *targets.summary(larger), ""]
        lines += [*_verdicts(targets.claims(larger), "aim"), "", *targets.table(larger)]
    networks = _rows(equal_ram.STUDY, results)
    if networks:
        title = equal_ram.STUDY.title
        lines += ["", f"## {title}", "", *_verdicts(equal_ram.claims(networks))]
        lines += ["", *equal_ram.table(networks)]
        rows = equal_ram.curves(networks)
        lines += _picture(rows, equal_ram.PANELS, title, pictures / "equal_ram.png")
    return _between(page, "\n".join([*lines, ""]))


def _rows(study: Study, results: Path) -> list[Row]:
    return [row for row in read_rows(study, results) if row["scale"] == SCALE]


def _between(page: str, text: str) -> str:
    """The page with this where its results are."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def claims(rows: dict[str, list[Row]]) -> dict[str, list[Claim]]:
    """All claims, by study."""
    base = rows["table3"]
    return {
        "table3": table3.claims(base),
        "figure6": figure6.claims(rows["figure6"]),
        "ranet_cifar10": ranet.claims(rows["ranet_cifar10"]),
        "table4": table4.claims(rows["table4"], base),
        "table3_people": table3.claims(rows["table3_people"], column=0),
        "training": training.claims(rows["training"], base),
        "figure7": figure7.claims(rows["figure7"], base),
        "figure5": figure5.claims(rows["figure5"], base),
        "ranet_hundred": ranet.claims(rows["ranet_hundred"]),
        "regression": regression.claims(rows["regression"]),
        "table2": table2.claims(rows["table2"]),
    }


def _summary(found: Sequence[Claim]) -> str:
    lines = ["| verdict | claims |", "| --- | ---: |"]
    lines += [f"| {verdict} | {count} |" for verdict, count in counts(found).items()]
    return "\n".join([*lines, ""])


def _section(study: Study, rows: Sequence[Row], found: Sequence[Claim], pictures: Path) -> str:
    scale = study.scales[SCALE]
    width = "" if scale.width is None else f", width {scale.width}"
    wanted = sum(len(run.seeds) for run in study.runs)
    lines = [
        f"## {study.title}",
        "",
        f"{SETTING[scale.images]}{width}, {scale.settings['epochs']} epochs. {len(rows)} of "
        f"{wanted} trainings are done (`python experiments/run.py {study.name} --data SETS`).",
        "",
        *_verdicts(found),
    ]
    if rows:
        lines += ["", *_table(rows)]
        if study.name in DRAWN:
            lines += _picture(rows, DRAWN[study.name], study.title, pictures / f"{study.name}.png")
    return "\n".join([*lines, ""])


def _latency(timed: Sequence[Row], pictures: Path) -> str:
    """Figure 4, of Table 3's trainings and of milliseconds that were measured apart."""
    lines = [
        f"## {figure4.TITLE}",
        "",
        "Accuracies and where images leave are of Table 3's trainings, first seed; milliseconds of "
        "one image on one thread, least of 200, the two networks taking turns "
        "(`python experiments/latency.py`).",
        "",
        *_verdicts(figure4.claims(timed)),
    ]
    if timed:
        lines += _picture(timed, figure4.PANELS, figure4.TITLE, pictures / "figure4.png")
    return "\n".join([*lines, ""])


def _verdicts(found: Sequence[Claim], wanted: str = "paper") -> list[str]:
    lines = [f"| claim | {wanted} | here | verdict |", "| --- | --- | --- | --- |"]
    for claim in found:
        text = claim.text + (f" ({claim.note})" if claim.note else "")
        lines.append(f"| {text} | {claim.paper} | {claim.ours} | {claim.verdict} |")
    return lines


def _picture(rows: Sequence[Row], panels: Sequence[Panel], title: str, file: Path) -> list[str]:
    file.parent.mkdir(exist_ok=True)
    draw(rows, panels, title, file)
    return ["", f"![{title}]({file.parent.name}/{file.name})"]


def _table(rows: Sequence[Row]) -> list[str]:
    """What was measured, run by run."""
    values, single = "policies" in rows[0], "accuracy" in rows[0]
    what = "mean absolute error of the exits" if values else "exits, %"
    lines = [f"| run | seed | recipe | {what} | by consistency | MACs |"]
    lines.append("| --- | ---: | --- | --- | --- | ---: |")
    for row in rows:
        exits = numbers(row["accuracy" if single else "exits"])
        shown = " ".join(f"{one:.2f}" if values else f"{100 * one:.1f}" for one in exits)
        left = ""
        if row.get("consistency_accuracy"):
            spent = float(row["consistency_macs"]) / 1e6
            left = f"{100 * float(row['consistency_accuracy']):.1f} % at {spent:.1f} M"
        macs = numbers(row["macs"])[-1] / 1e6
        cells = [row["run"], row["seed"], row["recipe"], shown, left, f"{macs:.1f} M"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    for file, made in ((PAGE, with_results), (REX_PAGE, with_trials)):
        file.write_text(made(file.read_text(encoding="utf-8")), encoding="utf-8")
