"""`docs/tiny.md` and the README's first table, of what was measured and what others print."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tiny_goals import MSF, goals, msf_points, per_mac, smallest
from tiny_networks import NETWORKS, Network
from tiny_others import printed

Figures = Mapping[str, Any]

BEGIN = "<!-- made by benchmarks/tiny.py -->"
END = "<!-- end of what it makes -->"
FIRST = ("mobilenetv1_025@96", "resnet8@32", "mcunetv2_vww_5fps@80", "mobilenetv2@224")
MHZ = 120
"""Clock of the boards whose times stand in `others.csv`."""

INTRODUCTION = """\
# Small devices: the public yardsticks

Networks that everybody knows, as this package runs them in int8, beside what others print for \
them. `python benchmarks/tiny.py` writes this page; what was measured is in \
[tiny/measured.json](tiny/measured.json) (`--measure` measures anew), figures of others with their \
source in [tiny/others.csv](tiny/others.csv). [Microcontrollers](microcontroller.md) says how a \
network gets there, [memory](memory.md) what a number of bytes means.
"""
RAM = f"""\
## RAM and instructions

Every network is exported as C, built for a Cortex-M4 and run by qemu with its RAM fenced at the \
total; its scores are Python's, bit for bit. Random weights, which change neither, but for those \
that ship.

