# SPDX-License-Identifier: MIT
# Whatever a campaign or an experiment from a stranger holds, the lab answers: no traceback, no hang, no
# process but ours, no file touched outside.
"""A mutational fuzzer of all that the lab reads, end to end through its commands.

    lab_fuzz.py [SECONDS] [--seed S] [--only CASE] [--keep FOLDER]

A case is a copy of a campaign with one or two of its files damaged (mutate.py) and one command. The
command runs in a fork of this process, which has scipy and matplotlib imported already, under limits of
processor time and memory, and an audit hook of the interpreter reports every file that it opens for
writing, renames or removes and every process that it starts. Makefile.plot runs as a process of its own,
under strace where there is one. A case depends on the seed and its number alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any, Callable

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PLOTS = HERE.parent / "plots"
sys.path[:0] = [str(HERE), str(HERE.parent), str(PLOTS)]
try:
    import matplotlib
    import scipy.stats  # noqa: F401
    import tomllib  # noqa: F401
except ImportError as missing:
    print(f"skipped: no {missing.name}")
    sys.exit(77)

import figure_campaigns
import mutate
import synthetic
from shuntlab import cli
from shuntlab.planning import kept_plan

matplotlib.use("Agg")
SHUNT = os.environ.get("SHUNT_BIN") or str(ROOT / "build" / "release" / "shunt")
STATUSES = {0, 1, 2, 3, 4, 5}
MEMORY_MORE = 1 << 30
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
EXPECT = [{"claim": "asm is faster", "metric": "ns_per_switch", "ratio": ["ucontext", "asm"], "above": 1.5,
           "where": {"tasks": "2"}, "line": 3}]


# ---- what is damaged ----------------------------------------------------------------------------

def bases(folder: Path) -> list[Path]:
    """One small campaign for every kind of figure, one with claims, one as the lab leaves it."""
    made = [make(folder / name) for name, make in figure_campaigns.EVERY.items()
            if name not in ("yields", "two_workloads", "laws")]
    made.append(figure_campaigns.yields(folder / "yields", repetitions=7))
    frozen = json.loads((made[-1] / "plan.json").read_text())
    synthetic.write(folder / "claims", resealed({**frozen, "expect": EXPECT}), figure_campaigns.yield_model)
    lived = folder / "lived"
    shutil.copytree(HERE.parent.parent / "results" / "reference" / "parallelism", lived)
    return [*made, folder / "claims", lived]


def resealed(plan: Any) -> Any:
    """A plan whose hashes are right again: a stranger can compute them, too."""
    try:
        return kept_plan.sealed(plan)
    except Exception:   # noqa: BLE001  a plan that has no hash
        return plan


def damage(chance: Random, folder: Path, outside: Path) -> str:
    """Damage one file of a campaign; what was done, in words."""
    files = sorted(f for f in folder.rglob("*") if f.is_file() and not f.is_symlink())
    records = [f for f in files if f.parent.name == "records"]
    others = [f for f in files if f not in records]
    plan = folder / "plan.json"
    kind = chance.choice(("plan", "plan", "plan", "record", "record", "other", "text", "special", "folder"))
    if kind == "folder":
        name = chance.choice(("locks", "quarantine", "sessions", "records", "traces", "figures", "attempts"))
        return mutate.special(chance, folder / name, outside)
    if kind == "special":
        return mutate.special(chance, chance.choice([plan, *others, chance.choice(records or files)]), outside)
    file = plan if kind == "plan" and plan in files else \
        chance.choice(records or files) if kind == "record" else chance.choice(others or files)
    data = file.read_bytes()
    if kind == "text" or file.suffix != ".json":
        data, how = mutate.text(chance, data)
    else:
        try:
            whole, how = mutate.document(chance, json.loads(data))
        except ValueError:
            return "damaged already"
        if file.name == "plan.json" and chance.random() < 0.8:
            whole = resealed(whole)
        elif isinstance(whole, dict) and "sha256" in whole:
            del whole["sha256"]
        data = json.dumps(whole).encode()
        if file.parent.name == "records" and chance.random() < 0.7:
            shutil.rmtree(folder / "sessions", ignore_errors=True)
    file.write_bytes(data)
    return f"{file.relative_to(folder)}: {how}"


# ---- what reads it ------------------------------------------------------------------------------

def commands(folder: Path, out: Path) -> list[tuple[int, list[str]]]:
    """(seconds of processor time, the words of one command): `lab`, or a figure's script."""
    it = str(folder)
    lab = [["verify", it], ["verify", it, "--json"], ["verify", it, "--quarantine"],
           ["run", it, "--dry-run"], ["run", it, "--list", "--json"], ["plan", it, "--commands"],
           ["status", it], ["status", it, "--json"], ["compare", it], ["compare", it, "--json"],
           ["claims", it], ["claims", it, "--json"], ["export", it, "--all"],
           ["export", it, "--sqlite", str(out / "x.db"), "--jsonl", str(out / "x.jsonl")],
           ["merge", it, "--out", str(out / "merged")],
           ["plan", str(folder / "experiment.toml"), "--dry-run"],
           ["run", str(folder / "experiment.toml"), "--dry-run"]]
    return [*((5, words) for words in lab), (20, ["report", it, "--out", str(out / "report.html")]),
            (20, ["figures", it, "--out", str(out)]), (20, ["figures", it, "--out", str(out)]),
            (5, ["figures", it, "--list"])]


