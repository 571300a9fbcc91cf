# SPDX-License-Identifier: MIT
"""The frozen plan of a campaign: read, checked by its hashes, and written.

The plan (`shunt.plan/1`), as every reader may rely on it:

    plan_id        hash of what decides the runs (not of the date, the paths or the figures)
    seal           hash of all but the figures: whoever edits a rule of judging breaks it
    figures_id     hash of the figures as they were frozen: tells whether they were mended since
    experiment     {name, title, question, expectation, file, sha256}
    created, seed  a date; the experiment's seed, as a string
    repetitions    process invocations per point and arm
    warmup, iters, timeout_s, order ("rounds")
    digits         of the records' series, 2 or 3, handed to every driver; absent: each driver's own, 3
    margin, alpha  the practical margin of a verdict (0.02) and the error rate (0.05)
    baseline       the name of the arm the others are compared with
    control        the name of the A/A arm (the baseline again), or ""
    arms           [{name, driver, backend, why}]; `backend` is the spec given to the driver
    points         [{id, workload, params, overrides, axes, arms, excluded}]
                   params: the workload's parameters, all strings; overrides: slot settings added to
                   every arm's backend; axes: the swept ones of both, {"chunk": "100"}, where an
                   override is named "backend.workers"; arms: names that run here;
                   excluded: [{arm, why}]
    blocks         [{id, point, repetition, seed, order}]; order is the shuffled list of arms
    metrics        the metrics that answer the question, the first is the headline
    expect         [[expect]] tables as written, each with its `line`
    figures        [[figure]] tables as written
    types          {workload: {parameter: type}} of those that have a unit, "duration" or "size", as
                   `shunt describe` names it; the slots' settings under ""
    commands       {driver: [program, argument…]} of the drivers that the experiment brings
    plugins        [{file, build_id}] of the files that the experiment has shunt load; absent: none
    drivers        {driver: {build_id, version}} at the time of freezing

plan_file.py says what each field may hold.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ..tools.files import read_json, write_whole
from ..tools.naming import lab
from . import plan_file
from .drivers import shipped

PLAN_SCHEMA = "shunt.plan/1"
PLAN_BYTES_MAX = 256 << 20      # a million runs in blocks of four have 50 MB


class CampaignError(Exception):
    """A folder that cannot be used as a campaign; the message says what to do."""


class Damaged(CampaignError):
    """A campaign whose plan is not what was frozen, or is no plan; exit status 5."""


def load_plan(folder: Path | str) -> dict[str, Any]:
    """The frozen plan of a campaign folder: whole, checked in every field, as it was sealed."""
    file = Path(folder) / "plan.json"
    plan = read_plan(Path(folder))
    if "seal" not in plan:
        raise Damaged(f"{file}: it has no seal, so nothing tells whether what it is judged by was "
                      f"edited after the runs. `{lab('verify', folder, '--seal')}` compares it with "
                      "the experiment.toml beside it and seals it")
    if plan["seal"] != seal(plan):
        raise Damaged(
            f"{file}: it was changed after it was frozen: its seal no longer matches. Only figures "
            "may change. Put the original back, or freeze the changed experiment into a new folder: "
            "`lab plan … --out`")
    return plan


def read_plan(folder: Path) -> dict[str, Any]:
    """As load_plan, but its seal may be missing or broken."""
    file = folder / "plan.json"
    try:
        plan = read_json(file, PLAN_BYTES_MAX)
        problems = _why_no_plan(file, plan) or plan_file.check(file, plan)
    except (FileNotFoundError, NotADirectoryError):
        what = "no plan.json here, so this" if folder.is_dir() else \
            "a file, which" if folder.exists() else "no such folder, so this"
        raise CampaignError(
            f"{folder}: {what} is not a campaign; `{lab('run', 'EXPERIMENT.toml')}` makes one and "
            "says where") from None
    except (ValueError, RecursionError) as e:
        problems = [f"{file}: damaged ({e}); the experiment.toml beside it can be planned again into "
                    "a new folder with `lab plan … --out`"]
    if problems:
        more = f"\n… and {len(problems) - 5} problems more" if len(problems) > 5 else ""
        raise Damaged("\n".join(problems[:5]) + more)
    return plan


def _why_no_plan(file: Path, plan: Any) -> list[str]:
    if not isinstance(plan, dict) or plan.get("schema") != PLAN_SCHEMA:
        return [f"{file}: not a {PLAN_SCHEMA} document"]
    head = plan.get("experiment")
    if not isinstance(head, dict) or "name" not in head:
        return [f"{file}: damaged (it names no experiment)"]
    if plan.get("plan_id") == plan_id(plan):
        return []
    return [f"{file}: it was changed after it was frozen (its plan_id no longer matches). Put the "
            "original back, or freeze the changed experiment into a new folder: `lab plan … --out`"]


def write_plan(file: Path, plan: dict[str, Any]) -> None:
    """Write a plan for certain; the caller gives the file its name."""
    write_whole(file, (json.dumps(plan, indent=1, ensure_ascii=False) + "\n").encode("utf-8"))


# What may change without making another set of runs.
_NOT_IDENTITY = {"plan_id", "created", "experiment", "figures", "expect", "metrics", "margin",
                 "alpha", "drivers", "commands", "types", "seal", "figures_id"}


def plan_id(plan: dict[str, Any]) -> str:
    """The hash that names a set of runs. Programs that an experiment brings belong to it."""
    decisive = {k: v for k, v in plan.items() if k not in _NOT_IDENTITY}
    decisive["name"] = plan["experiment"]["name"]
    brought = plan.get("commands", {})
    if isinstance(brought, dict):
        brought = {name: words for name, words in brought.items() if not shipped(words)}
    if brought:
        decisive["commands"] = brought
    return _digest(decisive)[:16]


def sealed(plan: dict[str, Any]) -> dict[str, Any]:
    """The plan with all of its hashes, as it is frozen."""
    whole = {**plan, "plan_id": plan_id(plan), "figures_id": figures_id(plan["figures"])}
    return {**whole, "seal": seal(whole)}


def seal(plan: dict[str, Any]) -> str:
    return _digest({k: v for k, v in plan.items() if k not in ("seal", "figures")})


def figures_id(figures: list[dict[str, Any]]) -> str:
    """Without the numbers of lines, which any edit of the experiment moves."""
    return _digest([{k: v for k, v in f.items() if k != "line"} for f in figures])[:16]


def is_mended(plan: dict[str, Any]) -> bool:
    """Whether the figures are others than those that were frozen."""
    return figures_id(plan["figures"]) != plan["figures_id"]


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
