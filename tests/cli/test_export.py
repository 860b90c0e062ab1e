"""`exeunt export` and `exeunt verify`, on a small net and whatever compilers there are."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exeunt.cli.verify import ram_and_flash
from exeunt.data import Transform
from exeunt.export.c.model import written
from exeunt.graph import build_graph, plan_stream
from exeunt.models import WeightsInfo, create_model, load_weights, save_weights

EMULATED = pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None or shutil.which("arm-none-eabi-gcc") is None,
    reason="needs qemu-system-arm and arm-none-eabi-gcc",
)


@pytest.fixture(scope="module")
def folder(
    weights: Path, images: Path, exeunt: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The net in int8."""
    out: Path = tmp_path_factory.mktemp("export") / "tiny-net"
    made = exeunt("export", weights, "--calibration", images, "--out", out)
    assert made.status == 0, made.err
    return out


def last_json(result: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.out.splitlines()[-1])
    return found


def test_the_arena_is_that_of_the_plan(folder: Path, weights: Path) -> None:
    report = json.loads((folder / "report.json").read_text())
    net, _ = load_weights(weights)
    plan = plan_stream(build_graph(net, 32), 1)
    assert report["memory"]["arena_bytes"] == plan.arena_bytes
    assert (
        f"#define TINY_NET_ARENA_BYTES {plan.arena_bytes}"
        in (folder / "tiny_net" / "src" / "tiny_net.h").read_text()
    )
    assert report["calibration"]["images"] == 9
    assert report["policy"] == "consistency:1"


def test_c_says_what_python_says(folder: Path, images: Path, exeunt: Any) -> None:
    done = exeunt("verify", folder, "--images", images, "--limit", "5", "--json")
    assert done.status == 0, done.err
    found = last_json(done)
    assert (found["images"], found["exits"], found["same_bits"]) == (5, 6, True)
    assert sum(found["exit_shares"]) == pytest.approx(1)


def test_what_comes_after_an_exit_is_left_out(
    folder: Path, weights: Path, images: Path, tmp_path: Path, exeunt: Any
) -> None:
    out = tmp_path / "cut"
    made = exeunt("export", weights, "--keep", 2, "--calibration", images, "--out", out)
    assert made.status == 0, made.err
    cut, whole = (json.loads((f / "report.json").read_text()) for f in (out, folder))
    assert cut["exit_macs"] == whole["exit_macs"][:2]
    assert cut["flash"]["constants_bytes"] < 0.6 * whole["flash"]["constants_bytes"]
    found = last_json(exeunt("verify", out, "--images", images, "--limit", "3", "--json"))
    assert (found["exits"], found["same_bits"]) == (2, True)


@EMULATED
def test_the_device_says_it_in_the_memory_that_is_claimed(
    folder: Path, images: Path, exeunt: Any
) -> None:
    options = ("--device", "cortex-m4", "--limit", "2", "--operators", "--json")
    done = exeunt("verify", folder, "--images", images, *options)
    assert done.status == 0, done.err
    found = last_json(done)
    memory = found["memory"]
    parts = ("arena", "state", "stack", "alignment")
    assert sum(memory[f"{part}_bytes"] for part in parts) == memory["total_bytes"]
    assert 0 <= memory["alignment_bytes"] < 32 + 8
    assert memory["total_bytes"] % 32 == 0
    header = (folder / "tiny_net" / "src" / "tiny_net.h").read_text()
    assert f"#define TINY_NET_ARENA_BYTES {memory['arena_bytes']}\n" in header
    shown = dict(ram_and_flash(memory, found["flash"]))
    rows = [int(shown[f"  {part}"].split()[0]) for part in parts]
    assert sum(rows) == int(shown["RAM"].split()[0]) == memory["total_bytes"]
    assert found["same_bits"]
    assert found["exit_instructions"] == sorted(found["exit_instructions"])
    assert sum(row["macs"] for row in found["operators"]) == found["exit_macs"][-1]
    counted = sum(row["instructions"] for row in found["operators"])
    assert counted == pytest.approx(found["exit_instructions"][-1], rel=0.03)


