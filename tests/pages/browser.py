"""A browser without a window, spoken to through a pipe."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_S = 120
KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Enter": 13, "Tab": 9}


class Browser:
    """One page of Chromium, over its DevTools protocol: messages that end in a zero byte.

    Attributes:
        complaints: What the console and the page's scripts complained of since the last `open`.
        requests: What the page asked for since then, but itself and what it carries in data URIs.
    """

    def __init__(self, program: str, home: Path) -> None:
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        # Chromium reads from descriptor 3 and writes to 4; from where ours cannot be in the way.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (commands, answers)]
        options = ("headless", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "no-first-run")
        options += ("remote-debugging-pipe", "disable-background-networking")
        options += ("use-fake-device-for-media-stream", "use-fake-ui-for-media-stream")  # a camera
        options += (f"user-data-dir={home}",)
        nowhere = [(os.POSIX_SPAWN_OPEN, out, os.devnull, os.O_WRONLY, 0) for out in (1, 2)]
        self._process = os.posix_spawn(
            program,
            [program, *(f"--{option}" for option in options)],
            os.environ,
            file_actions=[
                *nowhere,
                *((os.POSIX_SPAWN_DUP2, end, 3 + i) for i, end in enumerate(ends)),
            ],
        )
        for end in (commands, answers, *ends):
            os.close(end)
        self._pending, self._sent, self._session = b"", 0, ""
        self._lifecycle: set[tuple[str, str]] = set()
        self._media: dict[str, str] = {}
        self.complaints: list[str] = []
        self.requests: list[str] = []

    def start(self) -> None:
        """Waits for the browser, and makes the page."""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        self._call("Page.setLifecycleEventsEnabled", enabled=True)

    def open(self, file: Path) -> None:
        """Loads a file and waits until its scripts have run."""
        self.complaints.clear()
        self.requests.clear()
        loader = self._call("Page.navigate", url=file.as_uri())["loaderId"]
        while (loader, "load") not in self._lifecycle:
            self._note(self._receive())

    def __call__(self, script: str) -> Any:
        """What a piece of JavaScript evaluates to; promises are waited for."""
        answer = self._call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str, times: int = 1) -> None:
        """Presses a key that has a name."""
        text = {"Enter": {"text": "\r"}}.get(key, {})
        for _ in range(times):
            for kind in ("keyDown", "keyUp"):
                code = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
                self._call(
                    "Input.dispatchKeyEvent",
                    type=kind,
                    **code,
                    **(text if kind == "keyDown" else {}),
                )

    def point(self, x: float, y: float) -> None:
        """Moves the pointer, in CSS pixels of the window."""
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def resize(self, width: int, height: int) -> None:
        """Makes the window that large, in CSS pixels."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def prefer(self, scheme: str) -> None:
        """Has the reader's system prefer "light" or "dark"."""
        self._media["prefers-color-scheme"] = scheme
        self._emulate()

    def hold_still(self, still: bool = True) -> None:
        """Has the reader's system prefer less motion, or not."""
        self._media["prefers-reduced-motion"] = "reduce" if still else "no-preference"
        self._emulate()

    def _emulate(self) -> None:
        features = [{"name": name, "value": value} for name, value in self._media.items()]
        self._call("Emulation.setEmulatedMedia", features=features)

    def give(self, selector: str, files: Sequence[Path]) -> None:
        """Chooses files, as a reader does in a dialogue."""
        document = self._call("DOM.getDocument")["root"]["nodeId"]
        node = self._call("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
        self._call(
            "DOM.setFileInputFiles", nodeId=node, files=[str(file.resolve()) for file in files]
        )

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Writes what the window shows as a PNG, or the whole page."""
        shot = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """Ends the browser."""
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._commands)
        os.close(self._answers)

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._sent:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._pending:
            if not select.select([self._answers], [], [], PATIENCE_S)[0]:
                raise TimeoutError("the browser does not answer")
            chunk = os.read(self._answers, 1 << 16)
            if not chunk:
                raise ConnectionError("the browser has gone")
            self._pending += chunk
        message, self._pending = self._pending.split(b"\0", 1)
        found: dict[str, Any] = json.loads(message)
        return found

    def _note(self, event: dict[str, Any]) -> None:
        parameters = event.get("params", {})
        if event["method"] == "Page.lifecycleEvent":
            self._lifecycle.add((parameters["loaderId"], parameters["name"]))
        elif event["method"] == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"]))
        elif event["method"] == "Runtime.consoleAPICalled":
            self.complaints.append(json.dumps(parameters["args"]))
        elif event["method"] == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])
        elif event["method"] == "Network.requestWillBeSent" and parameters["type"] != "Document":
            url = parameters["request"]["url"]
            self.requests += [] if url.startswith("data:") else [url]


def find_browser() -> str | None:
    """The program, if one is installed."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)
