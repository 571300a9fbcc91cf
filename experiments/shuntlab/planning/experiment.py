# SPDX-License-Identifier: MIT
"""An experiment in memory: what toml_spec reads and plan freezes, and how both talk of mistakes."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import re
from pathlib import Path
from typing import Any, Iterable

from ..tools.toml_lines import line_of, text_of


RANGE = re.compile(r"(?:(\d+)\.\.)?(?:pow(\d+)|(\d+))\.\.(\w+)")       # pow2..all, 8..pow2..1k, 1..4


class SpecError(Exception):
    """Everything that is wrong with one experiment file."""

    def __init__(self, problems: list[str]):
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclasses.dataclass
class Arm:
    name: str
    backend: str
    driver: str = "shunt"
    why: str = ""
    each: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    path: tuple = ()
    optional: bool = False      # a build that does not know it leaves it out


@dataclasses.dataclass
class Workload:
    name: str
    label: str = ""
    why: str = ""
    params: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    swept: list[str] = dataclasses.field(default_factory=list)
    backend: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    swept_backend: list[str] = dataclasses.field(default_factory=list)
    arms: list[str] = dataclasses.field(default_factory=list)
    warmup: int | None = None
    iters: int | None = None
    timeout_s: float | None = None
    trace: bool = False
    path: tuple = ()


@dataclasses.dataclass
class Exclude:
    why: str
    arms: list[str] = dataclasses.field(default_factory=list)
    workload: str = ""
    where: dict[str, str] = dataclasses.field(default_factory=dict)
    path: tuple = ()


@dataclasses.dataclass
class Experiment:
    file: Path
    text: str
    lines: dict[tuple, int]
    name: str
    title: str
    question: str
    expectation: str
    arms: list[Arm]
    workloads: list[Workload]
    baseline: str
    control: bool = True
    repetitions: int = 20
    seed: int = 1
    warmup: int | None = None
    iters: int | None = None
    timeout_s: float = 120.0
    margin: float = 0.02
    alpha: float = 0.05
    cpus: str = "all"
    metrics: list[str] = dataclasses.field(default_factory=list)
    exclude: list[Exclude] = dataclasses.field(default_factory=list)
    expect: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    figures: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    drivers: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    cost: dict[str, Any] = dataclasses.field(default_factory=dict)     # minutes, memory: as measured
    plugins: list[str] = dataclasses.field(default_factory=list)       # files that shunt loads
    digits: int | None = None       # of the records' series; None: as the drivers keep them, 3

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def at(self, path: tuple, what: str) -> str:
        """A message about the place `path`: file:line: path: what."""
        return place(self.file, self.lines, path, what)


def place(file: Path, lines: dict[tuple, int], path: tuple, what: str) -> str:
    line = line_of(lines, path)
    head = f"{file}:{line}" if line else str(file)
    return f"{head}: {text_of(path)}: {what}" if path else f"{head}: {what}"


def nearest(word: str, names: Iterable[str]) -> str:
    """", did you mean 'x'?" for the nearest of `names`, or an empty text."""
    close = difflib.get_close_matches(word[:100], list(names), 1, 0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def arm_name(spec: str) -> str:
    """A file-safe name for a backend spec: asm:wait=uring,policy=lifo -> asm-uring-lifo."""
    base, _, rest = spec.partition(":")
    values = [part.partition("=")[2] or part for part in rest.split(",") if part]
    joined = "-".join([base, *values])
    return re.sub(r"[^A-Za-z0-9_+-]+", "-", joined).strip("-") or "arm"


def predicate(expect: dict[str, Any]) -> str:
    """What an [[expect]] asks of the numbers, in one line."""
    def side(s: Any) -> str:
        if not isinstance(s, dict):
            return str(s)
        return " ".join([s.get("arm", ""), *(f"{k}={v}" for k, v in s.items() if k != "arm")]).strip()
    of, over = expect["ratio"]
    text = f"{expect['metric']}: {side(of)} / {side(over)}"
    text += "".join(f" {sign} {expect[key]:g}" for key, sign in (("above", ">"), ("below", "<"))
                    if key in expect)
    where = [expect["workload"]] if expect.get("workload") else []
    where += [f"{k}={v}" for k, v in expect.get("where", {}).items()]
    return text + (f" at {' '.join(where)}" if where else "")
