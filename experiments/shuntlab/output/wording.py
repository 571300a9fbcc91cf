# SPDX-License-Identifier: MIT
"""Verdicts, ratios and medians in words, as the terminal and the report say them."""

from __future__ import annotations

import math
import textwrap

from ..statistics.analysis import Report
from ..statistics.effects import Section, Summary
from ..statistics.points import plain
from ..statistics.verdicts import Comparison, word_for
from ..tools.units import comparisons

WIDTH = 80


def verdict_text(c: Comparison, s: Section) -> str:
    text = word_for(c.verdict, s.unit, s.better)
    runs = c.verdict.runs
    return f"{text} ({runs if runs < 1000 else '>999'})" if runs else text


def ratio_text(c: Comparison) -> str:
    if math.isnan(c.estimate):
        return "no ratio"
    ratio, low, high = (_ratio_number(x) for x in c.ratio)
    return ratio if math.isnan(c.low) else f"{ratio} [{low}, {high}]"


def _ratio_number(x: float) -> str:
    if math.isinf(x):
        return "too large"
    if 0.1 <= x < 10:
        return f"{x:.3f}"
    return plain(x, 3).removeprefix("0") if x < 0.1 else plain(x, 3)


def p_text(p: float) -> str:
    if math.isnan(p):
        return ""
    return "<.001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 0.9995 else "1"


def median_text(s: Summary, divisor: float) -> str:
    if s.n == 0:
        return "-"
    text = _three(s.median / divisor)
    if s.low is not None:
        text += f" [{_three(s.low / divisor)}, {_three(s.high / divisor)}]"
    return text


def _three(x: float) -> str:
    return f"{plain(x / 1000, 3)}k" if abs(x) >= 10_000 else plain(x, 3)


def lost_text(x: Summary) -> str:
    """How many runs of an arm have no value, by why: "3 runs invalid"."""
    return ", ".join(f"{n} run{'s' * (n > 1)} {status}" for status, n in x.lost.items())


def wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ")


def family_text(report: Report) -> str:
    """What the intervals and the p-values of a report are."""
    r = report.rules
    return (f"Intervals have level {100 * (1 - r.alpha):g} %, each by itself. p: Holm-adjusted p-value over "
            f"{comparisons(r.family)}{', claims among them' if report.claims else ''}; null "
            f"hypothesis: ratio within {100 * r.margin:g} % of 1.")


def several(report: Report) -> str:
    """What a report compares with each other beside the arms."""
    return "campaigns" if len(report.campaigns) > 1 else "machines"


def runs_text(report: Report) -> str:
    return (f"inconclusive (N): N runs of each arm would settle it with {100 * report.rules.power:g} % "
            "power.")


def number(x: float | None) -> float | None:
    """JSON has no nan: what does not exist is null."""
    return None if x is None or not math.isfinite(x) else x
