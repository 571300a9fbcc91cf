# SPDX-License-Identifier: MIT
"""The numbers of a figure as a table: medians with their intervals, in the units of its axes.

A column has one unit, in its head, unless its values lie too far apart for one. Of the two ways to lay out
a table the one that a column of a paper holds is taken, else the one that a page holds, else a row for
each value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import _data
import _figure
import _latex
from shuntlab.statistics.points import in_brackets, scale_for

Table = tuple[list[str], list[list[str]]]
SPAN = 1000     # between the least and the largest value of a column that has one unit


@dataclass(frozen=True)
class Entry:
    """A median with its interval, or a text that stands for one."""
    median: float = 0.0
    low: float = 0.0
    high: float = 0.0
    unit: str = ""
    n: int = 0
    text: str = ""


def entry(cell: _data.Cell) -> Entry:
    return Entry(cell.median, cell.low, cell.high, cell.unit, cell.n)


def written(e: Entry, scale: float = 0.0) -> str:
    """5.91 [5.84, 6.02] with a given scale, whose unit is elsewhere; else with its own unit."""
    if e.text:
        return e.text
    own, unit = scale_for(base(e.median, e.unit), plain_unit(e.unit))
    numbers = [three(base(v, e.unit) / (scale or own)) for v in (e.median, e.low, e.high)]
    text = numbers[0] if e.low == e.high == e.median else "{} [{}, {}]".format(*numbers)
    return text if scale else f"{text} {unit}".strip()


def three(value: float) -> str:
    """Three significant digits, zeros among them; whole numbers whole."""
    text = f"{value:#.3g}"
    return (f"{value:.0f}" if 1 <= abs(value) < 1e7 else f"{value:.2e}") if "e" in text else (
        "0" if value == 0 else text.rstrip("."))


def base(value: float, unit: str) -> float:
    """A ratio is kept as a whole number of thousandths; people read the ratio."""
    return value / 1000 if unit == "1/1000" else value


def plain_unit(unit: str) -> str:
    return "1" if unit == "1/1000" else unit


def column(head: str, entries: list[Entry | None]) -> list[str]:
    """A column with its head: one unit for all, or each with its own."""
    numbers = [e for e in entries if e and not e.text]
    sizes = [abs(base(e.median, e.unit)) for e in numbers if e.median]
    if not sizes or len({e.unit for e in numbers}) > 1 or max(sizes) > SPAN * min(sizes):
        return [head, *(written(e) if e else "-" for e in entries)]
    scale, unit = scale_for((min(sizes) * max(sizes)) ** 0.5, plain_unit(numbers[0].unit))
    return [head + in_brackets(unit, ""),
            *(written(e, scale) if e else "-" for e in entries)]


def lay_out(found: dict[tuple[str, str, str], Entry], x: str, series: str,
            shown: Callable[[str], str]) -> Table:
    """A table of (panel, series, x) -> entry."""
    panels, names, places = (list(dict.fromkeys(k[i] for k in found)) for i in range(3))
    many = len(panels) > 1

    def table(down: list[str], across: list[str], corner: str, key: Callable) -> Table:
        rows = [(p, d) for p in panels for d in down if any(key(p, d, a) in found for a in across)]
        columns = [[corner, *(shown(d) if corner == x else d for _, d in rows)]]
        if many:
            columns.insert(0, ["panel", *(p for p, _ in rows)])
        columns += [column(f"{x} {shown(a)}" if corner != x and a[:1].isdigit() else a,
                           [found.get(key(p, d, a)) for p, d in rows])
                    for a in across]
        head, *body = (list(row) for row in zip(*columns))
        return head, body

    ways = [table(places, names, x, lambda p, d, a: (p, a, d)),
            table(names, places, series, lambda p, d, a: (p, d, a))]
    for room in (_latex.COLUMN, _latex.PAGE):
        for way in ways:
            if _latex.width_of(*way) <= room:
                return way
    return (["panel"] * many + [series, x, "n", "median"],
            [[p] * many + [s, shown(v), str(e.n or ""), written(e)] for (p, s, v), e in found.items()])


def of_cells(found: list[_data.Cell], x: str, series: str,
             more: dict[tuple[str, str, str], Entry] | None = None) -> Table:
    """The table of a figure's cells; `more` stands behind them."""
    entries = {(c.facet, c.series, c.x): entry(c) for c in found} | (more or {})
    if all(c.series == c.x for c in found):         # a name for each: a row is enough
        entries = {(p, "median", v): e for (p, _, v), e in entries.items()}
    return lay_out(entries, _figure.pretty(x), _figure.pretty(series),
                  lambda v: _data.with_unit(found[0].point, x, v))
