# SPDX-License-Identifier: MIT
"""Records: one run, one JSON file. Reads them, refuses damaged ones, and reads their histograms.

A record is accepted only if it parses, has the fields every reader relies on, satisfies the schema
that stands beside the C code, and does not contradict itself. Everything else is a RecordError that
names the file and the reason; what to do with such a file is the caller's decision, and no function
here moves or changes one.

The last member of a record is its checksum: the SHA-256 of all bytes of the file before it. A record
of a driver that writes none is as sound as the journal that knows its bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any, Callable, Iterable

from ..tools.files import FileRefused, parse_json
from . import packed, schema

SCHEMA = "shunt.run/1"
METRIC_MAX = 1e30               # its square, and the sum of many, are still doubles
INDEX_MAX = 53 * 1024 - 1       # of a bucket, with 3 digits: core/measure/hist.h's SHUNT_HIST_BUCKETS
STATUSES = ("ok", "failed", "timeout", "skipped", "interrupted")


class RecordError(Exception):
    """A record file that must not be read as data."""

    def __init__(self, path: Path | str, why: str):
        super().__init__(f"{path}: {why}")
        self.path = Path(path)
        self.why = why


def load_record(path: Path | str) -> dict[str, Any]:
    """Read and check one record. Raises RecordError; an OSError passes through."""
    return parse_record(read_record(path), path)


def read_record(path: Path | str) -> bytes:
    """The bytes of a record, packed or in a file, which is a regular one of bounded size."""
    try:
        return packed.read_record(path)
    except FileRefused as e:
        raise RecordError(path, e.strerror) from None


def parse_record(text: bytes, path: Path | str = "record", parsed: Any = None) -> dict[str, Any]:
    """A record from its bytes; `parsed` is what they parse to, where that is known."""
    if not text.strip():
        raise RecordError(path, "the file is empty: a write was cut off")
    sealed = _is_sealed(text, path)
    try:
        record = parse_json(text) if parsed is None else parsed
    except UnicodeDecodeError as e:
        raise RecordError(path, f"not UTF-8 at byte {e.start}") from None
    except json.JSONDecodeError as e:
        kind = "not JSON" if text.rstrip().endswith(b"}") else "truncated"
        raise RecordError(path, f"{kind}: {e.msg} at line {e.lineno} column {e.colno}") from None
    except ValueError as e:
        raise RecordError(path, str(e)) from None
    problems = check_record(record)
    if not problems and "sha256" in record and not sealed:
        problems = ["its checksum is not its last member"]
    if problems:
        raise RecordError(path, "; ".join(problems[:3]))
    return _completed(record)


# ---- the checksum -------------------------------------------------------------------------------

_SEAL = re.compile(rb',"sha256":"([0-9a-f]{64})"\}\n?')
_SEAL_BYTES = len(',"sha256":""}\n') + 64


def sealed(record: dict[str, Any]) -> bytes:
    """A record as it is written: one line, the checksum last."""
    rest = {k: v for k, v in record.items() if k != "sha256"}
    text = json.dumps(rest, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")[:-1]
    return text + b',"sha256":"%s"}\n' % hashlib.sha256(text).hexdigest().encode()


def _is_sealed(text: bytes, path: Path | str) -> bool:
    """Whether a record's text ends with its checksum. RecordError if that is of another text."""
    start = max(0, len(text) - _SEAL_BYTES)
    seal = _SEAL.search(text, start)
    if seal is None or seal.end() != len(text):
        return False
    if hashlib.sha256(text[:seal.start()]).hexdigest().encode() != seal[1]:
        raise RecordError(path, "changed since it was written (its checksum differs)")
    return True


# ---- checks -------------------------------------------------------------------------------------

def check_record(record: Any) -> list[str]:
    """What is wrong with a parsed record, in words; an empty list if nothing is."""
    if not isinstance(record, dict):
        return ["not an object"]
    if record.get("schema") != SCHEMA:
        return [f"schema is {record.get('schema')!r}, not {SCHEMA!r}"]
    problems = _check_shape(record)
    if problems:
        return problems
    problems += schema.check_run(_lean(record))
    if problems:
        return problems
    return _check_sense(record)


def _lean(record: dict[str, Any]) -> dict[str, Any]:
    """For the schema: of a long list one item stands for all, the first that is not plain if any is not.

    A series of wide spread has thousands of buckets, and the schema's reader needs 20 us for each."""
    lean = dict(record)
    lean["iterations"] = _sample(record.get("iterations"), _plain_iteration)
    series = record.get("series")
    if isinstance(series, dict):
        lean["series"] = {name: {**one, "buckets": _sample(one.get("buckets"), _plain_bucket)}
                          if isinstance(one, dict) and "buckets" in one else one
                          for name, one in series.items()}
    return {k: v for k, v in lean.items() if k in record}


def _sample(items: Any, plain: Callable[[Any], bool]) -> Any:
    if not isinstance(items, list):
        return items
    return [next((i for i in items if not plain(i)), items[0])] if items else items


