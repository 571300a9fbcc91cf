# SPDX-License-Identifier: MIT
"""Experiments: reads a TOML file and says exactly what is wrong with it.

Every message names the file, the line, the key's path and, for a name nobody knows, the nearest one
that exists. All mistakes of a file are reported at once. What the file means is in the template
that `lab new` writes; what becomes of it is plan.py's business.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any, Callable

from ..tools import units
from ..tools.files import FileRefused, read_bytes
from ..tools.process import parse_cpus
from ..tools.toml_lines import line_map, line_of
from .experiment import Arm, Exclude, Experiment, RANGE, SpecError, Workload, arm_name, nearest, place
from .reading import ARM_NAME, EXPERIMENT_NAME, NUMBER_MAX, Reader, TIMEOUT_MAX_S, flat, scalar, scalar_text, \
    why_no_plugin


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


_TOP = {"name", "title", "question", "expectation", "backends", "baseline", "control",
        "repetitions", "seed", "warmup", "iters", "timeout", "margin", "alpha", "cpus", "metrics",
        "cost",
        "digits", "arm", "workload", "exclude", "expect", "figure", "driver", "plugins"}
_ARM = {"name", "backend", "driver", "why", "each", "optional"}
_WORKLOAD = {"name", "label", "why", "params", "backend", "arms", "warmup", "iters", "timeout",
             "trace"}
_EXCLUDE = {"arm", "workload", "where", "why"}
_FOREIGN = {"command", "why"}


class _Reader(Reader):
    """One pass over the parsed file."""

    def __init__(self, file: Path, text: str, data: dict[str, Any]):
        super().__init__(data)
        self.file, self.text = file, text
        self.lines = line_map(text)

    def bad(self, path: tuple, what: str) -> None:
        self.problems.append(place(self.file, self.lines, path, what))

    def why_unknown(self, key: str, keys: set[str], path: tuple) -> str:
        if key in _TOP and path:
            return "belongs to the whole experiment: write it above the first [table]"
        return super().why_unknown(key, keys, path)

    # -- values --

    def seconds(self, table, path, default):
        value = self.get(table, path, "timeout", str, None, 'a duration such as "60s"',
                         lambda v: 0 < (units.duration_ns(v) or 0) <= TIMEOUT_MAX_S * 1e9)
        return default if value is None else units.duration_ns(value) / 1e9

    def settings(self, table, path, key) -> tuple[dict[str, list[str]], list[str]]:
        """A table of values; a list is swept. ({name: values}, names of the swept ones)."""
        group = table.get(key, {})
        if not isinstance(group, dict):
            self.bad(path + (key,), f"write a table: {{ name = value }}, not {group!r:.40}")
            return {}, []
        values: dict[str, list[str]] = {}
        swept = []
        for name, given, where in flat(group, path + (key,)):
            self.key(name, where)
            many = given if isinstance(given, list) else [given]
            if not many:
                self.bad(where, "an empty list leaves nothing to run")
            elif all(scalar(v) for v in many):
                values[name] = [scalar_text(v) for v in many]
                if isinstance(given, list) or RANGE.fullmatch(values[name][0]):
                    swept.append(name)
            else:
                self.bad(where, "a value is a number or a text, or a list of them to sweep")
        return values, swept

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
            if not each:
                self.named(name, path + ("name",), ARM_NAME, "letters, digits, _, + and -")
            self.key(driver, path + ("driver",))
            self.spec(backend, path + ("backend",))
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
            name = self.text_at(t, path, "name", "unnamed", required=True)
            self.key(name, path + ("name",))
            found.append(Workload(
                name, self.text_at(t, path, "label"), self.text_at(t, path, "why"), params, swept,
                backend, swept_backend, self.names(t, path, "arms"), *self.iterations(t, path),
                self.seconds(t, path, None),
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
        return self.as_written("expect", self.check_expect)

    def figures(self) -> list[dict[str, Any]]:
        return self.as_written("figure", self.check_figure)

    def as_written(self, key: str, check: Callable[[dict[str, Any], tuple], None]
                   ) -> list[dict[str, Any]]:
        found = []
        for path, t in self.tables(key):
            check(t, path)
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
            self.check_command(name, words, ("driver", name))
            found[name] = [str((self.file.parent / w).resolve()) if w.startswith(("./", "../"))
                           else w for w in words]
        return found

    def plugins(self) -> list[str]:
        """Files of plug-ins: beside the experiment unless they have a path of their own."""
        found = []
        for i, name in enumerate(self.names(self.data, (), "plugins", "a list of files")):
            file = str((self.file.parent / name).resolve())
            if why := why_no_plugin(file):
                self.bad(("plugins", i), why)
            found.append(file)
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
            self.check_sides(t, ("expect", i), plain)

    def experiment(self) -> Experiment:
        d = self.data
        self.known(d, _TOP, ())
        self.plain(d, ())
        name = self.text_at(d, (), "name", self.file.stem)
        self.named(name, ("name",) if "name" in d else (), EXPERIMENT_NAME,
                   "lower-case letters, digits, _ and -")
        arms = self.arms()
        plain = [a.name for a in arms if not a.each]
        e = Experiment(
            self.file, self.text, self.lines, name, self.text_at(d, (), "title", name),
            self.text_at(d, (), "question", required=True),
            self.text_at(d, (), "expectation", required=True), arms, self.workloads(),
            self.text_at(d, (), "baseline", plain[0] if plain else ""),
            self.get(d, (), "control", bool, True, "true or false"),
            self.repetitions(), self.number_of(d, (), "seed", 1, 0, NUMBER_MAX),
            *self.iterations(d, ()), self.seconds(d, (), 120.0), self.margin(), self.alpha(),
            self.cpus(), self.names(d, (), "metrics"), self.excludes(arms), self.expects(),
            self.figures(), self.drivers(), self.cost(), self.plugins(), self.digits())
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
        if isinstance(value, str) and re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", value, re.ASCII):
            with contextlib.suppress(ValueError):
                parse_cpus(value)
                return f"list {value}"
        self.bad(("cpus",), f"{value!r} is not \"all\", a number of CPUs, or a list like \"0,2-3\"")
        return "all"
