"""Pages: one HTML file each, that needs nothing but a browser."""

from exeunt.page.document import (
    NOTHING,
    PagePart,
    filled,
    inert,
    joined_page,
    part_text,
    shared_parts,
)

__all__ = [
    "NOTHING",
    "PagePart",
    "filled",
    "inert",
    "joined_page",
    "part_text",
    "shared_parts",
]
