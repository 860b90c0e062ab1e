"""What the runner refuses."""

from __future__ import annotations


class RunnerError(ValueError):
    """Raised for a folder or an image that cannot be used; the message names the file."""
