# SPDX-License-Identifier: MIT
"""The latency series of a campaign as a log of HdrHistogram, which its readers in other languages take.

A line is one series of one run: the log's format 1.3, compressed V2 payloads. Buckets are those of
HdrHistogram with the same number of digits (core/measure/hist.h), so that counts go over as they are.
A tag names the series, the arm and the point, and where there are several machines the machine; the
bytes of a name that a tag may not hold are percent-encoded.
"""

from __future__ import annotations

import base64
import datetime
import struct
import zlib
from typing import Any, Iterator, TextIO
from urllib.parse import quote

from ..data.records import hist_bounds
from ..planning.kept_plan import CampaignError

Run = dict[str, Any]
Runs = list[tuple[Run, dict[str, Any]]]

COOKIE, COOKIE_COMPRESSED = 0x1c849313, 0x1c849314
COUNT_MAX = 2 ** 63 - 1


def write(out: TextIO, runs: Runs) -> None:
    ordered = sorted(((_started_s(run), run, record) for run, record in runs), key=lambda each: each[0])
    out.write("#[Histogram log format version 1.3]\n")
    out.writelines(f"#[Values of {name}: {unit}]\n" for name, unit in _units(runs))
    if ordered:
        out.write(f"#[StartTime: {ordered[0][0]:.3f} (seconds since epoch)]\n")
    out.write('"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n')
    machines = len({run["machine_class"] for run, _ in runs})
    for started_s, run, record in ordered:
        for name, series in record["series"].items():
            if series["count"]:
                said = [name, run["arm"], run["point"], *[run["machine_class"]] * (machines > 1)]
                out.write(_line(run, started_s, "/".join(quote(s, safe="=:+") for s in said), series))


def _units(runs: Runs) -> list[tuple[str, str]]:
    return sorted({(name, "thousandths" if series["unit"] == "1/1000" else series["unit"])
                   for _, record in runs for name, series in record["series"].items()})


def _started_s(run: Run) -> float:
    try:
        return datetime.datetime.fromisoformat(run["started"].replace("Z", "+00:00")).timestamp()
    except ValueError:
        raise CampaignError(f"{run['file']}: times.started is {run['started']!r}, which no clock shows") from None


def _line(run: Run, started_s: float, tag: str, series: dict[str, Any]) -> str:
    try:
        held = base64.b64encode(payload(series)).decode()
    except ValueError as e:
        raise CampaignError(f"{run['file']}: series {tag.partition('/')[0]}: {e}") from None
    # The field of the greatest value is in milliseconds by custom, and no reader needs it.
    return f"Tag={tag},{started_s:.3f},{run['elapsed_ns'] / 1e9:.3f},{series['max'] / 1e6:.3f},{held}\n"


def payload(series: dict[str, Any]) -> bytes:
    """A series as a compressed V2 histogram. ValueError on a count that none can hold."""
    counts = b"".join(map(_zigzag, _counts(series["buckets"])))
    highest = hist_bounds(series["buckets"][-1][0], series["digits"])[1]
    head = struct.pack(">Iiiiqqd", COOKIE, len(counts), 0, series["digits"], 1,
                       max(2, highest), 1.0)
    packed = zlib.compress(head + counts)
    return struct.pack(">Ii", COOKIE_COMPRESSED, len(packed)) + packed


def _counts(buckets: list[list[int]]) -> Iterator[int]:
    """The counts of all buckets, a run of empty ones as its length below zero."""
    next_index = 0
    for index, count in buckets:
        if count > COUNT_MAX:
            raise ValueError(f"a bucket of {count} samples; an .hlog holds at most {COUNT_MAX}")
        empty = index - next_index
        if empty:
            yield -empty if empty > 1 else 0
        yield count
        next_index = index + 1


def _zigzag(value: int) -> bytes:
    """ZigZag in groups of 7 bits, the least first; a ninth byte has 8 bits."""
    rest = value << 1 if value >= 0 else (-value << 1) - 1
    out = bytearray()
    while rest > 0x7f and len(out) < 8:
        out.append(rest & 0x7f | 0x80)
        rest >>= 7
    return bytes(out) + bytes([rest])
