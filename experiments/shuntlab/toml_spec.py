# SPDX-License-Identifier: MIT
"""Experiments: reads a TOML file and says exactly what is wrong with it.

Every message names the file, the line, the key's path and, for a name nobody knows, the nearest one
that exists. All mistakes of a file are reported at once. What the file means is in the template
that `lab new` writes; what becomes of it is plan.py's business.
"""

from __future__ import annotations

import contextlib
import math
import re
from pathlib import Path
from typing import Any, Callable

from . import units
from .campaign import ARM_NAME
from .experiment import (RANGE, Arm, Exclude, Experiment, SpecError, Workload, arm_name, nearest, place)
from .files import FileRefused, read_bytes
from .process import parse_cpus
from .toml_lines import line_map, line_of


def load(file: Path) -> Experiment:
    """Read an experiment. Raises SpecError, or OSError where the file cannot be read."""
    try:
        import tomllib
    except ImportError:
        raise SpecError(["reading an experiment needs Python 3.11 or later (tomllib); a campaign "
                         "that was planned elsewhere runs with this Python"]) from None
    try:
        text = read_bytes(file).decode("utf-8-sig")     # some editors begin with a mark
    except FileRefused as e:
        raise SpecError([f"{file}: {e.strerror}"]) from None
    except UnicodeDecodeError as e:
        raise SpecError([f"{file}: not UTF-8 at byte {e.start}"]) from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise SpecError([_toml_message(file, str(e))]) from None
    return _Reader(file, text, data).experiment()


def _toml_message(file: Path, why: str) -> str:
    found = re.search(r" \(at line (\d+), column (\d+)\)$", why)
    if not found:
        return f"{file}: not TOML: {why}"
    return f"{file}:{found[1]}:{found[2]}: not TOML: {why[:found.start()]}"


ITERATIONS_MAX = 1_000_000      # as `shunt run` takes them
NAME_MAX = 100                  # of what becomes part of a file's name

_TOP = {"name", "title", "question", "expectation", "backends", "baseline", "control",
        "repetitions", "seed", "warmup", "iters", "timeout", "margin", "alpha", "cpus", "metrics",
        "cost",
        "digits", "arm", "workload", "exclude", "expect", "figure", "driver"}
_ARM = {"name", "backend", "driver", "why", "each", "optional"}
_WORKLOAD = {"name", "label", "why", "params", "backend", "arms", "warmup", "iters", "timeout",
             "trace"}
_EXCLUDE = {"arm", "workload", "where", "why"}
_EXPECT = {"claim", "metric", "ratio", "workload", "where", "above", "below", "why"}
_FIGURE = {"kind", "name", "title", "caption", "x", "y", "series", "facet", "where", "workload",
           "arms", "logx", "logy", "why", "slo", "theory"}
_FOREIGN = {"command", "why"}


