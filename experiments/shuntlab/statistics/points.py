# SPDX-License-Identifier: MIT
"""Points: the records of a campaign sorted into what may be compared, and their values.

A point is one workload with one set of parameters on one class of machine. Its runs are paired by
block; two runs on different machines are never a pair. A value is a metric by its name
(`ns_per_switch`), a quantile of a series (`lateness.p99`), or what the kernel or the scheduler
counted (`usage.peak_rss_bytes`, `counters.steals`). A quantile that the record does not hold is read
from its buckets, and is as exact as they are: to 0.1 % with 3 digits, to 0.8 % with 2.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, Iterable

from ..data import records as rec
from ..planning.campaign import Campaign
from ..tools.files import read_json
from ..tools.units import notation, type_of

_QUANTILE = re.compile(r"(?P<series>[a-z][a-z0-9_.-]*)\.p(?P<percent>100|\d{1,2}(?:\.\d+)?)")


@dataclasses.dataclass
class Value:
    number: float
    unit: str
    better: str     # "lower", "higher" or "none"


@dataclasses.dataclass
class Point:
    """Runs that differ in nothing but the arm and the repetition."""
    campaign: Campaign
    part: int
    machine: str
    id: str
    workload: str
    name: str                                       # the workload, or its label in the experiment
    axes: dict[str, str]
    runs: dict[str, dict[str, dict[str, Any]]]      # arm -> block -> ok record
    lost: list[dict[str, Any]]                      # records that are not ok

    @property
    def label(self) -> str:
        axes = " ".join(f"{k}={notation(v, self.type_of(k))}" for k, v in self.axes.items())
        return f"{self.name} {axes}".strip()

    def type_of(self, name: str) -> str:
        """"duration" or "size" of a parameter or setting that has a unit, else an empty text."""
        types = self.campaign.plan.get("types", {})
        return type_of(types, self.workload, name) or type_of(types, "", name.removeprefix("backend."))

    def values(self, arm: str, metric: str) -> dict[str, Value]:
        """{block: value} of one arm; a run without the metric is left out."""
        found = {b: value_of(r, metric) for b, r in self.runs.get(arm, {}).items()}
        return {b: v for b, v in found.items() if v is not None}


def value_of(record: dict[str, Any], name: str) -> Value | None:
    """A value of a run, or None where the run does not have it."""
    entry = record["metrics"].get(name)
    if entry is not None:
        return Value(float(entry["value"]), entry["unit"], entry["better"])
    group, _, key = name.partition(".")
    if group in ("usage", "counters") and key in record[group]:
        unit = next((u for end, u in (("_ns", "ns"), ("_bytes", "B")) if key.endswith(end)), "1")
        return Value(float(record[group][key]), unit, "lower" if group == "usage" else "none")
    found = _QUANTILE.fullmatch(name)
    series = record["series"].get(found["series"]) if found else None
    if series is None or not rec.enough_samples(series["count"], float(found["percent"]) / 100):
        return None
    number = series["quantiles"].get(f"p{found['percent']}")
    if number is None:
        number = rec.quantile(series, max(1e-12, float(found["percent"]) / 100))
    return Value(float(number), series["unit"], "lower")


def digits_of(record: dict[str, Any], name: str) -> int | None:
    """The significant digits of the buckets that a quantile is read from; None: of none."""
    found = None if name in record["metrics"] else _QUANTILE.fullmatch(name)
    series = record["series"].get(found["series"]) if found else None
    if series is None or f"p{found['percent']}" in series["quantiles"]:
        return None
    return series["digits"]


def setting(point: Point, arm: str, name: str) -> str | None:
    """What a run had for a name: arm, machine, workload, a parameter, a slot."""
    if name in ("arm", "backend"):
        return arm
    if name == "machine":
        return point.machine
    if name == "workload":
        return point.name
    for key in (name, f"backend.{name}"):
        if key in point.axes:
            return point.axes[key]
    record = next(iter(point.runs[arm].values()))
    identity = record["identity"]
    short = name.removeprefix("backend.")
    return identity["params"].get(name, identity.get("composition", {}).get(short))


def series_of(name: str) -> tuple[str, float] | None:
    """("lateness", 0.99) for "lateness.p99", None for a plain metric."""
    found = _QUANTILE.fullmatch(name)
    return (found["series"], float(found["percent"]) / 100) if found else None


def gather(campaign: Campaign) -> list[Point]:
    """The points of a campaign, in the plan's order, each machine's apart."""
    found: dict[tuple[int, str, str], Point] = {}
    names = {p["id"]: p.get("label") or p["workload"] for p in campaign.plan["points"]}
    for record in campaign.records:
        part, point = record["lab"]["part"], record["lab"]["point"]
        key = (part, record["machine_class"], point)
        if key not in found:
            found[key] = Point(campaign, part, record["machine_class"], point,
                               record["identity"]["workload"], names[point],
                               record["lab"]["axes"], {}, [])
        if record["status"] == "ok":
            found[key].runs.setdefault(record["arm"], {})[record["block"]] = record
        else:
            found[key].lost.append(record)
    order = {p["id"]: i for i, p in enumerate(campaign.plan["points"])}
    return sorted(found.values(), key=lambda p: (p.part, p.machine, order.get(p.id, 0)))


def matches(point: Point, where: dict[str, str]) -> bool:
    """Whether a point has these settings, swept or fixed: equal, or as ">= 100k" says."""
    from ..planning.specs import satisfies
    planned = point.campaign.points.get(point.id, {})
    slots = {f"backend.{k}": v for k, v in planned.get("overrides", {}).items()}
    have = {**planned.get("params", {}), **slots, **point.axes}
    found = {k: have.get(k, have.get(f"backend.{k}")) for k in where}
    return all(v is not None and satisfies(v, str(where[k])) for k, v in found.items())


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


def arm_order(campaign: Campaign) -> list[str]:
    """The arms as the experiment lists them, the A/A control right after the baseline."""
    names = [a["name"] for a in campaign.plan["arms"]]
    control, baseline = campaign.plan.get("control", ""), campaign.plan.get("baseline", "")
    names = [n for n in names if n != control]
    if control:
        names.insert(names.index(baseline) + 1 if baseline in names else len(names), control)
    return names


# ---- machines -----------------------------------------------------------------------------------

def manifest_of(record: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest a record refers to, or None where it is not there or not readable."""
    if not record.get("env_id"):
        return None
    file = Path(record["lab"]["file"]).parent / "env" / f"{record['env_id']}.json"
    try:
        found = read_json(file)
    except (OSError, ValueError):
        return None
    groups = [found.get("facts"), found.get("volatile", {})] if isinstance(found, dict) else [None]
    sound = all(isinstance(g, dict) and all(isinstance(f, dict) for f in g.values()) for g in groups)
    return found if sound else None


