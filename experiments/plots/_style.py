# SPDX-License-Identifier: MIT
"""How every figure looks: sizes, fonts, ticks, and one look for each backend in all of them.

The first seven colours are Okabe and Ito's, which people with any colour vision tell apart, the others
two of Tol's and a brown; marker and dash say the same again for a grey print. A known name has its look
in a table, another takes one by the hash of its name; only where two of one figure would be alike does
the later one step on. Markers are hollow: one on another shows both.
"""

from __future__ import annotations

import hashlib
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable

import matplotlib

matplotlib.use("Agg")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))    # shuntlab, for all figure scripts
from matplotlib import font_manager  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.ticker import (  # noqa: E402
    FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator)

NARROW, WIDE = 3.33, 7.0        # inches: one column and both columns of a paper
FAMILY = "DejaVu Sans"          # matplotlib brings it along
POINTS = 8

BLACK, ORANGE, SKY, GREEN, BLUE, RED, PURPLE, GREY = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#7F7F7F")
WINE, OLIVE, BROWN = "#882255", "#999933", "#8C564B"
COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, BLACK, WINE, OLIVE, BROWN)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)),
                           (0, (2.5, 1)), (0, (6, 1, 1, 1, 1, 1)), (0, (8, 2)))


@dataclass(frozen=True)
class Look:
    colour: str
    marker: str
    dash: Any

    def line(self) -> dict[str, Any]:
        return {"color": self.colour, "marker": self.marker, "linestyle": self.dash,
                "markerfacecolor": "none"}


def _look(colour: int, marker: int, dash: int) -> Look:
    return Look(COLOURS[colour % len(COLOURS)], MARKERS[marker % len(MARKERS)],
                DASHES[dash % len(DASHES)])


_KNOWN = {
    "asm": _look(0, 0, 0), "ucontext": _look(1, 1, 1), "uring": _look(2, 2, 2),
    "uring-each": _look(3, 3, 3), "mn": _look(4, 4, 4), "threads": _look(5, 5, 5),
    "null": _look(6, 6, 6), "asyncio": _look(7, 7, 1), "go": _look(8, 8, 3),
    "asm-ret": _look(9, 7, 2), "ucontext-nosigmask": _look(3, 9, 1),
}
_ALL = tuple(_look(m + d, m, m + 3 * d) for d in range(len(COLOURS)) for m in range(len(MARKERS)))


def looks(names: Iterable[str], together: Iterable[Iterable[str]] = ()) -> dict[str, Look]:
    """The look of every name, those of the table first, then the others as they are listed.

    As long as there are some, no two share a marker, nor do two that are drawn together share a colour;
    without `together` all are."""
    given: dict[str, Look] = {}
    names = list(dict.fromkeys(names))
    groups = sorted(map(set, together), key=len) or [set(names)]
    for name in sorted(names, key=lambda n: n not in _KNOWN):
        given[name] = _free(name, given, [g for g in groups if name in g])
    return given


def _free(name: str, given: dict[str, Look], groups: list[set[str]]) -> Look:
    """The name's own look, else the first from its place on that is unlike those beside it.

    Where its figures have more series than there are colours, the largest of them gives way."""
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % len(_ALL)
    order = [*([_KNOWN[name]] if name in _KNOWN else []), *_ALL[start:], *_ALL[:start]]
    markers = {k.marker for k in given.values()}
    for many in range(len(groups), -1, -1):
        near = [given[n] for n in set().union(*groups[:many]) if n in given]
        colours = {k.colour for k in near}
        apart = [k for k in order if k.colour not in colours]
        beside = {k.marker for k in near}
        found = next((k for k in apart if k.marker not in markers),
                     next((k for k in apart if k.marker not in beside and k not in given.values()), None))
        if found:
            return found
    return next((k for k in order if k not in given.values()), order[0])


