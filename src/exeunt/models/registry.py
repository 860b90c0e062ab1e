"""Networks by name: `create_model`, `list_models`, `register_model`."""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, overload

from exeunt.collaboration import collaborate
from exeunt.errors import ExeuntError, nearest, one_of
from exeunt.models.foreign import LIBRARIES
from exeunt.models.onnx_network import FILES, is_onnx
from exeunt.models.pretrained import Input, Pretrained
from exeunt.models.source import Source
from exeunt.net import MultiExitNet
from exeunt.ops import rex_block
from exeunt.registry import Registry
from exeunt.rex_stem import CHILD, replace_stem

Builder = TypeVar("Builder", bound=Callable[..., MultiExitNet])

_GIVEN = ("num_classes", "in_chans")  # follow from the data
_OF_ALL = ("collaborative", "keep", CHILD)

FORM = "rex_form"
"""Name of the argument that says what ReX is made of."""


@dataclass(frozen=True)
class Model:
    """What is known of a network by its name; see `register_model`."""

    builder: Callable[..., MultiExitNet]
    about: str | None
    image_size: int
    pretrained: Mapping[str, Pretrained] = field(default_factory=dict)


MODELS: Registry[Model] = Registry("model")

SOURCES = (*LIBRARIES, FILES)
"""Where other networks come from, by what their names begin with."""


@overload
def register_model(
    builder: Builder,
    *,
    name: str | None = None,
    about: str | None = None,
    image_size: int = 224,
    pretrained: Mapping[str, Pretrained] | None = None,
) -> Builder: ...
@overload
def register_model(
    builder: None = None,
    *,
    name: str | None = None,
    about: str | None = None,
    image_size: int = 224,
    pretrained: Mapping[str, Pretrained] | None = None,
) -> Callable[[Builder], Builder]: ...
def register_model(
    builder: Any = None,
    *,
    name: str | None = None,
    about: str | None = None,
    image_size: int = 224,
    pretrained: Mapping[str, Pretrained] | None = None,
) -> Any:
    """Makes a builder known under its function's name, or under `name`. Usable as a decorator.

    The builder is called with keywords: always `in_chans`, and `num_classes` wherever the data say
    how many there are. It returns a `MultiExitNet` of so many. Training passes `exits` too if the
    builder takes it, and `exit_head` and others if the user gives them. All but `in_chans` have
    defaults. `exeunt.check_model` tests what it returns.

    Args:
        builder: function that builds the network.
        name: of the network, without a dot.
        about: one line on what it is; by default the first of the builder's docstring.
        image_size: height and width of the images it was designed for.
        pretrained: weights of other packages by the word that `weights=` takes.

    Raises:
        ExeuntError: when the name is taken or is none, or the builder does not take what it is
            called with.
    """
    if builder is None:
        return partial(
            register_model, name=name, about=about, image_size=image_size, pretrained=pretrained
        )
    key = name or getattr(builder, "__name__", None)
    if key is None:
        raise ExeuntError(f"model {builder!r}: give it a name")
    _refuse_builder(key, builder)
    MODELS.add(key, Model(builder, about, image_size, pretrained or {}))
    return builder


def _refuse_builder(name: str, builder: Any) -> None:
    """Refuses what cannot be called as builders are.

    Raises:
        ExeuntError: naming the parameter that is missing, or needs a default.
    """
    if not callable(builder):
        raise ExeuntError(f"model {name!r}: {type(builder).__name__} is no function that builds it")
    parameters = _parameters(builder)
    for given in _GIVEN:
        if not _takes(parameters, given):
            raise ExeuntError(
                f"model {name!r}: its builder takes no {given}; it is called as "
                "builder(num_classes=K, in_chans=C), and with exits=... if it takes that"
            )
    for parameter in parameters.values():
        free = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if not free and parameter.default is parameter.empty and parameter.name != "in_chans":
            raise ExeuntError(
                f"model {name!r}: give {parameter.name} of its builder a default; "
                "nothing but in_chans is always passed"
            )


