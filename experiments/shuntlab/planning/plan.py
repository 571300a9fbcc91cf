# SPDX-License-Identifier: MIT
"""Plans: an experiment becomes a fixed list of runs, decided before the first of them starts.

Everything that chance or the machine decides is decided here and written down: which arms and
points there are, in what order the blocks run, in what order the arms run within a block, and each
block's seed. The seed depends on the point and the repetition and on nothing else, so that every
arm of a block is given the same work. Blocks are shuffled within rounds (one block of every point a
round): an unfinished campaign then has about as many repetitions of each point.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import itertools
import math
import time
from pathlib import Path
from typing import Any, Iterator

from ..tools import units
from . import kept_plan
from .catalog import Catalog, KINDS
from .drivers import Driver, portable
from .experiment import Arm, Exclude, Experiment, SpecError, Workload, arm_name, nearest
from .reading import RUNS_MAX
from .schedule import blocks
from .specs import expand_range, join_spec, satisfies, split_spec

CONTROL_SUFFIX = "-again"


@dataclasses.dataclass
class Frozen:
    plan: dict[str, Any]
    notes: list[str]        # what was left out and why; for people


def freeze(e: Experiment, drivers: dict[str, Driver], cpu_count: int) -> Frozen:
    """The plan of an experiment on this machine. Raises SpecError for one that cannot be."""
    return _Freezer(e, drivers, cpu_count).freeze()


class _Freezer:
    def __init__(self, e: Experiment, drivers: dict[str, Driver], cpu_count: int):
        self.e, self.drivers, self.cpu_count = e, drivers, cpu_count
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.used_excludes: set[int] = set()

    def bad(self, path: tuple, what: str) -> None:
        self.problems.append(self.e.at(path, what))

    def stop_if_bad(self) -> None:
        if self.problems:
            raise SpecError(self.problems)

    def freeze(self) -> Frozen:
        e = self.e
        arms = [a for arm in e.arms for a in self.expand_arm(arm)]
        self.check_arms(arms)
        absent = {a.name: self.why_absent(a) for a in arms}
        self.stop_if_bad()
        if absent.get(e.baseline):
            raise SpecError([e.at(("baseline",), f"the baseline {e.baseline!r} cannot run here: "
                                                 f"{absent[e.baseline]}")])
        control = self.control_name(arms)
        points = self.points(arms, absent, control)
        self.note_unused_excludes()
        self.check_mentions(arms)
        self.stop_if_bad()
        for name, why in absent.items():
            if why:
                self.notes.append(f"left out: {name}: {why}")
        self.note_too_few(points, control)
        plan = self.assemble(arms, control, points)
        plan["types"] = types_of(self.drivers["shunt"].catalog if "shunt" in self.drivers else None, plan)
        return Frozen(kept_plan.sealed(plan), self.notes)

    # -- arms --

    def expand_arm(self, arm: Arm) -> list[Arm]:
        """An arm with `each` stands for every combination of its slots' values."""
        if not arm.each:
            return [arm]
        choices = {slot: self.choices(arm, slot, values) for slot, values in arm.each.items()}
        made = []
        for values in itertools.product(*choices.values()):
            chosen = dict(zip(choices, values))
            spec = join_spec(arm.backend, chosen)
            made.append(Arm(arm_name(spec), spec, arm.driver, arm.why, {}, arm.path,
                            arm.optional))
        return made

    def choices(self, arm: Arm, slot: str, values: list[str]) -> list[str]:
        if values != ["all"]:
            return values
        driver = self.drivers[arm.driver]
        names = driver.catalog.values_of(slot) if driver.catalog else []
        if not names:
            self.bad(arm.path + ("each", slot), f"which values {slot!r} has is not known: "
                                                f"{driver.absent or 'no such slot'}")
        return names

    def check_arms(self, arms: list[Arm]) -> None:
        names = [a.name for a in arms]
        for name in {n for n in names if names.count(n) > 1}:
            arm = next(a for a in arms if a.name == name)
            self.bad(arm.path, f"several arms would be named {name!r}")
        if self.e.baseline and self.e.baseline not in names:
            self.bad(("baseline",), f"no arm {self.e.baseline!r}{nearest(self.e.baseline, names)}")
        for w in self.e.workloads:
            for name in w.arms:
                if name not in names:
                    self.bad(w.path + ("arms",), f"no arm {name!r}{nearest(name, names)}")
        for i, x in enumerate(self.e.expect):
            for side in x.get("ratio") or []:
                name = side.get("arm") if isinstance(side, dict) else side
                if name not in names:
                    self.bad(("expect", i, "ratio"), f"no arm {name!r}{nearest(str(name), names)}")

    def why_absent(self, arm: Arm) -> str:
        """Why an arm cannot run on this machine, or an empty text. Bad names are problems."""
        driver = self.drivers[arm.driver]
        if driver.absent:
            return driver.absent
        if driver.catalog is None:
            return ""
        for fault in driver.catalog.check_backend(arm.backend):
            if not fault.missing_here and not arm.optional:
                self.bad(arm.path + (("backend",) if arm.path[:1] == ("arm",) else ()), fault.text)
            elif not fault.missing_here:
                return f"this build has {fault.text.partition(' (')[0].partition(';')[0]}"
            else:
                return fault.text
        return ""

    def control_name(self, arms: list[Arm]) -> str:
        if not self.e.control or not self.e.baseline:
            return ""
        name = self.e.baseline + CONTROL_SUFFIX
        if name in {a.name for a in arms}:
            raise SpecError([self.e.at((), f"the arm name {name!r} is kept for the A/A control")])
        return name

    # -- points --

    def points(self, arms: list[Arm], absent: dict[str, str], control: str) -> list[dict[str, Any]]:
        points: list[dict[str, Any]] = []
        taken: dict[str, int] = {}
        for w in self.e.workloads:
            self.check_workload(w)
            for point in self.points_of(w, arms, absent, control):
                number = taken[point["id"]] = taken.get(point["id"], 0) + 1
                if number > 1:
                    point["id"] += f"#{number}"
                points.append(point)
        if not points and not self.problems:
            self.bad(("workload",), "nothing is left to run after the exclusions")
        return points

    def check_workload(self, w: Workload) -> None:
        driver = self.drivers.get("shunt")
        if not driver or not driver.catalog:
            return
        for key, fault in driver.catalog.check_workload(w.name, w.params):
            self.bad(w.path + (("params", *key.split(".")) if key else ("name",)), fault)
        for slot in w.backend:
            fault_text = driver.catalog.check_slot(slot)
            if fault_text:
                self.bad(w.path + ("backend", *slot.split(".")), fault_text)

    def check_values(self, w: Workload, lists: list[list[str]]) -> None:
        """A value out of range is refused now, and not by every run of its point."""
        catalog = self.drivers["shunt"].catalog if "shunt" in self.drivers else None
        for key, values in zip(w.params, lists) if catalog else ():
            faults = filter(None, (catalog.check_value(w.name, key, v) for v in values))
            for fault in itertools.islice(faults, 3):
                self.bad(w.path + ("params", *key.split(".")), fault)

    def check_spec(self, w: Workload, arm: Arm, overrides: dict[str, str]) -> None:
        """The settings of an arm at a point, as its own program judges them; each mistake once."""
        catalog = self.drivers[arm.driver].catalog
        if not catalog or arm.optional:
            return
        own = catalog.judge_spec(arm.backend)
        path = arm.path + (("backend",) if arm.path[:1] == ("arm",) and not arm.each else ())
        whole = "" if own else catalog.judge_spec(join_spec(arm.backend, overrides))
        for where, fault in ((path, own), (w.path + ("backend",), whole)):
            if fault and self.e.at(where, fault) not in self.problems:
                self.bad(where, fault)

    def points_of(self, w: Workload, arms: list[Arm], absent: dict[str, str],
                  control: str) -> Iterator[dict[str, Any]]:
        names = list(w.params) + [f"backend.{k}" for k in w.backend]
        lists = [self.values(w, ("params", k), v) for k, v in w.params.items()]
        lists += [self.values(w, ("backend", k), v) for k, v in w.backend.items()]
        self.check_values(w, lists)
        swept = set(w.swept) | {f"backend.{k}" for k in w.swept_backend}
        if self.too_many(w, lists, arms):
            return
        for values in itertools.product(*lists):
            chosen = dict(zip(names, values))
            axes = {k: self.base(w, k, v) for k, v in chosen.items() if k in swept}
            label = w.label or w.name
            point = {
                "id": ",".join([label, *(f"{k}={chosen[k]}" for k in axes)]),
                "workload": w.name, "label": label,
                "params": {k: v for k, v in chosen.items() if not k.startswith("backend.")},
                "overrides": {k[8:]: v for k, v in chosen.items() if k.startswith("backend.")},
                "axes": axes, "arms": [], "excluded": [],
                "warmup": w.warmup, "iters": w.iters, "timeout_s": w.timeout_s, "trace": w.trace,
            }
            self.fill_arms(w, point, chosen, arms, absent, control)
            if point["arms"]:
                yield point

    def too_many(self, w: Workload, lists: list[list[str]], arms: list[Arm]) -> bool:
        runs = self.e.repetitions * len(arms)
        for values in lists:
            runs *= len(values)
        if runs > RUNS_MAX:
            self.bad(w.path, f"{runs:,} runs; a campaign holds at most {RUNS_MAX:,}: sweep less at "
                             "once")
        return runs > RUNS_MAX

    def values(self, w: Workload, path: tuple, given: list[str]) -> list[str]:
        """The values of one key, with ranges written out; of equal ones, like 1k and 1000, the first."""
        if self.kind_of(w, path) == "text" and path != ("backend", "workers"):     # a count, or all
            return list(dict.fromkeys(self.file_of(w, path, text) for text in given))
        found: list[str] = []
        for text in given:
            if ".." in text:
                expanded = expand_range(text, self.cpu_count)
                if expanded is None:
                    self.bad(w.path + path, f"{text!r} is not a range; ranges are \"pow2..all\", "
                                            "\"pow10..100k\" and \"1..8\"")
                elif len(expanded) > RUNS_MAX:
                    self.bad(w.path + path, f"{text!r} is more than {RUNS_MAX:,} values")
                found += expanded or []
            elif text == "all" and path == ("backend", "workers"):
                found.append(str(self.cpu_count))
            else:
                found.append(text)
        kind = self.kind_of(w, path)
        return list({units.base(text, kind): text for text in reversed(found)}.values())[::-1]

    def file_of(self, w: Workload, path: tuple, text: str) -> str:
        """A file that a parameter names, looked for beside the experiment and then from here."""
        if path != ("params", "input"):
            return text
        places = [self.e.file.parent / text, Path(text)]
        file = next((p for p in places if p.exists()), None)
        if file is None:
            self.bad(w.path + path, f"{text!r}: no such file beside {self.e.file.name}")
            return text
        return str(file.resolve())

    def kind_of(self, w: Workload, path: tuple) -> str:
        """The type of a parameter or setting: count, duration, size, text, …; "" where not known."""
        group, name = path
        catalog = self.drivers["shunt"].catalog if "shunt" in self.drivers else None
        if group == "params":
            return catalog.kind_of_param(w.name, name) if catalog else ""
        kind = catalog.kind_of_slot(name) if catalog else ""
        return kind or ("size" if name.endswith("size") else "")

    def base(self, w: Workload, key: str, text: str) -> str:
        """A swept value in base units, so that figures have numbers to draw."""
        path = ("backend", key[8:]) if key.startswith("backend.") else ("params", key)
        return units.base(text, self.kind_of(w, path))

    def fill_arms(self, w: Workload, point: dict[str, Any], chosen: dict[str, str],
                  arms: list[Arm], absent: dict[str, str], control: str) -> None:
        for arm in arms:
            if w.arms and arm.name not in w.arms:
                continue
            clash = [k for k in point["overrides"] if k in split_spec(arm.backend)[1]]
            if clash:
                self.bad(w.path + ("backend", *clash[0].split(".")),
                         f"arm {arm.name!r} already fixes {clash[0]} in {arm.backend!r}")
            why = self.excluded(w, arm, chosen)     # first, so that its use is noted
            why = absent[arm.name] or why
            if why:
                point["excluded"].append({"arm": arm.name, "why": why})
                continue
            self.check_spec(w, arm, point["overrides"])
            point["arms"].append(arm.name)
            if control and arm.name == self.e.baseline:
                point["arms"].append(control)
        if point["arms"] == [self.e.baseline, control]:
            point["arms"].pop()     # nothing here is compared, so nothing needs a control

    def excluded(self, w: Workload, arm: Arm, chosen: dict[str, str]) -> str:
        for index, x in enumerate(self.e.exclude):
            if self.matches(x, w, arm, chosen):
                self.used_excludes.add(index)
                return x.why
        return ""

    def matches(self, x: Exclude, w: Workload, arm: Arm, chosen: dict[str, str]) -> bool:
        if x.arms and not any(_like(arm.name, pattern) for pattern in x.arms):
            return False
        if x.workload and x.workload not in (w.name, w.label):
            return False
        return all(key in chosen and satisfies(chosen[key], rule) for key, rule in x.where.items())

    def note_unused_excludes(self) -> None:
        for index, x in enumerate(self.e.exclude):
            if index not in self.used_excludes:
                self.notes.append(self.e.at(x.path, "excludes nothing"))

    def check_mentions(self, arms: list[Arm]) -> None:
        """Names of workloads, parameters and arms that expectations and figures speak of: one that is
        nowhere in this file would leave a claim unanswered, or a figure undrawn, after all the runs."""
        e = self.e
        workloads = [n for w in e.workloads for n in (w.name, w.label) if n]
        slots = [k for w in e.workloads for k in w.backend]
        keys = [*(k for w in e.workloads for k in w.params), *slots, *(f"backend.{k}" for k in slots)]
        for kind, tables in (("expect", e.expect), ("figure", e.figures)):
            for i, t in enumerate(tables):
                name = t.get("workload", "")
                if name and name not in workloads:
                    self.bad((kind, i, "workload"), f"no workload {name!r} here"
                                                    f"{nearest(str(name), workloads)}")
                sides = [s for s in t.get("ratio", []) if isinstance(s, dict)]
                for key in [*t.get("where", {}), *(k for s in sides for k in s if k != "arm")]:
                    if key not in keys:
                        self.bad((kind, i, "where" if key in t.get("where", {}) else "ratio"),
                                 f"no parameter {key!r} here{nearest(key, keys)}")
        names = [a.name for a in arms]
        for i, t in enumerate(e.figures):
            wanted = t.get("arms", [])
            for pattern in [wanted] if isinstance(wanted, str) else wanted:
                if not any(_like(n, str(pattern)) for n in names):
                    self.notes.append(e.at(("figure", i, "arms"), f"no arm {pattern!r} here"
                                                                  f"{nearest(str(pattern), names)}"))
            self.note_axes(i, t, keys)

    def note_axes(self, index: int, figure: dict[str, Any], keys: list[str]) -> None:
        """An axis may also come from the records alone, so an unknown one is a note, with the nearest name."""
        catalog = self.drivers["shunt"].catalog if "shunt" in self.drivers else None
        known = {"arm", "backend", "machine", "workload", *keys}
        if catalog:
            known |= {k for w in self.e.workloads for k in catalog.params(w.name)}
            known |= {*KINDS, *catalog.settings}
        for place in ("x", "series", "facet"):
            name = figure.get(place, "")
            near = nearest(str(name), known)
            if name and near and str(name).removeprefix("backend.") not in known:
                self.notes.append(self.e.at(("figure", index, place), f"no parameter {name!r} here{near}"))

    def note_too_few(self, points: list[dict[str, Any]], control: str) -> None:
        """Repetitions with which the exact test, by Holm over the report, cannot tell anything. A metric
        is a comparison of its own at every point of a workload that may have it."""
        asked = sum(len(set(p["arms"]) - {self.e.baseline, control}) * self.metrics_of(p["workload"])
                    for p in points)
        alpha = self.e.alpha / 2 if self.e.expect else self.e.alpha     # claims have the other half
        least = math.ceil(1 - math.log2(alpha / max(1, asked)))
        if 1 < self.e.repetitions < least:
            self.notes.append(f"note: {self.e.repetitions} repetitions may give no verdict: up to "
                              f"{units.comparisons(asked)} (arms x points x metrics) need "
                              f"at least {least}")

    def metrics_of(self, workload: str) -> int:
        """How many of the experiment's metrics it may have: the cost of another workload it has not."""
        shunt = self.drivers.get("shunt")
        costs = {w.name: shunt.catalog.cost_of(w.name) if shunt and shunt.catalog else ""
                 for w in self.e.workloads}
        others = set(costs.values()) - {costs[workload]}
        return max(1, len(set(self.e.metrics) - others))

    # -- the plan --

    def assemble(self, arms: list[Arm], control: str,
                 points: list[dict[str, Any]]) -> dict[str, Any]:
        e = self.e
        rows = []
        for arm in arms:
            rows.append({"name": arm.name, "driver": arm.driver, "backend": arm.backend,
                         "why": arm.why})
            if control and arm.name == e.baseline:
                rows.append({**rows[-1], "name": control,
                             "why": "the baseline again: what no difference looks like"})
        used = sorted({a["driver"] for a in rows})
        # Absent unless asked for, as in the plans that were made before there was a choice.
        kept: dict[str, Any] = {} if e.digits is None else {"digits": e.digits}
        if e.plugins:
            kept["plugins"] = self.drivers["shunt"].plugins
        return {
            "schema": kept_plan.PLAN_SCHEMA, "plan_id": "",
            "experiment": {"name": e.name, "title": e.title, "question": e.question,
                           "expectation": e.expectation, "file": e.file.name,
                           "sha256": e.sha256},
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "seed": str(e.seed), "repetitions": e.repetitions, "warmup": e.warmup,
            "iters": e.iters, "timeout_s": e.timeout_s, **kept, "order": "rounds", "margin": e.margin,
            "alpha": e.alpha, "cpus": e.cpus, "baseline": e.baseline, "control": control,
            "arms": rows, "points": points, "blocks": blocks(e.seed, e.repetitions, points),
            "metrics": e.metrics, "expect": e.expect, "figures": e.figures,
            "commands": {n: portable(c) for n, c in e.drivers.items() if n in used},
            "drivers": {n: {"build_id": self.drivers[n].build_id,
                            "version": self.drivers[n].version}
                        for n in used if not self.drivers[n].absent and self.drivers[n].asked},
        }


def types_of(catalog: Catalog | None, plan: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The types with a unit, as plan.json keeps them: of the parameters of its workloads, and of every
    setting under ""."""
    if catalog is None:
        return {}
    found = {w: {k: catalog.kind_of_param(w, k) for k in catalog.params(w)}
             for w in {p["workload"] for p in plan["points"]}}
    found[""] = catalog.slot_kinds()
    return {name: {k: v for k, v in own.items() if v in ("duration", "size")}
            for name, own in sorted(found.items())}


def _like(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern)
