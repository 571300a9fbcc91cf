# SPDX-License-Identifier: MIT
"""What comparisons and claims read of a record. Of a million runs no more than that is kept in memory.

A field that is not here is absent from the records of `lab compare` and `lab claims`: whoever reads
another one in this folder adds it.
"""

from __future__ import annotations

import sys
from typing import Any, Iterable

from ..data.records import LOOPS, thinned
from ..planning.campaign import Lean, Needs
from .values import series_of

_RECORD = ("arm", "block", "status", "reason", "machine_class", "env_id", "lab")
_IDENTITY = ("driver", "workload", "params", "composition", "build_id", "input")
_SIDE = ("load1", "steal_ticks", *LOOPS)
_SERIES = ("unit", "count", "digits", "min", "max", "quantiles", "buckets")
_ALWAYS = ("usage.involuntary_switches", "service_ratio")
_EMPTY: dict[str, Any] = {}


def needs(wanted: Iterable[str] = ()) -> Needs:
    """For load_campaign: the plan's metrics, those of its claims and figures, and the wanted ones."""
    def of_plan(plan: dict[str, Any]) -> Lean:
        figures = [f.get("y") for f in plan.get("figures") or []]
        claims = [e["metric"] for e in plan.get("expect", [])]
        named = [*_ALWAYS, *wanted, *plan.get("metrics", []), *claims, *figures]
        return _keeper({name for name in named if isinstance(name, str)})
    return of_plan


def _keeper(asked: set[str]) -> Lean:
    usage, counters = ([n.partition(".")[2] for n in asked if n.startswith(f"{group}.")]
                       for group in ("usage", "counters"))
    quantiles, counted = _quantiles(asked), any(n.startswith("processor.") for n in asked)
    identities: dict[tuple[str, str], dict[str, Any]] = {}
    usages: dict[tuple[Any, ...], dict[str, Any]] = {}

    def keep(record: dict[str, Any]) -> dict[str, Any]:
        identity = _cut(record["identity"], _IDENTITY)
        known = identities.setdefault((record["arm"], record["lab"]["point"]), identity)
        used = _cut(record["usage"], usage)
        times = ("started", "elapsed_ns") if "input" in identity else ("elapsed_ns",)
        return {**_cut(record, _RECORD), "run_id": record["run_id"],
                "identity": known if known == identity else identity,
                "times": _cut(record["times"], times), "iterations": _in_one(record["iterations"]),
                "interference": {sys.intern(side): _cut(found, _SIDE)
                                 for side, found in record.get("interference", _EMPTY).items()} or _EMPTY,
                "metrics": _metrics(record["metrics"], asked), "series": _series(record["series"], quantiles),
                "usage": usages.setdefault(tuple(used.items()), used),
                "counters": _cut(record["counters"], counters),
                **({"processor": record.get("processor", _EMPTY)} if counted else _EMPTY)}
    return keep


def _quantiles(asked: set[str]) -> dict[str, dict[str, float]]:
    """{series: {name of a quantile: the quantile}}"""
    found: dict[str, dict[str, float]] = {}
    for name in asked:
        if of := series_of(name):
            found.setdefault(of[0], {})[name[len(of[0]) + 1:]] = of[1]
    return found


def _cut(part: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Some members of a part, its texts shared with every part that has them."""
    return {k: sys.intern(v) if type(v) is str else v for k in keys if (v := part.get(k)) is not None} or _EMPTY


def _in_one(iterations: list[dict[str, Any]]) -> list[dict[str, int]]:
    """One iteration for all: only their sum is read."""
    return [{"wall_ns": sum(int(i["wall_ns"]) for i in iterations)}] if iterations else []


def _metrics(found: dict[str, Any], asked: set[str]) -> dict[str, Any]:
    """The metrics that are asked for, and those among which a workload's own cost is found."""
    own = {name for name in found if name.startswith("ns_per_")} or {"wall_ns"}
    return {sys.intern(name): _cut(entry, ("value", "unit", "better"))
            for name, entry in found.items() if name in asked or name in own} or _EMPTY


def _series(found: dict[str, Any], quantiles: dict[str, dict[str, float]]) -> dict[str, Any]:
    """The series of which quantiles are asked for, in the buckets that hold those the record does not."""
    kept = {}
    for name in quantiles.keys() & found.keys():
        series = _cut(found[name], _SERIES)
        series["quantiles"] = _cut(series["quantiles"], quantiles[name])
        kept[name] = thinned(series, [q for text, q in quantiles[name].items()
                                      if text not in series["quantiles"]])
    return kept or _EMPTY
