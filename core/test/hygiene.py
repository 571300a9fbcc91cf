#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, the sources keep the rules that a compiler does not check.

One rule a call: `hygiene.py RULE [ROOT]`, RULE being one of

  tags     every atomic has a tag at its declaration, like [task:word]; every acquire and release
           names the tag it is about, a full fence that or what it forbids; every tag has both
           sides; a relaxed access says why
  layers   no file includes or names what its folder must not know
  heads    every source begins with its licence, and says what it is
  words    no unfinished business is left in the text
  columns  a line of C has at most 100 columns, with tabs of 8, one of Python at most 120
  policies a policy reads of a worker what the contract names (core/engine/slots.h)
  rooms    the files of core, and the lab's modules, depend on each other without a circle (rooms.py)
  docs     what is registered is named in backends/README.md, workloads in README.md

It reads the text alone and parses no C: it tells comments from code and strings from names, no more.
"""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import rooms

TAG = re.compile(r"\[([a-z][a-z0-9_-]*:[a-z][a-z0-9_-]*)\]")
ORDER = re.compile(r"(?:memory_order_|__ATOMIC_)(relaxed|consume|acquire|release|acq_rel|seq_cst)", re.I)
FENCE = re.compile(r"\bshunt_full_fence\(\);")
# How far above an access its comment may stand: the comment, and a statement broken over lines.
REACH = 8


def sources(root: Path, *suffixes: str) -> list[Path]:
    """The tree's own files: what git tracks or would, else all that is not built."""
    try:
        listed = subprocess.run(
            ["git", "-C", str(root), "ls-files", "-co", "--exclude-standard"],
            capture_output=True, text=True, check=True).stdout.split("\n")
        paths = [root / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [p for p in root.rglob("*") if not {"build", ".git"} & set(p.relative_to(root).parts)]
    paths = [p for p in paths if p.is_file() and "reference" not in p.relative_to(root).parts]
    return sorted(p for p in paths if not suffixes or p.suffix in suffixes)


def split_comments(text: str) -> tuple[list[str], list[str]]:
    """The lines of a C file twice: only code (strings kept), and only comments."""
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

    def blank(piece: str) -> str:
        return re.sub(r"[^\n]", " ", piece)

    code, comments, last = [], [], 0
    for match in pattern.finditer(text):
        between = text[last:match.start()]
        code.append(between)
        comments.append(blank(between))
        piece = match.group()
        is_comment = piece[0] == "/"
        code.append(blank(piece) if is_comment else piece)
        comments.append(piece if is_comment else blank(piece))
        last = match.end()
    code.append(text[last:])
    comments.append(blank(text[last:]))
    return "".join(code).split("\n"), "".join(comments).split("\n")


def declares_atomic(line: str) -> bool:
    """Whether a line of code declares an atomic object (and does not merely use one)."""
    line = re.sub(r"_Alignas\([^)]*\)", "", line)
    return bool(re.search(r"\b_Atomic\b|\batomic_\w+_t\b|\batomic_(?:bool|int|uint|flag)\b", line)
                and not re.search(r"\(.*_Atomic|_explicit|atomic_(?:load|store|fetch|thread)", line))


def declares_something(line: str) -> bool:
    """Whether a tag on this line stands at a declaration: an object or a field, no call."""
    plain = re.sub(r"_Alignas\([^)]*\)|_Atomic\(", "", line.split("=")[0])
    return bool(re.search(r"[;,]\s*$", line)) and not ORDER.search(line) and "(" not in plain


class Tags:
    """What the files say: where each tag is declared, and the orders its accesses use."""

    def __init__(self) -> None:
        self.declared: dict[str, str] = {}
        self.objects: dict[str, str] = {}      # tag: the identifier it was declared with
        self.used: dict[str, str] = {}
        self.sides: dict[str, set[str]] = {}
        self.relaxed: set[str] = set()         # identifiers on lines with a relaxed access

    def declare(self, tag: str, line: str, here: str) -> None:
        if tag not in self.declared:
            self.declared[tag] = here
            names = re.findall(r"\w+", line.split("=")[0])
            self.objects[tag] = names[-1] if names else ""

    def read(self, path: Path, name: str) -> list[str]:
        problems = []
        code, comments = split_comments(path.read_text())
        for number, line in enumerate(code):
            here = f"{name}:{number + 1}"
            own = TAG.findall(comments[number])
            if declares_atomic(line):
                own = own or TAG.findall("\n".join(comments[max(0, number - 3):number]))
                if not own:
                    problems.append(f"{here}: an atomic without a tag at its declaration")
            if declares_something(line):
                for tag in own:
                    self.declare(tag, line, here)
            orders = {match.lower() for match in ORDER.findall(line)}
            if FENCE.search(line):
                orders.add("seq_cst")
            if not orders:
                continue
            # The comment stands above, or at the end of the statement.
            near = "\n".join(comments[max(0, number - REACH):number + 2])
            tags = TAG.findall(near)
            if orders & {"acquire", "release", "acq_rel", "consume"} and not tags:
                problems.append(f"{here}: {', '.join(sorted(orders))} without the tag it is about")
            if "seq_cst" in orders and not tags and not re.search("forbid|pairs with", near):
                problems.append(f"{here}: seq_cst says neither what it forbids nor its partner")
            if "relaxed" in orders:
                self.relaxed.update(re.findall(r"\w+", line))
                if not tags and "relaxed" not in near.lower():
                    problems.append(f"{here}: a relaxed access does not say why")
            for tag in tags:
                self.used.setdefault(tag, here)
                self.sides.setdefault(tag, set()).update(orders)
        return problems

    def pair(self) -> list[str]:
        problems = [f"{here}: tag [{tag}] is declared nowhere"
                    for tag, here in sorted(self.used.items()) if tag not in self.declared]
        for tag, here in sorted(self.declared.items()):
            have = self.sides.get(tag, set())
            if not have and self.objects[tag] not in self.relaxed:
                problems.append(f"{here}: no access names the tag [{tag}]")
            elif have - {"relaxed"} and not have & {"acq_rel", "seq_cst"}:
                for side in sorted({"acquire", "release"} - have):
                    problems.append(f"{here}: tag [{tag}] has no {side}")
        return problems


def check_tags(root: Path) -> list[str]:
    problems: list[str] = []
    tags = Tags()
    for path in sources(root, ".c", ".h"):
        name = str(path.relative_to(root))
        if "/test/" not in name and name.startswith(("core/", "backends/", "workloads/")):
            problems += tags.read(path, name)
    return problems + tags.pair()


def plugin_names(root: Path) -> dict[str, set[str]]:
    """What the CMake lines register: kind to names."""
    names: dict[str, set[str]] = {}
    for path in sources(root, ".txt"):
        if path.name == "CMakeLists.txt":
            line = r"^\s*shunt_(switch|wait|timers|policy|place|io|backend|workload)\(([\w-]+)"
            for kind, name in re.findall(line, path.read_text(), re.M):
                names.setdefault(kind, set()).add(name)
    return names


# Words of English that happen to be names of plug-ins: a string may hold them.
COMMON_WORDS = {"none", "yield", "list", "lock", "steal", "timers", "random", "shared", "core", "own", "virtual"}

WORKLOAD_MAY = re.compile(
    r'"core/(sched|step|io|workload|parts|param|file|rng|measure/hist|measure/clock)\.h"|"workloads/[\w/]+\.h"|"\w+\.h"'
    r"|<(assert|errno|fcntl|inttypes|limits|math|stdalign|stdarg|stdbool|stddef|stdint|stdio|stdlib|string|"
    r"unistd|ctype|lmdb|sha1|sys/mman|sys/socket|sys/stat|sys/types)\.h>")
# A client stands beside the scheduler: it calls the kernel itself.
CLIENT_MAY = re.compile(r"<(dirent|poll|netinet/(in|tcp)|sys/(epoll|un))\.h>")


def check_layers(root: Path) -> list[str]:
    problems: list[str] = []
    names = plugin_names(root)
    for path in sources(root, ".c", ".h", ".cc", ".S"):
        name = str(path.relative_to(root))
        if "/test/" in name or not name.startswith(("core/", "backends/", "workloads/")):
            continue
        code, _ = split_comments(path.read_text())
        for number, line in enumerate(code):
            here = f"{name}:{number + 1}"
            for problem in layer_problems(name, line, names):
                problems.append(f"{here}: {problem}")
    return problems


def layer_problems(name: str, line: str, names: dict[str, set[str]]) -> list[str]:
    problems = []
    include = re.match(r'\s*#\s*include\s+(["<][^">]+[">])', line)
    if include:
        header = include.group(1)
        inner = header[1:-1]
        homes = {
            "hwloc.h": ("backends/place/",), "liburing.h": ("backends/wait/ring_plan.h", "backends/wait/test/floors.c"),
            "jansson.h": ("core/measure/", "core/cli/"), "benchmark/benchmark.h": ("core/bench/",),
        }
        for library, may in homes.items():
            if inner == library and not name.startswith(may):
                problems.append(f"only {' and '.join(may)} may include {library}")
        if name.startswith("core/") and inner.startswith(("backends/", "workloads/")):
            problems.append("core must not include a plug-in")
        client = re.search(r"_client\.[ch]$", name) and CLIENT_MAY.fullmatch(header)
        if name.startswith("workloads/") and not client and not WORKLOAD_MAY.fullmatch(header):
            problems.append(f"a workload must not include {header}")
        if name.startswith("backends/"):
            if inner.startswith(("core/cli", "workloads/", "core/measure/record")):
                problems.append(f"a backend must not include {header}")
            # Its own folder, or the one that a plug-in of several files has beside it.
            own = (Path(name).parent, Path(name).with_suffix(""))
            if inner.startswith("backends/") and Path(inner).parent not in own:
                problems.append("a backend must not include another")
    if name.startswith(("core/", "workloads/")):
        for kind, kind_names in names.items():
            for plugin in kind_names:
                symbol = f"shunt_{kind}_{plugin.replace('-', '_')}"
                is_definition = line.startswith(f"const struct shunt_{kind} {symbol} =")
                if re.search(rf"\b{symbol}\b\s*(?![(\w])", line) and not is_definition:
                    problems.append(f"names the plug-in {symbol}")
                own = name.startswith("workloads/") and kind == "workload"
                if not own and plugin not in COMMON_WORDS and f'"{plugin}"' in line:
                    problems.append(f'names the {kind} "{plugin}"')
    if name.startswith("workloads/") and re.match(r"\s*#\s*if.*BACKEND", line):
        problems.append("a workload must not be compiled differently for a backend")
    return problems


def check_heads(root: Path) -> list[str]:
    problems = []
    for path in sources(root):
        name = str(path.relative_to(root))
        known = path.suffix in {".c", ".h", ".cc", ".S", ".py", ".sh", ".cmake"} or path.name == "CMakeLists.txt"
        if not known:
            try:
                with path.open("rb") as file:
                    known = file.read(2) == b"#!"
            except OSError:
                continue
        if not known:
            continue
        top = path.read_text().split("\n")[:8]
        if not any("SPDX-License-Identifier: MIT" in line for line in top[:3]):
            problems.append(f"{name}:1: no SPDX line in the first three")
            continue
        if path.suffix in {".c", ".h", ".cc", ".S"}:
            rest = [line for line in top if "SPDX" not in line and line.strip()]
            if not rest or not re.match(r"\s*(/\*|//|#(?!\s*(include|if|define)))", rest[0]):
                problems.append(f"{name}:2: no head comment that says what it is")
    return problems


def check_words(root: Path) -> list[str]:
    problems = []
    # Written in halves, so that this file keeps its own rule.
    words = ["TO" "DO", "FIX" "ME", "XX" "X", "HA" "CK"]
    pattern = re.compile(r"\b(" + "|".join(words) + r")\b|(?i:\bnot " r"implemented\b|\bunimpl" r"emented\b|"
                         r"\bplace" r"holder\b)")
    text_suffixes = {".c", ".h", ".cc", ".S", ".py", ".sh", ".cmake", ".md", ".txt", ".toml", ".json", ".cff", ".go",
                     ""}
    for path in sources(root):
        if path.suffix not in text_suffixes or path.name == "LICENSE":
            continue
        try:
            lines = path.read_text().split("\n")
        except UnicodeDecodeError:
            continue
        name = str(path.relative_to(root))
        for number, line in enumerate(lines):
            if pattern.search(line):
                problems.append(f"{name}:{number + 1}: unfinished: {line.strip()[:80]}")
            if path.name == "CMakeLists.txt" and re.search(r"file\s*\(\s*GLOB", line):
                problems.append(f"{name}:{number + 1}: sources are listed, never globbed")
    root_lines = len((root / "CMakeLists.txt").read_text().split("\n"))
    if root_lines > 70:
        problems.append(f"CMakeLists.txt: {root_lines} lines; the root file stays under 60 or so")
    return problems


def check_columns(root: Path) -> list[str]:
    most = {".c": 100, ".h": 100, ".cc": 100, ".S": 100, ".py": 120}
    return [f"{path.relative_to(root)}:{number}: {len(line.expandtabs(8))} columns; at most {most[path.suffix]}"
            for path in sources(root, *most)
            for number, line in enumerate(path.read_text().split("\n"), 1)
            if len(line.expandtabs(8)) > most[path.suffix]]


def check_docs(root: Path) -> list[str]:
    problems = []
    for kind, names in sorted(plugin_names(root).items()):
        place = root / ("README.md" if kind == "workload" else "backends/README.md")
        text = place.read_text() if place.exists() else ""
        for name in sorted(names):
            if f"`{name}`" not in text:
                problems.append(f"{place.relative_to(root)}: the {kind} `{name}` is not in it")
    return problems


# What a policy may read of a worker, and of a task; the rest comes from functions of engine/policy.h.
POLICY_MAY = {"worker": re.compile(r"policy_shared\b|env\.|ctx\.(?:current|many)\b"),
              "task": re.compile(r"(?:next|sp|key)\b")}


def check_policies(root: Path) -> list[str]:
    problems: list[str] = []
    for path in sources(root, ".c", ".h"):
        name = str(path.relative_to(root))
        if not re.fullmatch(r"backends/policy/[\w-]+\.[ch]|core/engine/keyed\.h", name):
            continue
        code, _ = split_comments(path.read_text())
        for kind, may in POLICY_MAY.items():
            variables = set(re.findall(rf"struct shunt_{kind} \*(\w+)", "\n".join(code)))
            for number, line in enumerate(code):
                for variable, field in re.findall(r"\b(\w+)->([\w.]+)", line):
                    if variable in variables and not may.match(field):
                        problems.append(f"{name}:{number + 1}: a policy reads {variable}->{field}, "
                                        f"which the contract in core/engine/slots.h does not name")
    return problems


def check_rooms(root: Path) -> list[str]:
    files = sources(root)
    return rooms.check(root, files, lambda text: "\n".join(split_comments(text)[0])) + rooms.check_lab(root, files)


RULES = {"tags": check_tags, "layers": check_layers, "heads": check_heads, "words": check_words,
         "columns": check_columns, "docs": check_docs, "policies": check_policies, "rooms": check_rooms}


def main(argv: list[str]) -> int:
    if len(argv) not in (2, 3) or argv[1] not in RULES:
        print(f"usage: hygiene.py {'|'.join(RULES)} [ROOT]", file=sys.stderr)
        return 2
    root = Path(argv[2] if len(argv) == 3 else Path(__file__).parents[2]).resolve()
    problems = RULES[argv[1]](root)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
