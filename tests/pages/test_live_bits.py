"""The network in a page: its scores, its decisions and its memory are those of Python and of C."""

from __future__ import annotations

import base64
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from exeunt.data import Transform
from exeunt.export.c import CModel, Float32, Int8, build_host, run_host, write_c
from exeunt.export.c.compare import FLOAT_TOLERANCE
from exeunt.export.web.page_part import live_page, page_part
from exeunt.export.web.wasm import COMPILER, LINKER, build_wasm
from exeunt.graph import build_graph, plan_stream
from exeunt.graph.fuse import InvertedResidual
from exeunt.graph.operators import Conv
from exeunt.models import create_model
from exeunt.policies import parse_policy
from exeunt.profile import spans_of
from exeunt.quantize import IntegerPolicy, observe_ranges, quantize, run_quantized

pytestmark = pytest.mark.skipif(
    not (shutil.which(COMPILER) and shutil.which(LINKER)), reason="needs clang and lld"
)

ROOT = Path(__file__).parents[2]
HOSTILE = "</script>{{program}}<img src=x>"
CLASSES = ("cat", HOSTILE, "n01440764_tench")
STORED = "confidence:0.45+consistency:1"
SIZE, COUNT = 40, 24

RUN = """(() => {
  const pixels = Uint8Array.from(atob("%s"), (character) => character.charCodeAt(0));
  const size = %d, found = [];
  for (let at = 0; at < pixels.length; at += size) {
    const image = pixels.subarray(at, at + size);
    const { left, scores } = program.run(image);
    const early = program.run(image, { all: false });
    const kept = (early.left + 1) * exported.classes.length;
    found.push({ left, scores: [...scores], early: early.left, same: program.decide(scores),
      begun: [...early.scores.subarray(0, kept)] });
  }
  return found;
})()"""


@dataclass
class Live:
    """A page, and what it was made of."""

    page: Path
    model: CModel
    images: NDArray[np.uint8]
    inputs: Tensor
    folder: Path

    def scores(self) -> list[Tensor]:
        """Of Python, E tensors (N, K)."""
        numbers, graph = self.model.numbers, self.model.plan.graph
        if isinstance(numbers, Int8):
            return run_quantized(numbers.quantized, self.inputs)
        expected = [numbers.expected(graph, image[None]).scores for image in self.inputs]
        floats = torch.tensor(
            [[[float(s.rstrip("f")) for s in e] for e in one] for one in expected]
        )
        return list(floats.unbind(1))


