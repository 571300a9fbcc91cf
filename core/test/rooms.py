# SPDX-License-Identifier: MIT
"""The rule `rooms` of hygiene.py: the files of core, and the modules of the lab, depend on each other
without a circle, and the lab's rooms only on those below them.

A file depends on the headers it includes, and on the source that defines a function which its code
names, whichever header declares it. A header depends on a source only by its inline code, and not on
the source of its own name: the two are one room.
"""
from __future__ import annotations

import ast
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

# The rooms of the lab, from the lowest up. What stands beside them may use all.
LAB = Path("experiments/shuntlab")
LAB_ROOMS = ("tools", "data", "planning", "statistics", "running", "output", "commands", "")


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
    circle = circle_of({f: included[f] | set(called[f]) for f in code})
    return ["a circle: " + ", ".join(
        f"{a} " + (f"calls {called[a][b]} of {b}" if b in called[a] else f"includes {b}")
        for a, b in zip(circle, circle[1:]))] if circle else []


def circle_of(graph: dict[str, set[str]]) -> list[str]:
    """A way from a file back to itself, or nothing."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as e:
        return e.args[1][::-1]
    return []


def check_lab(root: Path, sources: Iterable[Path]) -> list[str]:
    """What is wrong in the lab: imports that go up, an unknown room, the modules of one circle."""
    modules = {p.relative_to(root / LAB) for p in sources if p.suffix == ".py" and root / LAB in p.parents}
    problems, graph = [], {}
    for module in sorted(modules):
        room = str(module.parent).replace(".", "")
        if room not in LAB_ROOMS:
            problems.append(f"{LAB / module}: the lab has no room {room!r}")
            continue
        found = imported(module, (root / LAB / module).read_text()) & modules
        graph[str(module)] = set(map(str, found))
        problems += [f"{LAB / module}: imports {other} of a room above"
                     for other in sorted(found) if other.parts[0] in LAB_ROOMS
                     and LAB_ROOMS.index(other.parts[0]) > LAB_ROOMS.index(room)]
    circle = circle_of(graph)
    return problems + (["a circle: " + " imports ".join(circle)] if circle else [])


def imported(module: Path, text: str) -> set[Path]:
    """The modules that its relative imports may mean."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = [module, *module.parents][node.level].joinpath(*(node.module or "").split("."))
            found |= {folder.with_suffix(".py"), *(folder / f"{a.name}.py" for a in node.names)}
    return found