def model_takes(name: str, argument: str) -> bool:
    """Whether the builder of a registered network has that parameter.

    Raises:
        ExeuntError: as `build_model`, for an unknown name.
    """
    return _takes(_parameters(_builder(name)), argument)


def _parameters(builder: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(builder).parameters


def with_form(name: str, arguments: Mapping[str, Any], form: Any = None) -> dict[str, Any]:
    """A network's arguments with the form of its ReX among them, by value.

    What is stored of a network goes through this, so that it means the same whatever form networks
    have by default.

    Args:
        name: of the network; one that is not registered, or has no `rex_form` that is None by
            default, keeps its arguments.
        arguments: of its builder; a form that they have stays.
        form: where they have none; by default today's, `NETWORK_FORM`.
    """
    parameter = _parameters(MODELS[name].builder).get(FORM) if name in MODELS else None
    if parameter is None or parameter.default is not None or arguments.get(FORM) is not None:
        return dict(arguments)
    return {**arguments, FORM: rex_block.NETWORK_FORM if form is None else form}


def _takes(parameters: Mapping[str, inspect.Parameter], argument: str) -> bool:
    return any(
        parameter.kind is parameter.VAR_KEYWORD
        or (name == argument and parameter.kind is not parameter.POSITIONAL_ONLY)
        for name, parameter in parameters.items()
    )


def is_model(name: str) -> bool:
    """Whether it is the name of an architecture, registered here, of another library or a file."""
    return name in MODELS or _source(name) is not None


def _source(name: str) -> tuple[Source, str] | None:
    """Where a network comes from that is not registered, and its name there."""
    for source in SOURCES:
        if name.startswith(source.prefix) and name != source.prefix:
            return source, name.removeprefix(source.prefix)
    return None


def _model(name: str) -> Model:
    if name not in MODELS:
        raise ExeuntError(unknown_name("model", name, list(MODELS)))
    return MODELS[name]


def _builder(name: str) -> Callable[..., MultiExitNet]:
    if (found := _source(name)) is None:
        return _model(name).builder
    source, there = found
    return partial(source.build, there)


def list_models(pattern: str = "*") -> list[str]:
    """Names of all networks that match a shell pattern such as `"*rex*"`, sorted."""
    return sorted(fnmatch.filter(MODELS, pattern))


def default_image_size(name: str) -> int:
    """Height and width of the images that a network, or `arch.tag`, was designed for, in pixels."""
    if (found := _source(name)) is None:
        name, _, tag = name.partition(".")
        return _model(name).pretrained.get(tag, _model(name)).image_size
    source, there = found
    return source.input(there).image_size


def pretrained_of(name: str, arguments: Mapping[str, Any]) -> Input | None:
    """What is known of the weights of another package that a network's arguments ask for, if they
    do.

    Raises:
        ExeuntError: as `build_model`, for an unknown name.
    """
    if (found := _source(name)) is None:
        return _model(name).pretrained.get(str(arguments.get("weights")))
    source, there = found
    return source.input(there) if source.asked(arguments) else None


def pretrained_names() -> list[str]:
    """Weights of other packages that networks can begin with, by `arch.tag`."""
    return [f"{name}.{tag}" for name in MODELS for tag in MODELS[name].pretrained]


def comes_with_weights(name: str) -> bool:
    """Whether a name means a network with weights of others, which is whole without a file of
    exeunt's: that of an ONNX file, or `arch.tag` of another package.
    """
    return is_onnx(name) or name in pretrained_names()


def describe_model(name: str) -> str:
    """What a registered network is, in a line; presets, and the form of ReX, are shown where
    nothing else says it.
    """
    model = _model(name)
    if model.about is not None:
        return model.about
    builder: Callable[..., Any] = model.builder
    presets: Mapping[str, Any] = {}
    if isinstance(builder, partial):
        presets, builder = builder.keywords, builder.func
    options = ", ".join(f"{key}={value!r}" for key, value in with_form(name, presets).items())
    text = (inspect.getdoc(builder) or "").partition("\n")[0].removesuffix(".")
    return f"{text} ({options})" if options else text


def build_model(
    name: str, num_classes: int | None = None, in_chans: int = 3, **kwargs: Any
) -> MultiExitNet:
    """A fresh network with random weights; see `create_model` for names that carry weights.

    Every network also takes `rex_stem=...`, see `exeunt.rex_stem`, `collaborative=True`, see
    `exeunt.collaboration`, and `keep=k`, which leaves out all that comes after its k-th exit.

    Raises:
        ExeuntError: for an unknown name, with the nearest valid ones, or an unknown argument; or
            when a builder does not return a network as it is asked for.
    """
    builder = _builder(name)
    if num_classes is not None:
        kwargs["num_classes"] = num_classes
    kwargs = with_form(name, kwargs)
    arguments = dict(kwargs)
    collaborative, keep = kwargs.pop("collaborative", False), kwargs.pop("keep", None)
    stem = kwargs.pop(CHILD, None)
    _refuse_unknown_arguments(name, builder, kwargs)
    net = builder(in_chans=in_chans, **kwargs)
    if not isinstance(net, MultiExitNet):
        raise ExeuntError(
            f"model {name!r}: its builder returned {type(net).__name__}, not a MultiExitNet"
        )
    for key, wanted in {"num_classes": num_classes, "in_chans": in_chans}.items():
        if wanted is not None and getattr(net, key) != wanted:
            raise ExeuntError(
                f"model {name!r}: asked for {key}={wanted}, its builder returned a network with "
                f"{key}={getattr(net, key)}"
            )
    net = net if stem is None else replace_stem(net, stem, default_image_size(name))
    net = collaborate(net) if collaborative else net
    if keep is not None:
        net.keep(keep)
    inner = {} if net.origin is None else net.origin[1]  # places that were chosen, for one
    parameters = _parameters(builder)
    found = {key: inner[key] for key in inner if key in _OF_ALL or _takes(parameters, key)}
    if name not in MODELS:
        arguments.pop("pretrained", None)
    net.origin = name, {"num_classes": net.num_classes, "in_chans": in_chans} | arguments | found
    return net


def _refuse_unknown_arguments(
    name: str, builder: Callable[..., Any], arguments: Mapping[str, Any]
) -> None:
    """Refuses what the builder of that name has no parameter for.

    Raises:
        ExeuntError: naming the nearest that it has.
    """
    parameters = _parameters(builder)
    tags = [*(MODELS[name].pretrained if name in MODELS else ())]
    for argument in arguments:
        if not _takes(parameters, argument):
            if argument == "pretrained" and tags:
                raise ExeuntError(f"{name} has weights by another name: weights={tags[0]}")
            valid = [*(key for key in parameters if key not in _GIVEN), *_OF_ALL]
            raise ExeuntError(f"{name} has no argument {argument!r}; {one_of(argument, valid)}")


def unknown_name(kind: str, name: str, valid: list[str]) -> str:
    """The sentence that answers a misspelt name with the nearest valid ones."""
    if (begun := foreign_name(name)) is not None:
        return begun
    if name.endswith(".onnx"):
        return (
            f"unknown {kind} {name!r}; the network of an ONNX file is called {FILES.prefix}{name}"
        )
    near = nearest(name, valid) or sorted(valid)[:6]
    guess = f"did you mean {', '.join(near)}? " if near else ""
    others = " and ".join(f"{library.prefix}NAME" for library in LIBRARIES)
    also = f"; {others} are networks of those libraries" if kind == "model" else ""
    return (
        f"unknown {kind} {name!r}; {guess}`exeunt list` shows all, "
        f"`exeunt --import MODULE ...` adds your own{also}"
    )


def foreign_name(name: str) -> str | None:
    """The sentence that answers the name of a network of another library, or the beginning of one,
    where weights are needed.
    """
    for source in SOURCES:
        if name == source.prefix:
            return f"{name!r} is how names of networks begin; what follows is missing"
        if name.startswith(source.prefix):
            own = "" if source is FILES else " --set pretrained=true"
            return (
                f"{name} is a network and no weights file; training begins with its own weights by "
                f"--model {name}{own}"
            )
    return None