def fact(manifest: dict[str, Any] | None, name: str) -> Any:
    """The value of a fact, or None where it is absent."""
    return ((manifest or {}).get("facts", {}).get(name) or {}).get("value")


def machine_labels(campaigns: Iterable[Campaign]) -> dict[str, str]:
    """{machine_class: a short name for people}; two machines never share one."""
    manifests: dict[str, dict[str, Any] | None] = {}
    for campaign in campaigns:
        for record in campaign.records:
            if manifests.get(record["machine_class"]) is None:
                manifests[record["machine_class"]] = manifest_of(record)
    labels = {c: _machine_label(m) or f"machine {c[:4]}" for c, m in manifests.items()}
    many = list(labels.values())
    return {c: f"{label} [{c[:4]}]" if many.count(label) > 1 else label
            for c, label in labels.items()}


def _machine_label(manifest: dict[str, Any] | None) -> str:
    model, cpus = fact(manifest, "cpu.model"), fact(manifest, "cpu.logical")
    if not isinstance(model, str) or not model.strip():
        return ""
    short = re.sub(r"\((R|TM|r|tm)\)|\bCPU\b|\bProcessor\b|@.*$|\d+-Core", "", model)
    short = " ".join(short.split())
    return f"{short}, {cpus} CPUs" if cpus else short


# ---- numbers for people -------------------------------------------------------------------------

_STEPS = {
    "ns": ((1, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")),
    "B": ((1, "B"), (1024, "KiB"), (1024 ** 2, "MiB"), (1024 ** 3, "GiB")),
    "1/s": ((1, "/s"), (1e3, "k/s"), (1e6, "M/s"), (1e9, "G/s")),
    "1": ((1, ""), (1e3, "k"), (1e6, "M"), (1e9, "G")),
}
_SAME_UNIT = {"bytes": "B", "byte": "B", "count": "1", "ops/s": "1/s", "Hz": "1/s", "": "1"}


def scale_for(number: float, unit: str) -> tuple[float, str]:
    """(divisor, unit to print) that brings a number near 1 to 999."""
    steps = _STEPS.get(_SAME_UNIT.get(unit, unit))
    if steps is None:
        return 1.0, unit
    return next(((d, u) for d, u in reversed(steps) if abs(number) >= d), steps[0])


def in_brackets(unit: str, better: str) -> str:
    """What stands behind a metric's name: its unit and which way is better, where it has them."""
    words = [_FACTORS.get(unit, unit), f"{better} is better" if better in ("lower", "higher") else ""]
    return f" [{', '.join(w for w in words if w)}]" if any(words) else ""


_FACTORS = {"k": "thousands", "M": "millions", "G": "billions"}


def plain(number: float, digits: int = 4) -> str:
    """A number with that many significant digits and no exponent where that is readable."""
    if number == 0:
        return "0"
    text = f"{number:.{digits}g}"
    if "e" in text:
        return f"{number:.0f}" if 1 <= abs(number) < 1e7 else f"{number:.{digits - 1}e}"
    return text
