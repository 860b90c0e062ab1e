"""Two workers of Ray on this machine: the same answers, one of them killed in the middle."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import exeunt
from exeunt.data import open_source
from exeunt.evaluate.splits import record_split
from exeunt.score.record import RecordElsewhere
from exeunt.trained import TrainedModel

ray = pytest.importorskip("ray")
pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="workers are looked for in /proc"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    source = Path(exeunt.__file__).parent.parent
    environment = {"env_vars": {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    yield
    ray.shutdown()


def rows(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("part-*.parquet"))
    return [row for file in files for row in parquet.ParquetFile(file).read().to_pylist()]


def actors() -> list[int]:
    """Processes of Ray's, started by this one, that do the work."""
    found, parents = [], {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            says = (place / "stat").read_text(encoding="utf-8", errors="replace")
            name = (place / "cmdline").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        parents[int(place.name)] = int(says.rpartition(")")[2].split()[1])
        if "MapWorker" in name:
            found.append(int(place.name))

    def ours(pid: int) -> bool:
        while pid > 1 and pid != os.getpid():
            pid = parents.get(pid, 0)
        return pid == os.getpid()

    return [pid for pid in found if ours(pid)]


def test_scores_are_those_of_this_process_though_a_worker_is_killed(
    weights: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(images.parent)  # what is named from here is found there too
    (images / "cut.png").write_bytes(b"\x89PNG\r\n")
    killed: list[int] = []

    def kill(done: int, total: int) -> None:
        if 0 < done < total and not killed and (found := actors()):
            os.kill(found[0], signal.SIGKILL)
            killed.extend(found)  # one is; both were at work

    try:
        expected = exeunt.score_images(weights, images.name, tmp_path / "here", block_size=2)
        found = exeunt.score_images(
            weights,
            images.name,
            tmp_path / "there",
            engine="ray",
            workers=2,
            block_size=2,
            on_progress=kill,
        )
    finally:
        (images / "cut.png").unlink()
    assert len(killed) == 2
    assert rows(tmp_path / "there") == rows(tmp_path / "here")
    assert (found.images, found.failures) == (31, 1)
    assert found.exit_shares == expected.exit_shares


def test_a_recording_is_byte_for_byte_that_of_this_process(
    weights: Path, images: Path, tmp_path: Path
) -> None:
    trained = TrainedModel.load(str(weights))
    samples = open_source(images).pools["all"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    record_split(trained, samples, "all", batch_size=3, workers=0, out=tmp_path / "here.exits")
    torch.set_num_threads(threads)
    elsewhere = RecordElsewhere(str(weights), samples, batch_size=3, engine="ray", workers=2)
    settings: dict[str, Any] = {"batch_size": 3, "workers": 0, "elsewhere": elsewhere}
    record_split(trained, samples, "all", out=tmp_path / "there.exits", **settings)
    assert (tmp_path / "there.exits").read_bytes() == (tmp_path / "here.exits").read_bytes()


def test_what_is_wrong_is_told_once(weights: Path, images: Path, tmp_path: Path) -> None:
    import pyarrow as pa

    content = [path.read_bytes() for path in sorted(images.rglob("*.png"))]
    path = tmp_path / "x.parquet"
    parquet.write_table(pa.table({"bytes": content}), path, row_group_size=4)

    def remove(done: int, total: int) -> None:
        path.unlink(missing_ok=True)

    with pytest.raises(exeunt.ExeuntError, match=r"x.parquet: not a whole parquet file"):
        exeunt.score_images(
            weights,
            path,
            tmp_path / "out",
            engine="ray",
            workers=1,
            block_size=4,
            on_progress=remove,
        )


def test_a_scorer_is_a_function_of_ray_data_as_it_is(weights: Path, images: Path) -> None:
    import ray.data

    files = [str(path) for path in sorted(images.rglob("*.png"))]
    scorer = exeunt.Scorer(weights, keep=["path"])
    expected = scorer({"path": [*files, "no.png"]})
    data = ray.data.from_items([{"path": file} for file in [*files, "no.png"]])
    found = {row["path"]: row for row in data.map_batches(scorer, batch_size=8).take_all()}
    for n, path in enumerate(expected["path"]):
        assert found[path]["label"] == expected["label"][n]
        assert found[path]["error"] == expected["error"][n]
