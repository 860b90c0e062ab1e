"""Graphs, libraries that may be there, processes that are killed."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from exeunt.graph import Graph
from exeunt.graph.boundary import again, later, movable, sources
from exeunt.graph.fuse import InvertedResidual, fuse
from exeunt.graph.recompute import with_recomputed
from exeunt.graph.streamed import Draft, StreamedPlan

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
def plan_moved() -> Callable[[Graph, int, int], StreamedPlan]:
    """Plans a graph whose stages end elsewhere, inverted residuals of which keep nothing, and whose
    rows are fleeting, by chance: a seed, and bytes of a number.
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
        draft = Draft(moved, element_bytes, image=True)
        names = [name for name in draft.may_be_fleeting() if chance.random() < 0.7]
        return draft.with_fleeting(names).placed(4)

    return plan


# What is told before it happens (`sys.addaudithook`), and where the path is among the arguments.
STEPS = {
    **{f"os.{name}": 0 for name in ("rename", "remove", "mkdir", "rmdir", "chmod", "truncate")},
    **{"os.link": 1, "os.symlink": 1, "open": 0},
}
KILLED, ENDED = 77, 0


def steps_of(folder: Path, work: Callable[[], object], kill_at: int | None = None) -> list[str]:
    """Works in another process, and names the steps that it takes on disk below the folder. It dies
    before the one of the given number, or, where that opens a file to write, with rubbish in it.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        with os.fdopen(reading) as pipe:
            steps = pipe.read().split()
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code == (ENDED if kill_at is None else KILLED), f"killed at {kill_at}: {code}"
        return steps
    root, count = str(folder), 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in STEPS or (kill_at is not None and count > kill_at):
            return
        path = arguments[STEPS[event]]
        if not isinstance(path, str | os.PathLike) or not os.fspath(path).startswith(root):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        os.write(writing, f"{event}\n".encode())
        count += 1
        if count - 1 == kill_at:
            if event == "open":
                torn = os.O_TRUNC if arguments[2] & os.O_TRUNC else os.O_APPEND
                os.write(os.open(path, os.O_WRONLY | os.O_CREAT | torn, 0o666), b"torn")
            os._exit(KILLED)

    try:
        torch.set_num_threads(1)  # those of the parent are not here
        sys.addaudithook(hook)
        work()
        os._exit(ENDED)
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(1)


def kill_everywhere(
    folder: Path,
    prepare: Callable[[], object],
    work: Callable[[], object],
    check: Callable[[], object],
    finish: Callable[[], object] | None = None,
    last: int = 0,
) -> int:
    """Kills the work at one step after the other and looks at what is left; then it must succeed
    when it is done again, and leave what it leaves otherwise.

    Args:
        folder: where all of it happens; emptied between.
        prepare: makes what is there before.
        work: what is killed.
        check: looks at what a killed one leaves.
        finish: how it is done again, if not by the same call.
        last: of how many steps at the end; by default of all, but where many of one kind follow
            each other, of the outer ones and some between.

    Returns:
        How often it was killed.
    """

    def begin() -> None:
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        prepare()

    begin()
    steps = steps_of(folder, work)
    whole = names(folder)
    around = zip(["", *steps], steps, [*steps[1:], ""], strict=False)
    told = [i for i, near in enumerate(around) if len(set(near)) > 1 or i % 8 == 0]
    chosen = told[-last:]
    for step in chosen:
        begin()
        assert steps_of(folder, work, step) == steps[: step + 1]
        check()
        (finish or work)()
        assert names(folder) == whole, f"killed at step {step}: {steps[step]}"
    return len(chosen)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.fixture
def killed_everywhere(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Kills a process at each step that it takes on disk, one after the other."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # the machine goes on
    return kill_everywhere


@pytest.fixture(scope="session")
def script() -> Callable[[Path], ModuleType]:
    """Imports a program that lies in no package."""

    return load
