# SPDX-License-Identifier: MIT
"""The check of an unpacked artifact, by the lab in its own source.

Each step is a command of the lab or of the build that the reader could type; it is shown with the time that
it took, and the first that fails ends the check.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ..planning.drivers import HERE, OWN, find_shunt
from ..planning.kept_plan import Damaged
from ..running.opening import UsageError
from ..tools.files import read_bytes, read_json
from ..tools.units import show_span

SUMS = "SHA256SUMS"
MEASURED = "measured"       # the source that the records' program is built from, where it is another one
GOOD, OTHER_ANSWER, DIFFERS, DAMAGED = 0, 1, 3, 5


def drawn_with() -> dict[str, str]:
    """What the bytes of a figure depend on besides its records and the source."""
    import matplotlib
    return {"matplotlib": matplotlib.__version__, "python": platform.python_version()}


class Failed(Exception):
    """A step that failed; the message says what to do."""

    def __init__(self, code: int, why: str):
        super().__init__(why)
        self.code = code


def check(root: Path) -> int:
    if not (root / SUMS).is_file() or not (root / "claims.json").is_file():
        raise UsageError(f"{root}: not an unpacked artifact (no {SUMS}); in one, its own lab is called: "
                         "source/experiments/lab artifact --check")
    told = read_json(root / "claims.json")
    try:
        for what, step in (("checksums", _sums), ("records", _records), ("figures", _figures), ("build", _build),
                           ("claim", _claim)):
            start = time.monotonic()
            said = step(root, told)
            print(f"{what}: {said} ({show_span(time.monotonic() - start)})", flush=True)
    except Failed as e:
        print(f"{what}: {e}", file=sys.stderr)
        return e.code
    return GOOD


def _run(root: Path, *words: str, code: int, failure: str, good: tuple[int, ...] = (0,)) -> str:
    """A command, shown as one would type it in the artifact's folder, and its standard output."""
    print(f"$ {f'cd {root.name} && ' if words[0] == 'cmake' else ''}{shlex.join(words)}", flush=True)
    try:
        done = subprocess.run(words, cwd=root, text=True, capture_output=True,
                              env={**os.environ, "SHUNT_PYTHON": sys.executable})
    except FileNotFoundError as e:
        raise Failed(code, f"{failure} (no {e.filename})") from None
    if done.returncode not in good:
        said = (done.stdout + done.stderr)[-4000:].rstrip()
        raise Failed(code, f"{failure} (exit status {done.returncode})\n{said}")
    return done.stdout


def _lab(root: Path, *words: str, code: int, failure: str, good: tuple[int, ...] = (0,)) -> str:
    return _run(root, os.path.relpath(HERE / "lab", root), *words, code=code, failure=failure, good=good)


def _sums(root: Path, _told: dict[str, Any]) -> str:
    lines = read_bytes(root / SUMS).decode().splitlines()
    for line in lines:
        digest, name = line.split("  ", 1)
        file = root / name
        if not file.is_file() or hashlib.sha256(read_bytes(file)).hexdigest() != digest:
            raise Failed(DAMAGED, f"{name} is {'not as it was packed' if file.is_file() else 'missing'}; unpack the "
                                  "artifact again into an empty folder")
    return f"all {len(lines)} files are as they were packed"


def _records(root: Path, _told: dict[str, Any]) -> str:
    return _lab(root, "verify", "campaign", code=DAMAGED, failure="the records are damaged").strip().splitlines()[-1]


def _figures(root: Path, told: dict[str, Any]) -> str:
    kept = sorted(f.relative_to(root / "figures") for f in (root / "figures").rglob("*") if f.is_file())
    with tempfile.TemporaryDirectory(prefix="shunt-figures-") as folder:
        _lab(root, "figures", "campaign", "--out", folder, code=DIFFERS, failure="they cannot be drawn")
        differ = [str(f) for f in kept if not (Path(folder) / f).is_file()
                  or read_bytes(Path(folder) / f) != read_bytes(root / "figures" / f)]
    if not differ:
        return f"all {len(kept)} files drawn anew are byte for byte the same"
    was, now = told["drawn_with"], drawn_with()
    other = "" if was == now else f". They were drawn with {_versions(was)}, here it is {_versions(now)}"
    raise Failed(DIFFERS, f"{len(differ)} of {len(kept)} files differ: {', '.join(differ[:5])}{other}")


def _versions(of: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in of.items())


def _shunt_of(root: Path) -> str:
    """The program that measures: of the source that made the records."""
    if (root / MEASURED).is_dir():
        built = root / MEASURED / "build" / "release" / "shunt"
        return os.path.relpath(built, root) if built.is_file() else ""
    return str(find_shunt() or "")


def _build(root: Path, _told: dict[str, Any]) -> str:
    source = root / MEASURED if (root / MEASURED).is_dir() else HERE.parent
    if not _shunt_of(root):
        ninja = ("-G", "Ninja") if shutil.which("ninja") else ()
        for words in (("--preset", "release", *ninja),
                      ("--build", "--preset", "release", "--parallel", "--target", "shunt")):
            _run(source, "cmake", *words, code=DIFFERS,
                 failure="it cannot be built; are the packages there that README.md names?")
    was = read_json(_plan(root))["drivers"].get("shunt", {}).get("build_id", "")
    now = json.loads(_run(root, _shunt_of(root), "version", "--json", code=DIFFERS,
                          failure="shunt does not start"))["build_id"]
    return "it is byte for byte what made the records" if was == now else \
        "it is not byte for byte what made the records, as with another compiler or with a compiler cache"


def _plan(root: Path) -> Path:
    """The plan of the campaign, or of the first part of a merged one."""
    return sorted(root.glob("campaign/**/plan.json"))[0]


def _claim(root: Path, told: dict[str, Any]) -> str:
    if told["chosen"] is None:
        return "none was answered that this file alone can repeat"
    row = told["claims"][told["chosen"]]
    again = root / "rerun"
    again.mkdir(exist_ok=True)
    if not (again / "plan.json").exists():
        shutil.copyfile(_plan(root), again / "plan.json")
    plugins = _plan(root).parent / OWN
    if plugins.is_dir():
        shutil.copytree(plugins, again / OWN, dirs_exist_ok=True)
    _lab(root, "run", "rerun", "--shunt", _shunt_of(root), "--accept-new-build", *["--trust"] * plugins.is_dir(),
         "--block", row["blocks"], "--quiet", code=DIFFERS, failure="runs failed")
    answers = _lab(root, "claims", "rerun", "--json", code=DIFFERS, failure="they cannot be judged", good=(0, 1))
    now = json.loads(answers)["claims"][told["chosen"]]["answer"]
    if now != row["answer"]:
        raise Failed(OTHER_ANSWER, f"“{row['claim']}” was {row['answer']} and is {now} on this machine; "
                                   "source/experiments/lab claims rerun says by how much")
    return f"“{row['claim']}” is {now}, as it was"
