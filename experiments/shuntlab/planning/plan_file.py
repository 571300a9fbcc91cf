# SPDX-License-Identifier: MIT
"""A plan.json is checked when it is read as an experiment is: every field, its type, range and names.

A plan may come from a stranger. What passes here can be run, compared, drawn and printed without
another look: names are safe in file names and on command lines, references lead somewhere, numbers
have a range.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..tools.process import parse_cpus
from ..tools.toml_lines import text_of
from .experiment import nearest
from .reading import ARM_NAME, EXPERIMENT_NAME, RUNS_MAX, Reader, TIMEOUT_MAX_S, why_no_plugin

BLOCK_NAME = re.compile(r"b\d{4,9}", re.ASCII)
_SEED = re.compile(r"\d{1,20}", re.ASCII)

_TOP = {"schema", "plan_id", "experiment", "created", "seed", "repetitions", "warmup", "iters",
        "timeout_s", "digits", "order", "margin", "alpha", "cpus", "baseline", "control", "arms",
        "points", "blocks", "metrics", "expect", "figures", "types", "commands", "drivers", "seal",
        "figures_id", "plugins"}
_OPTIONAL = {"digits", "types", "seal", "figures_id", "plugins"}
_EXPERIMENT = {"name", "title", "question", "expectation", "file", "sha256"}
_ARM = {"name", "driver", "backend", "why"}
_POINT = {"id", "workload", "label", "params", "overrides", "axes", "arms", "excluded", "warmup",
          "iters", "timeout_s", "trace"}
_BLOCK = {"id", "point", "repetition", "order", "seed"}


def check(file: Path, plan: dict[str, Any]) -> list[str]:
    """Everything that is wrong with a plan, in words."""
    return _PlanReader(file, plan).check()


class _PlanReader(Reader):
    own_keys = {"line"}

    def __init__(self, file: Path, plan: dict[str, Any]):
        super().__init__(plan)
        self.file = file

    def bad(self, path: tuple, what: str) -> None:
        self.problems.append(f"{self.file}: {text_of(path)}: {what}" if path else f"{self.file}: {what}")

    def check(self) -> list[str]:
        self.plain(self.data, ())
        self.known(self.data, _TOP, ())
        for key in sorted(_TOP - _OPTIONAL - set(self.data)):
            self.bad((), f"{key!r} is missing")
        if self.problems:
            return self.problems
        self.check_head()
        self.check_rules()
        arms = self.check_arms()
        points = self.check_points(arms)
        self.check_blocks(points)
        for path, t in self.tables("expect"):
            self.check_line(t, path)
            self.check_expect(t, path)
            self.where(t, path)
            self.check_sides(t, path, list(arms))
        for path, t in self.tables("figures"):
            self.check_line(t, path)
            self.check_figure(t, path)
            self.where(t, path)
        self.check_types()
        self.check_programs()
        return self.problems

    # -- small things --

    def table(self, value: Any, path: tuple, keys: set[str] | None = None) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.bad(path, f"{value!r:.60} is not a table")
            return {}
        if keys is not None:
            self.known(value, keys, path)
        return value

    def texts(self, table: dict[str, Any], path: tuple, *keys: str) -> None:
        """Texts that must be there; they may be empty."""
        for key in keys:
            self.get({key: None, **table}, path, key, str, "", "a text")

    def words(self, value: Any, path: tuple) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value) \
                or len(set(value)) != len(value):
            self.bad(path, f"{value!r:.60} is not a list of different names")
            return []
        return value

    def settings(self, value: Any, path: tuple) -> None:
        for key, text in self.table(value, path).items():
            self.key(key, path + (key,))
            if not isinstance(text, str):
                self.bad(path + (key,), f"{text!r:.60} is not a text")

    def seconds(self, table: dict[str, Any], path: tuple, default: Any) -> None:
        self.get(table, path, "timeout_s", (int, float), default, "a number of seconds above 0",
                 lambda v: 0 < v <= TIMEOUT_MAX_S)

    def check_line(self, t: dict[str, Any], path: tuple) -> None:
        if t.get("line") is not None:
            self.number_of(t, path, "line", None, 0, 10 ** 9)

    def unique(self, entries: Any, path: tuple, keys: set[str], name: str) -> list[tuple[tuple, dict]]:
        """The tables of a list, each with a text under `name` that no other has."""
        if not isinstance(entries, list) or not entries:
            self.bad(path, f"{entries!r:.60} is not a list of tables")
            return []
        found: dict[str, tuple[tuple, dict]] = {}
        for i, entry in enumerate(entries):
            t = self.table(entry, path + (i,), keys)
            self.texts(t, path + (i,), name)
            own = t.get(name)
            if not isinstance(own, str):
                continue
            if own in found:
                self.bad(path + (i, name), f"a second one is named {own!r:.60}")
            found[own] = (path + (i,), t)
        return list(found.values())

    # -- the parts --

    def check_head(self) -> None:
        d = self.data
        head = self.table(d["experiment"], ("experiment",), _EXPERIMENT)
        self.texts(head, ("experiment",), *sorted(_EXPERIMENT))
        self.named(head.get("name"), ("experiment", "name"), EXPERIMENT_NAME,
                   "lower-case letters, digits, _ and -")
        self.texts(d, (), "plan_id", "created", "baseline", "control")
        if "seal" in d:
            self.texts(d, (), "seal", "figures_id")
        self.get(d, (), "order", str, "", '"rounds"', lambda v: v == "rounds")
        self.get(d, (), "seed", str, "", "a whole number as a text", lambda v: bool(_SEED.fullmatch(v)))
        self.get(d, (), "cpus", str, "", '"all", "2", or "list 0,2-3"', _are_cpus)
        self.seconds(d, (), None)

    def check_rules(self) -> None:
        d = self.data
        self.repetitions(), self.margin(), self.alpha(), self.digits()
        self.iterations({k: v for k, v in d.items() if v is not None}, ())
        self.words(d["metrics"], ("metrics",))

    def check_arms(self) -> dict[str, dict[str, Any]]:
        arms = {}
        for path, t in self.unique(self.data["arms"], ("arms",), _ARM, "name"):
            self.texts(t, path, *sorted(_ARM))
            self.named(t["name"], path + ("name",), ARM_NAME, "letters, digits, _, + and -")
            self.key(t.get("driver"), path + ("driver",))
            self.spec(self.get(t, path, "backend", str, "", "a text", bool), path + ("backend",))
            arms[t["name"]] = t
        for key in ("baseline", "control"):
            name = self.data[key]
            if isinstance(name, str) and name not in arms and (name or key == "baseline"):
                self.bad((key,), f"no arm {name!r:.60}{nearest(name, arms)}")
        return arms

    def check_points(self, arms: dict[str, Any]) -> dict[str, list[str]]:
        """{point: its arms}"""
        points = {}
        for path, t in self.unique(self.data["points"], ("points",), _POINT, "id"):
            self.key(t.get("workload"), path + ("workload",))
            self.get(t, path, "label", str, "", "a text")
            self.get(t, path, "trace", bool, False, "true or false")
            for key in ("params", "overrides", "axes"):
                self.settings(t.get(key), path + (key,))
            given = {k: v for k, v in t.items() if v is not None}
            self.iterations(given, path)
            self.seconds(given, path, None)
            self.check_excluded(t.get("excluded"), path + ("excluded",))
            own = self.words(t.get("arms"), path + ("arms",))
            for name in own:
                if name not in arms:
                    self.bad(path + ("arms",), f"no arm {name!r:.60}{nearest(name, arms)}")
            points[t["id"]] = own
        return points

    def check_excluded(self, value: Any, path: tuple) -> None:
        if not isinstance(value, list):
            self.bad(path, f"{value!r:.60} is not a list of tables")
            return
        for i, entry in enumerate(value):
            self.texts(self.table(entry, path + (i,), {"arm", "why"}), path + (i,), "arm", "why")

    def check_blocks(self, points: dict[str, list[str]]) -> None:
        runs = 0
        for path, t in self.unique(self.data["blocks"], ("blocks",), _BLOCK, "id"):
            if not BLOCK_NAME.fullmatch(t["id"]):
                self.bad(path + ("id",), f"{t['id']!r:.60} is not a block such as b0001")
            self.number_of({"repetition": None, **t}, path, "repetition", 0, 0, RUNS_MAX)
            self.get({"seed": None, **t}, path, "seed", str, "", "a whole number as a text",
                     lambda v: bool(_SEED.fullmatch(v)))
            order = self.words(t.get("order"), path + ("order",))
            runs += len(order)
            arms = points.get(t["point"]) if isinstance(t.get("point"), str) else None
            if arms is None:
                self.bad(path + ("point",), f"no point {t.get('point')!r:.60}")
            elif sorted(order) != sorted(arms):
                self.bad(path + ("order",), "is not the arms of its point")
        if runs > RUNS_MAX:
            self.bad(("blocks",), f"{runs:,} runs; a campaign holds at most {RUNS_MAX:,}")

    def check_types(self) -> None:
        for workload, own in self.table(self.data.get("types", {}), ("types",)).items():
            for name, kind in self.table(own, ("types", workload)).items():
                if kind not in ("duration", "size"):
                    self.bad(("types", workload, name), f"{kind!r:.60} is not duration or size")

    def check_programs(self) -> None:
        for name, words in self.table(self.data.get("commands", {}), ("commands",)).items():
            self.check_command(name, words, ("commands", name))
        for path, t in self.tables("plugins"):
            self.known(t, {"file", "build_id"}, path)
            self.texts(t, path, "file", "build_id")
            if isinstance(t.get("file"), str) and (why := why_no_plugin(t["file"])):
                self.bad(path + ("file",), why)
        for name, t in self.table(self.data["drivers"], ("drivers",)).items():
            self.key(name, ("drivers", name))
            self.texts(self.table(t, ("drivers", name), {"build_id", "version"}), ("drivers", name),
                       "build_id", "version")


def _are_cpus(text: str) -> bool:
    if text == "all" or re.fullmatch(r"[1-9]\d{0,4}", text, re.ASCII):
        return True
    if not re.fullmatch(r"list \d+(-\d+)?(,\d+(-\d+)?)*", text, re.ASCII):
        return False
    try:
        return bool(parse_cpus(text.removeprefix("list ")))
    except ValueError:
        return False