class _Reader:
    """One pass over the parsed file; collects problems instead of stopping at the first."""

    def __init__(self, file: Path, text: str, data: dict[str, Any]):
        self.file, self.text, self.data = file, text, data
        self.lines = line_map(text)
        self.problems: list[str] = []

    def bad(self, path: tuple, what: str) -> None:
        self.problems.append(place(self.file, self.lines, path, what))

    # -- primitives --

    def plain(self, value: Any, path: tuple) -> None:
        """A plan is JSON: it has no dates, and no numbers that are none."""
        if isinstance(value, dict):
            for key, inner in value.items():
                self.plain(inner, path + (key,))
        elif isinstance(value, list):
            for i, inner in enumerate(value):
                self.plain(inner, path + (i,))
        elif not isinstance(value, (str, int, float)):
            self.bad(path, f"a date or a time ({value}): write it as a text, in quotes")
        elif isinstance(value, float) and not math.isfinite(value):
            self.bad(path, f"{value} is no number that can be compared")

    def known(self, table: dict[str, Any], keys: set[str], path: tuple) -> None:
        for key in table:
            if key not in keys and key in _TOP and path:
                self.bad(path + (key,), "belongs to the whole experiment: write it above the first "
                                        "[table]")
            elif key not in keys:
                self.bad(path + (key,), f"unknown key{nearest(key, keys)}"
                                        f" (known here: {', '.join(sorted(keys))})")

    def get(self, table: dict[str, Any], path: tuple, key: str, kind: type | tuple, default: Any,
            wanted: str, test: Callable[[Any], bool] = lambda v: True) -> Any:
        if key not in table:
            return default
        value = table[key]
        right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if not right or not test(value):
            self.bad(path + (key,), f"{value!r:.60} is not {wanted}")
            return default
        return value

    def text_at(self, table, path, key, default="", required=False):
        value = self.get(table, path, key, str, None, "a text", lambda v: bool(v.strip()))
        if value is None and key not in table and required:
            self.bad(path, f"{key!r} is missing")
        return " ".join(value.split()) if value is not None else default

    def tables(self, key: str) -> list[tuple[tuple, dict[str, Any]]]:
        entries = self.data.get(key, [])
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            self.bad((key,), f"write [[{key}]], one such table for each")
            return []
        return [((key, i), e) for i, e in enumerate(entries)]

    def number_of(self, table, path, key, default, least, most=None):
        wanted = f"a whole number of at least {least}" if most is None else \
            f"a whole number from {least} to {most:,}"
        return self.get(table, path, key, int, default, wanted,
                        lambda v: v >= least and (most is None or v <= most))

    def seconds(self, table, path, default):
        value = self.get(table, path, "timeout", str, None, 'a duration such as "60s"',
                         lambda v: units.duration_ns(v) is not None and units.duration_ns(v) > 0)
        return default if value is None else units.duration_ns(value) / 1e9

    def names(self, table, path, key, wanted="a list of names"):
        value = table.get(key, [])
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
            self.bad(path + (key,), f"{value!r:.60} is not {wanted}")
            return []
        return value

    def settings(self, table, path, key) -> tuple[dict[str, list[str]], list[str]]:
        """A table of values; a list is swept. ({name: values}, names of the swept ones)."""
        group = table.get(key, {})
        if not isinstance(group, dict):
            self.bad(path + (key,), f"write a table: {{ name = value }}, not {group!r:.40}")
            return {}, []
        values: dict[str, list[str]] = {}
        swept = []
        for name, given, where in _flat(group, path + (key,)):
            many = given if isinstance(given, list) else [given]
            if not many:
                self.bad(where, "an empty list leaves nothing to run")
            elif all(_scalar(v) for v in many):
                values[name] = [scalar_text(v) for v in many]
                if isinstance(given, list) or RANGE.fullmatch(values[name][0]):
                    swept.append(name)
            else:
                self.bad(where, "a value is a number or a text, or a list of them to sweep")
        return values, swept

    def where(self, table, path) -> dict[str, str]:
        group = table.get("where", {})
        if not isinstance(group, dict):
            self.bad(path + ("where",), "write a table: { tasks = 2 }")
            return {}
        return {name: scalar_text(v) for name, v, _ in _flat(group, path + ("where",))
                if _scalar(v)}

    # -- the tables --

    def arms(self) -> list[Arm]:
        arms = [Arm(arm_name(spec), spec, path=("backends",))
                for spec in self.names(self.data, (), "backends", "a list of backends")]
        for path, t in self.tables("arm"):
            self.known(t, _ARM, path)
            backend = self.text_at(t, path, "backend")
            driver = self.text_at(t, path, "driver", "shunt")
            if not backend and driver == "shunt":
                self.bad(path, "'backend' is missing")
            each, _ = self.settings(t, path, "each")
            name = self.text_at(t, path, "name", arm_name(backend or driver))
            if not each and not (ARM_NAME.fullmatch(name) and len(name) <= NAME_MAX):
                self.bad(path + ("name",), f"{name!r:.60} is not letters, digits, _, + and -, at most "
                                           f"{NAME_MAX}")
            arms.append(Arm(name, backend or driver, driver, self.text_at(t, path, "why"), each,
                            path, self.get(t, path, "optional", bool, False, "true or false")))
        self.unique(arms)
        return arms

    def unique(self, arms: list[Arm]) -> None:
        if not arms:
            self.bad((), "no backend to run: give backends = [\"asm\", …] or an [[arm]]")
        seen: set[str] = set()
        for arm in arms:
            if arm.each:
                continue        # its names are made when the plan is
            if arm.name in seen:
                self.bad(arm.path, f"a second arm is named {arm.name!r}; give it its own 'name'")
            seen.add(arm.name)

    def workloads(self) -> list[Workload]:
        found = []
        for path, t in self.tables("workload"):
            self.known(t, _WORKLOAD, path)
            params, swept = self.settings(t, path, "params")
            backend, swept_backend = self.settings(t, path, "backend")
            found.append(Workload(
                self.text_at(t, path, "name", "?", required=True), self.text_at(t, path, "label"),
                self.text_at(t, path, "why"), params, swept, backend, swept_backend,
                self.names(t, path, "arms"), self.number_of(t, path, "warmup", None, 0, ITERATIONS_MAX),
                self.number_of(t, path, "iters", None, 1, ITERATIONS_MAX), self.seconds(t, path, None),
                self.get(t, path, "trace", bool, False, "true or false"), path))
        if not found and "workload" not in self.data:
            self.bad((), "no [[workload]] to run")
        return found

    def excludes(self, arms: list[Arm]) -> list[Exclude]:
        found = []
        for path, t in self.tables("exclude"):
            self.known(t, _EXCLUDE, path)
            why = self.text_at(t, path, "why", required=True)
            found.append(Exclude(why, self.names(t, path, "arm"),
                                 self.text_at(t, path, "workload"), self.where(t, path), path))
        return found

    def expects(self) -> list[dict[str, Any]]:
        found = []
        for path, t in self.tables("expect"):
            self.known(t, _EXPECT, path)
            self.text_at(t, path, "claim", required=True)
            self.text_at(t, path, "metric", required=True)
            ratio = t.get("ratio")
            if not isinstance(ratio, list) or len(ratio) != 2:
                self.bad(path + ("ratio",), 'is ["arm above", "arm below"] the fraction line')
            for bound in ("above", "below"):
                self.get(t, path, bound, (int, float), None, "a number above 0", lambda v: v > 0)
            if "above" not in t and "below" not in t:
                self.bad(path, "needs 'above', 'below', or both")
            found.append({**t, "where": self.where(t, path), "line": line_of(self.lines, path)})
        return found

    def figures(self) -> list[dict[str, Any]]:
        found = []
        for path, t in self.tables("figure"):
            self.known(t, _FIGURE, path)
            self.text_at(t, path, "kind", required=True)
            kinds = figure_kinds()
            kind = t.get("kind")
            if isinstance(kind, str) and kinds and kind not in kinds:
                self.bad(path + ("kind",), f"no figure kind {kind!r}{nearest(kind, kinds)}"
                                           f" (there are {', '.join(kinds)})")
            found.append({**t, "where": self.where(t, path), "line": line_of(self.lines, path)})
        return found

    def drivers(self) -> dict[str, list[str]]:
        group = self.data.get("driver", {})
        if not isinstance(group, dict):
            self.bad(("driver",), "write [driver.NAME] with a command")
            return {}
        found = {}
        for name, t in group.items():
            if not isinstance(t, dict):
                self.bad(("driver", name), f"write [driver.{name}] with a command")
                continue
            self.known(t, _FOREIGN, ("driver", name))
            words = self.names(t, ("driver", name), "command", "a list: program, arguments")
            found[name] = [str((self.file.parent / w).resolve()) if w.startswith(("./", "../"))
                           else w for w in words]
            if not words:
                self.bad(("driver", name), "'command' is missing: [\"./program\", arguments]")
        return found

    def references(self, e: Experiment) -> None:
        """Names of arms that other tables mention."""
        plain = [a.name for a in e.arms if not a.each]
        if any(a.each for a in e.arms):
            return  # the full list is known only when the plan is made
        if e.baseline and e.baseline not in plain:
            self.bad(("baseline",), f"no arm {e.baseline!r}{nearest(e.baseline, plain)}")
        for w in e.workloads:
            for name in w.arms:
                if name not in plain:
                    self.bad(w.path + ("arms",), f"no arm {name!r}{nearest(name, plain)}")
        for i, t in enumerate(e.expect):
            for side in t["ratio"] if isinstance(t.get("ratio"), list) else []:
                name = side.get("arm") if isinstance(side, dict) else side
                if name not in plain:
                    self.bad(("expect", i, "ratio"),
                             f"no arm {name!r}{nearest(str(name), plain)}")

    def experiment(self) -> Experiment:
        d = self.data
        self.known(d, _TOP, ())
        self.plain(d, ())
        name = self.text_at(d, (), "name", self.file.stem)
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name) or len(name) > NAME_MAX:
            self.bad(("name",) if "name" in d else (),
                     f"{name!r:.60} is not lower-case letters, digits, _ and -, at most {NAME_MAX}")
        arms = self.arms()
        plain = [a.name for a in arms if not a.each]
        e = Experiment(
            self.file, self.text, self.lines, name, self.text_at(d, (), "title", name),
            self.text_at(d, (), "question", required=True),
            self.text_at(d, (), "expectation", required=True), arms, self.workloads(),
            self.text_at(d, (), "baseline", plain[0] if plain else ""),
            self.get(d, (), "control", bool, True, "true or false"),
            self.number_of(d, (), "repetitions", 20, 1), self.number_of(d, (), "seed", 1, 0),
            self.number_of(d, (), "warmup", None, 0, ITERATIONS_MAX), self.number_of(d, (), "iters", None, 1, ITERATIONS_MAX),
            self.seconds(d, (), 120.0),
            self.get(d, (), "margin", (int, float), 0.02, "a number from 0 to below 1",
                     lambda v: 0 <= v < 1),
            self.get(d, (), "alpha", (int, float), 0.05, "a number above 0 and below 0.5",
                     lambda v: 0 < v < 0.5),
            self.cpus(), self.names(d, (), "metrics"), self.excludes(arms), self.expects(),
            self.figures(), self.drivers(), self.cost(),
            self.get(d, (), "digits", int, None, "2 or 3", lambda v: v in (2, 3)))
        self.references(e)
        if self.problems:
            raise SpecError(self.problems)
        return e

    def cost(self) -> dict[str, Any]:
        table = self.data.get("cost", {})
        if not isinstance(table, dict):
            self.bad(("cost",), 'write { minutes = 5, memory = "300 MB" }')
            return {}
        self.known(table, {"minutes", "memory"}, ("cost",))
        return table

    def cpus(self) -> str:
        value = self.data.get("cpus", "all")
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return str(value)
        if value == "all":
            return value
        if isinstance(value, str) and re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", value):
            with contextlib.suppress(ValueError):
                parse_cpus(value)
                return f"list {value}"
        self.bad(("cpus",), f"{value!r} is not \"all\", a number of CPUs, or a list like \"0,2-3\"")
        return "all"


def _flat(group: dict[str, Any], path: tuple) -> list[tuple[str, Any, tuple]]:
    """Dotted keys of nested tables: stack.size = "64k" is TOML for {stack: {size: …}}."""
    found = []
    for key, value in group.items():
        if isinstance(value, dict):
            found += [(f"{key}.{name}", v, p) for name, v, p in _flat(value, path + (key,))]
        else:
            found.append((key, value, path + (key,)))
    return found


def _scalar(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and str(value).strip() != ""


def scalar_text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value).strip()


def figure_kinds() -> list[str]:
    folder = Path(__file__).resolve().parents[1] / "plots"
    if not folder.is_dir():
        return []
    return sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_"))
