# SPDX-License-Identifier: MIT
"""Seals: what a campaign is judged by is what was written before its runs.

The seal of a plan finds an edit. It is no signature: who forges a plan can compute it anew. So each
session's journal keeps the seal under which its runs were made, and `lab verify` compares them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ..planning import campaign, drivers, journal, kept_plan
from ..planning.campaign import Problem
from ..planning.catalog import read_catalog
from ..planning.kept_plan import Damaged
from ..planning.plan import types_of
from ..planning.toml_spec import load

RULES = ("expect", "metrics", "margin", "alpha", "repetitions", "baseline")


def other_rules(part: campaign.Campaign) -> list[Problem]:
    """Sessions whose runs were made while the plan said something else."""
    seals = {str(s["seal"]) for s in journal.starts(part.path) if "seal" in s}
    file = part.path / "plan.json"
    return [Problem(file, "its runs were made under another seal: what it is judged by changed since, "
                          "and the seal was computed anew")] if seals - {part.plan["seal"]} else []


def seal_folder(folder: Path, shunt: str) -> str:
    """Seal a plan that was frozen before there were seals; a line for the user. Raises Damaged where
    it does not say what the experiment beside it says."""
    plan = kept_plan.read_plan(folder)
    if "seal" in plan:
        kept_plan.load_plan(folder)
        return f"{folder}: it has a seal already, and the seal is right"
    e = load(folder / "experiment.toml")
    if hashlib.sha256(e.text.encode()).hexdigest() != plan["experiment"]["sha256"]:
        raise Damaged(f"{folder / 'experiment.toml'}: not the file that the plan was frozen from")
    said: dict[str, Any] = {**vars(e), "expect": e.expect, "metrics": e.metrics}
    other = [key for key in RULES if plan[key] != said[key]]
    other += [key for key in ("question", "expectation") if plan["experiment"][key] != said[key]]
    if other:
        raise Damaged(f"{folder / 'plan.json'}: {', '.join(other)} is not what the experiment.toml "
                      "beside it says: it was edited after it was frozen")
    program = drivers.find_shunt(shunt)
    plan["types"] = types_of(read_catalog(str(program)) if program else None, plan)
    whole = {**kept_plan.sealed({**plan, "figures": e.figures}), "figures": plan["figures"]}
    kept_plan.write_plan(folder / "plan.json", whole)
    return f"{folder}: sealed"
