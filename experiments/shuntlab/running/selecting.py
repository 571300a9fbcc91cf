# SPDX-License-Identifier: MIT
"""--filter, --block and --share: which runs of a plan are meant."""

from __future__ import annotations

import fnmatch
import itertools
import re
from typing import Any, Callable

from ..planning.experiment import nearest
from ..planning.specs import satisfies
from .opening import UsageError

Wanted = Callable[[dict[str, Any], dict[str, Any], str], bool]


def parse_filters(texts: list[str], plan: dict[str, Any]) -> Wanted:
    """All of `key=value` must hold; a value is a pattern (asm*) or a condition (tasks>=100)."""
    rules = [_parse(text, plan) for text in texts]

    def wanted(point: dict[str, Any], block: dict[str, Any], arm: str) -> bool:
        return all(rule(point, block, arm) for rule in rules)
    return wanted


def _parse(text: str, plan: dict[str, Any]) -> Wanted:
    found = re.fullmatch(r"\s*([A-Za-z][\w.-]*?)\s*(>=|<=|!=|>|<|==|=)\s*(.+?)\s*", text)
    if not found:
        raise UsageError(f"--filter {text!r} is not key=value (arm=asm, tasks>=100)")
    key, sign, value = found.groups()
    known = {"arm", "point", "block", "workload", "repetition"}
    params = {k for p in plan["points"] for k in (*p["params"], *p["axes"])}
    if key not in known | params:
        raise UsageError(f"--filter {text!r}: no key {key!r}{nearest(key, known | params)} (there "
                         f"are {', '.join(sorted(known | params))})")
    _must_match(text, key, sign, value, plan)

    def rule(point: dict[str, Any], block: dict[str, Any], arm: str) -> bool:
        return _holds(_value(key, point, block, arm), sign, value)
    return rule


def _value(key: str, point: dict[str, Any], block: dict[str, Any], arm: str) -> str | None:
    own = {"arm": arm, "point": point["id"], "block": block["id"], "workload": point["workload"],
           "repetition": str(block["repetition"])}
    return own.get(key) or point["axes"].get(key) or point["params"].get(key)


def _holds(value: str | None, sign: str, wanted: str) -> bool:
    if value is None:
        return False
    if sign != "=":
        return satisfies(value, sign + wanted)
    return fnmatch.fnmatchcase(value, wanted) or satisfies(value, wanted)


def _must_match(text: str, key: str, sign: str, value: str, plan: dict[str, Any]) -> None:
    points = {p["id"]: p for p in plan["points"]}
    seen: set[str] = set()
    for block in plan["blocks"]:
        for arm in block["order"]:
            have = _value(key, points[block["point"]], block, arm)
            if _holds(have, sign, value):
                return
            seen.add(str(have))
    near = nearest(value, seen)
    raise UsageError(f"--filter {text!r} matches no run of this plan{near}")


def parse_blocks(texts: list[str], plan: dict[str, Any]) -> set[str] | None:
    """`--block b0007`, `--block 7`, `--block 7-12,20`; None where none was given."""
    if not texts:
        return None
    names = [b["id"] for b in plan["blocks"]]
    found: set[str] = set()
    for part in ",".join(texts).split(","):
        match = re.fullmatch(r"b?(\d+)(?:-b?(\d+))?", part.strip())
        if not match:
            raise UsageError(f"--block {part!r} is not a block; write 7, b0007 or 7-12")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 1 <= first <= last <= len(names):
            raise UsageError(f"--block {part}: the plan has the blocks 1 to {len(names)}")
        found |= {f"b{n:04d}" for n in range(first, last + 1)}
    return found


def shares(plan: dict[str, Any], count: int) -> list[list[dict[str, Any]]]:
    """The blocks of each of `count` tasks.

    They are whole repetitions, so that each task measures every point equally often; with more tasks than
    repetitions, whole blocks. A block is never cut: its arms are compared, and so run on one machine."""
    blocks = plan["blocks"]
    if not 1 <= count <= len(blocks):
        raise UsageError(f"{count} tasks: the plan has {len(blocks)} blocks, and each task runs at least one")
    rounds = [list(r) for _, r in itertools.groupby(blocks, key=lambda b: b["repetition"])]
    units = rounds if count <= len(rounds) else [[b] for b in blocks]
    ends = [n * len(units) // count for n in range(count + 1)]
    return [[block for unit in units[a:b] for block in unit] for a, b in zip(ends, ends[1:])]


def parse_share(text: str, plan: dict[str, Any]) -> set[str] | None:
    """The blocks of `--share 3/8`, the third of eight tasks; None where no share was given."""
    if not text:
        return None
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not found:
        raise UsageError(f"--share {text!r} is not a task and their number; write 3/8")
    number, count = int(found[1]), int(found[2])
    if not 1 <= number <= count:
        raise UsageError(f"--share {text}: the tasks are counted from 1 to {count}")
    return {b["id"] for b in shares(plan, count)[number - 1]}
