# SPDX-License-Identifier: MIT
"""Drivers: the programs that perform a run and write its record.

`shunt` is the testbed itself; the others are foreign runtimes under the same contract (drivers/
holds asyncio, Erlang, Go and tokio, whose runs `shunt record` records). A driver understands `run BACKEND WORKLOAD
key=value … --seed --warmup --iters --arm --repetition --block --record FILE`, --digits where an experiment
says how many, and `version --json`, which gives its build_id. One that cannot be had here is absent with a
reason; an experiment says what it left out, and goes on.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..tools.trust import Trust
from .catalog import Catalog, read_catalog

HERE = Path(__file__).resolve().parents[2]      # experiments/, in the tree or installed
QUESTION_S = 20
OURS = "{experiments}/"         # in a plan: the folder above, wherever the tree that runs it is
_SHIPPED = re.compile(r"\{experiments\}/drivers/\w+\.py", re.ASCII)


@dataclasses.dataclass
class Driver:
    name: str
    command: list[str] = dataclasses.field(default_factory=list)
    build_id: str = ""
    version: str = ""
    absent: str = ""                # why there is none here; then the rest is empty
    catalog: Catalog | None = None  # what `shunt` can do; foreign drivers have no slots
    plugins: list[dict[str, str]] = dataclasses.field(default_factory=list)    # shunt's: file, build_id
    asked: bool = True              # False: a program that the experiment brings, not started yet


def find(names: set[str], commands: dict[str, list[str]], shunt: str = "", trust: Trust | None = None,
         plugins: Sequence[str] = (), consent: Trust | None = None) -> dict[str, Driver]:
    """The drivers of these names. `commands` are an experiment's own; `shunt` a path, if given. Without
    `trust` no program that the experiment brings is started. `plugins` are files that shunt is to load, with
    `consent` or `trust`: what they hold cannot be looked at otherwise. From here on $SHUNT_RECORDER names the shunt
    that other drivers have their runs recorded by."""
    if program := find_shunt(shunt):
        os.environ["SHUNT_RECORDER"] = str(program)
    return {name: _find_one(name, commands, shunt, trust, (plugins, consent or trust or Trust(False)))
            for name in sorted(names)}


def shipped(words: Any) -> bool:
    """Whether a command, as a plan keeps it, is one of drivers/ here and nothing else."""
    return isinstance(words, list) and len(words) == 2 and words[0] == "python3" and \
        isinstance(words[1], str) and bool(_SHIPPED.fullmatch(words[1]))


def portable(words: list[str]) -> list[str]:
    """A command as a plan keeps it: files that come with shunt by their place in its tree."""
    return [OURS + str(Path(w).relative_to(HERE)) if Path(w).is_relative_to(HERE) else w
            for w in words]


def located(words: list[str]) -> list[str]:
    """The same on this machine."""
    return [str(HERE / w.removeprefix(OURS)) if w.startswith(OURS) else w for w in words]


def _find_one(name: str, commands: dict[str, list[str]], shunt: str, trust: Trust | None,
              plugins: tuple[Sequence[str], Trust]) -> Driver:
    if name == "shunt":
        return _shunt(shunt, *plugins)
    if name in commands:
        words = located(commands[name])
        if not shipped(portable(words)):
            if trust is None:
                return Driver(name, words, asked=False)
            trust.ask(name, words)
        return _ask(Driver(name, words))
    maker = {"asyncio": _asyncio, "erlang": _erlang, "go": _go, "tokio": _tokio}.get(name)
    if maker is None:
        return Driver(name, absent=f"no driver {name!r}: there are shunt, asyncio, erlang, go and tokio, and "
                                   f"an experiment may give its own as [driver.{name}]")
    try:
        driver = maker()
    except OSError as e:
        return Driver(name, absent=f"its program cannot be kept: {e.filename}: {e.strerror}")
    return driver if driver.absent else _ask(driver)


def _ask(driver: Driver) -> Driver:
    """Fill in build_id and version by asking the program itself."""
    try:
        done = subprocess.run([*driver.command, "version", "--json"], capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=QUESTION_S, check=True)
        said = json.loads(done.stdout)
        driver.build_id, driver.version = str(said["build_id"]), str(said.get("version", ""))
    except FileNotFoundError:
        return Driver(driver.name, absent=f"{driver.command[0]}: no such program")
    except PermissionError:
        return Driver(driver.name, absent=f"{driver.command[0]}: may not be executed")
    except subprocess.TimeoutExpired:
        return Driver(driver.name, absent=f"{driver.command[0]}: no answer to `version --json` "
                                          f"within {QUESTION_S} s")
    except subprocess.CalledProcessError as e:
        said_why = (e.stderr or b"").decode(errors="replace").strip().splitlines()
        return Driver(driver.name, absent=f"{driver.command[0]}: `version --json` failed: "
                                          f"{said_why[-1] if said_why else e.returncode}")
    except (OSError, ValueError, KeyError, TypeError) as e:
        return Driver(driver.name, absent=f"{driver.command[0]}: `version --json` gives no "
                                          f"build_id ({e})")
    return driver


def _shunt(given: str, plugins: Sequence[str], consent: Trust) -> Driver:
    path = find_shunt(given)
    if path is None:
        return Driver("shunt", absent="no `shunt` here: build it with `cmake --preset release && "
                                      "cmake --build --preset release`, or give --shunt PATH")
    driver = _ask(Driver("shunt", [str(path)]))
    if driver.absent:
        return driver
    for file in plugins:
        consent.ask(Path(file).name, [file], "plug-in", "code")
    driver.catalog = read_catalog(str(path), plugins)
    for file in plugins:
        said = driver.catalog.plugins.get(file, {}) if driver.catalog else {}
        if "build_id" not in said or "why" in said:
            return Driver("shunt", absent=f"plug-in {file}: {said.get('why', 'shunt says nothing of it')}")
        driver.plugins.append({"file": file, "build_id": said["build_id"]})
    return driver


def find_shunt(given: str = "") -> Path | None:
    """The shunt to run: as given, $SHUNT_BIN, the one that `shunt lab` was called from ($SHUNT),
    the tree's release build, the installed one, PATH."""
    named = given or os.environ.get("SHUNT_BIN", "") or os.environ.get("SHUNT", "")
    if named:
        return Path(named).absolute()
    for place in (HERE.parent / "build" / "release" / "shunt", HERE.parents[2] / "bin" / "shunt"):
        if os.access(place, os.X_OK) and place.is_file():
            return place
    on_path = shutil.which("shunt")
    return Path(on_path) if on_path else None


