# SPDX-License-Identifier: MIT
"""The notation of values: durations 50us, counts 10k (1000), sizes 64k (1024), as the core reads it."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

_DURATION = {"ns": 1, "us": 10 ** 3, "ms": 10 ** 6, "s": 10 ** 9, "\N{MICRO SIGN}s": 10 ** 3}
_COUNT = {"": 1, "k": 10 ** 3, "M": 10 ** 6, "G": 10 ** 9, "K": 10 ** 3}
_SIZE = {"": 1, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30, "K": 1 << 10, "B": 1,
         **{f"{prefix}{end}": 1 << power for prefix, power in
            (("k", 10), ("K", 10), ("M", 20), ("G", 30)) for end in ("B", "iB")}}
_NUMBER = re.compile(r"(-?(?:\d+\.?\d*|\.\d+))([A-Za-z\N{MICRO SIGN}]*)", re.ASCII)
_DECIMAL = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:e[-+]?\d+)?", re.ASCII)


def _scaled(text: str, table: dict[str, int]) -> int | None:
    found = _NUMBER.fullmatch(text.strip()) if len(text) <= 100 else None
    if not found or found[2] not in table:
        return None
    value = Fraction(found[1]) * table[found[2]]
    return int(value) if value.denominator == 1 else None


def duration_ns(text: str) -> int | None:
    """Nanoseconds, or None where the text is no duration (a bare 0 is one)."""
    return 0 if _scaled(text, {"": 1}) == 0 else _scaled(text, _DURATION)


def count(text: str) -> int | None:
    return _scaled(text, _COUNT)


def size(text: str) -> int | None:
    return _scaled(text, _SIZE)


def base(text: str, kind: str = "") -> str:
    """The value in base units, as records hold it; the text itself where it is no quantity.

    `kind` is the parameter's type where it is known: count, duration, size, or anything else.
    """
    readers = {"count": (count,), "duration": (duration_ns,), "size": (size,),
               "": (count, duration_ns)}.get(kind, ())
    for reader in readers:
        value = reader(text)
        if value is not None:
            return str(value)
    return text


def type_of(types: dict[str, dict[str, str]], workload: str, name: str) -> str:
    """"duration" or "size" of a workload's parameter or, of no workload, of a setting, by a plan's
    `types`; else an empty text."""
    return types.get(workload, {}).get(name, "")


def unit_of(kind: str) -> str:
    """The base unit in which records hold a parameter or a setting; "" where it has none."""
    return {"duration": "ns", "size": "bytes"}.get(kind, "")


def plain(unit: str, value: int) -> tuple[str, int | float]:
    """A series' unit and a value of it for readers: thousandths, the unit "1/1000", become a ratio."""
    return ("1", value / 1000) if unit == "1/1000" else (unit, value)


def number(value: Any) -> Any:
    """The number that a record wrote as a decimal text; anything else as it is."""
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        return value
    return float(value) if "." in value or "e" in value else int(value)


def notation(value: str, kind: str = "") -> str:
    """A value in base units as one would type it, exactly: 20us for 20000 of a duration, 10k, 64k.
    `kind` is the parameter's type where it has a unit: duration or size."""
    if not value.isdecimal() or value == "0" or len(value) > 100:
        return value
    table = {"duration": _DURATION, "size": dict(list(_SIZE.items())[:4])}.get(kind, _COUNT)
    number = int(value)
    steps = sorted(table.items(), key=lambda step: -step[1])
    return next(f"{number // scale}{unit}" for unit, scale in steps if number % scale == 0)


def comparisons(number: int) -> str:
    """1 comparison, 31 comparisons"""
    return f"{number} comparison{'s' * (number != 1)}"


def show_span(seconds: float) -> str:
    """A span for people: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = int(round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
