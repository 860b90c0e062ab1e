"""Batches as other libraries make them."""

from __future__ import annotations

from pathlib import Path

import pytest

import exeunt


@pytest.fixture(scope="module")
def files(images: Path) -> list[str]:
    return [str(path) for path in sorted(images.rglob("*.png"))]


def test_datasets_map(weights: Path, files: list[str], tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    scorer = exeunt.Scorer(weights, threads=1)
    data = datasets.Dataset.from_dict({"path": [*files, "no.png"]})
    found = data.map(scorer, batched=True, batch_size=8, num_proc=2)
    expected = scorer({"path": [*files, "no.png"]})
    assert found["path"] == [*files, "no.png"]
    assert list(found["label"]) == expected["label"]
    assert list(found["error"]) == expected["error"]


def test_frames_of_pandas_as_spark_has_them(weights: Path, files: list[str]) -> None:
    pandas = pytest.importorskip("pandas")
    scorer = exeunt.Scorer(weights, keep=["id"])

    def score(frames):  # type: ignore[no-untyped-def]
        for frame in frames:
            yield pandas.DataFrame(scorer(frame.to_dict("list")))

    content = [Path(file).read_bytes() for file in files]
    frame = pandas.DataFrame({"bytes": [*content, None], "id": range(31)})
    found = pandas.concat(score([frame[:20], frame[20:]]))
    expected = scorer({"bytes": [*content, None], "id": range(31)})
    assert found["id"].tolist() == list(range(31))
    assert found["label"].tolist() == expected["label"]
    assert found["error"].tolist()[-1] == "an image: there is none"


def test_daft(weights: Path, files: list[str]) -> None:
    daft = pytest.importorskip("daft")
    scorer = exeunt.Scorer(weights)

    @daft.func.batch(return_dtype=daft.DataType.string())  # type: ignore[untyped-decorator]
    def label(path: daft.Series) -> list[str]:
        return scorer({"path": path.to_pylist()})["label"]

    data = daft.from_pydict({"path": files})
    found = data.with_column("label", label(daft.col("path"))).to_pydict()
    assert found["label"] == scorer({"path": files})["label"]
