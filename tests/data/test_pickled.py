"""Pickles are read as plain data; whatever else they ask for is refused and never run."""

from __future__ import annotations

import io
import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest

from exeunt.data.pickled import Array, Raw, read_pickle, text
from exeunt.data.store import PlainFile
from exeunt.errors import ExeuntError

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 300), dtype=np.uint8)


def old_pickle(value: object) -> bytes:
    """What Python 2's cPickle and the numpy of 2009 wrote under protocol 2, opcode by opcode."""

    def part(value: object) -> bytes:
        if isinstance(value, bytes):
            if len(value) < 256:
                return b"U" + bytes([len(value)]) + value
            return b"T" + len(value).to_bytes(4, "little") + value
        if isinstance(value, int):
            return b"K" + bytes([value]) if value < 256 else b"M" + value.to_bytes(2, "little")
        if isinstance(value, list):
            return b"]q\x01(" + b"".join(map(part, value)) + b"e"
        if isinstance(value, dict):
            return b"}q\x02(" + b"".join(map(part, sum(value.items(), ()))) + b"u"
        assert isinstance(value, np.ndarray)
        return (
            b"cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87R"
            + b"(K\x01"
            + b"".join(map(part, value.shape))
            + b"\x86"
            + b"cnumpy\ndtype\nq\x05U\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN"
            + b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
            + b"\x89"
            + part(value.tobytes())
            + b"tb"
        )

    return b"\x80\x02" + part(value) + b"."


def stored(tmp_path: Path, content: bytes) -> PlainFile:
    (tmp_path / "file").write_bytes(content)
    return PlainFile(tmp_path / "file")


def check(store: PlainFile) -> Array:
    """Compare with what was meant: numbers, names, and an array."""
    found = read_pickle(store)
    assert list(found) == ["labels", "names", "data"]
    assert found["labels"] == [0, 255, 256, 7]
    assert [text(name) for name in found["names"]] == ["cat", "dog", "long" * 100]
    array = found["data"]
    assert array.shape == (4, 300)
    assert array.raw.content == PIXELS.tobytes()
    return array


OLD = {
    b"labels": [0, 255, 256, 7],
    b"names": [b"cat", b"dog", b"long" * 100],
    b"data": PIXELS,
}


def as_text(value: dict) -> dict:
    return {
        key.decode(): [name.decode() for name in part] if key == b"names" else part
        for key, part in value.items()
    }


def test_files_of_python_2(tmp_path):
    content = old_pickle(OLD)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy.core has another name by now
        oracle = pickle.loads(content, encoding="bytes")
    assert (oracle[b"data"] == PIXELS).all()
    assert oracle[b"names"] == OLD[b"names"]
    raw = check(stored(tmp_path, content)).raw
    assert content[raw.offset :][: len(raw)] == PIXELS.tobytes()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", [OLD, as_text(OLD)], ids=["bytes", "str"])
@pytest.mark.parametrize("writable", [True, False])
def test_files_of_python_3(tmp_path, protocol, value, writable):
    value[next(key for key in value if key in (b"data", "data"))] = pixels = PIXELS.copy()
    pixels.flags.writeable = writable
    content = pickle.dumps(value, protocol)
    raw = check(stored(tmp_path, content)).raw
    if protocol == 2:
        assert raw.offset is None
    else:
        assert content[raw.offset :][: len(raw)] == PIXELS.tobytes()


def test_numpy_before_its_second_version(tmp_path):
    content = pickle.dumps(as_text(OLD), 4)
    renamed = content.replace(b"\x16numpy._core.multiarray", b"\x15numpy.core.multiarray")
    assert len(renamed) == len(content) - 1
    frame = int.from_bytes(renamed[3:11], "little") - (len(content) - len(renamed))
    check(stored(tmp_path, renamed[:3] + frame.to_bytes(8, "little") + renamed[11:]))


