"""Labelled images: where they are, how they are split, and how they become tensors."""

from exeunt.data.augment import Augment
from exeunt.data.augmentations import (
    AUGMENTATIONS,
    Augmentation,
    check_augmentation,
    register_augmentation,
)
from exeunt.data.dataset import (
    MAX_UNREADABLE_FRACTION,
    Batch,
    ImageDataset,
    Item,
    TrainLoader,
    UnreadableTally,
    described,
    eval_loader,
    train_loader,
)
from exeunt.data.decode import UnreadableImage, load_image
from exeunt.data.image_like import ImageLike, open_image
from exeunt.data.labelled import Data, DataLike, LabelledImages, as_data
from exeunt.data.layouts import open_source
from exeunt.data.notes import notes
from exeunt.data.place import FilePart, ImageFile, PixelArray, Pixels, Place
from exeunt.data.sensor import Sensor
from exeunt.data.source import Sample, Source, Task, content_hash, fingerprint
from exeunt.data.splits import SPLIT_NAMES, Splits, SplitSpec, make_splits, take
from exeunt.data.transforms import Transform
from exeunt.data.workers import dead_workers_named

__all__ = [
    "AUGMENTATIONS",
    "MAX_UNREADABLE_FRACTION",
    "SPLIT_NAMES",
    "Augment",
    "Augmentation",
    "Batch",
    "Data",
    "DataLike",
    "FilePart",
    "ImageDataset",
    "ImageFile",
    "ImageLike",
    "Item",
    "LabelledImages",
    "PixelArray",
    "Pixels",
    "Place",
    "Sample",
    "Sensor",
    "Source",
    "SplitSpec",
    "Splits",
    "Task",
    "TrainLoader",
    "Transform",
    "UnreadableImage",
    "UnreadableTally",
    "as_data",
    "check_augmentation",
    "content_hash",
    "dead_workers_named",
    "described",
    "eval_loader",
    "fingerprint",
    "load_image",
    "make_splits",
    "notes",
    "open_image",
    "open_source",
    "register_augmentation",
    "take",
    "train_loader",
]
