from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import torch

from exeunt.errors import ExeuntError
from exeunt.models import create_model
from exeunt.net import MultiExitNet
from exeunt.report.network_drawing import draw_network, network_svg, short_count
from exeunt.report.network_layout import FLAG_PITCH, Box, _spread, layout_of
from exeunt.report.network_trace import NetworkTrace, Source, trace_network

SVG = "{http://www.w3.org/2000/svg}"
NAMES: dict[str, dict[str, str]] = {
    "rex_mobilenetv2_035": {},
    "mobilenetv2_035": {"exits": "last"},
    "densenet121": {},
}
MADE_HERE = ("two scales", "one block", "60 exits", "branches")


@pytest.fixture(scope="module")
def traces(
    two_scales: Callable[[], MultiExitNet],
    plain_chain: Callable[[int], MultiExitNet],
    branches: Callable[[], MultiExitNet],
) -> dict[str, NetworkTrace]:
    """Drawings with few and many blocks, exits and lanes."""
    with torch.device("meta"):
        made = [two_scales(), plain_chain(1), plain_chain(60), branches()]
        nets = {name: create_model(name, 10, **options) for name, options in NAMES.items()}
    traces = {name: trace_network(net, (8, 12)) for name, net in zip(MADE_HERE, made, strict=True)}
    return traces | {name: trace_network(net) for name, net in nets.items()}


@pytest.fixture(params=[*NAMES, *MADE_HERE])
def trace(request: pytest.FixtureRequest, traces: dict[str, NetworkTrace]) -> NetworkTrace:
    return traces[request.param]


def boxes_of(node: ET.Element) -> Iterator[Box]:
    for rect in node.iter(f"{SVG}rect"):
        yield Box(*(float(rect.attrib[key]) for key in ("x", "y", "width", "height")))


def test_the_drawing_is_xml_with_a_flag_for_every_exit(trace: NetworkTrace) -> None:
    root = ET.fromstring(network_svg(trace, "a <net> & more"))
    assert root.findtext(f"{SVG}title") == "a <net> & more"
    assert "exit 1 after" in (root.findtext(f"{SVG}desc") or "")
    flags = [node for node in root.iter(f"{SVG}g") if node.get("class") == "exit"]
    assert len(flags) == len(trace.exits)
    for k, (flag, leave) in enumerate(zip(flags, trace.exits, strict=True)):
        number, macs = (text.text for text in flag.iter(f"{SVG}text"))
        assert (number, macs) == (str(k + 1), short_count(leave.info.macs))


def test_every_map_has_a_box_that_tells_what_it_is(trace: NetworkTrace) -> None:
    root = ET.fromstring(network_svg(trace, "net"))
    said = [rect.findtext(f"{SVG}title") for rect in root.iter(f"{SVG}rect") if len(rect)]
    assert said == [
        f"{block.name}: {block.kind}, {size}, {short_count(block.macs)} MACs"
        for block in trace.blocks
        for size in block.maps
    ]


def test_everything_lies_within_the_drawing(trace: NetworkTrace) -> None:
    root = ET.fromstring(network_svg(trace, "net"))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert width <= 900
    (body,) = (node for node in root if node.get("transform") == "translate(0 34)")
    for box in boxes_of(body):
        assert 0 <= box.x < box.right <= width
        assert 0 <= box.y < box.bottom <= height - 34
    for text in body.iter(f"{SVG}text"):
        assert 0 < float(text.attrib["x"]) < width
        assert 0 < float(text.attrib["y"]) < height - 34


def test_boxes_of_a_lane_do_not_overlap(trace: NetworkTrace) -> None:
    layout = layout_of(trace)
    for a, b in combinations(layout.boxes.values(), 2):
        apart = a.right < b.x or b.right < a.x or a.bottom < b.y or b.bottom < a.y
        assert apart, (a, b)


