# SPDX-License-Identifier: MIT
"""Points: the records of a campaign sorted into what may be compared, and their values.

A point is one workload with one set of parameters on one machine, or on machines that are alike
(strata.py). Its runs are paired by block; two runs on different machines are never a pair.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, Iterable

from ..planning.campaign import Campaign
from ..tools.files import read_json
from ..tools.units import notation, type_of
from .values import Value, value_of


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

    @property
    def machine_class(self) -> str:
        return self.machine.partition(" ")[0]

    @property
    def nodes(self) -> list[str]:
        """The machines that its runs are of."""
        return sorted({r["lab"]["node"] for runs in self.runs.values() for r in runs.values()})

    def node(self, arm: str, block: str) -> str:
        """The machine that a run is of."""
        return self.runs[arm][block]["lab"]["node"]

    def on(self, node: str) -> "Point":
        """What one machine ran of it."""
        runs = {arm: {b: r for b, r in own.items() if r["lab"]["node"] == node} for arm, own in self.runs.items()}
        return dataclasses.replace(self, runs={arm: own for arm, own in runs.items() if own},
                                   lost=[r for r in self.lost if r["lab"]["node"] == node])

    def values(self, arm: str, metric: str) -> dict[str, Value]:
        """{block: value} of one arm; a run without the metric is left out."""
        found = {b: value_of(r, metric) for b, r in self.runs.get(arm, {}).items()}
        return {b: v for b, v in found.items() if v is not None}


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


def gather(campaign: Campaign) -> list[Point]:
    """The points of a campaign, in the plan's order, each machine's apart."""
    from .strata import machine_key, strata_of
    machine_of = strata_of(campaign)
    found: dict[tuple[int, str, str], Point] = {}
    names = {p["id"]: p.get("label") or p["workload"] for p in campaign.plan["points"]}
    for record in campaign.records:
        part, point = record["lab"]["part"], record["lab"]["point"]
        key = (part, machine_of[machine_key(record)], point)
        if key not in found:
            found[key] = Point(campaign, part, key[1], point,
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
    """{what a point calls its machine: a short name for people}; two machines never share one."""
    from .strata import strata_of
    manifests: dict[str, dict[str, Any] | None] = {}
    strata: dict[str, str] = {}
    for campaign in campaigns:
        strata |= {s: c for (c, _), s in strata_of(campaign).items()}
        for record in campaign.records:
            if manifests.get(record["machine_class"]) is None:
                manifests[record["machine_class"]] = manifest_of(record)
    labels = {c: _machine_label(m) or f"machine {c[:4]}" for c, m in manifests.items()}
    many = list(labels.values())
    own = {c: f"{label} [{c[:4]}]" if many.count(label) > 1 else label for c, label in labels.items()}
    return {s: f"{own[c]}:{s[len(c):]}" if s != c else own[c] for s, c in strata.items()}


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
