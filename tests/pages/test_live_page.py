"""The page as its reader has it: photographs in, answers out."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import exeunt
from exeunt.cli import app
from exeunt.data import SplitSpec, Transform, load_image
from exeunt.export.web.wasm import COMPILER, LINKER
from exeunt.models import MODELS, create_model, register_model
from exeunt.net import MultiExitNet

pytestmark = pytest.mark.skipif(
    not (shutil.which(COMPILER) and shutil.which(LINKER)), reason="needs clang and lld"
)

CLASSES = ("dots", "noise", "waves")
SIZE = 32
PATIENCE_S = 60

READ = """live.photos.map(({ name, folder, truth, left, scores }) =>
  ({ name, folder, truth, left, scores: [...scores] }))"""
SHOWN = """(() => {
  const text = (id) => document.getElementById(id).textContent;
  const items = [...document.querySelectorAll("#live-exits li")];
  return {
    verdict: text("live-verdict"), count: text("live-count"), note: text("live-note"),
    moment: text("live-moment"), name: text("live-name"), spec: text("live-spec"),
    taken: items.findIndex((item) => item.classList.contains("taken")),
    skipped: items.filter((item) => item.classList.contains("skipped")).length,
    said: items.map((item) => item.querySelector(".said").textContent),
    cards: document.querySelectorAll("#live-cards .card:not([hidden])").length,
    figures: [...document.querySelectorAll("#live-figures dd")].map((item) => item.textContent),
    time: Number(document.getElementById("live-time").value),
  };
})()"""


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen of each class, of all shapes."""
    root = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (root / name).mkdir()
        for i in range(14):
            y, x = np.mgrid[: rng.integers(33, 90), : rng.integers(33, 90)]
            grey = {
                "waves": np.sin(x * rng.uniform(0.1, 1)) * 127 + 128,
                "dots": np.where((x % rng.integers(5, 9) < 3) & (y % 6 < 3), 255, 0),
                "noise": rng.integers(0, 256, x.shape),
            }[name]
            pixels = (grey[..., None] * rng.uniform(0.2, 1, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i:02}.png")
    return root


def small(num_classes: int = 3, in_chans: int = 3, exits: object = None) -> MultiExitNet:
    return create_model("rex_mobilenetv2_035", num_classes, in_chans=in_chans, exits=[0, 2])


@pytest.fixture(scope="module")
def classifier(photographs: Path) -> Any:
    """Of random weights that tell images apart."""
    register_model(small)
    torch.manual_seed(0)
    net, transform = create_model("small", 3), Transform((SIZE, SIZE))
    x = torch.stack([transform(load_image(file)) for file in sorted(photographs.glob("*/*.png"))])
    for norm in (module for module in net.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.momentum = 1.0
    with torch.no_grad():
        net.train()(x)
        for stage, logits in zip(net.eval().stages, net(x), strict=True):
            (linear,) = (m for m in stage.exit.modules() if isinstance(m, nn.Linear))
            linear.weight *= 1.5 / logits.std(dim=0)[:, None]
            linear.bias.copy_(1.5 / logits.std(dim=0) * (linear.bias - logits.mean(dim=0)))
    spec = SplitSpec(seed=3, calibration_fraction=0.5, test_fraction=0.3)
    made = exeunt.Classifier(
        net, transform=transform, class_names=CLASSES, policy="confidence:0.5", split=spec
    )
    yield made
    MODELS.remove("small")


@pytest.fixture(scope="module")
def weights(classifier: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    classifier.save(path)
    return path


@pytest.fixture(scope="module")
def page(weights: Path, photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes."""
    out = tmp_path_factory.mktemp("page") / "page.html"
    words = ("export", weights, "--target", "web", "--calibration", photographs, "--out", out)
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    assert "it makes no request" in done.output
    return out


@pytest.fixture
def opened(browser: Any, page: Path) -> Any:
    """The page without photographs, by the stored policy, at 1280 pixels."""
    browser.resize(1280, 900)
    browser.prefer("light")
    browser.hold_still()
    if browser("location.href") != page.as_uri():
        browser.open(page)
    assert browser("live.ready") is True
    browser("live.clear()")
    browser("document.getElementById('live-kind-0').click()")
    yield browser
    assert browser.complaints == []
    assert browser.requests == []


def give(browser: Any, files: list[Path], selector: str = "#live-files") -> list[dict[str, Any]]:
    """Chooses photographs, and waits until all of them are classified and the run has been played.

    Returns:
        What the page has of each.
    """
    count = len(files)
    browser.give(selector, files)
    end = time.monotonic() + PATIENCE_S
    while browser("live.photos.length") < count or not browser(SHOWN)["verdict"].strip():
        assert time.monotonic() < end, browser(SHOWN)
        time.sleep(0.1)
    browser("live.take([])")  # waits for the last of them to be shown
    found: list[dict[str, Any]] = browser(READ)
    return found


def test_photographs_are_classified_as_by_c_on_this_machine(
    opened: Any, classifier: Any, photographs: Path, tmp_path: Path
) -> None:
    """The same command for C makes a folder; `main.c` of it says what every exit says."""
    from exeunt.export.c import build_host, run_host

    classifier.export_c(tmp_path / "net", calibration=photographs)
    program = tmp_path / "program"
    build_host(tmp_path / "net", program, ("-O1",))
    files = sorted(photographs.glob("*/*.png"))[::4]
    pixels = [np.asarray(classifier.transform.pixels(load_image(file))) for file in files]
    (tmp_path / "images.raw").write_bytes(b"".join(image.tobytes() for image in pixels))
    answers = list(run_host(program, tmp_path / "images.raw"))
    found = give(opened, files)
    assert [one["name"] for one in found] == [file.name for file in files]
    exits = len(classifier.exit_macs)
    for n, one in enumerate(found):
        mine = answers[exits * n : exits * (n + 1)]
        assert one["scores"] == [int(score) for answer in mine for score in answer.scores]
        assert one["left"] == next(answer.exit_index for answer in mine if answer.leave)
    assert len({one["left"] for one in found}) > 1


def test_what_is_shown_of_one(opened: Any, photographs: Path, classifier: Any) -> None:
    files = sorted(photographs.glob("waves/*.png"))[:3]
    found = give(opened, files)
    shown = opened(SHOWN)
    left = found[0]["left"]
    assert shown["name"] == files[0].name
    assert (shown["taken"], shown["skipped"]) == (left, len(classifier.exit_macs) - 1 - left)
    saving = 1 - classifier.exit_macs[left] / classifier.exit_macs[-1]
    assert f"exit {left + 1} of {len(classifier.exit_macs)}" in shown["verdict"]
    assert f"{100 * saving:.1f}\u00a0% saved" in shown["verdict"]
    assert "ms here" in shown["verdict"]
    scores = np.array(found[0]["scores"]).reshape(-1, 3)
    assert shown["said"] == [CLASSES[k] for k in scores.argmax(1)]
    assert (shown["cards"], shown["count"]) == (3, "3 photographs")
    macs = np.mean([classifier.exit_macs[one["left"]] for one in found])
    assert shown["figures"][0] == f"{100 * (1 - macs / classifier.exit_macs[-1]):.1f}\u00a0%"


def test_the_moment_can_be_moved(opened: Any, photographs: Path) -> None:
    """Before the first event nothing is known; exits that have been passed have spoken."""
    give(opened, sorted(photographs.glob("dots/*.png"))[:1])

    def move(event: int) -> dict[str, Any]:
        opened(f"""(() => {{ const slider = document.getElementById("live-time");
          slider.value = {event}; slider.dispatchEvent(new Event("input")); }})()""")
        shown: dict[str, Any] = opened(SHOWN)
        return shown

    assert move(0)["said"] == ["", "", ""]
    assert not move(0)["verdict"].strip()
    first = opened("exported.exit_steps[0]")
    assert move(first)["said"] == ["", "", ""]
    said = move(first + 1)["said"]
    assert said[0] in CLASSES
    assert "bytes held" in move(5)["moment"]


def test_a_run_is_played_until_it_leaves(opened: Any, photographs: Path) -> None:
    give(opened, sorted(photographs.glob("dots/*.png"))[:1])
    opened.hold_still(False)
    opened("live.select(live.photos[0])")
    end = opened("exported.exit_steps[live.photos[0].left] + 1")
    seen = []
    limit = time.monotonic() + PATIENCE_S
    while len(set(seen)) < 3:
        assert time.monotonic() < limit, seen
        seen.append(opened(SHOWN)["time"])
    assert seen == sorted(seen)
    assert seen[-1] < end
    opened("document.getElementById('live-play').click()")
    stopped = opened(SHOWN)["time"]
    assert not opened(SHOWN)["verdict"].strip()
    opened("new Promise((done) => setTimeout(done, 100))")
    assert opened(SHOWN)["time"] == stopped
    opened("document.getElementById('live-play').click()")
    while opened(SHOWN)["time"] < end:
        assert time.monotonic() < limit
        time.sleep(0.1)
    assert "left at exit" in opened(SHOWN)["verdict"]


def test_a_folder_named_after_a_class_says_what_is_right(opened: Any, photographs: Path) -> None:
    """Files from a folder carry their path; here it is written on by hand."""
    files = sorted(photographs.glob("*/*.png"))[:20]
    scratch = "{ type: 'file', id: 'scratch', multiple: '', hidden: '' }"
    opened(f"document.body.append(make('input', {scratch}))")
    opened.give("#scratch", files)
    folders = [file.parent.name for file in files]
    found = opened(f"""(async () => {{
      const files = [...document.getElementById("scratch").files], folders = {folders};
      await live.take(files.map((file, n) => ({{ file, folder: folders[n] }})));
      return {READ};
    }})()""")
    scores = np.array([one["scores"] for one in found]).reshape(len(found), -1, 3)
    taken = [scores[n, one["left"]].argmax() for n, one in enumerate(found)]
    right = sum(CLASSES[k] == one["folder"] for k, one in zip(taken, found, strict=True))
    assert opened(SHOWN)["figures"][0] == f"{100 * right / len(found):.1f}\u00a0%"
    ticks = "document.querySelectorAll('#live-cards .card.right').length"
    assert opened(ticks) == right


def test_the_policy_moves_them_all(opened: Any, photographs: Path) -> None:
    files = sorted(photographs.glob("*/*.png"))[::5]
    give(opened, files)
    opened("document.querySelector('#live-kinds input[value=full]').click()")
    assert {one["left"] for one in opened(READ)} == {2}
    assert opened(SHOWN)["figures"][0] == "0.0\u00a0%"
    opened("document.querySelector('#live-kinds input[value=confidence]').click()")
    opened("document.getElementById('live-setting').focus()")
    lefts = []
    for _ in range(4):
        opened.press("ArrowLeft", 14)
        lefts.append([one["left"] for one in opened(READ)])
    assert lefts == sorted(lefts, reverse=True)
    assert lefts[-1] != lefts[0]
    assert opened(SHOWN)["spec"].startswith("confidence:0.")


def test_the_camera_is_classified_frame_by_frame(opened: Any) -> None:
    """Chromium has a made-up camera; what is kept of it is a photograph like any other."""

    def wait(script: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not opened(script):
            assert time.monotonic() < end, (script, opened(SHOWN))
            time.sleep(0.05)

    opened("document.getElementById('live-camera').click()")
    wait("document.getElementById('live-name').textContent === 'the camera'")
    shown = opened(SHOWN)
    assert f"left at exit {shown['taken'] + 1} of 3" in shown["verdict"]
    assert shown["said"][shown["taken"] + 1 :] == ["not run"] * (2 - shown["taken"])
    opened("document.getElementById('live-keep').click()")
    wait("live.photos.length === 1")
    assert opened(SHOWN)["name"] == "camera 1"
    colours = opened("new Set(live.photos[0].pixels).size")
    assert colours > 10
    opened("document.getElementById('live-camera').click()")
    wait("document.getElementById('live-name').textContent === 'the camera'")
    opened("document.getElementById('live-camera').click()")
    assert opened(SHOWN)["name"] == "camera 1"


def test_what_cannot_be_read_is_named(opened: Any, photographs: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG no more")
    good = next(photographs.glob("dots/*.png"))
    opened.give("#live-files", [broken, good])
    end = time.monotonic() + PATIENCE_S
    while "broken.png" not in opened(SHOWN)["note"]:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert [one["name"] for one in opened(READ)] == [good.name]


@pytest.mark.parametrize("width", [360, 1280])
def test_it_never_scrolls_sideways(width: int, opened: Any, photographs: Path) -> None:
    opened.resize(width, 800)
    give(opened, sorted(photographs.glob("*/*.png"))[:5])
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert opened(f"new Promise((done) => setTimeout(() => done({wide}), 100))") == 0


def test_light_and_dark_are_painted_anew(opened: Any) -> None:
    def corner() -> int:
        script = """(() => {
          const pen = make("canvas").getContext("2d", { willReadFrequently: true });
          pen.drawImage(document.getElementById("live-bytes"), 0, 0);
          const [red, green, blue] = pen.getImageData(5, 40, 1, 1).data;
          return red + green + blue;
        })()"""
        brightness: int = opened(script)
        return brightness

    light = corner()
    opened.prefer("dark")
    opened("new Promise((done) => setTimeout(done, 50))")
    assert corner() < light


def test_a_report_carries_it(
    classifier: Any, photographs: Path, browser: Any, tmp_path: Path
) -> None:
    out = tmp_path / "report.html"
    classifier.report(photographs, out, live=True, thumbnails=4)
    browser.resize(1280, 900)
    browser.open(out)
    assert browser("live.ready") is True
    found = give(browser, sorted(photographs.glob("*/*.png"))[:2])
    assert len(found) == 2
    assert browser("document.getElementById('accuracy').value > 0")
    assert browser("new Set([...document.querySelectorAll('[id]')].map((one) => one.id)).size") == (
        browser("document.querySelectorAll('[id]').length")
    )
    assert browser.complaints == []
    assert browser.requests == []
