"""Whether a page says what Python and C say of the same images, and how long it takes.

    python benchmarks/web.py rex_mobilenetv2_075.imagenette imagenette128 [--limit 1000]

Exports in int8, as `exeunt export --target web` does, and opens the page in Chromium without a
window. Of the test images the page, Python's integer reference and the C compiled for this machine
are asked for every exit; then the files themselves are given to the page and to Pillow.
Photographs of any kind are compared, too: `--files photos/*.jpg`. `--plain` compiles the loops in
plain C instead of those for vectors. Needs chromium, clang and lld.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exeunt.data import as_data, load_image
from exeunt.evaluate.splits import open_labelled, select_samples
from exeunt.export.c import CModel, Int8, build_host, run_host, write_c
from exeunt.export.c.export import COptions, model_in_c
from exeunt.export.calibration import CalibrationImages, PolicyOptions
from exeunt.export.web.page_part import live_page, page_part
from exeunt.export.web.wasm import PREFIX, build_wasm
from exeunt.quantize import run_quantized
from exeunt.trained import TrainedModel

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "pages"))
from browser import Browser, find_browser

BATCH = 25

RUN = """(() => {
  const pixels = Uint8Array.from(atob("%s"), (character) => character.charCodeAt(0));
  const found = [];
  for (let at = 0; at < pixels.length; at += %d) {
    const { left, scores } = program.run(pixels.subarray(at, at + %d));
    found.push([left, ...scores]);
  }
  return found;
})()"""
TIME = """(() => {
  const pixels = Uint8Array.from(atob("%s"), (character) => character.charCodeAt(0));
  return program.time(pixels, true);
})()"""
DECODE = """Promise.all([...document.getElementById("bench").files].map(async (file) => {
  const pixels = await photographs.pixelsOf(file, exported.transform);
  return btoa(Array.from(pixels, (byte) => String.fromCharCode(byte)).join(""));
}))"""


def batches(items: Any) -> Iterator[Any]:
    """`BATCH` of them at a time."""
    for first in range(0, len(items), BATCH):
        yield items[first : first + BATCH]


def compare_scores(browser: Browser, model: CModel, pixels: np.ndarray, folder: Path) -> None:
    """Prints how many images (N, H, W, C) have the very scores, and leave where they should."""
    numbers = model.numbers
    assert isinstance(numbers, Int8)
    size, exits = pixels[0].size, len(model.plan.graph.stages)
    found: list[list[int]] = []
    scores: list[torch.Tensor] = []
    for some in batches(pixels):
        text = base64.b64encode(some.tobytes()).decode()
        found += browser(RUN % (text, size, size))
        inputs = torch.stack([model.transform.normalise_pixels(image) for image in some])
        scores.append(torch.stack(run_quantized(numbers.quantized, inputs), 1))
    page = torch.tensor(found)
    reference = torch.cat(scores)
    where, _ = numbers.leaving.leave(list(reference.unbind(1)))
    same = (page[:, 1:].reshape(reference.shape) == reference).flatten(1).all(1)
    left = page[:, 0] == where
    (folder / "images.raw").write_bytes(pixels.tobytes())
    build_host(folder / PREFIX, folder / "program", ("-O3",))
    host = torch.tensor(
        [
            [int(s) for s in answer.scores]
            for answer in run_host(folder / "program", folder / "images.raw")
        ]
    )
    by_c = (host.reshape(reference.shape) == reference).flatten(1).all(1)
    print(f"{len(pixels)} images, {exits} exits, {reference[0].numel()} scores each")
    print(f"  all scores in the page are those of Python's integers: {int(same.sum())}")
    print(f"  all scores of the C on this machine are: {int(by_c.sum())}")
    print(f"  leave at the same exit: {int(left.sum())}")
    times = np.array(
        [browser(TIME % base64.b64encode(image.tobytes()).decode()) for image in pixels[:BATCH]]
    )
    print(f"  milliseconds in the page to the last exit: {times.min():.1f} to {times.max():.1f}")


def compare_files(browser: Browser, model: CModel, files: Sequence[Path]) -> None:
    """Prints how far the page's pixels are from Python's, by kind of file."""
    browser("document.body.append(make('input', { type: 'file', id: 'bench', multiple: '' }))")
    kinds: dict[str, list[np.ndarray]] = {}
    for some in batches(files):
        browser.give("#bench", some)
        for file, text in zip(some, browser(DECODE), strict=True):
            mine = np.frombuffer(base64.b64decode(text), np.uint8).astype(int)
            wanted = np.asarray(model.transform.pixels(load_image(file))).ravel()
            kinds.setdefault(file.suffix.lower(), []).append(np.abs(mine - wanted))
    for kind, found in sorted(kinds.items()):
        far = np.stack(found)
        same = int((far.max(1) == 0).sum())
        print(f"{kind}: {same} of {len(far)} files have the very pixels;", end=" ")
        print(f"{(far > 0).mean():.3%} of all numbers differ, by at most {far.max()}")


def main() -> None:
    """Prints all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--files", type=Path, nargs="*", default=())
    parser.add_argument("--plain", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    program = find_browser()
    if program is None:
        sys.exit("no Chromium is installed")
    trained = TrainedModel.load(asked.run)
    data = as_data(asked.data)
    images = CalibrationImages(trained, data, None, 8, 0)
    as_c = COptions("int8", "mse", PREFIX, None)
    wanted = PolicyOptions(None, None, None)
    model = model_in_c(asked.run, trained, images, wanted, as_c, PREFIX)
    samples = select_samples(trained, open_labelled(trained, data), "test", asked.limit)
    photographs = [*(s.place.load() for s in samples), *map(load_image, asked.files)]
    pixels = np.stack([np.asarray(model.transform.pixels(image)) for image in photographs])
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        folder = Path(place)
        report = write_c(model, folder / PREFIX)
        flags = ("-DEXN_PLAIN",) if asked.plain else ()
        build_wasm(folder / PREFIX, "int8", len(report["nodes"]), folder / "net.wasm", flags)
        page = folder / "page.html"
        part = page_part(model, report, (folder / "net.wasm").read_bytes())
        page.write_text(live_page(asked.run, part), encoding="utf-8")
        browser = Browser(program, folder / "home")
        try:
            browser.start()
            browser.open(page)
            assert browser("live.ready") is True
            compare_scores(browser, model, pixels, folder)
            files = [path for sample in samples if (path := getattr(sample.place, "path", None))]
            compare_files(browser, model, [*files, *asked.files])
            print(json.dumps({"complaints": browser.complaints, "requests": browser.requests}))
        finally:
            browser.close()


if __name__ == "__main__":
    main()
