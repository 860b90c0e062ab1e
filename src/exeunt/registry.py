"""What goes by a name: models, policies, regimes, exit heads, augmentations, each in a registry.

Installed packages add theirs by an entry point of the group `exeunt.plugins` that names a module,
whose import registers what it has. They are imported when a name is first looked up.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, TypeVar

from exeunt.errors import ExeuntError, ExeuntWarning, one_of

T = TypeVar("T")

PLUGINS = "exeunt.plugins"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_plugins_sought = False


class Registry(Mapping[str, T]):
    """Entries of one kind by their names, in the order in which they were registered.

    Args:
        noun: what an entry is, in messages: `"exit head"`.
    """

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> None:
        """Makes an entry known.

        A function of a notebook or an interactive session may be registered again.

        Raises:
            ExeuntError: when the name is taken, or is none that a command line or recipe can hold.
        """
        article = "an" if self.noun[0] in "aeiou" else "a"
        if not _NAME.fullmatch(name):
            reason = (
                "holds a dot; what follows a dot names weights" if "." in name else "is no name"
            )
            raise ExeuntError(
                f"{self.noun} name {name!r} {reason}; use letters, digits, _ and -, no digit first"
            )
        known = self._entries.get(name)
        if known is not None and not home_of(known) == home_of(entry) == "__main__":
            raise ExeuntError(
                f"{article} {self.noun} named {name!r} is registered already; choose another name"
            )
        self._entries[name] = entry

    def remove(self, name: str) -> None:
        """Forgets an entry.

        Raises:
            ExeuntError: when there is none.
        """
        self.find(name)
        del self._entries[name]

    def find(self, name: str) -> T:
        """The entry of that name.

        Raises:
            ExeuntError: when there is none, with those that there are.
        """
        if name not in self:
            raise ExeuntError(f"unknown {self.noun} {name!r}; {one_of(name, self)}")
        return self._entries[name]

    def own(self) -> dict[str, str]:
        """Names of what other packages and modules registered, and the module of each."""
        homes = {name: home_of(entry) for name, entry in self.items()}
        return {n: home for n, home in homes.items() if home.partition(".")[0] != "exeunt"}

    def __getitem__(self, name: str) -> T:
        import_plugins()
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        import_plugins()
        return iter([*self._entries])

    def __len__(self) -> int:
        import_plugins()
        return len(self._entries)


def registering(registry: Registry[Any], entry: Any, name: str | None) -> Any:
    """What a decorator returns that registers under the function's name, or under `name`.

    Args:
        registry: to add the entry to.
        entry: function or class; None where the decorator was called with a name alone.
        name: to register it under.

    Raises:
        ExeuntError: when the entry cannot be called or has no name, or as `Registry.add`.
    """
    if entry is None:
        return lambda later: registering(registry, later, name)
    key = name or getattr(entry, "__name__", None)
    if not callable(entry) or key is None:
        raise ExeuntError(f"{registry.noun} {entry!r}: give a function or class, and a name")
    registry.add(key, entry)
    return entry


def home_of(entry: object) -> str:
    """The module that an entry was written in."""
    inner = getattr(entry, "builder", entry)
    inner = getattr(inner, "func", inner)  # of a partial
    return str(getattr(inner, "__module__", "?"))


def import_plugins() -> None:
    """Imports the modules that installed packages name; once, at the first look-up.

    One that fails is warned of, and the others are imported all the same.
    """
    global _plugins_sought
    if _plugins_sought:
        return
    _plugins_sought = True
    for point in entry_points(group=PLUGINS):
        try:
            point.load()
        except Exception as error:  # whatever another package does when it is imported
            package = point.dist.name if point.dist else "?"
            said = str(error).partition("\n")[0]
            warnings.warn(
                f"plugin {point.name} of {package} left out: {type(error).__name__}: {said}",
                ExeuntWarning,
                stacklevel=2,
            )
