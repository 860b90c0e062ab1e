"""Parquet files and folders of `save_to_disk`, as Hugging Face `datasets` writes them."""

from __future__ import annotations

import io
import json
import os
import pickle
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exeunt.data import (
    SplitSpec,
    Transform,
    UnreadableImage,
    content_hash,
    eval_loader,
    make_splits,
    open_source,
)
from exeunt.errors import ExeuntError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (40, 6, 5, 3), dtype=np.uint8)
LABELS = [i % 2 for i in range(40)]


def as_png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


FILES = [as_png(pixels) for pixels in PIXELS]


def table(rows: slice, labels=LABELS, names=("dog", "cat"), column="image", wide=False):
    """A table of pyarrow, with the schema that `datasets` gives it."""
    pa = pytest.importorskip("pyarrow")
    binary = pa.large_binary() if wide else pa.binary()
    kind = pa.struct([("bytes", binary), ("path", pa.string())])
    images = [{"bytes": file, "path": f"{i}.png"} for i, file in enumerate(FILES)][rows]
    found = pa.table({column: pa.array(images, kind), "label": pa.array(labels[rows])})
    if not names:
        return found
    label = {"names": [*names], "_type": "ClassLabel"}
    features = {column: {"_type": "Image"}, "label": label}
    return found.replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )


def write_parquet(path: Path, found, **options) -> None:
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(found, path, **options)


def write_saved(folder: Path, found, files: int = 1, compression=None) -> None:
    """As `Dataset.save_to_disk`: Arrow streams, and which files they are."""
    import pyarrow as pa

    folder.mkdir(parents=True)
    names = [f"data-{i:05}-of-{files:05}.arrow" for i in range(files)]
    edges = np.linspace(0, found.num_rows, files + 1).astype(int)
    options = pa.ipc.IpcWriteOptions(compression=compression)
    for name, low, high in zip(names, edges[:-1], edges[1:], strict=True):
        with (
            pa.OSFile(str(folder / name), "wb") as file,
            pa.ipc.new_stream(file, found.schema, options=options) as stream,
        ):
            stream.write_table(found.slice(low, high - low), max_chunksize=4)
    state = {"_data_files": [{"filename": name} for name in names], "_split": None}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")


def parquet_file(root: Path) -> Path:
    write_parquet(root / "all.parquet", table(slice(40)), row_group_size=7)
    return root / "all.parquet"


def parquet_folder(root: Path) -> Path:
    for i in range(3):
        write_parquet(root / f"part-{i}.parquet", table(slice(14 * i, 14 * i + 14), wide=i == 1))
    return root


def saved(root: Path) -> Path:
    write_saved(root / "set", table(slice(40)), files=3)
    return root / "set"


def saved_wide(root: Path) -> Path:
    write_saved(root / "set", table(slice(40), column="img", wide=True))
    return root / "set"


@pytest.mark.parametrize("write", [parquet_file, parquet_folder, saved, saved_wide])
def test_every_image_is_found_where_it_lies(tmp_path, write):
    pytest.importorskip("pyarrow")
    source = open_source(write(tmp_path))
    assert (source.task, source.class_names) == ("classification", ("dog", "cat"))
    assert [*source.pools] == ["all"]
    assert [sample.name for sample in source.samples] == [f"{i:05}" for i in range(40)]
    assert [sample.target for sample in source.samples] == LABELS
    assert [sample.place.content() for sample in source.samples] == FILES
    assert all(sample.place.size_bytes == len(sample.place.content()) for sample in source.samples)
    sent = pickle.loads(pickle.dumps(source.samples))
    assert sent == source.samples
    (batch,) = eval_loader(sent, Transform((6, 5)), batch_size=40, workers=1)
    assert not batch.unreadable
    assert (np.asarray(sent[7].place.load()) == PIXELS[7]).all()


def hub(root: Path) -> Path:
    for split, rows in (("train", slice(30)), ("validation", slice(5)), ("test", slice(30, 40))):
        write_parquet(root / "data" / f"{split}-00000-of-00001.parquet", table(rows))
    return root


def in_folders(root: Path) -> Path:
    write_parquet(root / "train" / "0.parquet", table(slice(15)))
    write_parquet(root / "train" / "1.parquet", table(slice(15, 30)))
    write_parquet(root / "valid" / "0.parquet", table(slice(30, 40)))
    return root


def saved_dict(root: Path) -> Path:
    for split, rows in (("train", slice(30)), ("validation", slice(5)), ("test", slice(30, 40))):
        write_saved(root / "sets" / split, table(rows))
    splits = {"splits": ["train", "validation", "test"]}
    (root / "sets" / "dataset_dict.json").write_text(json.dumps(splits))
    return root / "sets"


@pytest.mark.parametrize(
    ("write", "left_out"),
    [
        (hub, "left out: 1 .parquet (data/validation-00000-of-00001.parquet)"),
        (in_folders, ""),
        (saved_dict, "left out: 1 unused split (validation)"),
    ],
)
def test_splits_of_the_dataset_and_of_the_same_in_python(tmp_path, write, left_out):
    pytest.importorskip("pyarrow")
    source = open_source(write(tmp_path))
    assert source.left_out.note == left_out
    pairs = [(pixels, ["dog", "cat"][label]) for pixels, label in zip(PIXELS, LABELS, strict=True)]
    splits = make_splits(source, SplitSpec())
    same = make_splits(open_source({"train": pairs[:30], "test": pairs[30:]}), SplitSpec())
    assert [sample.place.content() for sample in splits.test] == FILES[30:]
    for name in ("train", "calibration", "test"):
        assert [sample.name for sample in splits[name]] == [sample.name for sample in same[name]]
        for one, other in zip(splits[name], same[name], strict=True):
            assert (np.asarray(one.place.load()) == np.asarray(other.place.load())).all()