class Watcher:
    """An audit hook: what this process writes, renames, removes and starts that it should not."""

    def __init__(self, inside: list[Path], report: int):
        self.inside, self.report = [os.path.realpath(p) for p in inside], report
        self.busy = False

    def __call__(self, event: str, args: tuple) -> None:
        if self.busy:
            return
        self.busy = True
        try:
            for path in self.touched(event, args):
                if not self.is_inside(path):
                    os.write(self.report, f"{event} touches {path!r:.200}\n".encode())
            if self.starts(event, args):
                os.write(self.report, f"{event} starts {args!r:.300}\n".encode())
        finally:
            self.busy = False

    def touched(self, event: str, args: tuple) -> list[Any]:
        if event == "open":
            return [args[0]] if isinstance(args[2], int) and args[2] & WRITES else []
        if event in ("os.rename", "os.link", "os.symlink"):
            return [args[1]] if event == "os.symlink" else [args[0], args[1]]
        if event in ("os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.utime",
                     "sqlite3.connect"):
            return [args[0]]
        return []

    def is_inside(self, path: Any) -> bool:
        if isinstance(path, int) or path in (os.devnull, b"/dev/null"):
            return True
        folder, name = os.path.split(os.fsdecode(path))
        real = os.path.join(os.path.realpath(folder), name)
        return any(real == p or real.startswith(p + os.sep) for p in self.inside)

    @staticmethod
    def starts(event: str, args: tuple) -> bool:
        if event in ("os.system", "os.exec", "os.posix_spawn", "socket.connect", "pty.spawn"):
            return True
        if event != "subprocess.Popen":
            return False
        words = args[1] if isinstance(args[1], (list, tuple)) else [args[1]]
        return os.fspath(words[0]) != SHUNT


# ---- a case -------------------------------------------------------------------------------------

