"""How far long work has come: a bar on a terminal or in a notebook, or a call for each step."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.progress import Progress

OnProgress = Callable[[int, int], None]
"""Called with the steps that are done and how many there are."""


class Bar:
    """A bar that goes away at the end; quiet where stderr is a file or a pipe. A context manager.

    Args:
        doing: what is being done, in a few words.
        total: steps.
        on_progress: called after every step in place of the bar.
    """

    def __init__(self, doing: str, total: int, on_progress: OnProgress | None = None) -> None:
        console = Console(stderr=True)
        shown = on_progress is None and (console.is_terminal or console.is_jupyter)
        self._bar = Progress(console=console, transient=True, disable=not shown)
        self._task = self._bar.add_task(doing, total=total)
        self._on_progress = on_progress
        self.done, self.total = 0, total

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def advance(self, steps: int = 1) -> None:
        """Says that so many more steps are done."""
        self.done += steps
        self._bar.update(self._task, completed=self.done)
        if self._on_progress is not None:
            self._on_progress(self.done, self.total)

    def say(self, doing: str) -> None:
        """Says what is being done now."""
        self._bar.update(self._task, description=doing)