def _asyncio() -> Driver:
    return Driver("asyncio", [sys.executable, str(HERE / "drivers" / "asyncio_driver.py")])


def _compiled(name: str, sources: list[Path], version: str,
              command: Callable[[str, Path], list[str]], environment: dict[str, str]) -> Driver:
    """A driver that is built on first use. `command` gives, for a build_id and the folder to build in,
    the words that make `driver` there, a program or a folder; nothing is downloaded."""
    digest = hashlib.sha256(version.encode() + b"".join(s.read_bytes() for s in sources)).hexdigest()
    program = _cache_folder() / f"{name}-driver-{digest[:16]}"
    if not program.exists():
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=_cache_folder()) as folder:
            done = subprocess.run(command(digest[:40], Path(folder)), capture_output=True, text=True,
                                  env={**environment, "SHUNT_BUILD_ID": digest[:40],
                                       "SHUNT_VERSION": version})
            if done.returncode != 0:
                why = [line for line in done.stderr.splitlines() if line.strip()] or ["?"]
                first = next((line for line in why if line.startswith("error")), why[-1])
                return Driver(name, absent=f"the {name} driver does not build with {version}: {first}")
            os.replace(Path(folder) / "driver", program)
    return Driver(name, [str(program)])


def _erlang() -> Driver:
    erlc = shutil.which("erlc")
    if erlc is None or shutil.which("erl") is None:
        return Driver("erlang", absent="Erlang is not installed (Debian: apt-get install erlang-base)")
    front, *modules = sorted((HERE / "drivers" / "erlang").iterdir())
    said = subprocess.run([erlc, "--version"], capture_output=True, text=True).stdout.strip()
    driver = _compiled("erlang", [front, *modules], said, lambda build_id, folder: [
        "sh", "-ec", 'mkdir "$1"; shift; "$@"', "sh", str(folder / "driver"), erlc, "-Werror",
        f'-DBUILD_ID="{build_id}"', "-o", str(folder / "driver"), *map(str, modules)], {**os.environ})
    return driver if driver.absent else Driver("erlang", ["sh", str(front), *driver.command])


def _go() -> Driver:
    go = shutil.which("go")
    if go is None:
        return Driver("go", absent="Go is not installed (Debian: apt-get install golang-go)")
    sources = sorted((HERE / "drivers" / "go").glob("*.go"))
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True,
                          env=_go_environment()).stdout.strip()
    return _compiled("go", sources, said, lambda build_id, folder: [
        go, "build", "-ldflags", f"-X main.buildID={build_id}", "-o", str(folder / "driver"),
        *map(str, sources)], _go_environment())


