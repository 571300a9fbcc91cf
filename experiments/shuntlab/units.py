# SPDX-License-Identifier: MIT
"""The notation of values: durations 50us, counts 10k (1000), sizes 64k (1024), as the core reads it."""

from __future__ import annotations

import re
from decimal import Decimal

_DURATION = {"ns": 1, "us": 10 ** 3, "ms": 10 ** 6, "s": 10 ** 9}
_COUNT = {"": 1, "k": 10 ** 3, "M": 10 ** 6, "G": 10 ** 9}
_SIZE = {"": 1, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30, "kB": 1 << 10, "KiB": 1 << 10,
         "MiB": 1 << 20, "GiB": 1 << 30}
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)([A-Za-z]*)")


def _scaled(text: str, table: dict[str, int]) -> int | None:
    found = _NUMBER.fullmatch(text.strip())
    if not found or found[2] not in table:
        return None
    value = Decimal(found[1]) * table[found[2]]
    return int(value) if value == value.to_integral_value() else None


def duration_ns(text: str) -> int | None:
    """Nanoseconds, or None where the text is no duration (a bare 0 is one)."""
    return 0 if text.strip() == "0" else _scaled(text, _DURATION)


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


def show_ns(value: float) -> str:
    """A duration for people: 1.25 ms."""
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if abs(value) >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value:.3g} ns"


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