def _plain_bucket(pair: Any) -> bool:
    return type(pair) is list and len(pair) == 2 and type(pair[0]) is int \
        and type(pair[1]) is int and 0 <= pair[0] <= INDEX_MAX and 0 <= pair[1] <= 1 << 53


def _plain_iteration(one: Any) -> bool:
    return type(one) is dict and "wall_ns" in one and "ops" in one and all(
        k in ("wall_ns", "cpu_ns", "ops") and type(v) is int and 0 <= v <= 1 << 53
        for k, v in one.items())


# What every reader in this package indexes without asking. The second list may be absent from a file (a
# run that failed has no metrics) and is then filled in empty.
_REQUIRED: tuple[tuple[str, type], ...] = (
    ("run_id", str), ("identity", dict), ("arm", str), ("repetition", int), ("block", str),
    ("machine_class", str), ("status", str), ("reason", str), ("argv", list), ("times", dict),
)
_OPTIONAL: tuple[tuple[str, type], ...] = (
    ("metrics", dict), ("iterations", list), ("series", dict), ("counters", dict), ("usage", dict),
    ("checks", list), ("facts", dict), ("caveats", list), ("probes", dict), ("env_id", str),
)


def _check_shape(record: dict[str, Any]) -> list[str]:
    problems = [f"field {key!r} is missing" for key, _ in _REQUIRED if key not in record]
    for key, kind in _REQUIRED + _OPTIONAL:
        value = record.get(key, kind())
        if not isinstance(value, kind) or isinstance(value, bool):
            problems.append(f"field {key!r} is not a {kind.__name__}")
    if problems:
        return problems
    for key in ("driver", "backend", "workload", "params", "seed"):
        if key not in record["identity"]:
            problems.append(f"field 'identity.{key}' is missing")
    for name, entry in record.get("metrics", {}).items():
        try:
            if not abs(float(entry["value"])) <= METRIC_MAX:
                problems.append(f"metric {name!r} is {entry['value']!r:.40}, beyond {METRIC_MAX:g}")
        except (KeyError, TypeError, ValueError, OverflowError):
            problems.append(f"metric {name!r} has no numeric value")
    return problems


def _completed(record: dict[str, Any]) -> dict[str, Any]:
    """The record with the optional fields present and integers beyond 2^53 as Python's own."""
    for key, kind in _OPTIONAL:
        record.setdefault(key, kind())
    for entry in record["metrics"].values():
        if isinstance(entry["value"], str):
            entry["value"] = int(entry["value"])
    for series in record["series"].values():
        _whole_numbers(series)
    for group in ("counters", "usage"):
        record[group] = {k: int(v) for k, v in record[group].items()}
    return record


def _whole_numbers(series: dict[str, Any]) -> None:
    for key in ("count", "min", "max", "sum", "negative", "over"):
        if key in series:
            series[key] = int(series[key])
    series["buckets"] = [[int(i), int(n)] for i, n in series["buckets"]]
    series["quantiles"] = {k: int(v) for k, v in series.get("quantiles", {}).items()}


def _check_sense(record: dict[str, Any]) -> list[str]:
    """What no schema can say: that the parts of the record agree with each other."""
    problems = []
    status = record["status"]
    if status not in STATUSES:
        problems.append(f"status {status!r} is not one of {', '.join(STATUSES)}")
    wrong = [c.get("name", "?") for c in record.get("checks", []) if not c.get("ok")]
    if status == "ok" and wrong:
        problems.append(f"status ok, yet check {wrong[0]!r} failed")
    if status != "ok" and not record["reason"]:
        problems.append(f"status {status} without a reason")
    for name, series in record.get("series", {}).items():
        problems += [f"series {name!r}: {why}" for why in _check_series(series)]
    return problems


def _check_series(series: dict[str, Any]) -> list[str]:
    buckets = [(int(index), int(count)) for index, count in series.get("buckets", [])]
    held = sum(count for _, count in buckets)
    if held != int(series["count"]):
        return [f"buckets hold {held} samples, count says {series['count']}"]
    indices = [index for index, _ in buckets]
    last = hist_index(hist_bounds(INDEX_MAX, 3)[0], series["digits"])
    if indices and not 0 <= indices[-1] <= last:
        return [f"bucket {indices[-1]} is not one of the {last + 1} of {series['digits']} digits"]
    if any(b <= a for a, b in zip(indices, indices[1:])):
        return ["bucket indices do not increase"]
    if not buckets:
        return []
    problems = []
    for end, index in (("min", indices[0]), ("max", indices[-1])):
        low, high = hist_bounds(index, series["digits"])
        clamped = end == "max" and int(series.get("over", 0)) > 0
        if end in series and not low <= int(series[end]) <= high and not clamped:
            problems.append(f"{end} {series[end]} is not in its bucket {low}..{high}")
    return problems


# ---- histograms -------------------------------------------------------------------------------