- *RAM*: all of it, stack and runtime too. Rows of the image arrive one by one; some are in the \
arena.
- *with the image*: where the whole image lies in RAM anyway, its bytes more.
- *layer by layer*: the tensors of a plan that has whole maps, the image among them.
- *TFLite Micro*: the tensors of its arena for the same integers, the image among them, as its \
recording allocator prints them (`tflite-micro`, measured here). Where a filter of stride 2 meets \
an even map its file has an operator that pads, or is turned by 180 degrees, whichever takes less \
([why](microcontroller.md#against-tensorflow-lite-micro)). It has no ReX, and one exit a file.
- *per MAC*: instructions for each multiply-add, up to the last exit.
- *ms*: an estimate at {MHZ} MHz from the timings in Arm's manual, with memory that never waits, \
and with flash of 5 wait states ([what is counted, and how far off it may be](cycles.md)). Nothing \
was timed on silicon.
"""
OTHERS = """\
## Beside others

*Here* is counted in the same way: with *image inside*, the arena and the whole image (rows that \
lie in both are counted twice); with *all RAM*, stack and runtime, too; *without the image*, a \
plan to which rows of the image are free. What is not said is taken as *image inside*.
"""
MSF_TEXT = """\
## Memory for multiply-adds

msf-CNN (NeurIPS 2025) fuses blocks and computes overlaps again; its peaks leave the image out. \
Here rows are computed again where a budget asks for it, and the first maps by bands of columns \
where that does not do (`exeunt profile MODEL --dial`, `exeunt export --budget-kib N`). Bytes at \
no more than the same factor of the network's own multiply-adds:
"""
EXITS = """\
## What exits cost

What a later stage reads lies whole while a policy decides. With a budget stages end elsewhere: \
operators run *before* an exit answers, until maps are small, or the next stage makes its map \
*again*, from the image, say. *Factor*: of the multiply-adds, if images left at all exits alike; \
beside it those of the first exit and the last, in millions. The first line of a network is what \
it takes without a budget.
"""
TIMES = f"""\
## Times of others on the Cortex-M4

No milliseconds are measured here; *here* are the estimates of the first table. Cycles of others \
are their time by {MHZ} MHz.
"""
GOALS = """\
## What was aimed at

A plan whose arena is the least for its order of rows is met, whatever its distance from the \
bound: the difference are words that cannot be shared. What no plan can reach that makes rows, or \
computes nothing but what the exits ask for, says why.
"""


def page(figures: Figures) -> str:
    """The text of `docs/tiny.md`."""
    parts = [
        *(INTRODUCTION, RAM, _table(*_networks(figures["networks"]))),
        *(OTHERS, _table(*_beside(figures))),
        *(MSF_TEXT, _table(*_msf(figures["dial"]))),
        *(EXITS, _table(*_exits(figures["exits"]))),
        *(TIMES, _table(*_times(figures["networks"]))),
        *(GOALS, _table(*_goals(figures))),
    ]
    return "\n".join(parts)


def readme(text: str, figures: Figures) -> str:
    """A README with its first table made anew, between the marks."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    table = _table(*_first(figures["networks"]))
    return f"{before}{BEGIN}\n\n{table}\n{END}{after}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown; a column whose title ends in `:` is aligned to the right."""
    titles = [column.removesuffix(":") for column in columns]
    rules = ["---:" if column.endswith(":") else "---" for column in columns]
    return "".join(f"| {' | '.join(row)} |\n" for row in (titles, rules, *rows))


def _networks(found: Figures) -> tuple[Sequence[str], Iterator[Sequence[str]]]:
    columns = (
        *("network", "px:", "exits:", "M MACs:", "RAM:", "with the image:", "of it arena:"),
        *("layer by layer:", "TFLite Micro:", "M instructions:", "per MAC:"),
        *("ms:", "ms, flash:"),
    )
    return columns, (_network(network, found[network.key]) for network in NETWORKS)


def _network(network: Network, found: Figures) -> list[str]:
    tflm = found["tflm"]
    return [
        f"{network.title} ({network.group})",
        str(network.pixels),
        str(len(found["macs"])),
        f"{found['macs'][-1] / 1e6:.1f}",
        f"**{found['ram_bytes']:,}**",
        f"{found['ram_bytes'] + found['image_bytes']:,}",
        f"{found['arena_bytes']:,}",
        f"{found['layerwise_bytes']:,}",
        f"{tflm['head']:,}" if tflm else "",
        f"{found['instructions'][-1] / 1e6:.1f}",
        f"{per_mac(found):.2f}",
        f"{_ms(found):.0f}",
        f"{_ms(found, flash=True):.0f}",
    ]


def _ms(found: Figures, flash: bool = False) -> float:
    """To the last exit, estimated."""
    waiting = found["waiting"][-1] if flash else 0
    return float((found["cycles"][-1] + waiting) / (MHZ * 1e3))


def _counted(found: Figures, counted: str) -> int:
    """Ours, counted as somebody else counts."""
    part = "ram_bytes" if "all RAM" in counted else "arena_bytes"
    return int(found[part] + found["image_bytes"])


def _beside(figures: Figures) -> tuple[Sequence[str], Iterator[Sequence[str]]]:
    columns = ("network", "px:", "who", "counted", "bytes:", "here:", "times as much:")
    return columns, _beside_rows(figures["networks"])


def _beside_rows(networks: Figures) -> Iterator[Sequence[str]]:
    for network in NETWORKS:
        found = networks[network.key]
        lines = [
            (one.who, one.counted, one.value)
            for one in printed("ram", network.key)
            if "without the image" not in one.counted
        ]
        if found["tflm"]:
            measured = found["tflm"]["head"]
            lines.insert(0, ("TFLite Micro, measured here", "tensors, image inside", measured))
        for who, counted, size in lines:
            ours = _counted(found, counted)
            yield (
                *(network.title, str(network.pixels), who, counted, f"{size:,.0f}"),
                *(f"{ours:,}", f"{size / ours:.1f}"),
            )


def _msf(dial: Figures) -> tuple[Sequence[str], Iterator[Sequence[str]]]:
    columns = ("network", "factor:", "msf-CNN:", "here:", "with rows of the image:")
    return columns, _msf_rows(dial)


def _msf_rows(dial: Figures) -> Iterator[Sequence[str]]:
    for name, key in MSF.items():
        title = next(network.title for network in NETWORKS if network.key == key)
        points = {one.factor: f"{one.value:,.0f}" for one in msf_points(key)}
        for factor in sorted({1.0, *points}):
            bare, rows = (
                smallest(dial[name][part], factor) for part in ("without_image", "with_image")
            )
            yield title, f"{factor:.2f}", points.get(factor, ""), f"{bare:,}", f"{rows:,}"
        least = dial[name]["without_image"][-1], dial[name]["with_image"][-1]
        ends = (f"{size:,} at {factor:.2f}" for size, factor in least)
        yield (title, "smallest here", "", *ends)


def _exits(exits: Figures) -> tuple[Sequence[str], Iterator[Sequence[str]]]:
    columns = (
        *("network", "exits:", "arena:", "factor:", "first exit:", "last exit:"),
        "arena without exits:",
    )
    return columns, (
        (
            *(f"`{key}`", str(len(macs)), f"{size:,}", f"{factor:.3f}"),
            *(f"{macs[0] / 1e6:.2f}", f"{macs[-1] / 1e6:.2f}", f"{found['alone_bytes']:,}"),
        )
        for key, found in exits.items()
        for size, factor, macs in found["points"]
    )


def _times(networks: Figures) -> tuple[Sequence[str], Iterator[Sequence[str]]]:
    columns = (
        *("network", "who", "board", "ms:", "cycles per MAC:"),
        *("ms here, estimated:", "with flash:"),
    )
    return columns, (
        (
            *(one.network, one.who, one.counted, f"{one.value:g}"),
            f"{one.value * MHZ * 1e3 / networks[one.network]['macs'][-1]:.2f}",
            f"{_ms(networks[one.network]):.0f}",
            f"{_ms(networks[one.network], flash=True):.0f}",
        )
        for one in printed("latency")
    )


def _goals(figures: Figures) -> tuple[Sequence[str], Iterator[Sequence[str]]]:
    columns = ("", "aimed at", "found:", "goal:", "")
    return columns, ((g.area, g.what, *g.numbers, g.verdict) for g in goals(figures))


def _first(found: Figures) -> tuple[Sequence[str], Iterator[Sequence[str]]]:
    columns = (
        *("network, int8", "px:", "RAM here, stack and all:", "with the whole image:"),
        *("TFLite Micro's tensors:", "least that others print", "instructions per MAC:"),
    )
    return columns, (_first_row(key, found[key]) for key in FIRST)


def _first_row(key: str, found: Figures) -> list[str]:
    network = next(network for network in NETWORKS if network.key == key)
    least = min(printed("ram", key), key=lambda one: one.value)
    cost = f", at {least.factor:g} times the MACs" if least.factor > 1 else ""
    return [
        network.title,
        str(network.pixels),
        f"**{found['ram_bytes']:,}**",
        f"{found['ram_bytes'] + found['image_bytes']:,}",
        f"{found['tflm']['head']:,}",
        f"{least.value:,.0f} ({least.who}: {least.counted}{cost})",
        f"{per_mac(found):.2f}",
    ]
