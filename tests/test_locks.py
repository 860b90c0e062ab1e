from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from exeunt import locks
from exeunt.errors import ExeuntError
from exeunt.locks import locked

HOLD = """
import sys
from pathlib import Path
from exeunt.locks import locked
with locked(Path(sys.argv[1]), "net"):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(file: Path) -> subprocess.Popen[str]:
    """A process that holds a lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_another_process_is_told_who_holds_it(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with hold(file) as process:
        said = rf"^net is in use by process {process.pid} on {platform.node()}, since 20..-.*\d$"
        for _ in range(2):
            with pytest.raises(ExeuntError, match=said), locked(file, "net"):
                pass
        process.communicate()
    with locked(file, "net"):
        pass
    assert not file.exists()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with hold(file) as process:
        process.kill()
        process.communicate()
    assert json.loads(file.read_text())["pid"] == process.pid
    with locked(file, "net"):
        assert json.loads(file.read_text())["pid"] == os.getpid()


def test_a_process_that_was_forked_does_not_keep_it(tmp_path: Path) -> None:
    """As those that load images: they outlive a killed parent for seconds."""
    file = tmp_path / "lock"
    reading, writing = os.pipe()
    with locked(file, "net"):
        child = os.fork()
        if not child:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
    with hold(file) as process:
        process.communicate()
    os.close(writing)
    os.close(reading)
    os.waitpid(child, 0)


def test_threads_take_turns(tmp_path: Path) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            with locked(tmp_path / "deep" / "lock", "net", patience_s=30):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    with (
        locked(tmp_path / "lock", "net"),
        pytest.raises(ExeuntError, match=f"{os.getpid()} on"),
        locked(tmp_path / "." / "lock", "net"),
    ):
        pass


def test_where_no_locks_are_kept_the_file_says_who_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "fcntl", None)
    file, me = tmp_path / "lock", {"pid": os.getppid(), "host": platform.node(), "since": "noon"}
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    for said, free in (
        (me, False),
        ({**me, "host": "elsewhere"}, False),
        ({**me, "pid": ended.pid}, True),
        ({}, True),
    ):
        file.write_text(json.dumps(said))
        if free:
            with locked(file, "net"):
                assert json.loads(file.read_text())["pid"] == os.getpid()
            assert not file.exists()
        else:
            who = f"{said['pid']} on {said['host']}, since noon"
            with pytest.raises(ExeuntError, match=who), locked(file, "net"):
                pass
    file.write_text(json.dumps({**me, "host": "elsewhere"}))
    gone = f"if that is gone, remove {file}$"
    with pytest.raises(ExeuntError, match=gone), locked(file, "net"):
        pass
