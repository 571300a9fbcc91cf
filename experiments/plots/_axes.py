# SPDX-License-Identifier: MIT
"""Axes that hide nothing: panels, points set apart, words beside the frame, ticks that do not collide."""

from __future__ import annotations

import math
from typing import Any, Callable, Iterable, Sequence

import _style
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

Place = tuple[float, float, float, float]       # x, y, and the interval of y
APART = 0.018       # of the axis: about a marker
NEAR = 0.04         # of the other axis: less than this apart, one marker hides the other


# ---- panels -------------------------------------------------------------------------------------

def across_of(count: int, width: float) -> int:
    return min(count, 1 if width < 5 else 3)


def grid(fig: Figure, count: int, width: float) -> list[Any]:
    """Axes for `count` panels of the same scales: side by side where there is room, else below each other."""
    across = across_of(count, width)
    down = -(-count // across)
    if down > 1:
        fig.set_figheight((0.8 + 1.2 * down) if width < 5 else (1.0 + 1.6 * down))
    flat = [a for row in fig.subplots(down, across, squeeze=False, sharey=True, sharex=True) for a in row]
    for spare in flat[count:]:
        spare.set_visible(False)
    for axis in bottom(flat[:count]):
        axis.tick_params(axis="x", labelbottom=True)
    return flat[:count]


def bottom(axes: list[Any]) -> list[Any]:
    """The axes with none below them: they carry what all have in common."""
    return axes[-axes[0].get_subplotspec().get_gridspec().ncols:]


def right(axes: list[Any]) -> list[Any]:
    """The axes with none to the right of them."""
    across = axes[0].get_subplotspec().get_gridspec().ncols
    return [a for i, a in enumerate(axes) if (i + 1) % across == 0 or a is axes[-1]]


def beside(axis: Any, y: float, text: str) -> None:
    """What a horizontal line stands for, to the right of the frame, where no point is."""
    axis.annotate(text, (1, y), xycoords=("axes fraction", "data"), xytext=(2, 0), color="#666666",
                  textcoords="offset points", ha="left", va="center", fontsize=6.5, annotation_clip=False)


# ---- points -------------------------------------------------------------------------------------

def points(axis: Any, places: Iterable[Place], look: _style.Look, label: str = "", **more: Any) -> Any:
    """Points with their bars; a marker on the edge of the frame is drawn whole."""
    x, y, low, high = (list(column) for column in zip(*places))
    made = axis.errorbar(x, y, [[b - a for a, b in zip(low, y)], [b - a for a, b in zip(y, high)]],
                         label=label, **(look.line() | more))
    made[0].set_clip_on(False)
    return made


def set_apart(panels: Sequence[dict[str, list[Place]]], logx: bool, logy: bool
              ) -> tuple[list[dict[str, list[Place]]], bool]:
    """The same panels, and whether something was moved: along x, where one point would hide another."""
    names = list(dict.fromkeys(n for p in panels for n in p))
    if len(names) < 2 or not any(_hides(p, logy, _range(panels, 1, logy)) for p in panels):
        return list(panels), False
    xs = sorted({_to(q[0], logx) for p in panels for line in p.values() for q in line})
    gap = min((b - a for a, b in zip(xs, xs[1:])), default=1.0)
    step = min(APART * (xs[-1] - xs[0] or 1.0), 0.7 * gap / len(names))

    def moved(name: str, place: Place) -> Place:
        shift = step * (names.index(name) - (len(names) - 1) / 2)
        x = _to(place[0], logx) + shift
        return (math.exp(x) if logx else x, *place[1:])

    return [{n: [moved(n, q) for q in line] for n, line in p.items()} for p in panels], True


def _to(value: float, log: bool) -> float:
    return math.log(value) if log else value


def _range(panels: Sequence[dict[str, list[Place]]], index: int, log: bool) -> float:
    values = [_to(q[index], log) for p in panels for line in p.values() for q in line]
    return max(values) - min(values if log else [0.0, *values]) or 1.0


def _hides(panel: dict[str, list[Place]], log: bool, whole: float) -> bool:
    """Whether two points at one x lie on each other, or their bars do."""
    at: dict[float, list[Place]] = {}
    for line in panel.values():
        for place in line:
            at.setdefault(place[0], []).append(place)
    for some in at.values():
        some.sort(key=lambda q: q[1])
        if any(_to(b[1], log) - _to(a[1], log) < NEAR * whole or b[2] <= a[3] for a, b in zip(some, some[1:])):
            return True
    return False


MOVED = "Points are moved apart a little along x where one would hide another"


# ---- ticks --------------------------------------------------------------------------------------

def clear_ticks(fig: Figure) -> None:
    """Drop the tick labels that would run into the one before."""
    fig.draw_without_rendering()
    for axis in fig.axes:
        for own, side in ((axis.xaxis, 0), (axis.yaxis, 1)):
            hidden = _colliding(own, side)
            if hidden:
                own.set_major_formatter(FuncFormatter(_without(own.get_major_formatter(), hidden)))


def _without(shown: Callable, hidden: set[float]) -> Callable:
    return lambda value, place: "" if value in hidden else shown(value, place)


def _colliding(axis: Any, side: int) -> set[float]:
    hidden, end = set(), -math.inf
    low, high = sorted(axis.get_view_interval())
    boxes = []
    for tick in axis.get_major_ticks():
        if low <= tick.get_loc() <= high and tick.label1.get_visible() and tick.label1.get_text():
            box = tick.label1.get_window_extent()
            boxes.append(((box.x0, box.x1) if side == 0 else (box.y0, box.y1), float(tick.get_loc())))
    for (start, stop), where in sorted(boxes):
        if start < end:
            hidden.add(where)
        else:
            end = stop + (3 if side == 0 else 0)
    return hidden
