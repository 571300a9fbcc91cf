# SPDX-License-Identifier: MIT
"""What the tests of campaigns share: the lab as a program, with a driver that measures nothing (fake_shunt.py)."""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
LAB = HERE.parent / "lab"
FAKE = HERE / "fake_shunt.py"
sys.path.insert(0, str(HERE.parent))
try:
    import tomllib  # noqa: F401
except ImportError:
    print("skipped: Python 3.11 or later is needed (tomllib)")
    sys.exit(77)

from shuntlab import cli  # noqa: E402
from shuntlab.planning import campaign  # noqa: E402

HEAD = 'question = "?"\nexpectation = "!"\nrepetitions = {n}\ntimeout = "{t}"\nbackends = [{b}]\n'
TAIL = '[[workload]]\nname = "yield"\n[workload.params]\ntasks = [2, 100]\n'


def called(words: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess:
    """`lab WORDS` in a fork of this process. It is the lab as a program, without the start of a shell and of a Python,
    which take longer than most commands."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            _become_the_lab(words, environment, out.fileno(), err.fileno())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read())
    return subprocess.CompletedProcess(words, code, *texts)


def _become_the_lab(words: list[str], environment: dict[str, str], out: int, err: int) -> None:
    code: object = 70
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout, sys.stderr = (open(n, "w", encoding="utf-8", closefd=False) for n in (1, 2))
        os.environ.clear()
        os.environ.update({"SHUNT_LAB_NAME": str(LAB)} | environment)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = cli.main(words)
    except SystemExit as e:
        code = e.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


ALONE = """import sys; sys.path.insert(0, sys.argv[1])
from shuntlab import cli
from shuntlab.tools import locks
locks.MachineLock.NAME += sys.argv[2]
sys.exit(cli.main(sys.argv[3:]))"""


class Lab(unittest.TestCase):
    def setUp(self):
        faulthandler.dump_traceback_later(300, exit=True)   # what still runs then hangs: the trace names where
        self.addCleanup(faulthandler.cancel_dump_traceback_later)
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = Path(self.folder.name)
        self.out = self.root / "campaign"
        self.log = self.root / "log"
        self.ready = self.root / "log.ready"
        self.gate = self.root / "gate"

    def experiment(self, backends="asm ucontext", n=2, timeout="20s", more="") -> Path:
        file = self.root / "demo.toml"
        names = ", ".join(f'"{b}"' for b in backends.split())
        file.write_text(HEAD.format(n=n, t=timeout, b=names) + more + TAIL)
        return file

    def environment(self, **more) -> dict[str, str]:
        path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "SHUNT_BIN": str(FAKE), "FAKE_LOG": str(self.log),
                "SHUNT_PYTHON": sys.executable, **{k: str(v) for k, v in more.items()}}

    def command(self, *words, alone=False) -> list[str]:
        """A command of the lab; the machine's lock is not taken: other tests run meanwhile."""
        if alone:       # with a machine of its own to lock
            return [sys.executable, "-c", ALONE, str(HERE.parent), str(self.root), *map(str, words)]
        return [str(LAB), *map(str, words), *["--concurrent"] * (words[0] == "run")]

    def lab(self, *words, code=0, alone=False, **environment) -> subprocess.CompletedProcess:
        whole, environment = self.command(*words, alone=alone), self.environment(**environment)
        if alone or "PYTHONPATH" in environment or environment["SHUNT_PYTHON"] != sys.executable:
            done = subprocess.run(whole, capture_output=True, text=True, env=environment, timeout=200)
        else:
            done = called(whole[1:], environment)
        self.assertEqual(done.returncode, code, f"{words}\n{done.stdout}\n{done.stderr}")
        return done

    def start(self, *words, alone=False, **environment) -> subprocess.Popen:
        child = subprocess.Popen(self.command(*words, alone=alone), stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True,
                                 env=self.environment(**environment))
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child

    def wait_for(self, test, what="something"):
        deadline = time.monotonic() + 100
        while not test():
            self.assertLess(time.monotonic(), deadline, f"waited for {what}")
            time.sleep(0.02)

    def slow_run(self) -> int:
        """The process of a slow run that goes on until there is a gate; three at least are done before it."""
        self.wait_for(lambda: self.log.exists() and len(self.runs()) > 3 and ".slow" in self.runs()[-1],
                      "a slow run")
        return int(self.log.read_text().split()[-1])

    def names(self) -> list[str]:
        return sorted(f.name for f in campaign.record_files(self.out))

    def runs(self) -> list[str]:
        """block.arm of every run that was started, in order."""
        return [".".join(line.split()[:2]) for line in self.log.read_text().splitlines()]

    def snapshot(self) -> dict[str, bytes]:
        return {f.name: f.read_bytes() for f in campaign.record_files(self.out)}
