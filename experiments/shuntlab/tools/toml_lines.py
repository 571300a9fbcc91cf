# SPDX-License-Identifier: MIT
"""Where in a TOML file each key stands. tomllib parses but forgets the lines; messages want them.

A scanner, not a parser: the text has already been accepted by tomllib, so it only has to follow
table headers, key = value lines and the strings and brackets that let a value run over many lines.
A key that it cannot place (inside an inline table, say) is reported with the line of what holds it.
"""

from __future__ import annotations

import re

Path = tuple  # of str and int: ("workload", 0, "params", "tasks")

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_NAME = r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'"""
_KEY = re.compile(rf"\s*((?:{_NAME})(?:\s*\.\s*(?:{_NAME}))*)\s*=(.*)$")
_PART = re.compile(_NAME)


def line_map(text: str) -> dict[Path, int]:
    """{path: line number from 1} of every header and every key at the start of a line."""
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    base: Path = ()
    open_value = _Value()
    for number, line in enumerate(text.splitlines(), 1):
        if open_value.running:
            open_value.feed(line)
            continue
        header = _HEADER.match(line)
        if header:
            base = _table(header[1] == "[[", _parts(header[2]), counts)
            found.setdefault(base, number)
            continue
        key = _KEY.match(line)
        if key:
            found.setdefault(base + tuple(_parts(key[1])), number)
            open_value.feed(key[2])
    return found


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """The line of `path`, or of the nearest thing around it that has one."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return None


def text_of(path: Path) -> str:
    """How messages write a path: workload[0].params.tasks."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            shown = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"'
            out += f".{shown}" if out else shown
    return out


def _parts(text: str) -> list[str]:
    return [p.strip("\"'") for p in _PART.findall(text)]


def _table(is_array: bool, parts: list[str], counts: dict[Path, int]) -> Path:
    """The path of a header; each array on the way stands for its latest element."""
    path: Path = ()
    for i, part in enumerate(parts):
        path += (part,)
        last = i == len(parts) - 1
        if last and is_array:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path += (counts[path],)
    return path


class _Value:
    """Follows one value over lines until its brackets and long strings are closed."""

    def __init__(self) -> None:
        self.depth = 0
        self.quote = ""

    @property
    def running(self) -> bool:
        return self.depth > 0 or bool(self.quote)

    def feed(self, line: str) -> None:
        at = 0
        while at < len(line):
            at = self._inside(line, at) if self.quote else self._outside(line, at)
        if len(self.quote) == 1:  # a plain string never runs over a line
            self.quote = ""

    def _inside(self, line: str, at: int) -> int:
        if line[at] == "\\" and self.quote[0] == '"':
            return at + 2
        if line.startswith(self.quote, at):
            at += len(self.quote)
            self.quote = ""
            return at
        return at + 1

    def _outside(self, line: str, at: int) -> int:
        char = line[at]
        if char == "#":
            return len(line)
        if char in "\"'":
            self.quote = char * 3 if line.startswith(char * 3, at) else char
            return at + len(self.quote)
        self.depth += (char in "[{") - (char in "]}")
        return at + 1