def test_blocks_stand_in_the_lane_of_their_size(trace: NetworkTrace) -> None:
    layout = layout_of(trace)
    pixels = [height * width for height, width in (lane.size for lane in layout.lanes)]
    assert pixels == sorted(pixels, reverse=True)
    for source, box in layout.boxes.items():
        lane = layout.lane_of(box)
        assert lane.size == trace.map_of(source)[1:]
        assert lane.top < box.y < box.bottom < lane.bottom


def test_time_goes_from_left_to_right(trace: NetworkTrace) -> None:
    layout = layout_of(trace)
    ends = [flag.x for flag in layout.flags]
    assert ends == sorted(set(ends))
    for source, box in layout.boxes.items():
        if source.block < 0:
            continue
        block = trace.blocks[source.block]
        assert all(layout.boxes[read].right < box.x for read in block.reads)
        assert box.right < ends[block.stage]
        assert block.stage == 0 or ends[block.stage - 1] < box.x


def test_labels_of_exits_do_not_overlap(trace: NetworkTrace) -> None:
    flags = layout_of(trace).flags
    assert all(a.label_x < b.label_x for a, b in pairwise(flags))
    for a, b in combinations(flags, 2):
        assert a.label_y != b.label_y or b.label_x - a.label_x > FLAG_PITCH - 0.01


def test_the_same_network_gives_the_same_bytes(two_scales: Callable[[], MultiExitNet]) -> None:
    first, second = (network_svg(trace_network(two_scales(), 8), "net") for _ in range(2))
    assert first == second


def test_more_channels_are_taller_and_more_work_is_wider(traces: dict[str, NetworkTrace]) -> None:
    boxes = layout_of(traces["two scales"]).boxes
    fine, coarse, shrink, mix = (box for source, box in boxes.items() if source.block >= 0)
    assert shrink.height < fine.height < coarse.height < mix.height
    assert fine.width == coarse.width
    assert shrink.width < mix.width


def test_blocks_side_by_side_stand_in_one_column(traces: dict[str, NetworkTrace]) -> None:
    layout = layout_of(traces["branches"])
    first, second, third, pool = (layout.boxes[Source(b, 0)] for b in range(4))
    assert first.bottom < second.y < second.bottom < third.y
    assert max(first.right, second.right, third.right) < pool.x
    text = network_svg(traces["branches"], "net")
    assert text.count(">8</text>") == 1  # channels, above all three


def test_colours_tell_recurrent_operators(traces: dict[str, NetworkTrace]) -> None:
    root = ET.fromstring(network_svg(traces["rex_mobilenetv2_035"], "net"))
    orange = [rect for rect in root.iter(f"{SVG}rect") if rect.get("class") == "r" and len(rect)]
    assert ["ReXBlock" in (rect.findtext(f"{SVG}title") or "") for rect in orange] == [True]


@pytest.mark.parametrize(
    ("macs", "text"),
    [
        (0, "0.00 k"),
        (950_000, "950 k"),
        (999_500, "1.00 M"),
        (9_994_000, "9.99 M"),
        (9_996_000, "10.0 M"),
        (61_999_999, "62.0 M"),
        (99_960_000, "100 M"),
        (2_848_625_664, "2.85 G"),
    ],
)
def test_short_count(macs: int, text: str) -> None:
    assert short_count(macs) == text


def test_spread_moves_no_more_than_it_must() -> None:
    assert _spread([10, 50, 90], 20, 0, 100) == [10, 50, 90]
    assert _spread([50, 50], 20, 0, 100) == [40, 60]
    assert _spread([0, 0, 100, 100], 20, 5, 95) == [5, 25, 75, 95]


def test_the_file_is_written_whole_or_not_at_all(two_scales: MultiExitNet, tmp_path: Path) -> None:
    draw_network(tmp_path / "a.svg", two_scales(), 8, "net")
    assert (tmp_path / "a.svg").read_text(encoding="utf-8").startswith("<svg")
    with pytest.raises(ExeuntError, match=r"ends in \.svg"):
        draw_network(tmp_path / "a.png", two_scales(), 8, "net")
    assert [path.name for path in tmp_path.iterdir()] == ["a.svg"]
