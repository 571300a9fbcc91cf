#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, what `cmake --install` leaves is enough for a stranger: the examples are copied into an empty
folder, compiled against the installed tree, and work; afterwards the list of what was installed removes it.

installed.py BUILD COMPILER"""
from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALL = """cmake_minimum_required(VERSION 3.25)
project(all LANGUAGES C CXX)
foreach(one policy workload wait embed-c embed-cxx)
  add_subdirectory(${one})
endforeach()
"""


def said(*words: str | Path, **more: str) -> str:
    """What the command prints; it must succeed. In a folder that nothing of shunt is in."""
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, cwd="/",
                          env={**os.environ, "NO_COLOR": "1", **more})
    if done.returncode:
        sys.exit(f"{shlex.join(map(str, words))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def check_examples(prefix: Path, folder: Path) -> None:
    shutil.copytree(prefix / "share" / "doc" / "shunt" / "examples", folder)
    (folder / "CMakeLists.txt").write_text(ALL)
    built = folder / "built"
    said("cmake", "-S", folder, "-B", built, f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror",
         "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror")
    said("cmake", "--build", built, "-j2")
    for spec in ("asm", "mn:workers=2"):
        assert said(built / "embed-c" / "embed", spec) == "sum 55\n"
        assert said(built / "embed-cxx" / "embed++", spec) == "sum 285\n"
    shunt = prefix / "bin" / "shunt"
    plugins = [f"--plugin={built}/{kind}/{name}.so"
               for kind, name in (("policy", "coin"), ("wait", "doze"), ("workload", "tally"))]
    assert said(shunt, "conformance", plugins[2]).endswith("\nconforming\n")
    report = said(shunt, "run", "asm:policy=coin,wait=doze", "tally", "rounds=50", "--iters", "1", *plugins)
    for kind, name in (("policy", "coin"), ("wait", "doze"), ("workload", "tally")):
        assert f"plugin.{kind}={name}@" in report, report


def check_pkg_config(prefix: Path, folder: Path, compiler: str) -> None:
    place, = prefix.rglob("shunt.pc")
    words = shlex.split(said("pkg-config", "--cflags", "--libs", "shunt", PKG_CONFIG_PATH=str(place.parent)))
    library, = (w[2:] for w in words if w.startswith("-L"))
    said(compiler, folder / "embed-c" / "main.c", "-o", folder / "by-pkg-config", *words, "-pthread")
    assert said(folder / "by-pkg-config", LD_LIBRARY_PATH=library) == "sum 55\n"


def check_no_path_of_ours(prefix: Path, build: str) -> None:
    for file in prefix.rglob("*"):
        if file.is_file() and build.encode() in file.read_bytes():
            sys.exit(f"{file.relative_to(prefix)} has the name of the build folder in it")


def check_drivers(prefix: Path) -> None:
    """Every driver is there with all of its files, and so is the page on the protocol."""
    share = prefix / "share"
    for file in (ROOT / "experiments" / "drivers").rglob("*"):
        if file.is_file() and file.suffix != ".pyc":
            place = share / ("doc/shunt" if file.suffix == ".md" else "shunt") / file.relative_to(ROOT)
            assert place.read_bytes() == file.read_bytes(), place


def check_help(prefix: Path) -> None:
    """Every command has a man page, and completes its options."""
    shunt = prefix / "bin" / "shunt"
    listed = said(shunt, "help").split("Commands\n")[1].split("\n\n")[0]
    commands = re.findall(r"^  (\w+) ", listed, re.M)
    assert "run" in commands and "lab" in commands, listed
    script = prefix / "share" / "bash-completion" / "completions" / "shunt"
    for command in set(commands) - {"help"}:
        if shutil.which("help2man"):
            page = prefix / "share" / "man" / "man1" / f"shunt-{command}.1"
            assert f'.TH shunt-{command} "1"' in page.read_text(), page
        options = set(re.findall(r"^  (--[\w-]+)", said(shunt, command, "--help"), re.M))
        offered = said("bash", "-c", 'source "$1"; COMP_WORDS=(shunt "$2" --) COMP_CWORD=2; _shunt; '
                       'printf "%s\\n" "${COMPREPLY[@]}"', "bash", script, command)
        assert command == "lab" or options == set(offered.split()), (command, options, offered)
    assert said("bash", "-c", 'source "$1"; COMP_WORDS=(shunt conf) COMP_CWORD=1; _shunt; echo "${COMPREPLY[@]}"',
                "bash", script) == "conformance\n"


def check_removal(prefix: Path) -> None:
    listed = (prefix / "share" / "shunt" / "installed.list").read_text().splitlines()
    for name in listed:
        (prefix / name).unlink()
    left = [str(p.relative_to(prefix)) for p in prefix.rglob("*") if not p.is_dir()]
    assert not left, f"not in installed.list: {left}"


def main(build: str, compiler: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        prefix, empty = Path(folder, "prefix"), Path(folder, "empty")
        said("cmake", "--install", build, "--prefix", prefix)
        said(prefix / "bin" / "shunt", "run", "asm", "chunked_sum", "preset=tutorial", "pause=1ms")
        said(prefix / "bin" / "shunt", "lab", "list")
        assert (prefix / "share" / "shunt" / "record.schema.json").stat().st_size
        check_examples(prefix, empty)
        check_pkg_config(prefix, empty, compiler)
        check_no_path_of_ours(prefix, build)
        check_drivers(prefix)
        check_help(prefix)
        check_removal(prefix)


if __name__ == "__main__":
    if not shutil.which("pkg-config") or not shutil.which("c++"):
        print("pkg-config or a compiler of C++ is missing", file=sys.stderr)
        sys.exit(77)
    main(*sys.argv[1:])
