"""The page in a browser: its numbers are those of replay, whoever moves what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from exeunt.calibrate import geometric_policies
from exeunt.evaluate import ExitTable, Outcome, confusion, replay, sweep, wilson
from exeunt.policies import Confidence, Consistency, Policy, parse_policy
from exeunt.report.document import write_report
from exeunt.report.gallery import choose, shrink
from exeunt.report.payload import payload

HOSTILE = "</script><img src=x onerror=document.title=0>"
CLASSES = ["cat", HOSTILE, "dog", "a class with quite a long name to it"]

# What the page shows for the policy that is chosen.
READ = """(() => {
  const value = (id) => { const it = document.getElementById(id); return it && Number(it.value); };
  const all = (query) => [...document.querySelectorAll(query)].map((it) => Number(it.value));
  return {
    accuracy: value("accuracy"), mae: value("mae"), rmse: value("rmse"),
    macs: value("macs"), saving: value("saving"),
    shares: all("#shares .share"),
    classes: all("#per-class .accuracy"), classMacs: all("#per-class .macs"),
    spec: document.getElementById("spec").textContent.replace("--policy ", ""),
    detail: document.querySelector("#figures .detail").textContent,
    cards: [...document.querySelectorAll(".leavers")].map((group) => [Number(group.dataset.exit),
      [...group.querySelectorAll(".card")].map((card) => Number(card.dataset.row))]),
  };
})()"""


def make_table(classes: int, split: str = "test", samples: int = 300) -> ExitTable:
    generator = torch.Generator().manual_seed(len(split))
    targets = torch.arange(samples) % max(classes, 2)
    noise = torch.randn(5, samples, classes, generator=generator).cumsum(dim=0)
    if classes > 1:
        noise += 2 * torch.nn.functional.one_hot(targets, classes)
    return ExitTable(
        logits=noise,
        targets=targets if classes > 1 else targets.float(),
        task="classification" if classes > 1 else "regression",
        exit_macs=(1_234_567, 2_000_000, 2_500_001, 4_000_000, 7_777_777),
        names=tuple(f"{HOSTILE}{row}.png" for row in range(samples)),
        split=split,
        weights_fingerprint="w",
        data_fingerprint="d",
    )


def write(path: Path, table: ExitTable, stored: Policy) -> Path:
    calibration = make_table(4, "calibration")
    rows = choose(replay(table, stored), table.targets, 40)
    rng = np.random.default_rng(0)
    page = payload(
        table,
        title=f"a net {HOSTILE}",
        summary="Measured.",
        class_names=CLASSES if table.task == "classification" else [],
        stored=stored,
        budgets=sweep(calibration, geometric_policies(calibration))
        if table.task == "classification"
        else [],
        thumbnails=shrink(
            table,
            rows,
            lambda _: Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)),
        ),
        facts=[("Model", [("name", HOSTILE), ("long", "x" * 300)])],
    )
    write_report(path, page)
    return path


@pytest.fixture(scope="module")
def classes() -> ExitTable:
    return make_table(4)


@pytest.fixture(scope="module")
def page(classes: ExitTable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("page") / "classes.html", classes, Confidence(0.85))


@pytest.fixture
def opened(browser: Any, page: Path) -> Any:
    """The page of four classes at 1280 pixels, in light colours, with the stored policy; loaded
    anew only where another is open, or where a test left the colours changed.
    """
    browser.resize(1280, 900)
    browser.prefer("light")
    if browser("location.href + document.documentElement.style.colorScheme") != page.as_uri():
        browser.open(page)
    browser("document.getElementById('back').click()")
    yield browser
    assert browser.complaints == []


def slide(browser: Any, kind: str, place: float) -> None:
    """Chooses a kind of policy, and moves the slider to a share of its length."""
    browser(f"""(() => {{
      document.querySelector('#kinds input[value="{kind}"]').click();
      const slider = document.getElementById("setting");
      slider.value = Math.round({place} * slider.max);
      slider.dispatchEvent(new Event("input"));
    }})()""")


def assert_shows(browser: Any, table: ExitTable) -> Outcome:
    """The page shows what replay gives for the policy that it names."""
    shown = browser(READ)
    outcome = replay(table, parse_policy(shown["spec"]))
    assert shown["macs"] == outcome.mean_macs
    assert shown["saving"] == outcome.saving
    assert shown["shares"] == list(outcome.exit_shares)
    if outcome.accuracy is None:
        assert shown["mae"] == pytest.approx(outcome.mae, rel=1e-12)
        assert shown["rmse"] == pytest.approx(outcome.rmse, rel=1e-12)
    else:
        assert shown["accuracy"] == outcome.accuracy
        found = confusion(table, outcome)
        assert shown["classes"] == found.accuracy.tolist()
        assert shown["classMacs"] == pytest.approx(found.mean_macs.tolist(), rel=1e-12)
    for k, rows in shown["cards"]:
        assert all(outcome.exit_index[row] == k for row in rows)
    return outcome


def test_it_opens_with_the_stored_policy(opened: Any, page: Path, classes: ExitTable) -> None:
    opened.open(page)
    outcome = assert_shows(opened, classes)
    assert outcome.policy == Confidence(0.85)
    low, high = wilson(round(outcome.accuracy * len(classes)), len(classes))  # type: ignore[operator]
    assert f"{100 * low:.1f} to {100 * high:.1f}" in opened(READ)["detail"]
    assert opened("document.images.length") > 20
    assert opened("[...document.images].every((image) => image.naturalWidth === 20)")


@pytest.mark.parametrize("kind", ["confidence", "margin", "entropy", "consistency", "budget"])
def test_the_slider_shows_what_replay_gives(kind: str, opened: Any, classes: ExitTable) -> None:
    seen = set()
    for place in (0, 0.3, 0.7, 0.9, 1):
        slide(opened, kind, place)
        outcome = assert_shows(opened, classes)
        seen.add((outcome.mean_macs, outcome.accuracy))
    assert len(seen) >= 4


def test_the_stored_policy_comes_back(opened: Any, classes: ExitTable) -> None:
    slide(opened, "entropy", 0.5)
    opened("document.getElementById('back').click()")
    assert assert_shows(opened, classes).policy == Confidence(0.85)


def test_values(browser: Any, tmp_path: Path) -> None:
    table = make_table(1)
    browser.open(write(tmp_path / "values.html", table, Consistency(2, eta=0.4)))
    assert assert_shows(browser, table).policy == Consistency(2, eta=0.4)
    for kind in ("consistency-1", "consistency-4"):
        for place in (0.2, 0.6):
            slide(browser, kind, place)
            assert_shows(browser, table)
    assert browser("document.getElementById('classes').hidden")
    assert browser.complaints == []


def test_the_keyboard_is_enough(opened: Any, classes: ExitTable) -> None:
    opened("document.getElementById('setting').focus()")
    opened.press("ArrowRight", 3)
    assert assert_shows(opened, classes).policy == Confidence(0.88)
    opened("document.querySelector('#kinds :checked').focus()")
    opened.press("ArrowRight")
    assert opened(READ)["spec"].startswith("margin:")
    opened("document.getElementById('chart').focus()")
    opened.press("ArrowRight", 2)
    spoken = opened("document.getElementById('readout-live').textContent")
    opened.press("Enter")
    outcome = assert_shows(opened, classes)
    assert f"{100 * outcome.accuracy:.1f}" in spoken  # type: ignore[operator]
    assert f"{outcome.mean_macs / 1e6:.2f}" in spoken
    opened.press("ArrowDown")
    opened.press("Enter")
    assert opened(READ)["spec"].startswith("entropy:")


def test_pointing_at_a_curve_gives_its_values(opened: Any, classes: ExitTable) -> None:
    x, y = opened("""(() => {
      const box = document.querySelector("#chart .alone circle").getBoundingClientRect();
      return [box.x + box.width / 2, box.y + box.height / 2];
    })()""")
    opened.point(x, y)
    tip = opened("document.querySelector('.tip:not([hidden])').textContent")
    assert f"{classes.exit_macs[0] / 1e6:.2f}" in tip


def test_light_and_dark(opened: Any) -> None:
    def paper() -> int:
        colour = opened("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour.strip("rgb()").split(","))

    assert paper() > 600
    opened.prefer("dark")
    assert paper() < 200
    opened("document.getElementById('theme').click()")
    assert paper() > 600


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_never_scrolls_sideways(width: int, opened: Any) -> None:
    opened.resize(width, 800)
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert opened(f"new Promise((done) => setTimeout(() => done({wide}), 100))") == 0


def test_a_phone_shows_where_classes_leave(opened: Any) -> None:
    """All columns and all bars lie inside the screen, bars as wide as it is."""
    opened.resize(390, 800)
    lies = """new Promise((done) => setTimeout(() => done(
      [...document.querySelectorAll('#per-class tbody td, #shares tbody td')].map((cell) =>
        [cell.getBoundingClientRect().left, cell.getBoundingClientRect().right])), 100))"""
    cells = opened(lies)
    assert all(0 <= left <= right <= 390 for left, right in cells)
    bars = "[...document.querySelectorAll('#per-class .depth')].map((bar) => bar.clientWidth)"
    assert all(width > 300 for width in opened(bars))


def test_hostile_names_are_shown_and_nothing_else(opened: Any) -> None:
    assert opened("document.title").startswith("a net </script>")
    assert opened("[...document.images].every((image) => image.src.startsWith('data:'))")
    assert HOSTILE in opened("document.getElementById('per-class').textContent")


def test_classes_sort(opened: Any, classes: ExitTable) -> None:
    opened("document.querySelectorAll('#per-class thead button')[2].click()")
    shown = opened(READ)["classes"]
    assert shown == sorted(shown, reverse=True)
    opened("document.querySelectorAll('#per-class thead button')[2].click()")
    assert opened(READ)["classes"] == sorted(shown)