class Malicious:
    def __init__(self, called: object, *arguments: object) -> None:
        self.reduced = (called, arguments)

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("attack", "name"),
    [
        (lambda mark: Malicious(os.mkdir, mark), r"\w+\.mkdir"),
        (lambda mark: Malicious(eval, f"__import__('os').mkdir({mark!r})"), r"\w+\.eval"),
        (lambda mark: Malicious(io.open, mark, "w"), r"_?io\.open"),
        (lambda mark: pickle.PickleBuffer, r"_?pickle\.PickleBuffer"),
    ],
)
def test_code_is_refused_and_not_run(tmp_path, protocol, attack, name):
    mark = str(tmp_path / "mark")
    content = pickle.dumps({"labels": [1], "data": [attack(mark)]}, protocol)
    with pytest.raises(ExeuntError, match=rf"refers to {name} at byte \d+.*was not executed"):
        read_pickle(stored(tmp_path, content))
    assert not Path(mark).exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02(ios\nsystem\nU\x04echo\x85R.", "INST at byte 3 is nothing that such a file"),
        (b"\x80\x02(cos\nsystem\nU\x04echoo.", "refers to os.system at byte 3"),
        (b"\x80\x02}U\x04echoQ.", "BINPERSID at byte"),
        (b"\x80\x02\x82\x01.", "EXT1 at byte 2"),
        (b"\x80\x02}}\x81.", "NEWOBJ at byte 4"),
        (b"\x80\x05\x97.", "NEXT_BUFFER at byte 2"),
        (b"\x80\x02}}b.", "a state of dict that is not known"),
        (b"\x80\x02}}R.", "a call of a dict that is not known"),
        (b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x05\0\0\0utf-8\x86R.", "that is not known"),
        (b"\x80\x02cnumpy\ndtype\nU\x02O8K\0K\1\x87R.", r"an array of O8 where one of u1 \(bytes"),
        (b"\x80\x02cnumpy\ndtype.", "not a whole pickle"),
        (b"(S'a'\nS'b'\nd.", "STRING at byte 1"),
        (b"\x80\x02K\x01.", "holds a int where a dict was expected"),
        (b"\x80\x02}]K\x01s.", "a list where a string was expected"),
        (b"\x80\x02U\x01aK\x01a.", "a Raw where a list was expected"),
        (b"\x80\x02]U\x01aK\x01s.", "a list where a dict was expected"),
        (b"\x80\x02}h\x01s.", "KeyError"),
        (b"\x80\x02e.", "IndexError"),
        (b"\x80\x02}(U\x01au.", "zip"),
        (b"\x80\x02.", "not enough values"),
        (b"\x80\x02}}.", "too many values"),
        (b"\x80\x02}", "pickle exhausted before seeing STOP"),
        (b"\x80\x02T\xff\xff\xff\x7fabc", "not a whole pickle"),
        (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7fabc", "not a whole pickle"),
        (b"\xff\xd8\xff\xe0 a picture", "not a whole pickle"),
        (b"", "not a whole pickle"),
    ],
)
def test_what_is_no_plain_data(tmp_path, content, message):
    with pytest.raises(ExeuntError, match=message):
        read_pickle(stored(tmp_path, content))


@pytest.mark.parametrize("change", [np.int16, np.asfortranarray, lambda a: a.astype(object)])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_other_arrays(tmp_path, protocol, change):
    content = pickle.dumps({"data": change(PIXELS)}, protocol)
    with pytest.raises(ExeuntError, match=r"u1|not known"):
        read_pickle(stored(tmp_path, content))


def test_array_of_the_wrong_size(tmp_path):
    content = old_pickle({b"data": PIXELS})
    wrong = content.replace(b"M" + (300).to_bytes(2, "little"), b"M" + (301).to_bytes(2, "little"))
    with pytest.raises(ExeuntError, match=r"shape \(4, 301\) that has 1200 bytes"):
        read_pickle(stored(tmp_path, wrong))


@pytest.mark.parametrize("end", range(0, 1700, 23))
def test_cut_off_anywhere(tmp_path, end):
    content = old_pickle(OLD)
    assert len(content) > 1700
    with pytest.raises(ExeuntError, match="not a whole pickle"):
        read_pickle(stored(tmp_path, content[:end]))


def test_raw_is_text_or_bytes():
    assert Raw("é", 0).content == Raw(b"\xe9", 0).content == b"\xe9"
    assert Raw("é", 0).text == Raw(bytearray(b"\xe9"), 0).text == "é"
    with pytest.raises(TypeError, match="a int where a string was expected"):
        text(3)
