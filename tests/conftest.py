"""Graphs, libraries that may be there, programs that lie in no package, compilers."""

from __future__ import annotations

import importlib.util
import os
import random
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from exeunt.graph import Graph, plan_stream, plan_within
from exeunt.graph.bands import chains, with_bands
from exeunt.graph.boundary import again, later, movable, sources
from exeunt.graph.fuse import InvertedResidual, fuse
from exeunt.graph.streamed import Draft, StreamedPlan
from exeunt.graph.ways import with_recomputed

KEPT: list[torch.library.Library] = []  # which forget what they define when they go


@pytest.fixture(scope="session")
def torchvision() -> ModuleType:
    """torchvision, if it is installed; beside a build of torch that its operators are not made for
    too, with their names alone.
    """
    try:
        return import_module("torchvision")
    except ImportError:
        pytest.skip("torchvision is not installed")
    except RuntimeError:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    plain = ("qnms", "roi_align", "qroi_align", "roi_pool", "ps_roi_align", "ps_roi_pool")
    backward = [f"_{name}_backward" for name in plain if not name.startswith("q")]
    for name in (*plain, *backward):
        library.define(f"{name}(Tensor x) -> Tensor")
    KEPT.append(library)
    return import_module("torchvision")


@pytest.fixture(scope="session")
def timm(torchvision: ModuleType) -> ModuleType:
    """timm, if it is installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("timm")


def load(path: Path) -> ModuleType:
    """Imports a program that lies in no package."""
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def by_chance() -> ModuleType:
    """How graphs are put together, by hand and by chance."""
    return load(Path(__file__).with_name("graphs_by_chance.py"))


@pytest.fixture
def sketch(by_chance: ModuleType) -> Any:
    """A class of graphs that are put together node by node."""
    torch.manual_seed(0)
    return by_chance.Sketch


@pytest.fixture
def draw_graph(sketch: Any, by_chance: ModuleType) -> Callable[..., Graph]:
    """Draws a graph of one to three stages from a seed; of what ReX is compared with, if asked."""

    def draw(seed: int, *, rivals: bool = False) -> Graph:
        chance = random.Random(seed)
        torch.manual_seed(seed)
        net = sketch(chance.choice((1, 3)), chance.randint(5, 13), chance.randint(4, 9))
        maps = ["image"]
        for _ in range(chance.randint(1, 3)):
            for _ in range(chance.randint(3, 9)):
                kinds = by_chance.RIVALS if rivals else by_chance.KINDS
                maps.append(by_chance.grow(net, maps, chance, kinds))
            net.exit(maps[-1])
        graph: Graph = net.graph()
        return graph

    return draw


@pytest.fixture
def draw_chain(sketch: Any, by_chance: ModuleType) -> Callable[[int], Graph]:
    """Draws a chain of convolutions and inverted residuals from a seed, with one exit or two."""

    def draw(seed: int) -> Graph:
        chance = random.Random(seed)
        torch.manual_seed(seed)
        net = sketch(3, chance.randint(11, 19), chance.randint(11, 19))
        by_chance.grow_chain(net, chance)
        graph: Graph = net.graph()
        return graph

    return draw


@pytest.fixture
def plan_budgeted(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[int, Graph, int], StreamedPlan]:
    """Plans a graph within a part of what it takes, by chance, or as near to that as it comes: a
    seed, and bytes of a number.
    """
    monkeypatch.setattr("exeunt.graph.recompute.DIAL_EFFORT", 20_000)

    def plan(seed: int, graph: Graph, element_bytes: int) -> StreamedPlan:
        part = random.Random(seed).choice((0.4, 0.55, 0.7, 0.85))
        budget = int(part * plan_stream(graph, element_bytes).arena_bytes)
        return plan_within(graph, element_bytes, budget)

    return plan


@pytest.fixture
def plan_moved() -> Callable[[Graph, int, int], StreamedPlan]:
    """Plans a graph whose stages end elsewhere, inverted residuals of which keep nothing, some maps
    of which are made by bands of columns, and whose rows are fleeting, by chance: a seed, and bytes
    of a number.
    """

    def plan(seed: int, graph: Graph, element_bytes: int) -> StreamedPlan:
        chance = random.Random(seed)
        moved = fuse(graph)
        for boundary in range(len(graph.stages) - 1):
            if chance.random() < 0.5:
                count = chance.randint(0, len(movable(moved, boundary)))
                moved = later(moved, boundary, count)
            elif starts := [*sources(moved, boundary)]:
                moved = again(moved, boundary, chance.choice(starts))
        if chance.random() < 0.7:
            expanding = [n.output for n in moved.nodes if isinstance(n.operator, InvertedResidual)]
            moved = with_recomputed(moved, expanding)
        if chance.random() < 0.7 and (runs := [*chains(moved)]):
            run = chance.choice(runs)
            start = chance.randrange(len(run))
            part = run[start : chance.randint(start, len(run)) + 1]
            if (width := moved.shapes[part[-1].output][2]) > 1:
                moved = with_bands(moved, part, chance.randint(2, min(width, 4)))
        draft = Draft(moved, element_bytes, image=True)
        names = [name for name in draft.may_be_fleeting() if chance.random() < 0.7]
        return draft.with_fleeting(names).placed(4)

    return plan


@pytest.fixture
def killed_everywhere(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Kills a process at each step that it takes on disk, one after the other."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # the machine goes on
    killing = load(Path(__file__).with_name("kill_everywhere.py"))
    return killing.kill_everywhere  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def script() -> Callable[[Path], ModuleType]:
    """Imports a program that lies in no package."""
    return load


@pytest.fixture(scope="session", autouse=True)
def compilers(request: pytest.FixtureRequest, tmp_path_factory: Any) -> None:
    """What the runtime is compiled to is kept, for the tests of all processes."""
    base = tmp_path_factory.getbasetemp()
    place = base.parent if hasattr(request.config, "workerinput") else base
    once = load(Path(__file__).with_name("compile_once.py"))
    os.environ["PATH"] = once.install(place / "compilers")
