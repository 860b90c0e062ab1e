"""Reading from files, and from what compressed files unpack to."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
from pathlib import Path

import pytest

from exeunt.data import store
from exeunt.data.store import Gunzipped, PlainFile, members_of_tar_gz, read
from exeunt.errors import ExeuntError

CONTENT = bytes(range(256)) * 40


def write_tar_gz(path: Path, **files: bytes) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"folder/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def stores(tmp_path) -> list:
    (tmp_path / "plain").write_bytes(CONTENT)
    (tmp_path / "a.gz").write_bytes(gzip.compress(CONTENT))
    members = members_of_tar_gz(write_tar_gz(tmp_path / "a.tar.gz", x=CONTENT, y=b"other"))
    assert list(members) == ["x", "y"]
    return [PlainFile(tmp_path / "plain"), Gunzipped(tmp_path / "a.gz"), members["x"]]


def test_parts_and_the_whole(stores, tmp_path):
    for one in stores:
        assert read(one) == CONTENT
        assert read(one, 300, 5) == CONTENT[300:305]
        assert read(one, 10_000) == CONTENT[10_000:]
        assert pickle.loads(pickle.dumps(one)) == one
        with pytest.raises(ExeuntError, match=f"{one}: ends before byte 10241"):
            read(one, 10_239, 2)
    assert [str(one) for one in stores] == [
        str(tmp_path / name) for name in ("plain", "a.gz", "a.tar.gz/x")
    ]


def test_unpacked_once_and_again_when_changed(stores, tmp_path, monkeypatch):
    opened = []
    real = gzip.open
    monkeypatch.setattr(gzip, "open", lambda path: opened.append(path) or real(path))
    zipped = stores[1]
    read(zipped, 1, 1)
    read(zipped, 2, 1)
    assert len(opened) == 1
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"new"))
    assert read(zipped) == b"new"


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-20])
    return path


def test_damaged_archives(tmp_path):
    noise = bytes(i * i % 251 for i in range(5000))
    (tmp_path / "a.gz").write_bytes(gzip.compress(noise))
    with pytest.raises(ExeuntError, match=r"a\.gz: not a whole gzip file"):
        read(Gunzipped(cut(tmp_path / "a.gz")))
    (tmp_path / "b.gz").write_bytes(noise)
    with pytest.raises(ExeuntError, match=r"b\.gz: not a whole gzip file"):
        read(Gunzipped(tmp_path / "b.gz"))
    for path in (cut(write_tar_gz(tmp_path / "a.tar.gz", x=noise)), tmp_path / "b.gz"):
        with pytest.raises(ExeuntError, match=f"{path.name}: not a whole .tar.gz file"):
            members_of_tar_gz(path)


def test_bombs_are_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "MAX_UNPACKED_BYTES", 1000)
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(1001)))
    with pytest.raises(ExeuntError, match=r"a\.gz: unpacks to more than .* unpack it and give"):
        read(Gunzipped(tmp_path / "a.gz"))
    write_tar_gz(tmp_path / "a.tar.gz", x=bytes(600), y=bytes(600))
    with pytest.raises(ExeuntError, match=r"a\.tar\.gz: unpacks to more than"):
        members_of_tar_gz(tmp_path / "a.tar.gz")
