"""What `exeunt train` shows on a terminal."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, Task

from exeunt.training.terminal import TerminalProgress, _Times


def test_nothing_is_said_to_be_left_before_it_is_known() -> None:
    clock = [0.0]
    bar = Progress(console=Console(file=io.StringIO()), get_time=lambda: clock[0])
    bar.add_task("reading images", total=None)
    task: Task = bar.tasks[0]
    clock[0] = 5.0
    assert _Times().render(task).plain == "0:00:05"
    bar.update(task.id, total=40, completed=0)
    assert _Times().render(task).plain == "0:00:05"
    for second in (10, 20, 30):
        clock[0] = float(second)
        bar.update(task.id, completed=second / 5)
    assert _Times().render(task).plain == "15 %, 0:00:30, 0:02:50 left"


def test_lines_break_between_words_on_a_terminal() -> None:
    progress = TerminalProgress(Path("run"))
    progress.epochs = 40
    entry = {
        "epoch": 7,
        "seconds": 12.3,
        "data_wait": 0.02,
        "train_loss": [1.5],
        "calibration_accuracy": [k / 22 for k in range(1, 22)],
    }
    shown = []
    for terminal in (True, False):
        file = io.StringIO()
        progress.say_to(Console(file=file, width=100, force_terminal=terminal, highlight=False))
        progress.epoch(entry)
        shown.append(file.getvalue().splitlines())
    broken, whole = shown
    assert len(whole) == 1
    assert len(broken) > 1
    assert all(len(line) <= 100 for line in broken)
    assert " ".join(line.strip() for line in broken) == " ".join(whole[0].split(" ")).strip()
