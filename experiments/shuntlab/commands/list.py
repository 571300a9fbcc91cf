# SPDX-License-Identifier: MIT
"""`lab list`: the experiments that come with shunt, each with its question."""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from typing import Any

from ..planning.experiment import SpecError
from ..planning.toml_spec import load
from ..running.opening import experiments_folder
from ..tools.naming import lab


def register(subparsers: Any) -> None:
    p = subparsers.add_parser("list", help="the experiments that come with shunt",
                              description="List the experiments that come with shunt.")
    p.add_argument("--json", action="store_true", help="one JSON document instead of the text")
    p.set_defaults(run=command)


def command(args: argparse.Namespace) -> int:
    rows = []
    for file in sorted(experiments_folder().glob("*.toml")):
        try:
            e = load(file)
            rows.append({"name": e.name, "title": e.title, "question": e.question,
                         "file": str(file)})
        except SpecError as error:
            rows.append({"name": file.stem, "title": "", "file": str(file),
                         "question": f"(cannot be read: {error.problems[0]})"})
    if args.json:
        print(json.dumps({"schema": "shunt.experiments/1", "experiments": rows}, indent=1))
        return 0
    width = min(max(shutil.get_terminal_size().columns, 40), 100)
    for row in rows:
        text = textwrap.fill(row["question"], width - 20)
        head = f"{row['name']:<18}  "
        print(textwrap.indent(text, " " * 20).replace(" " * 20, head, 1))
    print(f"\nTo run one:        {lab('run', 'NAME')}\n"
          f"What it would be:  {lab('plan', 'NAME', '--dry-run')}")
    return 0