def hist_bounds(index: int, digits: int) -> tuple[int, int]:
    """The least and the greatest value that bucket `index` stands for (core/measure/hist.h)."""
    half_bits = sub_bucket_half_bits(digits)
    half = 1 << half_bits
    if index < 2 * half:
        return index, index
    shift = index // half - 1
    low = (half + index % half) << shift
    return low, low + (1 << shift) - 1


def hist_index(value: int, digits: int) -> int:
    """The bucket of a value: the inverse of hist_bounds."""
    half_bits = sub_bucket_half_bits(digits)
    shift = max(0, value.bit_length() - 1 - half_bits)
    return (shift << half_bits) + (value >> shift)


def sub_bucket_half_bits(digits: int) -> int:
    """log2 of half the linear buckets that keep `digits` significant decimal digits."""
    return math.ceil(math.log2(2 * 10 ** digits)) - 1


def hist_value(index: int, digits: int) -> int:
    """The value a bucket is reported as: its greatest, so that no latency is made to look better."""
    return hist_bounds(index, digits)[1]


def quantile(series: dict[str, Any], q: float) -> int:
    """The q-quantile of a series (0 < q <= 1), from its buckets. ValueError on an empty one."""
    if not 0.0 < q <= 1.0:
        raise ValueError(f"quantile {q} is not in (0, 1]")
    rank = _rank(series, q)
    seen = 0
    for index, count in series["buckets"]:
        seen += count
        if seen >= rank:
            value = hist_value(index, series["digits"])
            return min(max(value, series["min"]), series["max"])
    raise ValueError("the series is empty")


def _rank(series: dict[str, Any], q: float) -> int:
    return max(1, math.ceil(q * series["count"] - 1e-9))


def thinned(series: dict[str, Any], quantiles: Iterable[float]) -> dict[str, Any]:
    """The series in no more buckets than these quantiles are read from; each of them stays what it was."""
    ranks = [_rank(series, q) for q in quantiles]
    buckets, seen, merged = [], 0, 0
    for index, count in series["buckets"]:
        seen, merged = seen + count, merged + count
        if any(rank <= seen for rank in ranks):
            buckets.append([index, merged])
            ranks, merged = [rank for rank in ranks if rank > seen], 0
    return {**series, "buckets": buckets}


def enough_samples(count: int, q: float) -> bool:
    """Whether `count` samples carry the q-quantile: with 97.5 % certainty one lies beyond it.

    That is 368 for p99, 3,688 for p99.9 and 36,887 for p99.99; below the median the mirror holds.
    """
    tail = max(q, 1.0 - q)
    if tail >= 1.0:
        return count > 0
    return count >= math.log(0.025) / math.log(tail)


def coarsen(series: dict[str, Any], digits: int) -> dict[str, Any]:
    """The series with buckets of no more than `digits` digits; itself where it has no more.

    Nothing is lost but the width of the buckets: each is a union of finer ones."""
    if series["digits"] <= digits:
        return series
    buckets: dict[int, int] = {}
    for index, count in series["buckets"]:
        wider = hist_index(hist_bounds(index, series["digits"])[0], digits)
        buckets[wider] = buckets.get(wider, 0) + count
    return {**series, "digits": digits, "buckets": [[i, buckets[i]] for i in sorted(buckets)]}


def pool(many: list[dict[str, Any]]) -> dict[str, Any]:
    """One series holding the samples of all of `many`, in the coarsest buckets that one of them has.

    They must share their unit."""
    units = sorted({s["unit"] for s in many})
    if len(units) != 1:
        raise ValueError(f"cannot pool series of different units: {', '.join(units)}")
    digits = min(s["digits"] for s in many)
    buckets: dict[int, int] = {}
    for series in many:
        for index, count in coarsen(series, digits)["buckets"]:
            buckets[index] = buckets.get(index, 0) + count
    full = [s for s in many if s["count"]]
    return {
        "unit": units[0], "digits": digits,
        "count": sum(s["count"] for s in many),
        "min": min((s["min"] for s in full), default=0),
        "max": max((s["max"] for s in full), default=0),
        "sum": sum(s["sum"] for s in many),
        "buckets": [[i, buckets[i]] for i in sorted(buckets)],
    }


# ---- small conveniences for every reader ------------------------------------------------------

def kind_of_reason(reason: str) -> str:
    """What two reasons have in common that differ in a measured number alone, which an exit status is not."""
    return re.sub(r"(exit status \d+)|\d+(?:[.,]\d+)*", lambda found: found[1] or "#", reason)


LOOPS = ("throughput_ns", "latency_ns")         # of the interference probe


def probe_times(record: dict[str, Any]) -> list[float] | None:
    """Of each loop of the interference probe the slower time of before and after; None: not probed."""
    sides = [record.get("interference", {}).get(k, {}) for k in ("before", "after")]
    if not all(name in side for name in LOOPS for side in sides):
        return None
    return [max(float(side[name]) for side in sides) for name in LOOPS]


def metric(record: dict[str, Any], name: str) -> float | None:
    """The value of a metric, or None where the run did not report it. Never a zero for absence."""
    entry = record["metrics"].get(name)
    return None if entry is None else float(entry["value"])
