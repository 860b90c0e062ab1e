"""A small drawing of a network: its blocks, scales and exits, as SVG.

Made from what ran (`exeunt.report.network_trace`), so it fits any `MultiExitNet`. The same network
gives the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from exeunt.errors import ExeuntError
from exeunt.files import AS_NAMED, replacing
from exeunt.net import MultiExitNet
from exeunt.report.network_layout import (
    GUTTER,
    MARGIN,
    Box,
    Flag,
    Layout,
    layout_of,
)
from exeunt.report.network_trace import (
    IMAGE,
    ExitTrace,
    NetworkTrace,
    Source,
    trace_network,
)

TIMES = "\N{MULTIPLICATION SIGN}"
HEAD = 34.0  # above the lanes
LEGEND_LINE = 17.0
NECK = 4.0  # width of what holds the boxes of one block together
TONES = 4  # kinds of block beyond these share the last
NOTE = "Wider: more MACs. Taller: more channels."

STYLE = """
text{font:11px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#5b6670}
.t{font-size:13px;font-weight:600;fill:#1d2730}
.e,.m{font-size:9.5px;text-anchor:middle}.m{fill:#1d2730}.e{font-weight:600;fill:#fff}
.r+.e{fill:#1d2730}
.g{text-anchor:end}.i{font-style:italic}
.c{font-size:8.5px;text-anchor:middle;paint-order:stroke;stroke:#f3f6f8;stroke-width:2.5}
.bg{fill:#fff;stroke:#d5dce2}.l{fill:#f3f6f8}.s{stroke:#d5dce2;stroke-dasharray:2 3}
.w{fill:none;stroke:#a3acb5}.p{fill:none;stroke:#5b6670}
.k0{fill:#5f8fba;stroke:#3f6c94}.k1{fill:#b9cddd;stroke:#7d9bb3}.k2{fill:#b7adcc;stroke:#82769f}
.k3{fill:#d3cdbd;stroke:#968e77}.r{fill:#e5883f;stroke:#b45f1c}
.x{fill:#1a7f5a}.d{fill:none;stroke:#1a7f5a;stroke-width:1.2}
@media (prefers-color-scheme:dark){text{fill:#9aa6b1}.t,.m{fill:#e6edf3}.e,.r+.e{fill:#0d1117}
.bg{fill:#0d1117;stroke:#30363d}.l{fill:#161c24}.c{stroke:#161c24}.s{stroke:#30363d}.w{stroke:#55606b}
.p{stroke:#9aa6b1}.k0{fill:#5f8fba;stroke:#8db6da}.k1{fill:#3b4f61;stroke:#6f8ba3}
.k2{fill:#63587d;stroke:#978bb5}.k3{fill:#5f5a4c;stroke:#968e77}.r{fill:#e5883f;stroke:#f5b27d}
.x{fill:#3fb68b}.d{stroke:#3fb68b}}
"""


def draw_network(
    path: str | Path, net: MultiExitNet, image_size: int | tuple[int, int], title: str
) -> None:
    """Writes the drawing of a network.

    Args:
        path: the file to write, `.svg`; replaced as a whole.
        net: left as it was.
        image_size: of the image in pixels, H and W.
        title: what the network is called.

    Raises:
        ExeuntError: when `path` has another ending, or a module has no known cost.
        OSError: when the file cannot be written.
    """
    if Path(path).suffix.lower() != ".svg":
        raise ExeuntError(f"{str(path)!r}: drawings are SVG; give a name that ends in .svg")
    text = network_svg(trace_network(net, image_size), title)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors=AS_NAMED)


def network_svg(trace: NetworkTrace, title: str) -> str:
    """The drawing as text: at most 900 pixels wide, on a ground of its own, light or dark as the
    reader's system is.
    """
    layout = layout_of(trace)
    tones = _tones(trace)
    width = layout.width
    legend = list(_legend_lines(trace, tones, width - 2 * MARGIN))
    height = HEAD + layout.height + 8 + LEGEND_LINE * len(legend) + 8
    svg = ET.Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_n(width)} {_n(height)}",
        width=_n(width),
        height=_n(height),
        role="img",
    )
    svg.set("aria-labelledby", "t d")
    ET.SubElement(svg, "title", id="t").text = title
    ET.SubElement(svg, "desc", id="d").text = _described(trace)
    ET.SubElement(svg, "style").text = STYLE
    _rect(svg, "bg", Box(0.5, 0.5, width - 1, height - 1), 6)
    head = ET.SubElement(svg, "text", x=_n(MARGIN), y="21")
    ET.SubElement(head, "tspan", {"class": "t"}).text = title
    ET.SubElement(head, "tspan", dx="10").text = _headline(trace)
    body = ET.SubElement(svg, "g", transform=f"translate(0 {_n(HEAD)})")
    _draw_ground(body, layout)
    _draw_wires(body, trace, layout)
    _draw_boxes(body, trace, layout, tones)
    _draw_channels(body, trace, layout)
    for flag, leave in zip(layout.flags, trace.exits, strict=True):
        _draw_flag(body, flag, leave)
    for i, line in enumerate(legend):
        y = HEAD + layout.height + 20 + LEGEND_LINE * i
        line.set("transform", f"translate({_n(MARGIN)} {_n(y)})")
        svg.append(line)
    ET.indent(svg, "")
    return ET.tostring(svg, encoding="unicode") + "\n"


def short_count(count: int) -> str:
    """Three digits and a unit: `950 k`, `62.0 M`, `2.85 G`."""
    value, units = count / 1e3, iter("kMGT")
    unit = next(units)
    while value >= 999.5 and (larger := next(units, None)):
        value, unit = value / 1e3, larger
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"


def _draw_ground(body: ET.Element, layout: Layout) -> None:
    for lane in layout.lanes:
        left = MARGIN + GUTTER - 6
        strip = Box(left, lane.top + 1.5, layout.width - MARGIN - left, lane.bottom - lane.top - 3)
        _rect(body, "l", strip, 3)
        name = f"{lane.size[0]} {TIMES} {lane.size[1]}"
        _text(body, "g", left - 8, lane.middle + 4, name)
    for flag in layout.flags:
        top, bottom = layout.lanes[0].top, layout.lanes[-1].bottom
        _path(body, "s", f"M{_n(flag.x)} {_n(top)}V{_n(bottom)}")


def _draw_wires(body: ET.Element, trace: NetworkTrace, layout: Layout) -> None:
    """Lines run along the lane of the map that is read and leave it just before the reader."""
    drawn = set()
    for b, block in enumerate(trace.blocks):
        boxes = [layout.boxes[Source(b, i)] for i in range(len(block.maps))]
        for read in block.reads if boxes else ():
            start = layout.boxes[read]
            end = min(boxes, key=lambda box: abs(box.middle - start.middle))
            drawn.add(_wire(start, end))
    for path in sorted(drawn):
        _path(body, "w", path)
    for flag, leave in zip(layout.flags, trace.exits, strict=True):
        bottom = layout.lanes[-1].bottom
        for read in leave.reads:
            box = layout.boxes[read]
            bend = min(4.0, flag.x - box.right)
            _path(
                body,
                "d",
                f"M{_n(box.right)} {_n(box.middle)}H{_n(flag.x - bend)}q{_n(bend)} 0 {_n(bend)} 4"
                f"V{_n(bottom)}L{_n(flag.label_x)} {_n(bottom + 12)}V{_n(flag.label_y)}",
            )


def _wire(start: Box, end: Box) -> str:
    if abs(start.middle - end.middle) < 0.05:
        return f"M{_n(start.right)} {_n(start.middle)}H{_n(end.x)}"
    bend = max(start.right, end.x - 12)
    half = (end.x - bend) / 2
    return (
        f"M{_n(start.right)} {_n(start.middle)}H{_n(bend)}"
        f"C{_n(bend + half)} {_n(start.middle)} {_n(end.x - half)} {_n(end.middle)} "
        f"{_n(end.x)} {_n(end.middle)}"
    )


def _draw_boxes(
    body: ET.Element, trace: NetworkTrace, layout: Layout, tones: dict[str, str]
) -> None:
    for b, block in enumerate(trace.blocks):
        boxes = [layout.boxes[Source(b, i)] for i in range(len(block.maps))]
        if len(boxes) > 1:
            top, bottom = min(box.y for box in boxes), max(box.bottom for box in boxes)
            middle = boxes[0].x + boxes[0].width / 2
            neck = Box(middle - NECK / 2, top, NECK, bottom - top)
            _rect(body, tones[block.kind], neck, 0)
    for source, box in layout.boxes.items():
        if source.block == IMAGE:
            picture = ET.SubElement(body, "g")
            ET.SubElement(picture, "title").text = f"image, {trace.images[source.map]}"
            _rect(picture, "p", box, 2)
            _path(picture, "p", f"M{_n(box.x)} {_n(box.bottom - 4)}l5 -5 5 5 3 -3 5 5")
            continue
        block = trace.blocks[source.block]
        said = f"{block.kind}, {block.maps[source.map]}, {short_count(block.macs)} MACs"
        rect = _rect(body, tones[block.kind], box, 1.5)
        ET.SubElement(rect, "title").text = f"{block.name}: {said}"


def _draw_channels(body: ET.Element, trace: NetworkTrace, layout: Layout) -> None:
    """How many channels boxes have, above them, wherever that changes and there is room."""
    before: dict[float, tuple[int, float]] = {}
    for source, box in sorted(layout.boxes.items(), key=lambda item: (item[1].x, item[1].y)):
        lane = layout.lane_of(box)
        if source.block == IMAGE:
            before[lane.top] = (0, box.right)
            continue
        channels = trace.map_of(source).channels
        known, free = before.get(lane.top, (0, 0.0))
        half = 2.5 * len(str(channels)) + 2
        middle = box.x + box.width / 2
        stacked = any(
            lane.top < other.y < box.y and other.x < middle < other.right
            for other in layout.boxes.values()
        )
        if channels != known and middle - half >= free and not stacked:
            _text(body, "c", middle, box.y - 3, str(channels))
            before[lane.top] = (channels, middle + half)


def _draw_flag(body: ET.Element, flag: Flag, leave: ExitTrace) -> None:
    group = ET.SubElement(body, "g", {"class": "exit"})
    info = leave.info
    ET.SubElement(group, "title").text = (
        f"exit {info.index + 1}: {leave.kind} of {info.channels} channels, "
        f"{short_count(leave.macs)} MACs; {info.macs:,} MACs up to here"
    )
    pill = Box(flag.label_x - 9, flag.label_y, 18, 14)
    _rect(group, "r" if leave.recurrent else "x", pill, 4)
    _text(group, "e", flag.label_x, flag.label_y + 10.5, str(info.index + 1))
    _text(group, "m", flag.label_x, flag.label_y + 25, short_count(info.macs))


def _tones(trace: NetworkTrace) -> dict[str, str]:
    """A class of colour for every kind of block: recurrent ones have their own, so has the most
    frequent, and the others have theirs in order of appearance.
    """
    recurrent = {block.kind for block in trace.blocks if block.recurrent}
    counts = Counter(block.kind for block in trace.blocks if block.kind not in recurrent)
    ranked = sorted(counts, key=lambda kind: counts[kind] < max(counts.values()))
    tones = {kind: f"k{min(i, TONES - 1)}" for i, kind in enumerate(ranked)}
    return tones | dict.fromkeys(recurrent, "r")


def _legend_lines(trace: NetworkTrace, tones: dict[str, str], room: float) -> Iterator[ET.Element]:
    items = []
    counts = Counter(block.kind for block in trace.blocks)
    for kind in dict.fromkeys(block.kind for block in trace.blocks):
        items.append((tones[kind], f"{kind} {TIMES}{counts[kind]}" if counts[kind] > 1 else kind))
    heads = dict.fromkeys((leave.kind, leave.recurrent) for leave in trace.exits)
    items += [("r" if recurrent else "x", kind) for kind, recurrent in heads]
    items.append(("", NOTE))
    line, x = ET.Element("g"), 0.0
    for tone, text in items:
        width = (13 if tone else 0) + _text_width(text) + 20
        if x and x + width > room:
            yield line
            line, x = ET.Element("g"), 0.0
        if tone:
            _rect(line, tone, Box(x, -8, 9, 9), 1.5)
        _text(line, "" if tone else "i", x + (13 if tone else 0), 0, text)
        x += width
    yield line


def _headline(trace: NetworkTrace) -> str:
    exits = len(trace.exits)
    return (
        f"{short_count(trace.parameters)} parameters, {exits} exit{'s' if exits > 1 else ''}, "
        f"{short_count(trace.exits[-1].info.macs)} MACs at {trace.images[0]}"
    )


def _described(trace: NetworkTrace) -> str:
    blocks = Counter(block.stage for block in trace.blocks)
    stages = "; ".join(
        f"exit {k + 1} after {blocks[k]} more block{'' if blocks[k] == 1 else 's'} "
        f"at {short_count(leave.info.macs)} multiply-adds"
        for k, leave in enumerate(trace.exits)
    )
    return f"{_headline(trace)}. From left to right as it runs, finer maps above: {stages}."


def _rect(parent: ET.Element, tone: str, box: Box, radius: float) -> ET.Element:
    return ET.SubElement(
        parent,
        "rect",
        {"class": tone},
        x=_n(box.x),
        y=_n(box.y),
        width=_n(box.width),
        height=_n(box.height),
        rx=_n(radius),
    )


def _path(parent: ET.Element, tone: str, path: str) -> None:
    ET.SubElement(parent, "path", {"class": tone}, d=path)


def _text(parent: ET.Element, tone: str, x: float, y: float, text: str) -> None:
    attributes = {"class": tone} if tone else {}
    ET.SubElement(parent, "text", attributes, x=_n(x), y=_n(y)).text = text


def _text_width(text: str, size: float = 11.0) -> float:
    """About how wide a text is in the fonts that systems have."""
    narrow, wide = sum(map("fijlrtI .,:".count, text)), sum(map("mwMW".count, text))
    capitals = sum(map(str.isupper, text))
    return size * (0.56 * len(text) - 0.25 * narrow + 0.3 * wide + 0.1 * capitals)


def _n(value: float) -> str:
    """At most one decimal, and no zeros that say nothing."""
    return f"{round(value, 1) + 0.0:g}"