def make_live(dtype: str, folder: Path) -> Live:
    """A net of four exits that tells images apart."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE]
    waves = [np.sin(x * a + y * b + c) for a, b, c in rng.uniform(0.1, 1.5, (COUNT, 3))]
    colours = rng.uniform(0, 1, (COUNT, 1, 1, 3))
    images = np.uint8(127 + 127 * np.stack(waves)[..., None] * colours)
    transform = Transform((SIZE, SIZE))
    inputs = torch.stack([transform.normalise_pixels(image) for image in images])
    net = create_model("rex_mobilenetv2_035", len(CLASSES), exits=[0, 1, 3])
    for norm in (m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.momentum = 1.0
    with torch.no_grad():
        net.train()(inputs)
        for stage, logits in zip(net.eval().stages, net(inputs), strict=True):
            (linear,) = (m for m in stage.exit.modules() if isinstance(m, torch.nn.Linear))
            linear.weight *= 1.5 / logits.std(dim=0)[:, None]
            linear.bias.copy_(1.5 / logits.std(dim=0) * (linear.bias - logits.mean(dim=0)))
    graph = build_graph(net, (SIZE, SIZE))
    policy = parse_policy(STORED)
    numbers: Any = Float32(policy)
    if dtype == "int8":
        quantized = quantize(graph, observe_ranges(graph, [inputs]))
        scales = [quantized.logit_scale(k) for k in range(4)]
        numbers = Int8(quantized, IntegerPolicy.of(policy, scales))
    plan = plan_stream(graph, numbers.element_bytes)
    facts = {"model": HOSTILE, "policy": policy.spec, "calibration": {}}
    model = CModel("net", "a net", numbers, plan, transform, CLASSES, facts)
    report = write_c(model, folder / dtype)
    strict = ("-Wall", "-Wextra", "-Werror")
    build_wasm(folder / dtype, dtype, len(report["nodes"]), folder / "net.wasm", strict)
    part = page_part(model, report, (folder / "net.wasm").read_bytes())
    page = folder / f"{dtype}.html"
    page.write_text(live_page(HOSTILE, part), encoding="utf-8")
    return Live(page, model, images, inputs, folder / dtype)


@pytest.fixture(scope="module", params=["int8", "float32"])
def live(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Live:
    return make_live(request.param, tmp_path_factory.mktemp("live"))


@pytest.fixture
def opened(browser: Any, live: Live) -> Any:
    """The page, when the network has passed its own test."""
    if browser("location.href") != live.page.as_uri():
        browser.open(live.page)
    assert browser("live.ready") is True
    yield browser
    assert browser.complaints == []
    assert browser.requests == []


def run_in(browser: Any, images: NDArray[np.uint8]) -> list[dict[str, Any]]:
    """What the page finds for images (N, H, W, C)."""
    text = base64.b64encode(images.tobytes()).decode()
    found: list[dict[str, Any]] = browser(RUN % (text, images[0].size))
    return found


def test_every_score_is_that_of_python_and_of_c(opened: Any, live: Live, tmp_path: Path) -> None:
    found = run_in(opened, live.images)
    shape = (COUNT, 4, len(CLASSES))
    scores = torch.tensor([one["scores"] for one in found]).reshape(shape)
    reference = torch.stack(live.scores(), 1)
    if reference.is_floating_point():
        assert (scores - reference).abs().max() < FLOAT_TOLERANCE * reference.abs().max()
    else:
        assert torch.equal(scores, reference)
    (tmp_path / "images.raw").write_bytes(live.images.tobytes())
    build_host(live.folder, tmp_path / "net", ("-O1",))
    for answer in run_host(tmp_path / "net", tmp_path / "images.raw"):
        mine = scores[answer.image, answer.exit_index]
        assert torch.equal(mine, torch.tensor([float(s) for s in answer.scores]).to(mine.dtype))
        left = found[answer.image]["left"]
        assert answer.leave == (answer.exit_index == left) or answer.exit_index > left
    assert len({one["left"] for one in found}) > 1
    for one in found:
        assert one["left"] == one["early"] == one["same"]
        assert one["begun"] == one["scores"][: len(one["begun"])]


def test_every_choice_is_decided_as_python_decides(opened: Any, live: Live) -> None:
    scores = live.scores()
    if live.page.stem == "float32":  # whose last bits are not Python's
        found = torch.tensor([one["scores"] for one in run_in(opened, live.images)])
        scores = list(found.reshape(COUNT, 4, len(CLASSES)).unbind(1))
    kinds = opened(
        "exported.kinds.map(({ name, settings }) => [name, settings.map((s) => s.spec)])"
    )
    assert [name for name, _ in kinds] == ["stored", "confidence", "margin", "consistency", "full"]
    seen = set()
    for kind, (_, specs) in enumerate(kinds):
        for place in range(0, len(specs), 9 if len(specs) > 20 else 1):
            opened(f"program.follow(exported.kinds[{kind}].settings[{place}])")
            left = tuple(one["left"] for one in run_in(opened, live.images))
            assert left == tuple(leaving(live, specs[place], scores)), specs[place]
            seen.add(left)
    assert len(seen) > 10
    opened("program.follow(exported.kinds[0].settings[0])")


def leaving(live: Live, spec: str, scores: list[Tensor]) -> list[int]:
    """Where images leave by a policy, in Python."""
    policy, numbers = parse_policy(spec), live.model.numbers
    if isinstance(numbers, Int8):
        scales = [numbers.quantized.logit_scale(k) for k in range(4)]
        where, _ = IntegerPolicy.of(policy, scales).leave(scores)
        return where.tolist()  # type: ignore[no-any-return]
    at, inside, memory = [3] * COUNT, torch.ones(COUNT, dtype=torch.bool), ()
    for k in range(3):
        leaves, memory = policy.observe(k, scores[k], memory)  # type: ignore[assignment]
        for n in (leaves & inside).nonzero().flatten().tolist():
            at[n] = k
        inside &= ~leaves
    return at


def test_rows_are_written_where_the_plan_has_them_and_when(opened: Any, live: Live) -> None:
    """Event for event, nothing changes in the arena but what the plan holds at that moment; of what
    is free then, only the longest part, in which kernels may lay out pixels.
    """
    text = base64.b64encode(live.images[3].tobytes()).decode()
    changes = opened(f"""(() => {{
      const pixels = Uint8Array.from(atob("{text}"), (character) => character.charCodeAt(0));
      const {{ at }} = recordRun(pixels);
      return exported.steps.slice(1).map((_, event) => {{
        const before = at(event), after = at(event + 1), found = [];
        for (let k = 0; k < after.length; k++) if (before[k] !== after[k]) found.push(k);
        return found;
      }});
    }})()""")
    plan = live.model.plan
    assert len(changes) == len(plan.schedule.events) - 1
    touched = set()
    for event, places in enumerate(changes, 1):
        held = np.zeros(plan.arena_bytes, bool)
        for span in spans_of(plan):
            if span.first <= event <= span.last:
                held[span.offset_bytes : span.offset_bytes + -(-span.size_bytes // 4) * 4] = True
        node = plan.schedule.events[event].node
        if node is not None and isinstance(node.operator, Conv | InvertedResidual):
            edges = np.flatnonzero(np.diff(np.pad(held, 1, constant_values=True)))
            parts = sorted(edges.reshape(-1, 2).tolist(), key=lambda part: part[1] - part[0])
            for low, high in parts[-1:]:
                held[low:high] = True
        assert held[places].all(), f"event {event}"
        touched |= set(places)
    assert len(touched) > 0.8 * plan.arena_bytes


def test_the_benchmark_finds_the_same(
    opened: Any, live: Live, tmp_path: Path, capsys: pytest.CaptureFixture[str], script: Any
) -> None:
    """`benchmarks/web.py` compares a thousand images in this way."""
    if not isinstance(live.model.numbers, Int8):
        return
    module = script(ROOT / "benchmarks" / "web.py")
    shutil.copytree(live.folder, tmp_path / "net")
    module.compare_scores(opened, live.model, live.images, tmp_path)
    said = capsys.readouterr().out
    assert f"Python's integers: {COUNT}\n" in said
    assert f"this machine are: {COUNT}\n" in said
    assert f"same exit: {COUNT}\n" in said


def test_names_are_shown_and_nothing_else(opened: Any) -> None:
    assert opened("document.querySelector('h1').textContent") == HOSTILE
    assert opened("document.images.length") == 0
    shown = opened("document.getElementById('live-classes').textContent")
    assert shown == f"cat, {HOSTILE}, tench"
