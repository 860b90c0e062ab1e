"""One bar for each tensor, networks above each other on one scale, the peak in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from torch import nn

from exeunt.backbone import attach_exits
from exeunt.errors import ExeuntError
from exeunt.models import create_model
from exeunt.profile import Profile, profile, spell_bytes
from exeunt.report.canvas import write_figure
from exeunt.report.memory_figure import EXITS, IMAGE, KEPT, MAPS, PALE, memory_figure


@pytest.fixture(scope="module")
def small() -> Profile:
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 2, 2))
    net = attach_exits(backbone, [0], num_classes=5, image_shape=(3, 32, 32))
    return profile(net, 32, name="small", dtypes=["int8"])


def test_bars_are_the_spans_and_exits_are_marked(small: Profile) -> None:
    figure = memory_figure([small], "Memory.", "int8")
    left, right = figure.axes
    for axes, name in ((left, "layerwise"), (right, "streamed")):
        memory = small.memory(name, "int8")
        bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        assert len(bars) == len(memory.spans)
        for bar, span in zip(bars, memory.spans, strict=True):
            assert bar.get_x() == span.first
            assert bar.get_width() == span.last + 1 - span.first
            assert bar.get_y() == pytest.approx(span.offset_bytes / 1024)
            assert bar.get_height() == pytest.approx(span.size_bytes / 1024)
            there = span.first <= memory.peak.step <= span.last
            assert bar.get_alpha() == (1 if there else PALE)
        exits = [line.get_xdata()[0] for line in axes.lines if line.get_color() == EXITS]
        assert exits == [step + 1 for step in memory.exit_steps]
        texts = [text.get_text() for text in axes.texts]
        assert spell_bytes(memory.total_bytes) in texts
        assert {"1", "2"} <= {*texts}
        assert axes.get_title(loc="left") == f"small, {name}, int8"
    assert figure._suptitle is not None
    assert figure._suptitle.get_text() == "Memory."


def test_colours_say_what_a_bar_is(small: Profile) -> None:
    _, right = memory_figure([small], "Memory.", "int8").axes
    spans = small.memory("streamed", "int8").spans
    found = {
        span.name: to_hex(bar.get_facecolor())
        for span, bar in zip(spans, right.patches, strict=True)
    }
    assert found["image"] == IMAGE
    assert found["stages.0.trunk.0"] == MAPS
    assert found["stages.0.exit.classifier"] == EXITS
    assert KEPT not in (IMAGE, MAPS, EXITS)


def test_the_peak_is_a_sentence_with_short_names(small: Profile) -> None:
    left = memory_figure([small], "Memory.", "int8").axes[0]
    said = next(text.get_text() for text in left.texts if "Most at once" in text.get_text())
    assert said.replace("\n", " ") == "Most at once: 7.0 KiB at 0: 0 (4.0 KiB) and image (3.0 KiB)."


def test_networks_share_a_scale(small: Profile) -> None:
    large = replace(small.memory("layerwise", "int8"), total_bytes=2**22)
    other = replace(small, model="large", memories=(large, *small.memories[3:]))
    figure = memory_figure([small, other], "Both.", "int8")
    assert len(figure.axes) == 4
    above, _, below, _ = figure.axes
    assert above.get_ylim() == below.get_ylim() == (0, pytest.approx(1.09 * 4))
    assert above.get_ylabel() == below.get_ylabel() == "address (MiB)"


def test_without_a_plan_the_rule_is_drawn(small: Profile) -> None:
    papers = replace(small, memories=small.memories[:1])
    (axes,) = memory_figure([papers], "Rule.", "int8").axes
    assert axes.get_xlabel() == "blocks, in order"
    assert len(axes.patches) == 2


@pytest.mark.parametrize("share", [1.0, 0.1])
def test_no_label_lies_on_another(share: float) -> None:
    """Of a net with long names and exits close to each other; alone, and beside a larger one whose
    scale leaves it a share of the height.
    """
    costs = profile(create_model("mobilenetv2_035"), 64, name="a net", dtypes=["int8"])
    memories = [replace(one, total_bytes=round(one.total_bytes / share)) for one in costs.memories]
    larger = replace(costs, model="larger", memories=tuple(memories))
    figure = memory_figure([costs] if share == 1 else [costs, larger], "Memory.", "int8")
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [
            text.get_window_extent()
            for text in axes.texts
            if text.get_fontsize() <= 7.5 and "Most at once" not in text.get_text()
        ]
        assert len(boxes) > 3
        for k, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[k + 1 :])


def test_nothing_to_draw(small: Profile) -> None:
    with pytest.raises(ExeuntError, match="no memory for float32"):
        memory_figure([small], "Nothing.")


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_same_figure_gives_the_same_bytes(small: Profile, ending: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{k}.{ending}" for k in range(2)]
    for file in files:
        write_figure(memory_figure([small], "Memory.", "int8"), file)
    assert files[0].read_bytes() == files[1].read_bytes()
