# SPDX-License-Identifier: MIT
"""The notation of specs (asm:wait=uring), of ranges (pow2..all) and of conditions (">= 100k")."""

from __future__ import annotations

import re
from typing import Iterable

from ..tools import units
from .experiment import RANGE
from .reading import RUNS_MAX


def split_spec(spec: str) -> tuple[str, dict[str, str]]:
    """asm:wait=uring,workers=2 -> ("asm", {"wait": "uring", "workers": "2"})."""
    base, _, rest = spec.partition(":")
    pairs = (part.partition("=") for part in rest.split(",") if part)
    return base, {key: value for key, _, value in pairs}


def join_spec(spec: str, more: dict[str, str]) -> str:
    base, settings = split_spec(spec)
    settings = {**settings, **more}
    if not settings:
        return base
    return base + ":" + ",".join(f"{k}={v}" for k, v in settings.items())


def expand_range(text: str, cpu_count: int) -> list[str] | None:
    """pow2..all -> 1 2 4 …, and the end itself; 1..4 -> 1 2 3 4. None where it is no range."""
    found = RANGE.fullmatch(text)
    if not found:
        return None
    start, power, first, last = found.groups()
    end = cpu_count if last == "all" else units.count(last)
    if end is None or (start and first):
        return None
    if first is not None:
        values: Iterable[int] = range(int(first), min(end, int(first) + RUNS_MAX) + 1)
    elif int(power) < 2:
        return None
    else:
        values = _powers(int(power), int(start or 1), end)
    return [str(v) for v in values] or None


def _powers(power: int, start: int, end: int) -> list[int]:
    found = []
    value = 1
    while value <= end:
        if value >= start:
            found.append(value)
        value *= power
    if end not in found and end >= start:
        found.append(end)
    return found


def satisfies(value: str, rule: str) -> bool:
    """Whether a value meets a condition: equal to it, or beyond it (">= 100k", "!= 2")."""
    found = re.fullmatch(r"\s*(>=|<=|!=|>|<|==)\s*(.+)", rule)
    sign, bound = (found[1], found[2].strip()) if found else ("==", rule)
    left, right = units.base(value), units.base(bound)
    try:
        number, limit = float(left), float(right)
    except ValueError:
        return (left == right) if sign == "==" else (left != right if sign == "!=" else False)
    return {"==": number == limit, "!=": number != limit, ">": number > limit,
            "<": number < limit, ">=": number >= limit, "<=": number <= limit}[sign]
