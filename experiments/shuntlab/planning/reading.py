# SPDX-License-Identifier: MIT
"""What an experiment and a frozen plan have in common: typed access to tables, and the tables of both.

toml_spec.py reads an experiment with it and plan_file.py a plan, so that nothing which is refused in
the one is accepted in the other. A reader collects all problems and returns a default in place of each
value that is not what it should be.
"""

from __future__ import annotations

import math
import re
from typing import Any, Callable

from ..tools import units
from .experiment import nearest
from .figure_kinds import COMMON, kinds

ITERATIONS_MAX = 1_000_000      # as `shunt run` takes them
RUNS_MAX = 2_000_000            # of a campaign
NAME_MAX = 100                  # of what becomes part of a file's name
TEXT_MAX = 10_000               # characters
TABLES_MAX = 1_000              # [[expect]] or [[figure]] tables
NUMBER_MAX = 2 ** 64
TIMEOUT_MAX_S = 1e8
SERVERS_MAX = 1024              # of a system that queueing theory is asked about

EXPERIMENT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
ARM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*")
KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")        # a workload, parameter, slot or driver
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

OURS = ("shunt", "asyncio", "erlang", "go", "tokio")       # drivers that no experiment may replace

EXPECT = {"claim", "metric", "ratio", "workload", "where", "above", "below", "why"}


def is_name(text: Any, pattern: re.Pattern) -> bool:
    return isinstance(text, str) and len(text) <= NAME_MAX and bool(pattern.fullmatch(text))


def scalar(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and str(value).strip() != ""


def scalar_text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value).strip()


def flat(group: dict[str, Any], path: tuple) -> list[tuple[str, Any, tuple]]:
    """Dotted keys of nested tables: stack.size = "64k" is TOML for {stack: {size: …}}."""
    found = []
    for key, value in group.items():
        if isinstance(value, dict):
            found += [(f"{key}.{name}", v, p) for name, v, p in flat(value, path + (key,))]
        else:
            found.append((key, value, path + (key,)))
    return found


# ---- the shapes that figure scripts name in their KEYS -------------------------------------------

def _is_label(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value.strip()) and len(value) <= 2 * NAME_MAX


def _is_list(value: Any, of: Callable[[Any], bool]) -> bool:
    many = value if isinstance(value, list) else [value]
    return 0 < len(many) <= 2 * NAME_MAX and all(map(of, many))


def _is_objective(value: Any) -> bool:
    if isinstance(value, str):
        value = units.duration_ns(value) or _number(value)
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < NUMBER_MAX


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _is_system(value: Any) -> bool:
    found = re.fullmatch(r"exact|(?:fcfs|ps)(?:-([1-9]\d{0,3}))?", value) if isinstance(value, str) else None
    return bool(found) and int(found[1] or 1) <= SERVERS_MAX


SHAPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "text": (lambda v: isinstance(v, str) and bool(v.strip()), "a text"),
    "name": (_is_label, f"a name of at most {2 * NAME_MAX} characters"),
    "names": (lambda v: _is_list(v, _is_label), "a name or a list of names"),
    "flag": (lambda v: isinstance(v, bool), "true or false"),
    "objective": (_is_objective, 'a value above 0, such as 50 or "100us"'),
    "systems": (lambda v: _is_list(v, _is_system), 'exact, fcfs, ps, or "fcfs-2" for two workers, or a list'),
    "table": (lambda v: isinstance(v, dict), "a table: { tasks = 2 }"),
}


# ---- the reader ---------------------------------------------------------------------------------

def why_no_plugin(file: str) -> str:
    """Why this cannot be the name of a plug-in's file in a plan, or an empty text."""
    return "" if file.startswith("/") and file.endswith(".so") and len(file) < 4096 and file.isprintable() else \
        f"{file!r:.60} is not the whole name of a plug-in's file, /…/NAME.so"


