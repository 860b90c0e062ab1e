"""Files of an exported folder, filled in from templates."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import BaseLoader, Environment, StrictUndefined

TEMPLATES = files("exeunt") / "export" / "c" / "templates"


class _Packaged(BaseLoader):
    """Finds templates in the package, however that is installed."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, None]:
        return (TEMPLATES / template).read_text(encoding="utf-8"), template, None


@cache
def _environment() -> Environment:
    return Environment(  # what is written is C and its build systems, not HTML
        loader=_Packaged(),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        comment_start_string="{##",
        comment_end_string="##}",
    )


def render(template: str, **names: Any) -> str:
    """A template of `templates/`, filled in; a name that it has and is not given is an error."""
    return _environment().get_template(template).render(**names)