CRATES = Path("/usr/share/cargo/registry")      # Debian's: librust-*-dev


def _tokio() -> Driver:
    cargo, rustc = shutil.which("cargo"), shutil.which("rustc")
    if cargo is None or rustc is None or not any(CRATES.glob("tokio-1*")) or \
            not any(CRATES.glob("serde_json-1*")):
        return Driver("tokio", absent="tokio is not installed (Debian: apt-get install cargo "
                                      "librust-tokio-dev librust-serde-json-dev)")
    sources = sorted((HERE / "drivers" / "tokio").iterdir())
    said = subprocess.run([rustc, "--version"], capture_output=True, text=True).stdout.strip()
    crates = ", ".join(sorted(p.name for p in CRATES.glob("tokio-1*")))

    def command(_: str, folder: Path) -> list[str]:
        for source in sources:      # a copy: cargo writes beside what it builds
            shutil.copy(source, folder)
        return ["sh", "-ec", 'cd "$1"; "$2" build --release --offline --quiet '
                "--config 'source.crates-io.replace-with=\"debian\"' "
                "--config 'source.debian.directory=\"'\"$3\"'\"'; "
                "mv target/release/tokio-driver driver", "sh", str(folder), cargo, str(CRATES)]

    return _compiled("tokio", sources, f"{said} and {crates}", command,
                     {**os.environ, "CARGO_TARGET_DIR": "target"})


def _go_environment() -> dict[str, str]:
    return {**os.environ, "GO111MODULE": "off", "GOFLAGS": "", "GOPROXY": "off",
            "GOTOOLCHAIN": "local", "CGO_ENABLED": "0",
            "GOCACHE": str(_cache_folder() / "go-cache")}


def _cache_folder() -> Path:
    """Where built drivers are kept: the tree's build folder, the user's cache, or one in /tmp for a
    user who has no home."""
    if os.access(HERE.parent, os.W_OK) and (HERE.parent / "CMakeLists.txt").is_file():
        place = HERE.parent / "build" / "drivers"
    elif os.environ.get("XDG_CACHE_HOME"):
        place = Path(os.environ["XDG_CACHE_HOME"], "shunt")
    elif os.access(os.path.expanduser("~"), os.W_OK):
        place = Path(os.path.expanduser("~"), ".cache", "shunt")
    else:
        place = Path(tempfile.gettempdir(), f"shunt-{os.getuid()}")
    place.mkdir(0o700, parents=True, exist_ok=True)
    if place.stat().st_uid != os.getuid():      # a program found there would be run
        raise OSError(errno.EPERM, "this folder of another user would be the cache; name one in "
                                   "$XDG_CACHE_HOME", str(place))
    return place


def builds(drivers: dict[str, Driver]) -> dict[str, str]:
    """The build of each driver, and of each plug-in by its file."""
    return {n: d.build_id for n, d in drivers.items()} | \
        {p["file"]: p["build_id"] for d in drivers.values() for p in d.plugins}


def files_of(plan: dict[str, Any]) -> list[str]:
    """The plug-ins of a plan."""
    return [p["file"] for p in plan.get("plugins", [])]


OWN = "plugins"      # of a campaign's folder: plug-ins that it brings, as one that came in an artifact does


def with_own_plugins(folder: Path, plan: dict[str, Any]) -> dict[str, Any]:
    """The plan with each plug-in that the campaign's folder holds taken from there, not from where it was frozen."""
    if not plan.get("plugins"):
        return plan
    own = [(p, (folder / OWN / Path(p["file"]).name).absolute()) for p in plan["plugins"]]
    return {**plan, "plugins": [{**p, "file": str(file)} if file.is_file() else p for p, file in own]}


def changed(plan: dict[str, Any], drivers: dict[str, Driver]) -> list[str]:
    """Drivers that are not the ones the plan was frozen with, in words."""
    found = []
    for was in plan.get("plugins", []):
        now_id = {p["file"]: p["build_id"] for p in drivers["shunt"].plugins}.get(was["file"], "")
        if now_id != was["build_id"]:
            found.append(f"the plug-in {was['file']} has build {now_id[:12]}, the plan was frozen with "
                         f"{was['build_id'][:12]}")
    for name, was in plan["drivers"].items():
        now = drivers[name]
        if now.absent:
            found.append(f"{name} is gone: {now.absent}")
        elif now.build_id != was["build_id"]:
            found.append(f"{name} has build {now.build_id[:12]}, the plan was frozen with "
                         f"{was['build_id'][:12]}")
    return found
