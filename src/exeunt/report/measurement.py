"""What was measured of a table of exits: sections of rows, as JSON Lines or CSV."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from exeunt.files import write_csv
from exeunt.html import html_facts, html_table
from exeunt.report.sections.section import Row, Section

FIRST = ("kind", "setting", "exit", "stored")
LAST = ("model", "data", "split", "samples")


@dataclass(frozen=True)
class Measurement:
    """Sections, and what they are about; scores that the task has not are absent.

    Attributes:
        run: model, data, and how the images were prepared.
        sections: in the order in which they are told.
    """

    run: Row
    sections: list[Section]

    def __repr__(self) -> str:
        about = ", ".join(str(self.run[key]) for key in ("model", "data", "split"))
        titles = "; ".join(section.title for section in self.sections)
        return f"Measurement({about}, {self.run['samples']} samples: {titles})"

    def _repr_html_(self) -> str:
        about = [(key, str(self.run[key])) for key in LAST]
        return html_facts(about) + "".join(
            html_table(one.columns, one.cells, one.align, one.title) for one in self.sections
        )

    @property
    def lines(self) -> list[Row]:
        """All of it for JSON Lines."""
        return [{"kind": "run", **self.run}, *self._rows]

    @property
    def _rows(self) -> list[Row]:
        return [row for section in self.sections for row in section.rows]

    def write_csv(self, path: Path) -> None:
        """Writes the rows of all sections as one table, told apart by `kind`; a list of exit shares
        becomes a column for each exit.

        Raises:
            OSError: when the file cannot be written.
        """
        common = {key: self.run[key] for key in LAST}
        rows = []
        for row in self._rows:
            shares = enumerate(row.get("exit_shares", ()), 1)
            values = {key: value for key, value in row.items() if key != "exit_shares"}
            rows.append(common | values | {f"share_{k}": share for k, share in shares})
        found = {key: None for row in rows for key in row}
        between = [key for key in found if key not in FIRST + LAST]
        columns = [key for key in (*FIRST, *between, *LAST) if key in found]
        write_csv(path, columns, rows)
