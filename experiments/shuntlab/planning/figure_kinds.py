# SPDX-License-Identifier: MIT
"""The kinds of figure and the keys of each, as the scripts in experiments/plots declare them in KEYS.

The scripts are read, not imported: an experiment is planned where no matplotlib is.
"""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import Any

PLOTS = Path(__file__).resolve().parents[2] / "plots"

# {key: (shape, meaning)}; reading.py says what each shape accepts.
Keys = dict[str, tuple[str, str]]

COMMON: Keys = {
    "kind": ("name", "which script draws it"),
    "name": ("name", "of its files; default: the experiment's name and the kind"),
    "title": ("text", "the first sentence of the caption"),
    "caption": ("text", "the first sentences of the caption, in place of the title"),
    "workload": ("name", "only points of this workload, or of this label"),
    "where": ("table", 'only points with these settings: { tasks = 2, load = "< 1" }'),
    "arms": ("names", 'only these arms, in patterns such as "mn*"'),
    "why": ("text", "a remark for readers of the experiment"),
}


@functools.lru_cache(maxsize=None)
def kinds() -> dict[str, Keys]:
    """{kind: its own keys}, sorted by name."""
    return {p.stem: _declared(p) for p in sorted(PLOTS.glob("[a-z]*.py"))}


def _declared(script: Path) -> Keys:
    for node in ast.parse(script.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) \
                and node.targets[0].id == "KEYS":
            return ast.literal_eval(node.value)
    raise ValueError(f"{script}: declares no KEYS")


def named(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The figure tables of a plan, each with a file-safe name of its own; a forest if it has none."""
    declared = plan.get("figures") or [{"kind": "forest"}]
    found: list[dict[str, Any]] = []
    taken: set[str] = set()
    for spec in declared:
        wanted = spec.get("name") or f"{plan['experiment']['name']}-{spec['kind']}"
        base = re.sub(r"[^A-Za-z0-9_-]+", "-", wanted).strip("-") or "figure"
        name, number = base, 2
        while name in taken:
            name, number = f"{base}-{number}", number + 1
        taken.add(name)
        found.append({**spec, "name": name})
    return found
