"""What a training run is made of: every knob, its default, and where it may come from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from exeunt.data import AUGMENTATIONS, MAX_UNREADABLE_FRACTION
from exeunt.data.transforms import MOST_PIXELS
from exeunt.documents import naming, parse_toml, read_text
from exeunt.errors import ExeuntError, one_of
from exeunt.models import with_form
from exeunt.runner.schema import validated
from exeunt.training.registered import REGIMES
from exeunt.training.start import input_of, settings_of, with_pretrained

Precision = Literal["float32", "bfloat16"]
Storage = Literal["float32", "float16"]
OptimizerName = Literal["sgd", "adamw"]
ClassWeights = Literal["balanced"]

USUAL_RATES: dict[str, tuple[float, float]] = {"sgd": (0.05, 1e-4), "adamw": (3e-3, 0.05)}
"""Peak learning rate and weight decay of each optimiser, where a run says nothing else."""

_MOST = 1e30
"""Of learning rate, temperature, weight decay, warm-up and gradient norm: float32 holds it."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run. A recipe (TOML) holds the same keys.

    Attributes:
        model: architecture name.
        model_args: further arguments of the architecture, such as `{"downsample": "lift"}`; with
            `{"weights": "imagenet"}` a network that has such weights begins with them, and
            `image_size`, `mean` and `std` are theirs where nothing else is said. A network of ReX
            has its `rex_form` here by value.
        init: begin with the weights of a run folder, a weights file or a shipped name. Settings
            of a recipe or a command that do not say otherwise, from `model` to `exit_head`, are
            then those of the weights; exits get fresh classifiers unless the classes are the same.
        image_size: height and width of the input in pixels.
        train_size: height and width of the augmented images alone, `image_size` if None. Random
            crops enlarge what they show; training at about 0.8 of the size makes up for that and
            costs less (Touvron et al., 2019, "Fixing the train-test resolution discrepancy").
        grey: train on one luma channel instead of RGB.
        mean: of the input, subtracted from values in 0..1, one per channel; ImageNet's if None.
        std: divides what is left, one per channel; ImageNet's if None.
        exits: where the net may stop: `"paper"`, `"all"`, `"last"`, or positions, `"1,3,5"`; of
            networks of other libraries also paths, `"layer1,layer2.1"`, or how many, `"4"`.
        exit_head: kind of the exit heads, `"pooled"`, `"mixed"`, `"rex"`, `"conv"` or one that was
            registered, or one for each exit, `"rex,pooled"`; the architecture's own if None.
        regime: what learns when, see `exeunt.training.regimes`: `"joint"`, `"mixed"`,
            `"shallow_deep"`, `"exits"`, `"successive"`, `"distilled"`, `"stem"` (see
            `exeunt.training.stem`) or one that was registered;
            or of a regime that is handed to `train`, its module and name, `"my_module:Focal"`.
        mixed_share: of the epochs in the regime `"mixed"`, in which the trunks and the last exit
            learn alone; in `"stem"`, in which the stem's own map alone counts.
        teacher: a run folder, a weights file or a shipped name of a network for the same classes,
            which all exits learn from besides the labels; see `exeunt.training.teacher`.
        gradient_equilibrium: balance the exits' gradients, see `exeunt.training.equilibrium`.
        quantize_aware: train on weights and tensors that are rounded as int8 rounds them, see
            `exeunt.training.aware`; from `init`, whose batch norms keep their statistics.
        distil_share: of the teacher, also that of the regime `"distilled"`; labels have the rest,
            in `"stem"` the maps.
        distil_temperature: by which logits are divided there.
        epochs: passes over the train split.
        batch_size: images of a step.
        optimizer: `"sgd"` (with Nesterov's momentum) or `"adamw"`.
        lr: peak learning rate, reached after warm-up; then a cosine to zero. 0.05 for SGD and 0.003
            for AdamW if None.
        warmup_epochs: epochs of linear warm-up; no more than a fifth of all epochs are used.
        momentum: of SGD, or the decay of AdamW's first moment.
        beta2: decay of AdamW's second moment.
        weight_decay: on weight matrices and kernels; norms and biases have none. 1e-4 for SGD and
            0.05 for AdamW if None.
        cell_optimizer: of the recurrent cells in ReX, RNNPool and ReNet; as `optimizer` if None.
        cell_lr: their peak learning rate; as `lr` if None.
        cell_weight_decay: on their matrices; as `weight_decay` if None.
        clip_norm: largest norm of the gradient of a step, all parameters together; 0 is no limit.
        label_smoothing: of the cross-entropy.
        class_weights: `"balanced"` weights the loss of an image of class c by `n / (K n_c)`, with
            n_c of the n images to train on, so that all K classes weigh alike.
        ema_decay: of the moving average of the weights, which is what is evaluated and stored.
        crop_scale: least share of the area in a random-resized crop; 1 leaves only the shape to
            chance.
        flip: mirror half of the images.
        colour: largest change of brightness, contrast and saturation, as a share.
        erase: share of the images that lose a random rectangle.
        augment: what is done to the cropped image besides: `"trivial"` (TrivialAugment), an
            augmentation that was registered, or of a callable that is handed to `train`, its module
            and name.
        mixup: mix every image with another, by shares from Beta(mixup, mixup); 0 is off.
        cutmix: put a part of another into every image, by shares from Beta(cutmix, cutmix); 0 is
            off. With both, each batch gets one of them.
        precision: `"bfloat16"` trains under autocast.
        storage: how the weights file stores floats.
        seed: of the initial weights, the splits, the order and the augmentation.
        deterministic: refuse operations whose result depends on scheduling.
        calibration_fraction: share of the train images held out for calibration.
        test_fraction: share held out for the test where DATA brings no test folder.
        allow_unreadable: share of the images of a split that may be unreadable, and are left out.
        limit: at most so many train and so many test images, seeded and stratified.
        data_licence: terms of the images, kept with the weights.
    """

    model: str
    model_args: dict[str, Any] = field(default_factory=dict)
    init: str | None = None
    image_size: int = 224
    train_size: int | None = None
    grey: bool = False
    mean: list[float] | None = None
    std: list[float] | None = None
    exits: str = "paper"
    exit_head: str | None = None
    regime: str = "joint"
    mixed_share: float = 0.5
    teacher: str | None = None
    gradient_equilibrium: bool = False
    quantize_aware: bool = False
    distil_share: float = 0.1
    distil_temperature: float = 1.0
    epochs: int = 40
    batch_size: int = 64
    optimizer: OptimizerName = "sgd"
    lr: float = None  # type: ignore[assignment] # the optimiser's own, see __post_init__
    warmup_epochs: float = 2.0
    momentum: float = 0.9
    beta2: float = 0.99
    weight_decay: float = None  # type: ignore[assignment]
    cell_optimizer: OptimizerName | None = None
    cell_lr: float | None = None
    cell_weight_decay: float | None = None
    clip_norm: float = 5.0
    label_smoothing: float = 0.1
    class_weights: ClassWeights | None = None
    ema_decay: float = 0.998
    crop_scale: float = 0.35
    flip: bool = True
    colour: float = 0.0
    erase: float = 0.0
    augment: str | None = None
    mixup: float = 0.0
    cutmix: float = 0.0
    precision: Precision = "float32"
    storage: Storage = "float32"
    seed: int = 0
    deterministic: bool = False
    calibration_fraction: float = 0.15
    test_fraction: float = 0.15
    limit: int | None = None
    allow_unreadable: float = MAX_UNREADABLE_FRACTION
    data_licence: str = "not stated"

    def __post_init__(self) -> None:
        owned = {"num_classes", "in_chans", "exits", "exit_head"} & self.model_args.keys()
        if owned:
            raise ExeuntError(
                f"model_args: {', '.join(sorted(owned))} cannot be set here; classes and channels "
                "follow from the data, exits and exit_head are settings of their own"
            )
        object.__setattr__(self, "model_args", with_form(self.model, self.model_args))
        words = {"optimizer": get_args(OptimizerName), "precision": get_args(Precision)}
        words |= {"storage": get_args(Storage), "regime": tuple(REGIMES)}
        words["cell_optimizer"] = (None, *words["optimizer"])
        words["augment"] = (None, *AUGMENTATIONS)
        words["class_weights"] = (None, *get_args(ClassWeights))
        for name, valid in words.items():
            value = getattr(self, name)
            own = name in ("regime", "augment") and ":" in str(value)  # handed to `train`
            if value not in valid and not own:
                raise ExeuntError(f"{name}={value!r}; {one_of(value, filter(None, valid))}")
        for name, usual in zip(("lr", "weight_decay"), USUAL_RATES[self.optimizer], strict=True):
            if getattr(self, name) is None:
                object.__setattr__(self, name, usual)
        ranges = {
            **dict.fromkeys(("image_size", "train_size"), (32, MOST_PIXELS)),
            **{"epochs": (1, 10**6), "batch_size": (2, 10**6), "seed": (0, 2**63 - 1)},
            "limit": (1, 2**63 - 1),
        }
        for name, (least, most) in ranges.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ExeuntError(f"{name}={value!r}; give at least {least} and at most {most}")
        for name in ("momentum", "beta2", "label_smoothing", "ema_decay", "allow_unreadable"):
            if not 0 <= getattr(self, name) < 1:
                raise ExeuntError(f"{name}={getattr(self, name)!r}; give 0 or more, below 1")
        for name in ("lr", "cell_lr", "distil_temperature"):
            if getattr(self, name) is not None and not 0 < getattr(self, name) <= _MOST:
                raise ExeuntError(
                    f"{name}={getattr(self, name)!r}; give a number above 0, at most {_MOST:g}"
                )
        for name in ("distil_share", "mixed_share", "colour", "erase"):
            if not 0 <= getattr(self, name) <= 1:
                raise ExeuntError(f"{name}={getattr(self, name)!r}; give a share, 0 to 1")
        sizes = ("weight_decay", "cell_weight_decay", "warmup_epochs", "clip_norm")
        for name in (*sizes, "mixup", "cutmix"):
            if getattr(self, name) is not None and not 0 <= getattr(self, name) <= _MOST:
                raise ExeuntError(
                    f"{name}={getattr(self, name)!r}; give 0 or more, at most {_MOST:g}"
                )
        if self.teacher is not None and self.regime == "distilled":
            raise ExeuntError(
                f"teacher={self.teacher!r} does not go with regime='distilled', whose teacher is "
                "the last exit of init; leave one of them out"
            )
        if self.quantize_aware:
            self._refuse_unquantizable()

    def _refuse_unquantizable(self) -> None:
        """Refuses what does not go with `quantize_aware`."""
        reasons = {
            "init=None": self.init is None and "begin with weights that are trained",
            f"precision={self.precision!r}": self.precision != "float32"
            and "float32 alone holds what int8 stands for",
            "gradient_equilibrium=True": self.gradient_equilibrium
            and "stages are not run one by one",
        }
        for setting, reason in reasons.items():
            if reason:
                raise ExeuntError(f"quantize_aware does not go with {setting}: {reason}")

    @property
    def exit_places(self) -> str | list[int] | list[str]:
        """`exits` as the architectures take it.

        Raises:
            ExeuntError: when it is neither a word, nor whole numbers or paths of modules with
                commas between.
        """
        if self.exits.isalpha():
            return self.exits
        parts = self.exits.split(",")
        with suppress(ValueError):
            return [int(part) for part in parts]
        if not all(re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*", part) for part in parts):
            raise ExeuntError(
                f"exits={self.exits!r}; a word, positions such as 1,3,5, or paths such as layer2.1"
            )
        return parts

    @property
    def exit_heads(self) -> dict[str, str | list[str]]:
        """`exit_head` as a keyword argument of the architectures, if it is given."""
        if self.exit_head is None:
            return {}
        kinds = self.exit_head.split(",")
        return {"exit_head": kinds[0] if len(kinds) == 1 else kinds}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """What keys stand for that a record or recipe does not have."""
        return {f.name: f.default for f in fields(cls) if f.default is not MISSING}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> TrainConfig:
        """Builds a config from a recipe's or a run's keys.

        Raises:
            ExeuntError: naming `source`, for an unknown key, a value of another type, or no model.
        """
        kinds = get_type_hints(cls)
        for key, value in values.items():
            if key not in kinds:
                raise ExeuntError(f"{source}: unknown key {key!r}; {one_of(key, kinds)}")
            kind = str if get_origin(kinds[key]) is Literal else kinds[key]  # words: see below
            try:
                validated(value, kind, key)
            except ValueError as error:
                raise ExeuntError(f"{source}: {error}") from error
        values = with_pretrained(values)
        if values.get("init"):
            begun = settings_of(values["init"])
            arguments = values.get("model_args", {})
            if values.get("model", begun["model"]) == begun["model"]:
                arguments = begun["model_args"] | arguments
            values = begun | {**values, "model_args": arguments}
        if "model" not in values:
            raise ExeuntError(f"{source}: no model; give one, such as rex_mobilenetv2_050")
        with naming(source):
            return cls(**input_of(values["model"], values.get("model_args", {})) | values)


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The keys of a recipe file (TOML), not yet checked.

    Raises:
        ExeuntError: when the file is missing or is not TOML.
    """
    return parse_toml(read_text(path, 1 << 20), path)