class Reader:
    """One pass over a parsed document; collects problems instead of stopping at the first."""

    own_keys: set[str] = set()      # that every table may have besides those of its kind

    def __init__(self, data: dict[str, Any]):
        self.data = data
        self.problems: list[str] = []

    def bad(self, path: tuple, what: str) -> None:
        raise NotImplementedError

    # -- values --

    def plain(self, value: Any, path: tuple) -> None:
        """What a plan can hold at all: no dates, no infinities, texts that any file and terminal takes."""
        if isinstance(value, dict):
            for key, inner in value.items():
                self.plain(key, path)
                self.plain(inner, path + (key,))
        elif isinstance(value, list):
            for i, inner in enumerate(value):
                self.plain(inner, path + (i,))
        elif isinstance(value, str):
            if len(value) > TEXT_MAX:
                self.bad(path, f"{len(value):,} characters; at most {TEXT_MAX:,} are read")
            elif _CONTROL.search(value):
                self.bad(path, f"{value!r:.60} holds a control character")
        elif isinstance(value, (int, float)):
            if not abs(value) <= NUMBER_MAX:    # nor NaN; an integer may be beyond every float
                self.bad(path, f"{value!r:.40} is not a number from -{NUMBER_MAX:g} to {NUMBER_MAX:g}")
        elif value is not None:
            self.bad(path, f"a date or a time ({value}): write it as a text, in quotes")

    def known(self, table: dict[str, Any], keys: set[str], path: tuple) -> None:
        for key in table:
            if key not in keys and key not in self.own_keys:
                self.bad(path + (key,), self.why_unknown(key, keys, path))

    def why_unknown(self, key: str, keys: set[str], path: tuple) -> str:
        return f"unknown key{nearest(key, keys)} (known here: {', '.join(sorted(keys))})"

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

    def shaped(self, table: dict[str, Any], path: tuple, key: str, shape: str) -> None:
        test, wanted = SHAPES[shape]
        if key in table and not test(table[key]):
            self.bad(path + (key,), f"{table[key]!r:.60} is not {wanted}")

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
        if len(entries) > TABLES_MAX:
            self.bad((key,), f"{len(entries):,} tables; at most {TABLES_MAX:,} are read")
            return []
        return [((key, i), e) for i, e in enumerate(entries)]

    def number_of(self, table, path, key, default, least, most):
        return self.get(table, path, key, int, default,
                        f"a whole number from {least} to {most:,}", lambda v: least <= v <= most)

    def names(self, table, path, key, wanted="a list of names"):
        value = table.get(key, [])
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
            self.bad(path + (key,), f"{value!r:.60} is not {wanted}")
            return []
        return value

    def named(self, text: Any, path: tuple, pattern: re.Pattern, wanted: str) -> None:
        if not is_name(text, pattern):
            self.bad(path, f"{text!r:.60} is not {wanted}, at most {NAME_MAX}")

    def key(self, text: Any, path: tuple) -> None:
        self.named(text, path, KEY, "a letter, then letters, digits, _, . and -")

    def spec(self, text: str, path: tuple) -> None:
        """It stands on a command line, where it must not be taken for an option."""
        if text and not text[0].isalnum():
            self.bad(path, f"{text!r:.60} is not a backend: its name first, then its settings")

    def check_command(self, name: str, words: Any, path: tuple) -> None:
        """A driver's command that an experiment brings."""
        self.key(name, path)
        if name in OURS:
            self.bad(path, f"{', '.join(OURS)} come with shunt: give a driver of yours another name")
        if not isinstance(words, list) or not words or not all(isinstance(w, str) and w for w in words):
            self.bad(path, '\'command\' is missing: ["./program", arguments]')

    def where(self, table, path) -> dict[str, str]:
        group = table.get("where", {})
        if not isinstance(group, dict):
            self.bad(path + ("where",), "write a table: { tasks = 2 }")
            return {}
        for _, v, place in flat(group, path + ("where",)):
            if not scalar(v):
                self.bad(place, f"{v!r:.60} is not a number or a text, such as \">= 100\"")
        return {name: scalar_text(v) for name, v, _ in flat(group, path + ("where",)) if scalar(v)}

    # -- the rules of judging --

    def repetitions(self) -> int:
        return self.number_of(self.data, (), "repetitions", 20, 1, RUNS_MAX)

    def margin(self) -> float:
        return self.get(self.data, (), "margin", (int, float), 0.02, "a number from 0 to below 1",
                        lambda v: 0 <= v < 1)

    def alpha(self) -> float:
        return self.get(self.data, (), "alpha", (int, float), 0.05, "a number above 0 and below 0.5",
                        lambda v: 0 < v < 0.5)

    def digits(self) -> int | None:
        return self.get(self.data, (), "digits", int, None, "2 or 3", lambda v: v in (2, 3))

    def iterations(self, table, path) -> tuple[int | None, int | None]:
        """(warmup, iters)"""
        return (self.number_of(table, path, "warmup", None, 0, ITERATIONS_MAX),
                self.number_of(table, path, "iters", None, 1, ITERATIONS_MAX))

    def check_expect(self, t: dict[str, Any], path: tuple) -> None:
        self.known(t, EXPECT, path)
        self.text_at(t, path, "claim", required=True)
        self.text_at(t, path, "metric", required=True)
        for key in ("workload", "why"):
            self.text_at(t, path, key)
        for bound in ("above", "below"):
            self.get(t, path, bound, (int, float), None, "a number above 0", lambda v: v > 0)
        if "above" not in t and "below" not in t:
            self.bad(path, "needs 'above', 'below', or both")
        self.check_ratio(t, path)

    def check_ratio(self, t: dict[str, Any], path: tuple) -> None:
        ratio = t.get("ratio")
        if not isinstance(ratio, list) or len(ratio) != 2:
            self.bad(path + ("ratio",), 'is ["arm above", "arm below"] the fraction line')
            return
        for side in ratio:
            fine = isinstance(side, str) or isinstance(side, dict) and isinstance(
                side.get("arm"), str) and all(map(scalar, side.values()))
            if not fine:
                self.bad(path + ("ratio",), f"{side!r:.60} is not an arm, or an arm at a point: "
                                            '{ arm = "mn", workers = 2 }')

    def check_sides(self, t: dict[str, Any], path: tuple, arms: list[str]) -> None:
        """The arms of a ratio, where it is one."""
        ratio = t.get("ratio")
        for side in ratio if isinstance(ratio, list) else []:
            name = side.get("arm") if isinstance(side, dict) else side
            if name not in arms:
                self.bad(path + ("ratio",), f"no arm {name!r:.60}{nearest(str(name), arms)}")

    def check_figure(self, t: dict[str, Any], path: tuple) -> None:
        kind, all_kinds = t.get("kind"), kinds()
        if not isinstance(kind, str) or kind not in all_kinds:
            self.text_at(t, path, "kind", required=True)
            if isinstance(kind, str):
                self.bad(path + ("kind",), f"no figure kind {kind!r:.60}{nearest(kind, all_kinds)}"
                                           f" (there are {', '.join(all_kinds)})")
            return
        table = {**COMMON, **all_kinds[kind]}
        for key in t:
            if key in table:
                self.shaped(t, path, key, table[key][0])
            elif key not in self.own_keys:
                self.bad(path + (key,), f"a figure of kind {kind} has no key {key!r:.60}"
                                        f"{nearest(key, table)} (it has {', '.join(table)}; "
                                        "`lab figures --kinds` explains them)")
