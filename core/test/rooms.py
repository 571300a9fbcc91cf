# SPDX-License-Identifier: MIT
"""The rule `rooms` of hygiene.py: the files of core depend on each other without a circle.

A file depends on the headers it includes, and on the source that defines a function which its code
names, whichever header declares it. A header depends on a source only by its inline code, and not on
the source of its own name: the two are one room.
"""
from __future__ import annotations

import graphlib
import re
from pathlib import Path
from typing import Callable, Iterable

INCLUDE = re.compile(r'^#include "(core/[\w/.-]+)"', re.M)
# A function's definition: it begins at the left margin and its body on a line of its own.
DEFINITION = re.compile(r"^(?!static|typedef|#)[A-Za-z_][^;{}#]*?\b(shunt_\w+)\([^;{}]*\)\n\{", re.M)
# A declaration does not depend on what it declares.
DECLARATION = re.compile(r"^(?:[A-Za-z_][^;{}#]*\([^;{}]*\)[^;{}]*|\w+ shunt_\w+);", re.M)
# What a macro names is named by whoever uses the macro.
MACRO = re.compile(r"^#define (?:[^\n]*\\\n)*[^\n]*", re.M)
NAME = re.compile(r"(?<!struct )(?<!enum )(?<!union )\bshunt_\w+")


def check(root: Path, sources: Iterable[Path], code_of: Callable[[str], str]) -> list[str]:
    """What is wrong, in words: the files of one circle, if there is any."""
    included: dict[str, set[str]] = {}
    code: dict[str, str] = {}
    homes: dict[str, str] = {}
    for path in sources:
        name = path.relative_to(root)
        if name.parts[0] != "core" or "test" in name.parts or path.suffix not in (".c", ".h"):
            continue
        text = path.read_text()
        included[str(name)] = set(INCLUDE.findall(text))
        code[str(name)] = DECLARATION.sub("", MACRO.sub("", code_of(text)))
        if path.suffix == ".c":
            homes |= dict.fromkeys(DEFINITION.findall(code_of(text)), str(name))
    called = {file: {homes[n]: n for n in NAME.findall(text)
                     if n in homes and Path(homes[n]).with_suffix("") != Path(file).with_suffix("")}
              for file, text in code.items()}
    try:
        graphlib.TopologicalSorter({f: included[f] | set(called[f]) for f in code}).prepare()
    except graphlib.CycleError as e:
        circle = e.args[1][::-1]
        return ["a circle: " + ", ".join(
            f"{a} " + (f"calls {called[a][b]} of {b}" if b in called[a] else f"includes {b}")
            for a, b in zip(circle, circle[1:]))]
    return []
