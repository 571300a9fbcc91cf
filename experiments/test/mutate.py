# SPDX-License-Identifier: MIT
"""Damage for the fuzzers: documents whose parts are exchanged, texts whose bytes are, and files that
are no files. Everything is drawn from the generator that the caller passes, so a case can be repeated.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from random import Random
from typing import Any, Iterator

DEEP: Any = []
for _ in range(300):
    DEEP = [DEEP]

# Values of every type, at the edges of their ranges, and texts that mean something to a shell, to make,
# to a path, to LaTeX, to HTML, to a spreadsheet or to a terminal.
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 5, 1000, 0.5, -0.5, 1e-320, 1e308, 2 ** 31, 2 ** 53, 2 ** 63, 2 ** 64,
    -2 ** 63, 5 * 10 ** 12, 10 ** 400, float("nan"), float("inf"), "", " ", "x", "0", "-1", "1e999",
    "9" * 5000, "x" * 100_000, "nan", "asm", "asm-again", "evil\n", "a/b", "..", "../../x", "/etc/passwd",
    "/dev/zero", ";touch$$IFS/tmp/x;#", "$(touch x)", "`touch x`", "$(shell touch x)", "=1+1", "@x",
    "\\input{/etc/passwd}", "<script>alert(1)</script>", "\x1b[31m", "\x00", "\ud800", "é😀", "*", "[a-",
    "(" * 50, "{experiments}/x", "-rf", "--help", "%s%n", "asm:wait=", "asm:" + "stack.size=1," * 200,
    [], [[]], {}, [None], [1], ["x"], [{}], {"": ""}, {"x": 1}, [["a", "b"], "c"], DEEP,
    {"arm": 5}, [5, "x"], ["asm", "ucontext"], {"name": "x", "kind": "../x"})
KEYS = ("", "x", "evil\n", "name", "kind", "__class__", "arms", "../x", "where", "\ud800")


def places(document: Any, path: tuple = ()) -> Iterator[tuple]:
    """The path of every part of a document."""
    yield path
    parts = document.items() if isinstance(document, dict) else \
        enumerate(document) if isinstance(document, list) else ()
    for key, part in parts:
        yield from places(part, path + (key,))


def at(document: Any, path: tuple) -> Any:
    for key in path:
        document = document[key]
    return document


def document(chance: Random, whole: Any) -> tuple[Any, str]:
    """The document with one part exchanged, removed, doubled or renamed, and what was done.

    Whatever depth a part lies at, the parts near the top are chosen as often as all below them."""
    path: tuple = ()
    here = whole
    while isinstance(here, (dict, list)) and here:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        path += (chance.choice(keys),)
        here = here[path[-1]]
        if chance.random() < 0.3:
            break
    if not path:
        return chance.choice(VALUES), "the whole"
    parent, key = at(whole, path[:-1]), path[-1]
    kind = chance.choice(("value", "value", "value", "value", "delete", "twice", "rename", "swap"))
    if kind == "value":
        parent[key] = chance.choice(VALUES)
        return whole, f"{path} = {parent[key]!r:.60}"
    if kind == "delete":
        del parent[key]
    elif kind == "twice" and isinstance(parent, list):
        parent.insert(key, parent[key])
    elif kind == "rename" and isinstance(parent, dict):
        parent[chance.choice(KEYS)] = parent.pop(key)
    else:
        other = chance.choice(list(places(whole)))
        if not other:
            return whole, "nothing"
        parent[key] = json.loads(json.dumps(at(whole, other)))
        kind = f"copy of {other}"
    return whole, f"{kind} {path}"


def text(chance: Random, data: bytes) -> tuple[bytes, str]:
    """The text with some bytes changed, cut, doubled or put in."""
    kind = chance.choice(("flip", "flip", "byte", "cut", "drop", "twice", "insert", "empty", "number"))
    place = chance.randrange(len(data) + 1)
    many = chance.choice((1, 2, 7, 100, 4096))
    if kind == "flip" and place < len(data):
        data = data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1:]
    elif kind == "byte":
        data = data[:place] + bytes([chance.randrange(256)]) + data[place + 1:]
    elif kind == "cut":
        data = data[:place]
    elif kind == "drop":
        data = data[:place] + data[place + many:]
    elif kind == "twice":
        data = data[:place] + data[place:place + many] * 2 + data[place + many:]
    elif kind == "insert":
        data = data[:place] + bytes(chance.randrange(256) for _ in range(min(many, 100))) \
            + data[place:]
    elif kind == "empty":
        data = b""
    else:
        digits = [i for i, b in enumerate(data) if 48 <= b <= 57]
        if digits:
            place = chance.choice(digits)
            other = chance.choice((b"-1", b"1e999", b"9" * 30, b"0" * 5000 + b"1", b"0x10", b""))
            data = data[:place] + other + data[place + 1:]
    return data, f"{kind} at {place}"


def special(chance: Random, file: Path, outside: Path) -> str:
    """In place of a file: what can be opened and never ends, or leads elsewhere."""
    kind = chance.choice(("fifo", "folder", "device", "endless", "outside", "loop", "nowhere", "socket"))
    if file.is_dir():
        kind = "outside"
        file.rename(file.with_name(f".was-{file.name}"))
    file.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind == "socket" and len(str(file)) < 100:
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(file))
    else:
        file.symlink_to({"device": "/dev/null", "endless": "/dev/zero", "outside": outside,
                         "loop": file.name}.get(kind, "/nowhere/at/all"))
    return f"{kind} for {file.name}"