class Case:
    def __init__(self, seed: int, number: int, root: Path, sources: list[Path]):
        self.chance = Random(f"{seed} {number}")
        self.root = root / f"case-{number}"
        self.source = self.chance.choice(sources)
        self.folder, self.out = self.root / "campaign", self.root / "out"
        self.outside, self.said = self.root / "outside", self.root / "said"
        self.how: list[str] = []
        self.words: list[str] = []

    def prepare(self) -> None:
        shutil.copytree(self.source, self.folder)
        self.out.mkdir()
        self.outside.mkdir()
        (self.outside / "a file").write_text("of somebody else\n")
        self.how = [damage(self.chance, self.folder, self.outside)
                    for _ in range(self.chance.choice((1, 1, 2)))]

    def faults(self) -> list[str]:
        """What is wrong with how the lab took this case."""
        self.prepare()
        if self.chance.random() < 0.01:
            self.words = ["make"]
            found = self.under_make()
        else:
            seconds, self.words = self.chance.choice(commands(self.folder, self.out))
            found = self.forked(seconds)
        if [f.name for f in self.outside.iterdir()] != ["a file"] or \
                (self.outside / "a file").read_text() != "of somebody else\n":
            found.append("the folder outside was changed")
        return found

    def forked(self, seconds: int) -> list[str]:
        report_r, report_w = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(report_r)
            self.in_child(seconds, report_w)
        os.close(report_w)
        status = self.awaited(child, seconds)
        with open(report_r, encoding="utf-8", errors="replace") as report:
            found = sorted(set(report.read().splitlines()))
        said = self.said.read_text(errors="replace") if self.said.exists() else ""
        if "Traceback" in said or "Segmentation" in said:
            found.append("a traceback:\n" + said[-1500:])
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            found.append(f"more than {seconds} s" if number in (signal.SIGXCPU, signal.SIGKILL, signal.SIGALRM)
                         else f"ended by signal {number}")
        elif os.WEXITSTATUS(status) not in STATUSES:
            found.append(f"exit status {os.WEXITSTATUS(status)}")
        return found

    def in_child(self, seconds: int, report: int) -> None:
        code = 99
        try:
            out = os.open(self.said, os.O_WRONLY | os.O_CREAT, 0o666)
            os.dup2(out, 1)
            os.dup2(out, 2)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.chdir(self.out)
            grown = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.setrlimit(resource.RLIMIT_AS, (grown + MEMORY_MORE,) * 2)
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
            sys.addaudithook(Watcher([self.folder, self.out, Path(tempfile.gettempdir())], report))
            code = cli.main(self.words)
            sys.stdout.flush()
        except SystemExit as e:
            code = e.code if isinstance(e.code, int) else 1
        except BaseException:   # noqa: BLE001  this is what is looked for
            import traceback
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    @staticmethod
    def awaited(child: int, seconds: int) -> int:
        """Its wait status; killed where it sleeps for long. A busy machine is no reason."""
        deadline = time.monotonic() + 12 * seconds
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                return status
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                return os.waitpid(child, 0)[1]
            time.sleep(0.002)

    def under_make(self) -> list[str]:
        words = ["make", "-s", "-f", str(ROOT / "Makefile.plot"), "figures", f"CAMPAIGN={self.folder}",
                 f"OUT={self.out}", f"PYTHON={sys.executable}"]
        log = self.root / "strace"
        strace = shutil.which("strace")
        traced = [strace, "-f", "-qq", "-s", "300", "-o", str(log), "-e", "trace=execve,connect"] if strace else []
        try:
            done = subprocess.run([*traced, *words], capture_output=True, text=True, errors="replace",
                                  timeout=300, cwd=self.out, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return ["make: not done in 300 s"]
        said = done.stdout + done.stderr
        found = ["a traceback:\n" + said[-1500:]] if "Traceback" in said else []
        started = [line for line in (log.read_text(errors="replace").splitlines() if strace else [])
                   if "execve(" in line and line.endswith("= 0") and not any(
                       f'/{name}"' in line for name in OURS)]
        return found + [f"make starts {line:.300}" for line in started]


OURS = ("make", "sh", "dash", "bash", "lab", "env", "python3", Path(sys.executable).name)


def fuzz(args: argparse.Namespace, root: Path) -> int:
    sources = bases(root / "bases")
    deadline = time.monotonic() + args.seconds
    number, failed, seen = args.only or 0, 0, {}
    while time.monotonic() < deadline or number == args.only:
        case = Case(args.seed, number, root, sources)
        found = case.faults()
        seen[case.words[0]] = seen.get(case.words[0], 0) + 1
        if found:
            failed += 1
            print(f"case {number}: {case.source.name}; {'; '.join(case.how)}; {' '.join(case.words[:1])}: "
                  + "; ".join(found), f"  again: {sys.argv[0]} --seed {args.seed} --only {number}",
                  sep="\n", flush=True)
        if found and args.keep:
            shutil.copytree(case.root, args.keep / case.root.name, symlinks=True,
                            ignore=lambda f, names: [n for n in names if not os.path.isfile(os.path.join(f, n))
                                                     and not os.path.isdir(os.path.join(f, n))])
        shutil.rmtree(case.root, ignore_errors=True)
        number += 1
        if args.only is not None:
            break
    print(f"seed {args.seed}: {number} cases, {failed} failed; "
          + ", ".join(f"{n} {name}" for name, n in sorted(seen.items())))
    return int(failed > 0 or number == 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("seconds", nargs="?", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SHUNT_SEED") or time.time_ns() % 10 ** 6))
    parser.add_argument("--only", type=int, metavar="CASE")
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        os.environ |= {"SHUNT_BIN": SHUNT, "MPLCONFIGDIR": f"{root}/matplotlib", "HOME": root,
                       "SHUNT_RESULTS": f"{root}/results", "TMPDIR": f"{root}/tmp"}
        Path(root, "tmp").mkdir()
        tempfile.tempdir = f"{root}/tmp"
        import matplotlib.font_manager  # noqa: F401  its cache is written now, not in a case
        import matplotlib.backends.backend_pdf  # noqa: F401
        return fuzz(args, Path(root))


if __name__ == "__main__":
    sys.exit(main())
