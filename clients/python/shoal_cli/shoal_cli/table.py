"""Columns of text."""

from collections.abc import Iterable, Sequence


def table_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns rows below their header, each column as wide as it needs to be."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
