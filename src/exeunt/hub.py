"""Weights on the Hugging Face Hub: one file of safetensors, beside a card. No other is read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from exeunt.errors import ExeuntError

PREFIX = "hf:"
WEIGHTS = "model.safetensors"
CARD = "README.md"

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def on_hub(model: str) -> bool:
    """Whether MODEL means weights on the Hub: `hf:owner/name`."""
    return model.startswith(PREFIX)


def pull_file(model: str, file: str = WEIGHTS) -> Path:
    """Fetches the weights of a repository, or another file, into the Hub's cache.

    The Hub is that of `HF_ENDPOINT`, if there is such a variable. What the cache has is not fetched
    again, and is used where the Hub cannot be reached.

    Args:
        model: `hf:owner/name` or `hf:owner/name@revision`, with `hf:` or without.
        file: its name.

    Raises:
        ExeuntError: the name is none, or huggingface_hub is not installed, or there is no such
            repository, revision or file.
    """
    name, _, revision = model.removeprefix(PREFIX).partition("@")
    hub = _hub(name)
    with _told(name, file):
        found = hub.hf_hub_download(
            name, file, revision=revision or None, endpoint=os.environ.get("HF_ENDPOINT")
        )
    return Path(found)


def push_files(
    files: Mapping[str, Path | bytes], repository: str, *, message: str, private: bool = False
) -> str:
    """Uploads files in one commit; the repository is made if it is not there.

    Args:
        files: by their names there: a file, or what one is to hold.
        repository: `owner/name`, with `hf:` or without.
        message: of the commit.
        private: whether a repository that is made shows to its owner alone.

    Returns:
        The address of the repository.

    Raises:
        ExeuntError: as `pull_file`, or nobody is logged in who may write there.
    """
    name = repository.removeprefix(PREFIX)
    hub = _hub(name)
    adds = [
        hub.CommitOperationAdd(path, data if isinstance(data, bytes) else str(data))
        for path, data in files.items()
    ]
    with _told(name, "what is pushed"):
        api = hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
        made = api.create_repo(name, private=private, exist_ok=True)
        api.create_commit(name, adds, commit_message=message)
    return str(made)


def _hub(repository: str) -> Any:
    if not _REPOSITORY.fullmatch(repository):
        raise ExeuntError(
            f"{repository!r} is no repository of the Hub; give owner/name, such as "
            "someone/flowers, or owner/name@revision to pull"
        )
    try:
        import huggingface_hub
    except ImportError as error:
        raise ExeuntError(
            f"{PREFIX}{repository}: huggingface_hub is not installed: pip install 'exeunt[hub]'"
        ) from error
    return huggingface_hub


@contextmanager
def _told(repository: str, file: str) -> Iterator[None]:
    """Says in a line what the Hub refuses.

    Raises:
        ExeuntError: in place of what huggingface_hub raises.
    """
    from huggingface_hub import errors

    unreached: tuple[type[Exception], ...] = (OSError, *_transport_errors())
    try:
        yield
    except errors.RepositoryNotFoundError as error:
        raise ExeuntError(
            f"{PREFIX}{repository}: there is no such repository, or it is not yours to see; "
            "`hf auth login` says who you are"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ExeuntError(f"{PREFIX}{repository}: it has no such revision") from error
    except errors.LocalEntryNotFoundError as error:  # which is an EntryNotFoundError too
        raise ExeuntError(
            f"{PREFIX}{repository}: the Hub cannot be reached, and {file} is not in the cache"
        ) from error
    except errors.EntryNotFoundError as error:
        raise ExeuntError(
            f"{PREFIX}{repository}: it has no {file}; `exeunt push` writes one"
        ) from error
    except (errors.HfHubHTTPError, RuntimeError) as error:  # the latter of a large file
        said = str(error).strip().partition("\n")[0]
        raise ExeuntError(f"{PREFIX}{repository}: the Hub refuses {file} ({said})") from error
    except unreached as error:
        raise ExeuntError(f"{PREFIX}{repository}: the Hub cannot be reached ({error})") from error


def _transport_errors() -> tuple[type[Exception], ...]:
    """Of what huggingface_hub speaks HTTP with; those of `requests`, once that, are `OSError`s."""
    found = []
    for library in ("httpx", "httpx2"):
        try:
            found.append(import_module(library).TransportError)
        except ImportError:
            continue
    return tuple(found)
