"""Weights on the Hugging Face Hub, for which a server of this test stands in."""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import exeunt
from exeunt.cli import app
from exeunt.data import Transform
from exeunt.report.hub import hub_card

pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of its own


class StandIn(ThreadingHTTPServer):
    """As much of the Hub as uploads in one commit and downloads of a file need.

    Attributes:
        files: content by repository and name.
        stored: large files that were uploaded, by their hash.
        asked: methods and paths, in order.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.stored: dict[str, bytes] = {}
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def tell(self, value: Any, status: int = 200) -> None:
        self.answer(status, json.dumps(value).encode(), Content_Type="application/json")

    def do_PUT(self) -> None:
        self.server.asked.append(f"PUT {self.path}")
        content = self.body()
        key = self.path.removeprefix("/store/")
        assert hashlib.sha256(content).hexdigest() == key
        self.server.stored[key] = content
        self.answer(200)

    def do_POST(self) -> None:
        self.server.asked.append(f"POST {self.path}")
        content = self.body()
        if self.path == "/api/repos/create":
            says = json.loads(content)
            name = f"{says['organization']}/{says['name']}"
            if says["organization"] == "others":
                return self.tell({"error": "You don't have the rights"}, 403)
            there = name in self.server.files
            self.server.files.setdefault(name, {})
            self.server.private.setdefault(
                name, bool(says.get("private") or says.get("visibility") == "private")
            )
            address = f"{self.server.address}/{name}"
            return self.tell({"url": address, "name": name}, 409 if there else 200)
        if self.path == "/api/validate-yaml":
            return self.tell({"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            files = json.loads(content)["files"]
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in files
            ]
            return self.tell({"files": modes})
        if self.path.endswith("/info/lfs/objects/batch"):
            objects = [
                {
                    **one,
                    "actions": {"upload": {"href": f"{self.server.address}/store/{one['oid']}"}},
                }
                for one in json.loads(content)["objects"]
            ]
            return self.tell({"transfer": "basic", "objects": objects})
        if "/commit/" in self.path:
            name = "/".join(self.path.split("/")[3:5])
            for line in content.splitlines():
                entry = json.loads(line)
                value = entry["value"]
                if entry["key"] == "file":
                    self.server.files[name][value["path"]] = base64.b64decode(value["content"])
                elif entry["key"] == "lfsFile":
                    self.server.files[name][value["path"]] = self.server.stored[value["oid"]]
            url = f"{self.server.address}/{name}/commit/{'a' * 40}"
            return self.tell({"commitUrl": url, "commitOid": "a" * 40, "success": True})
        return self.tell({"error": "not here"}, 404)

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        parts = self.path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:  # which older clients ask about
            name = "/".join(parts[2:4])
            if name not in self.server.files:
                return self.answer(404, X_Error_Code="RepoNotFound")
            return self.tell({"id": name, "xetEnabled": False})
        name = "/".join(parts[:2])
        if len(parts) < 5 or parts[2] != "resolve":
            return self.tell({"error": "not here"}, 404)
        if name not in self.server.files:
            return self.answer(404, X_Error_Code="RepoNotFound")
        if parts[3] not in ("main", "a" * 40):
            return self.answer(404, X_Error_Code="RevisionNotFound")
        file = "/".join(parts[4:])
        if file not in self.server.files[name]:
            return self.answer(404, X_Error_Code="EntryNotFound")
        content = self.server.files[name][file]
        etag = hashlib.sha256(content).hexdigest()
        says = {"X_Repo_Commit": "a" * 40, "ETag": f'"{etag}"'}
        return self.answer(200, content, Content_Length=str(len(content)), **says)

    do_HEAD = do_GET  # noqa: N815


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    server = StandIn()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_test")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def clf() -> exeunt.Classifier:
    torch.manual_seed(0)
    net = exeunt.create_model("mobilenetv2_035", num_classes=2)
    made = exeunt.Classifier(
        net,
        transform=Transform((32, 32)),
        class_names=["cat", 'dog: "big"'],
        policy="confidence:0.9",
        data_name="pets",
    )
    exits = [{"accuracy": 0.5 + 0.0625 * k} for k in range(6)]
    policy = {"spec": "confidence:0.9", "accuracy": 0.75, "saving": 0.25}
    made.info.metrics["test"] = {"samples": 1234, "exits": exits, "policy": policy}
    return made


def test_what_was_pushed_is_loaded(hub: StandIn, clf: exeunt.Classifier, tmp_path: Path) -> None:
    address = clf.push("someone/pets", private=True)
    assert address == f"{hub.address}/someone/pets"
    assert hub.private == {"someone/pets": True}
    assert sorted(hub.files["someone/pets"]) == ["README.md", "model.safetensors"]
    again = exeunt.load("hf:someone/pets")
    assert again.info == clf.info
    for name, tensor in clf.net.state_dict().items():
        assert torch.equal(tensor, again.net.state_dict()[name])
    assert not [line for line in hub.asked if line.startswith("GET") and "README" in line]
    clf.push("hf:someone/pets")  # over what is there
    hub.asked.clear()
    exeunt.load(f"hf:someone/pets@{'a' * 40}")
    assert not [line for line in hub.asked if line.startswith("GET")]  # the cache has it


def test_the_command_line(hub: StandIn, clf: exeunt.Classifier, tmp_path: Path) -> None:
    clf.save(tmp_path / "w.safetensors")

    def run(*words: object) -> Any:
        return CliRunner().invoke(app, [str(word) for word in words])

    pushed = run("push", tmp_path / "w.safetensors", "someone/pets")
    assert pushed.stdout == f"{hub.address}/someone/pets\n", pushed.output
    assert run("pull", "someone/pets", "--out", tmp_path / "p.safetensors").exit_code == 0
    assert (tmp_path / "p.safetensors").read_bytes() == (tmp_path / "w.safetensors").read_bytes()
    told = run("info", "hf:someone/pets")
    assert "mobilenetv2_035" in told.stdout or "pets" in told.stdout
    missing = run("info", "hf:someone/nothing")
    assert missing.exit_code == 2
    assert "there is no such repository" in missing.stderr


def test_the_card_says_what_the_network_is_worth_and_costs(clf: exeunt.Classifier) -> None:
    card = hub_card(clf.trained, "pets", "someone/pets")
    front = card.split("---\n")[1]
    values = {
        line.split(": ", 1)[0]: json.loads(line.split(": ", 1)[1]) for line in front.splitlines()
    }
    assert (values["library_name"], values["pipeline_tag"]) == ("exeunt", "image-classification")
    (result,) = values["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "accuracy", "value": 0.75}]
    rows = [line.strip("| ").split(" | ") for line in card.splitlines() if line.startswith("| ")]
    assert rows[0] == ["exit", "accuracy", "multiply-adds", "RAM", "flash"]
    costs = clf.profile(conventions=["streamed"], dtypes=["int8"])
    memory = costs.memory("streamed", "int8")
    for k, row in enumerate(rows[2:]):
        assert row[:3] == [
            *(str(k + 1), f"{50 + 6.25 * k:.1f} %"),
            f"{clf.exit_macs[k] / 1e6:.2f} M",
        ]
        assert row[3] == f"{memory.exit_bytes[k] / 1024:.1f} KiB"
    count = sum(p.numel() for p in clf.net.parameters())
    assert rows[-1][4] == f"{count / 1024:.1f} KiB"
    assert "1,234 images; with `confidence:0.9` 75.0 %, 25.0 % of the multiply-adds saved" in card
    assert 'exeunt.load("hf:someone/pets")' in card


def test_the_front_matter_is_yaml(clf: exeunt.Classifier) -> None:
    yaml = pytest.importorskip("yaml")
    card = hub_card(clf.trained, "pets", "someone/pets")
    assert yaml.safe_load(card.split("---\n")[1])["tags"][0] == "exeunt"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("hf:someone/nothing", "there is no such repository, or it is not yours"),
        ("hf:someone/pets@old", "it has no such revision"),
        ("hf:someone/empty", "it has no model.safetensors"),
        ("hf:pets", "'pets' is no repository of the Hub; give owner/name"),
        ("hf:../pets", "is no repository of the Hub"),
        ("hf:a/b/c", "is no repository of the Hub"),
    ],
)
def test_what_is_not_there(hub: StandIn, model: str, said: str) -> None:
    hub.files = {"someone/pets": {"model.safetensors": b""}, "someone/empty": {}}
    with pytest.raises(exeunt.ExeuntError, match=said):
        exeunt.load(model)


def test_a_hub_that_is_away(
    clf: exeunt.Classifier, hub: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.shutdown()
    hub.server_close()
    monkeypatch.setattr("time.sleep", lambda _: None)  # between attempts
    with pytest.raises(exeunt.ExeuntError, match="the Hub cannot be reached"):
        clf.push("someone/pets")
    with pytest.raises(exeunt.ExeuntError, match="the Hub cannot be reached"):
        exeunt.load("hf:someone/pets")


def test_where_one_may_not_write(clf: exeunt.Classifier, hub: StandIn) -> None:
    with pytest.raises(exeunt.ExeuntError, match="hf:others/pets: the Hub refuses"):
        clf.push("others/pets")


class Trap:
    """What unpickling would call."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("this was unpickled",)


def test_nothing_is_ever_unpickled(hub: StandIn) -> None:
    trap = pickle.dumps(Trap())
    hub.files = {"evil/pets": {"model.safetensors": trap, "pytorch_model.bin": trap}}
    with pytest.raises(exeunt.ExeuntError, match="not a safetensors file"):
        exeunt.load("hf:evil/pets")
    assert not [line for line in hub.asked if ".bin" in line]


def test_a_network_without_a_name_is_not_pushed(hub: StandIn) -> None:
    net = exeunt.create_model("mobilenetv2_035", num_classes=2)
    net.origin = None
    clf = exeunt.Classifier(net, transform=Transform((32, 32)), class_names=["a", "b"])
    with pytest.raises(exeunt.ExeuntError, match="a weights file names the architecture"):
        clf.push("someone/pets")
    assert hub.asked == []