def test_bytes_alone_and_labels_of_other_kinds(tmp_path):
    pa = pytest.importorskip("pyarrow")
    for labels, names, first in (
        ([f"class {i % 2}" for i in range(40)], ("class 0", "class 1"), 0),
        ([i / 4 + 1 for i in range(40)], (), 1.0),
    ):
        write_parquet(tmp_path / "a.parquet", pa.table({"image": FILES, "label": labels}))
        source = open_source(tmp_path / "a.parquet")
        assert (source.class_names, source.samples[0].target) == (names, first)
        assert source.samples[3].place.content() == FILES[3]


def test_a_file_that_was_replaced_is_read_anew(tmp_path):
    pytest.importorskip("pyarrow")
    before = open_source(parquet_file(tmp_path)).samples[0]
    first = content_hash(before.place)
    write_parquet(tmp_path / "all.parquet", table(slice(20, 40)))
    os.utime(tmp_path / "all.parquet", (1, 1))
    assert open_source(tmp_path / "all.parquet").samples[0].place.content() == FILES[20]
    assert content_hash(open_source(tmp_path / "all.parquet").samples[0].place) != first


def test_damaged_files_and_other_columns(tmp_path):
    pa = pytest.importorskip("pyarrow")
    cases = [
        (
            pa.table({"picture": FILES, "label": LABELS}),
            "has 'picture', 'label', but none of 'image'",
        ),
        (pa.table({"image": FILES, "class": LABELS}), "none of 'label'"),
        (pa.table({"image": LABELS, "label": LABELS}), "column image is of int64; it must hold"),
        (
            pa.table({"image": [*FILES[:5], None], "label": LABELS[:6]}),
            "row 5: no bytes of an image",
        ),
        (
            pa.table({"image": FILES[:2], "label": [0, None]}),
            "row 1: the label must be .* not None",
        ),
        (pa.table({"image": FILES[:2], "label": [0.5, float("nan")]}), "not nan"),
        (pa.table({"image": FILES[:2], "label": [0, -1]}), "item 1: label -1 is below 0"),
        (table(slice(2)).slice(0, 0), "no images"),
        (table(slice(40), [5] * 40), "label 5 is none of the 2 classes"),
    ]
    for found, message in cases:
        write_parquet(tmp_path / "a.parquet", found)
        with pytest.raises(ExeuntError, match=rf"a\.parquet(?!: not a whole).*{message}"):
            open_source(tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ExeuntError, match=r"a\.parquet: not a whole parquet file"):
        open_source(tmp_path / "a.parquet")


def test_damaged_folders_of_save_to_disk(tmp_path):
    pytest.importorskip("pyarrow")
    write_saved(tmp_path / "squeezed", table(slice(40)), compression="zstd")
    with pytest.raises(ExeuntError, match=r"arrow: its images are compressed"):
        open_source(tmp_path / "squeezed")
    root = saved(tmp_path)
    file = root / "data-00001-of-00003.arrow"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ExeuntError, match=r"data-00001-of-00003\.arrow: not a whole Arrow file"):
        open_source(root)
    file.unlink()
    with pytest.raises(ExeuntError, match=r"data-00001-of-00003\.arrow: there is no such file"):
        open_source(root)
    for entry in ('{"filename": "../set/data-00000-of-00003.arrow"}', '{"name": "a"}', "3"):
        (root / "state.json").write_text('{"_data_files": [' + entry + "]}")
        with pytest.raises(ExeuntError, match=r"state\.json: .* names no file beside it"):
            open_source(root)
    (root / "state.json").write_text('{"_data_files": 3}')
    with pytest.raises(ExeuntError, match=r"state\.json: has no list '_data_files'"):
        open_source(root)


def test_too_much_for_the_memory_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("exeunt.data.arrow.MAX_UNPACKED_BYTES", 1 << 10)
    with pytest.raises(ExeuntError, match=r"GiB of parquet files; .*save_to_disk"):
        open_source(parquet_file(tmp_path))


def test_without_pyarrow_it_is_asked_for(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ExeuntError, match=r"a\.parquet: .* pip install 'exeunt\[parquet\]'"):
        open_source(tmp_path / "a.parquet")


@pytest.mark.parametrize("write", [parquet_file, saved])
def test_no_damage_does_more_than_an_error(tmp_path, write):
    pytest.importorskip("pyarrow")
    data = write(tmp_path)
    file = data if data.is_file() else data / "data-00000-of-00003.arrow"
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    refused = []
    for _ in range(150):
        content = bytearray(whole)
        for at in rng.integers(0, len(whole), 8):
            content[at] = rng.integers(256)
        file.write_bytes(content)
        try:
            samples = open_source(data).samples
        except ExeuntError as error:
            refused.append(str(error))
            continue
        for sample in samples:
            with suppress(UnreadableImage):
                sample.place.load()
    assert len(refused) > 20
    assert all(message.startswith(str(data)) for message in refused)
