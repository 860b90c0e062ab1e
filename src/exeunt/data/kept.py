"""Images that are decoded once and kept in memory, for those who look at them again and again."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from PIL import Image

from exeunt.data.place import Place
from exeunt.data.source import Sample
from exeunt.runner.preprocessing import upright

MOST_KEPT_BYTES = 1 << 30
"""Of decoded images, where the machine has eight times as much memory."""

_PIXEL_BYTES = {"1": 1, "L": 1, "P": 1, "LA": 4, "I;16": 2}
"""Of the modes that take other than 4 bytes in Pillow's memory."""


@dataclass
class Room:
    """Memory for decoded images, of which they take what they need until none is left."""

    free_bytes: int = MOST_KEPT_BYTES

    @classmethod
    def of_this_machine(cls, share: int = 1) -> Room:
        """At most an eighth of the memory that the machine has.

        Args:
            share: of so many processes, each of which has as much.
        """
        try:
            memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):  # a system that does not say
            memory_bytes = 8 * MOST_KEPT_BYTES
        return cls(min(MOST_KEPT_BYTES, memory_bytes // 8) // share)

    def taken_by(self, image: Image.Image) -> bool:
        """Whether there was room for the pixels of `image`; there is less from now on."""
        size_bytes = image.width * image.height * _PIXEL_BYTES.get(image.mode, 4)
        if size_bytes > self.free_bytes:
            return False
        self.free_bytes -= size_bytes
        return True


@dataclass(slots=True, eq=False)
class KeptImage(Place):
    """An image that is decoded once, and kept upright where there is room for it.

    What it loads is shared: nobody may change it.
    """

    place: Place
    room: Room
    image: Image.Image | None = field(default=None, repr=False)

    @property
    def size_bytes(self) -> int:
        """Of what is stored."""
        return self.place.size_bytes

    @property
    def stamp(self) -> str:
        """Of what is stored."""
        return self.place.stamp

    def content_hash(self) -> str:
        """Of what is stored."""
        return self.place.content_hash()

    def content(self) -> bytes:
        """What is stored."""
        return self.place.content()

    def load(self) -> Image.Image:
        """The image, decoded now or before."""
        if self.image is not None:
            return self.image
        image = upright(self.place.load())
        if self.room.taken_by(image):
            self.image = image = image.copy()  # without the decoder and the bytes of the file
        return image


def kept(samples: Iterable[Sample], room: Room) -> tuple[Sample, ...]:
    """The same samples, whose images are decoded once each, as far as there is room for them."""
    return tuple(replace(sample, place=KeptImage(sample.place, room)) for sample in samples)
