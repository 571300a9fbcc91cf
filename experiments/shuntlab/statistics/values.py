# SPDX-License-Identifier: MIT
"""The values of a run: a metric by its name (`ns_per_switch`), a quantile of a series (`lateness.p99`), what the
kernel or the scheduler counted (`usage.peak_rss_bytes`, `counters.steals`), or what the processor counted for an
operation (`processor.instructions_per_op`). A quantile that the record does not hold is read from its buckets, and
is as exact as they are: to 0.1 % with 3 digits, to 0.8 % with 2.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Iterable

from ..data import records as rec
from ..planning.campaign import Campaign

HARDWARE = ("cycles", "instructions", "branch_misses", "cache_misses")       # in user mode
SOFTWARE = ("task_clock_ns", "context_switches", "migrations", "page_faults")
_PER_OP = {f"processor.{event}_per_op": event for event in HARDWARE + SOFTWARE}
_QUANTILE = re.compile(r"(?P<series>[a-z][a-z0-9_.-]*)\.p(?P<percent>100|\d{1,2}(?:\.\d+)?)")


@dataclasses.dataclass
class Value:
    number: float
    unit: str
    better: str     # "lower", "higher" or "none"


def value_of(record: dict[str, Any], name: str) -> Value | None:
    """A value of a run, or None where the run does not have it."""
    entry = record["metrics"].get(name)
    if entry is not None:
        return Value(float(entry["value"]), entry["unit"], entry["better"])
    group, _, key = name.partition(".")
    if group in ("usage", "counters") and key in record[group]:
        unit = next((u for end, u in (("_ns", "ns"), ("_bytes", "B")) if key.endswith(end)), "1")
        return Value(float(record[group][key]), unit, "lower" if group == "usage" else "none")
    if name in _PER_OP:
        return _counted(record.get("processor", {}), _PER_OP[name])
    found = _QUANTILE.fullmatch(name)
    series = record["series"].get(found["series"]) if found else None
    if series is None or not rec.enough_samples(series["count"], float(found["percent"]) / 100):
        return None
    number = series["quantiles"].get(f"p{found['percent']}")
    if number is None:
        number = rec.quantile(series, max(1e-12, float(found["percent"]) / 100))
    return Value(float(number), series["unit"], "lower")


def _counted(processor: dict[str, Any], event: str) -> Value | None:
    """What all threads together counted for an operation. A count that ran for a part of the time is stretched."""
    threads, ops = processor.get("by_thread", ()), int(processor.get("ops", 0))
    shares = [int(t[event]) * _stretch(t, event) for t in threads if event in t]
    return Value(sum(shares) / ops, "ns" if event.endswith("_ns") else "1", "lower") if shares and ops else None


def _stretch(thread: dict[str, Any], event: str) -> float:
    running = int(thread.get("running_ns", 0))
    return int(thread["enabled_ns"]) / running if event in HARDWARE and running else 1.0


def why_not_counted(records: Iterable[dict[str, Any]], name: str) -> str:
    """Why no run has a count of the processor, in the first run's words; an empty text for any other name."""
    event = _PER_OP.get(name, "")
    group = "hardware" if event in HARDWARE else "software"
    absent = next((r.get("processor", {}).get("absent", {}) for r in records), {}) if event else {}
    return absent.get(group) or absent.get(event) or ("the records hold no such count" if event else "")


def digits_of(record: dict[str, Any], name: str) -> int | None:
    """The significant digits of the buckets that a quantile is read from; None: of none."""
    found = None if name in record["metrics"] else _QUANTILE.fullmatch(name)
    series = record["series"].get(found["series"]) if found else None
    if series is None or f"p{found['percent']}" in series["quantiles"]:
        return None
    return series["digits"]


def series_of(name: str) -> tuple[str, float] | None:
    """("lateness", 0.99) for "lateness.p99", None for a plain metric."""
    found = _QUANTILE.fullmatch(name)
    return (found["series"], float(found["percent"]) / 100) if found else None


def headline(campaign: Campaign, workload: str) -> str:
    """The metric that answers the question: the plan's first, else what its records suggest."""
    of = [r for r in campaign.ok() if r["identity"]["workload"] == workload]
    for name in campaign.plan.get("metrics", []):
        if any(value_of(r, name) for r in of):
            return name
    names = {name for r in of for name in r["metrics"]}
    return min((n for n in names if n.startswith("ns_per_")), default="wall_ns")


def metrics_for(campaign: Campaign, workload: str, wanted: Iterable[str] = ()) -> list[str]:
    """The metrics to report for a workload: the wanted ones, else the plan's, else the headline."""
    of = [r for r in campaign.ok() if r["identity"]["workload"] == workload]
    names = list(wanted) or campaign.plan.get("metrics", [])
    present = [n for n in names if any(value_of(r, n) for r in of)]
    return present or ([] if wanted else [headline(campaign, workload)])