def rc() -> dict[str, Any]:
    """Settings of matplotlib, all of them, so that no user's file changes a byte."""
    font_manager.findfont(FAMILY, fallback_to_default=False)
    return {
        "font.family": [FAMILY], "font.size": POINTS, "axes.titlesize": POINTS,
        "axes.labelsize": POINTS, "xtick.labelsize": POINTS - 1, "ytick.labelsize": POINTS - 1,
        "legend.fontsize": POINTS - 1, "pdf.fonttype": 42, "ps.fonttype": 42,
        "svg.fonttype": "path", "svg.hashsalt": "shunt", "text.parse_math": False,
        "text.usetex": False, "axes.unicode_minus": False, "axes.formatter.use_locale": False,
        "lines.linewidth": 1.1, "lines.markersize": 3.8, "lines.markeredgewidth": 0.9,
        "errorbar.capsize": 1.6, "axes.linewidth": 0.6, "axes.spines.top": False,
        "axes.spines.right": False, "axes.grid": True, "grid.color": "#DDDDDD",
        "grid.linewidth": 0.4, "axes.axisbelow": True, "xtick.major.width": 0.6,
        "ytick.major.width": 0.6, "xtick.minor.width": 0.4, "ytick.minor.width": 0.4,
        "xtick.major.size": 2.5, "ytick.major.size": 2.5, "legend.frameon": False,
        "legend.handlelength": 2.6, "legend.columnspacing": 1.2, "legend.handletextpad": 0.5,
        "legend.borderaxespad": 0.0, "figure.dpi": 100, "savefig.dpi": 220,
        "path.simplify": False, "pdf.compression": 9, "axes.titlepad": 3.0, "axes.labelpad": 2.5,
    }


def shown(text: str, most: int = 36) -> str:
    """A name from a file as a figure can hold it: printable, and not longer than its place."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return clean if len(clean) <= most else clean[:most - 1] + "…"


# ---- ticks --------------------------------------------------------------------------------------

_SI = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""))
_NS = ((1e9, " s"), (1e6, " ms"), (1e3, " µs"), (1, " ns"))
_BYTES = ((1 << 30, " GiB"), (1 << 20, " MiB"), (1 << 10, " KiB"), (1, " B"))


def tick(value: float, unit: str = "1") -> str:
    """A number as a tick says it: 10k, 50 µs, 4 KiB."""
    if unit == "1/1000":            # a ratio, kept as a whole number
        value, unit = value / 1000, "1"
    if value == 0:
        return "0"
    if unit == "1" and abs(value) < 10000:
        return f"{value:.4g}"
    steps = _NS if unit == "ns" else _BYTES if unit in ("B", "bytes") else _SI
    scale, suffix = next(((s, t) for s, t in steps if abs(value) >= s * 0.9999), steps[-1])
    return f"{value / scale:.3g}{suffix}"


def scale_axis(axes: Axes, which: str, values: list[float], unit: str, log: bool) -> None:
    """Linear or logarithmic, with ticks that carry their own unit prefix."""
    axis = getattr(axes, f"{which}axis")
    if log:
        getattr(axes, f"set_{which}scale")("log")
        axis.set_minor_formatter(NullFormatter())
        decades = math.log10(max(values) / min(values)) if values and min(values) > 0 else 1
        if decades < 1.3:
            axis.set_major_locator(LogLocator(10, subs=(1, 2, 5), numticks=12))
            axis.set_minor_locator(NullLocator())
        else:
            axis.set_major_locator(LogLocator(10, numticks=8))
    elif unit in ("B", "bytes"):
        axis.set_major_locator(FixedLocator(byte_ticks(max(values, default=1))))
    else:
        axis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda v, _: tick(v, unit)))


def byte_ticks(most: float) -> list[float]:
    """Round numbers of bytes are powers of two: 0, 2 KiB, 4 KiB, not 4.88 KiB."""
    step = 2.0 ** math.floor(math.log2(max(most, 1) / 2.5))
    return [step * i for i in range(int(most * 1.1 / step) + 2)]


def exact_ticks(axes: Axes, which: str, values: list[float], unit: str = "1") -> None:
    """A tick at each of a few values, and none between: 1, 2, 4, 8 workers."""
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(FixedLocator(values))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda v, _: tick(v, unit)))


def wants_log(values: Iterable[float]) -> bool:
    """Whether values span so much that a linear axis would hide the small ones."""
    v = list(values)
    return len(v) > 1 and min(v) > 0 and max(v) / min(v) >= 10


def wants_log_steps(values: Iterable[float]) -> bool:
    """Whether swept values are further apart on a logarithmic axis than on a linear one."""
    v = sorted(set(values))
    if len(v) < 3 or v[0] <= 0:
        return wants_log(v)
    return _least_gap([math.log(x) for x in v]) > _least_gap(v)


def _least_gap(v: list[float]) -> float:
    return min(b - a for a, b in zip(v, v[1:])) / (v[-1] - v[0])
