# SPDX-License-Identifier: MIT
"""The cost table of virtual time, from campaigns of experiments/costs.toml and looks.toml.

A run counts its switches, spawns and waits, so each constant is what a run's time leaves when those known
before are taken off, per act; of the runs the median. A look is what a run with many idle workers takes of the
processor more than one with a few, per look more. A latency is a law: quantiles of the pooled series.
core/engine/cost.h says what each cost stands for.
"""

from __future__ import annotations

import statistics
from typing import Any, Callable

from ..data import records as rec
from ..planning.campaign import Campaign

Record = dict[str, Any]
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)


class Incomplete(ValueError):
    """The campaigns lack runs that a cost is made from."""


def table(campaigns: list[Campaign]) -> dict[str, str]:
    """{cost: what stands behind its name in the file}, in the order of the file."""
    runs: dict[tuple[str, str], list[Record]] = {}
    for campaign in campaigns:
        labels = {p["id"]: p.get("label") or p["workload"] for p in campaign.plan["points"]}
        for record in campaign.ok():
            runs.setdefault((labels[record["lab"]["point"]], record["arm"]), []).append(record)

    def of(label: str, arm: str) -> list[Record]:
        if (label, arm) not in runs:
            paths = ", ".join(str(c.path) for c in campaigns)
            raise Incomplete(f"{paths}: no good run of {label} with {arm}; give a campaign of `costs` and one of "
                             "`looks`, both run to their ends (`lab status` tells what failed)")
        return runs[label, arm]

    def constant(label: str, arm: str, cost: Callable[[Record], float]) -> float:
        return max(0.0, statistics.median(cost(r) for r in of(label, arm)))

    def law(label: str, arm: str, series: str, less: float) -> str:
        return _law(rec.pool([r["series"][series] for r in of(label, arm)]), less)

    switch = constant("switch", "one", lambda r: _wall(r) / r["counters"]["switches"])
    step = constant("step", "one", lambda r: _wall(r) / r["counters"]["switches"])
    many = constant("switch", "many", lambda r: _wall(r) / r["counters"]["switches"])
    queue = constant("switch", "shared", lambda r: _wall(r) / r["counters"]["switches"] - many)
    spawn = constant("spawn", "one", lambda r: _left(r, switch) / r["counters"]["spawns"])
    ready = constant("ready", "one", lambda r: _left(r, switch) / r["counters"]["sync_waits"])
    few, crowd = (constant("look", arm, lambda r: _metric(r, "cpu_ns")) for arm in ("few", "crowd"))
    looks = constant("look", "crowd", _looks) - constant("look", "few", _looks)
    call = constant("wake", "asleep", lambda r: _metric(r, "waker_cpu_ns_per_wake") - ready)
    return {
        "switch": f"{switch:.1f}", "step": f"{step:.1f}", "spawn": f"{spawn:.1f}", "ready": f"{ready:.1f}",
        "queue": f"{queue:.1f}", "steal": law("wake", "awake", "wake_latency", switch + ready),
        "look": f"{max(0.0, crowd - few) / max(1.0, looks):.1f}",
        "wake": law("wake", "asleep", "wake_latency", switch + ready), "call": f"{call:.0f}",
        "late": law("late", "one", "lateness", switch + ready)}


def _wall(record: Record) -> float:
    return _metric(record, "wall_ns")


def _metric(record: Record, name: str) -> float:
    return float(record["metrics"][name]["value"])


def _looks(record: Record) -> float:
    return float(record["counters"]["steals_tried"])


def _left(record: Record, switch: float) -> float:
    return _wall(record) - record["counters"]["switches"] * switch


def _law(series: Record, less: float) -> str:
    """PROBABILITY:NS, from the least to the greatest, without what other costs stand for."""
    points = [(0.0, series["min"]), *((q, rec.quantile(series, q)) for q in QUANTILES), (1.0, series["max"])]
    return " ".join(f"{q:g}:{max(0.0, ns - less):.0f}" for q, ns in points)
