"""Networks by name: `create_model`, `list_models`, `register_model`."""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar, overload

from exeunt.collaboration import collaborate
from exeunt.errors import ExeuntError, nearest, one_of
from exeunt.net import MultiExitNet

Builder = TypeVar("Builder", bound=Callable[..., MultiExitNet])

_BUILDERS: dict[str, Callable[..., MultiExitNet]] = {}
_ABOUT: dict[str, str] = {}
_IMAGE_SIZE: dict[str, int] = {}
_GIVEN = ("num_classes", "in_chans")  # follow from the data


@overload
def register_model(
    builder: Builder, *, name: str | None = None, about: str | None = None, image_size: int = 224
) -> Builder: ...
@overload
def register_model(
    builder: None = None, *, name: str, about: str | None = None, image_size: int = 224
) -> Callable[[Builder], Builder]: ...
def register_model(
    builder: Any = None,
    *,
    name: str | None = None,
    about: str | None = None,
    image_size: int = 224,
) -> Any:
    """Makes a builder known under its function's name, or under `name`. Usable as a decorator.

    The builder takes `num_classes`, which has a default, and `in_chans`, and returns a
    `MultiExitNet`. `about` is one line on what it is; by default the first of its docstring.
    `image_size` is the height and width of the images it was designed for.

    Raises:
        ExeuntError: when the name is taken, or holds a dot (dots separate weights' tags).
    """
    if builder is None:
        return partial(register_model, name=name, about=about, image_size=image_size)
    key = name or builder.__name__
    if key in _BUILDERS:
        raise ExeuntError(f"a model named {key!r} is registered already; choose another name")
    if "." in key:
        raise ExeuntError(f"model name {key!r} holds a dot; what follows a dot names weights")
    _BUILDERS[key] = builder
    _IMAGE_SIZE[key] = image_size
    if about is not None:
        _ABOUT[key] = about
    return builder


def list_models(pattern: str = "*") -> list[str]:
    """Names of all networks that match a shell pattern such as `"*rex*"`, sorted."""
    return sorted(fnmatch.filter(_BUILDERS, pattern))


def usual_image_size(name: str) -> int:
    """Height and width of the images that a registered network was designed for, in pixels."""
    return _IMAGE_SIZE[name]


def describe_model(name: str) -> str:
    """What a registered network is, in a line; presets are shown where nothing else says it."""
    if name in _ABOUT:
        return _ABOUT[name]
    builder, options = _BUILDERS[name], ""
    if isinstance(builder, partial):
        options = ", ".join(f"{key}={value!r}" for key, value in builder.keywords.items())
        builder = builder.func
    text = (inspect.getdoc(builder) or "").partition("\n")[0].removesuffix(".")
    return f"{text} ({options})" if options else text


def build_model(
    name: str, num_classes: int | None = None, in_chans: int = 3, **kwargs: Any
) -> MultiExitNet:
    """A fresh network with random weights; see `create_model` for names that carry weights.

    Every network also takes `collaborative=True`, see `exeunt.collaboration`.

    Raises:
        ExeuntError: for an unknown name, with the nearest valid ones, or an unknown argument.
    """
    if name not in _BUILDERS:
        raise ExeuntError(unknown_name("model", name, list(_BUILDERS)))
    if num_classes is not None:
        kwargs["num_classes"] = num_classes
    arguments = dict(kwargs)
    collaborative = kwargs.pop("collaborative", False)
    _refuse_unknown_arguments(name, kwargs)
    net = _BUILDERS[name](in_chans=in_chans, **kwargs)
    net = collaborate(net) if collaborative else net
    net.origin = name, {"num_classes": net.num_classes, "in_chans": in_chans} | arguments
    return net


def _refuse_unknown_arguments(name: str, arguments: Mapping[str, Any]) -> None:
    """Refuses what the builder of that name has no parameter for.

    Raises:
        ExeuntError: naming the nearest that it has.
    """
    parameters = inspect.signature(_BUILDERS[name]).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for argument in arguments:
        if argument not in parameters:
            valid = [*(key for key in parameters if key not in _GIVEN), "collaborative"]
            raise ExeuntError(f"{name} has no argument {argument!r}; {one_of(argument, valid)}")


def unknown_name(kind: str, name: str, valid: list[str]) -> str:
    """The sentence that answers a misspelt name with the nearest valid ones."""
    near = nearest(name, valid) or sorted(valid)[:6]
    guess = f"did you mean {', '.join(near)}? " if near else ""
    return f"unknown {kind} {name!r}; {guess}`exeunt list` shows all"
