# SPDX-License-Identifier: MIT
"""The figures a campaign declares: one line each, or NAME:KIND words for Makefile.plot."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shuntlab.campaign import CampaignError, load_plan  # noqa: E402


def names_of(plan: dict) -> list[dict]:
    """The figure tables of a plan, each with a file-safe name; a forest where it declares none."""
    import re
    declared = plan.get("figures") or [{"kind": "forest"}]
    found: list[dict] = []
    taken: set[str] = set()
    for spec in declared:
        wanted = str(spec.get("name") or f"{plan['experiment']['name']}-{spec.get('kind', '')}")
        base = re.sub(r"[^A-Za-z0-9_-]+", "-", wanted).strip("-") or "figure"
        name, number = base, 2
        while name in taken:
            name, number = f"{base}-{number}", number + 1
        taken.add(name)
        found.append({**spec, "name": name})
    return found


def plan_of(folder: Path) -> dict:
    """A campaign's plan; of a merged campaign its first part's."""
    parts = sorted((folder / "parts").iterdir()) if (folder / "parts").is_dir() else [folder]
    return load_plan(parts[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("campaign", type=Path, metavar="CAMPAIGN")
    parser.add_argument("--make", action="store_true", help="NAME:KIND words")
    args = parser.parse_args()
    try:
        found = names_of(plan_of(args.campaign))
    except (CampaignError, OSError) as e:
        print(e, file=sys.stderr)
        return 2
    if args.make:
        print(" ".join(f"{s['name']}:{s.get('kind', '')}" for s in found))
    else:
        for s in found:
            print(f"{s['name']:<28}{s.get('kind', ''):<15}{s.get('title', s.get('y', ''))}"
                  .rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