@EMULATED
def test_with_less_memory_it_does_not_run(folder: Path, images: Path, tmp_path: Path) -> None:
    """The stack needs 64 bytes more than it gets: the fence ends the program."""
    from exeunt.errors import ExeuntError
    from exeunt.export.c import device

    raw = tmp_path / "raw.bin"
    raw.write_bytes(bytes(32 * 32 * 3))
    run = device.run_device(folder, "tiny_net", raw, 1)
    board, place = device.BOARDS["cortex-m4"], tmp_path / "build"
    place.mkdir()
    sources = device._gather(folder, "tiny_net", place, "main.c")
    stack = (run.stack_bytes - 64) // 8 * 8
    total = -(-(stack + run.data_bytes) // 32) * 32
    device._build(board, sources, place / "small.elf", stack, total)
    with pytest.raises(ExeuntError, match="status 99"):
        device._run(board, place / "small.elf", raw, 1)
    with pytest.raises(ExeuntError, match="overflowed"):
        device._build(board, sources, place / "none.elf", stack, total - 1024)


def test_one_score_that_differs_is_named(
    folder: Path, images: Path, exeunt: Any, tmp_path: Path
) -> None:
    other = tmp_path / "tiny-net"
    shutil.copytree(folder, other)
    source = other / "exeunt_runtime" / "src" / "exn_linear_s8.c"
    source.write_text(source.read_text().replace("linear->zero);", "linear->zero + (k == 2));"))
    done = exeunt("verify", other, "--images", images, "--limit", "2")
    assert done.status == 2
    assert "exit 1 gives" in done.err
    assert ".png" in done.err


def test_int8_needs_images(weights: Path, tmp_path: Path, exeunt: Any) -> None:
    done = exeunt("export", weights, "--out", tmp_path / "x")
    assert done.status == 2
    assert "--calibration DATA" in done.err
    assert not (tmp_path / "x").exists()


def test_a_budget_that_cannot_be_met_says_what_stands_in_the_way(
    weights: Path, images: Path, tmp_path: Path, exeunt: Any
) -> None:
    options = ("--calibration", images, "--budget-kib", "1", "--out", tmp_path / "x")
    done = exeunt("export", weights, *options)
    assert done.status == 2
    assert "more than 1024; most is needed at stages." in done.err
    assert not (tmp_path / "x").exists()


def test_a_budget_that_costs_multiply_adds(
    info: WeightsInfo, images: Path, tmp_path: Path, exeunt: Any
) -> None:
    arguments = {"num_classes": 3, "in_chans": 3, "exits": "last"}
    net = create_model("mobilenetv1_025", **arguments)
    transform = Transform((48, 48)).to_dict()
    narrow = replace(
        info,
        architecture="mobilenetv1_025",
        arguments=arguments,
        transform=transform,
        policy="full",
        metrics={},
    )
    weights, out = tmp_path / "w.safetensors", tmp_path / "out"
    save_weights(weights, net.state_dict(), narrow)
    graph = build_graph(net.eval(), 48)
    plain = plan_stream(graph, 1)
    budget = (plain.least_bytes - 4) / 1024
    options = ("--calibration", images, "--budget-kib", budget, "--out", out)
    done = exeunt("export", weights, *options)
    assert done.status == 0, done.err
    report = json.loads((out / "report.json").read_text())
    assert report["memory"]["arena_bytes"] <= plain.least_bytes - 4
    assert report["recomputed_macs"] == report["exit_macs"][-1] - graph.exit_macs[-1] > 0
    assert report["plain_exit_macs"] == list(graph.exit_macs)
    assert "times the multiply-adds, over all exits" in done.out
    verified = exeunt("verify", out, "--images", images, "--limit", "2")
    assert verified.status == 0, verified.err


def test_a_budget_moves_where_a_stage_ends(
    info: WeightsInfo, images: Path, tmp_path: Path, exeunt: Any
) -> None:
    """An exit after the first block of ResNet8, whose map lies whole; C says what Python says."""
    arguments = {"num_classes": 3, "in_chans": 3, "exits": [0]}
    net = create_model("resnet8", **arguments)
    made = replace(
        info,
        architecture="resnet8",
        arguments=arguments,
        transform=Transform((32, 32)).to_dict(),
        policy="full",
        metrics={},
    )
    weights, out = tmp_path / "w.safetensors", tmp_path / "out"
    save_weights(weights, net.state_dict(), made)
    options = ("--calibration", images, "--budget-kib", 13, "--out", out)
    done = exeunt("export", weights, *options)
    assert done.status == 0, done.err
    report = json.loads((out / "report.json").read_text())
    first, last = report["plain_exit_macs"]
    block = 16 * 16 * 9 * (16 * 32 + 32 * 32) + 16 * 16 * 16 * 32  # the next, from 32 px to 16
    assert report["exit_macs"] == [first + block, last]
    assert (report["recomputed_macs"], report["memory"]["arena_bytes"]) == (0, 12_864)
    assert "1.208 times the multiply-adds, over all exits" in done.out
    verified = exeunt("verify", out, "--images", images, "--limit", "2")
    assert verified.status == 0, verified.err


def test_constants_lie_in_the_order_of_their_first_use(folder: Path, weights: Path) -> None:
    flash = json.loads((folder / "report.json").read_text())["flash"]
    until = flash["exit_constants_bytes"]
    assert until == sorted(until)
    assert 0 < until[0] < until[-1] <= flash["constants_bytes"]
    plan = plan_stream(build_graph(load_weights(weights)[0], 32), 1)
    first = [plan.schedule.acts[node.output][0] for node in written(plan)]
    assert first == sorted(first)
    source = (folder / "tiny_net" / "src" / "tiny_net.c").read_text()
    at = [source.find(f"tiny_net_spec_{k} =") for k in range(len(first))]
    assert [place for place in at if place >= 0] == sorted(place for place in at if place >= 0)
    assert at[0] >= 0


def test_a_folder_that_holds_something_else_stays(
    weights: Path, images: Path, tmp_path: Path, exeunt: Any
) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    done = exeunt("export", weights, "--calibration", images, "--out", tmp_path)
    assert done.status == 2
    assert "holds no export" in done.err
    assert (tmp_path / "kept.txt").read_text() == "mine"


def test_percentiles_cover_less_than_all(
    weights: Path, images: Path, tmp_path: Path, exeunt: Any
) -> None:
    found = []
    for method in ("minmax", "percentile"):
        options = ("--ranges", method, "--calibration", images, "--out", tmp_path / method)
        done = exeunt("export", weights, *options, "--json")
        assert done.status == 0, done.err
        found.append(last_json(done)["ranges"])
    for (low, high), (least, most) in zip(*(ranges.values() for ranges in found), strict=True):
        assert low <= least <= most <= high
    assert found[0] != found[1]


def test_float32_needs_none_and_takes_another_policy(
    weights: Path, tmp_path: Path, exeunt: Any
) -> None:
    out = tmp_path / "wide"
    options = ("--dtype", "float32", "--policy", "confidence:0.7", "--name", "abc")
    done = exeunt("export", weights, "--out", out, *options, "--json")
    assert done.status == 0, done.err
    report = last_json(done)
    assert (report["policy"], report["dtype"], report["ranges"]) == (
        "confidence:0.7",
        "float32",
        {},
    )
    assert (out / "abc" / "src" / "abc.h").exists()


def test_a_name_that_the_runtime_has_is_refused_and_a_folder_of_it_is_not(
    weights: Path, tmp_path: Path, exeunt: Any
) -> None:
    out = tmp_path / "main"
    done = exeunt("export", weights, "--out", out, "--dtype", "float32", "--name", "exn_engine")
    assert done.status == 2
    assert "'exn_engine' is no prefix" in done.err
    assert not out.exists()
    done = exeunt("export", weights, "--out", out, "--dtype", "float32")
    assert done.status == 0, done.err
    assert "names begin with net_main_" in done.out
    assert "int main(" in (out / "example" / "classify.c").read_text()
    assert (out / "net_main" / "src" / "net_main.c").exists()


def test_entropy_is_refused_by_name(
    weights: Path, images: Path, tmp_path: Path, exeunt: Any
) -> None:
    options = ("--calibration", images, "--policy", "entropy:0.5")
    done = exeunt("export", weights, "--out", tmp_path / "x", *options)
    assert done.status == 2
    assert "entropy:0.5" in done.err
