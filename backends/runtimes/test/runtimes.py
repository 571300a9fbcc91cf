#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, each other runtime creates the tasks that were asked for, is named in the record with its
version, has the same loop without shunt beside it, and is in no process that did not ask for it."""
from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

SHUNT = Path(os.environ["SHUNT_BIN"])
BENCH = SHUNT.parent / "shunt-bench"

#: What each arm must create, and which loops it has: those that wait need a runtime whose tasks wait.
ARMS = {
    "boost-fiber": ("yield", "spawn_join_1000", "ring_1000"),
    "boost-fiber:stack=pooled": ("yield", "spawn_join_1000", "ring_1000"),
    "tbb": ("yield", "spawn_join_1000"),
    "tbb:workers=1": ("yield", "spawn_join_1000"),
    "tbb:workers=2,pin=1": (),
    "openmp": ("spawn_join_1000",),
    "openmp:workers=1": ("spawn_join_1000",),
}


def said(*words: str | Path, code: int = 0) -> str:
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=120)
    if done.returncode != code:
        raise AssertionError(f"{words}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


@functools.cache
def available() -> set[str]:
    listed = json.loads(subprocess.run([SHUNT, "list", "backends", "--json"], capture_output=True, text=True,
                                       check=True).stdout)
    return {b["name"] for b in listed["backends"] if b["available"]}


def libraries(file: Path) -> str:
    return said("readelf", "-d", "-W", file)


class Runtimes(unittest.TestCase):
    def setUp(self) -> None:
        self.arms = {spec: loops for spec, loops in ARMS.items() if spec.partition(":")[0] in available()}
        self.folder = Path(self.temporary(tempfile.TemporaryDirectory()))

    def temporary(self, context: tempfile.TemporaryDirectory[str]) -> str:
        self.addCleanup(context.cleanup)
        return context.name

    def record(self, spec: str, *words: str) -> dict:
        file = self.folder / f"{len(list(self.folder.iterdir()))}.json"
        said(SHUNT, "run", spec, *words, "--warmup", "0", "--iters", "1", "--record", file)
        return json.loads(file.read_text())

    def test_tasks_are_really_created(self) -> None:
        for spec in self.arms:
            count = self.record(spec, "spawn_join", "tasks=300")["counters"]
            self.assertGreaterEqual(count["spawns"], 300, spec)
            self.assertEqual(count["ended"], count["spawns"] + 1, spec)      # and the root
            self.assertEqual(count["runtime_tasks"], count["ended"], spec)

    def test_version_and_settings_are_in_the_identity(self) -> None:
        for spec in self.arms:
            composition = self.record(spec, "spawn_join", "tasks=10")["identity"]["composition"]
            self.assertRegex(composition["runtime"], r"\d", spec)
            self.assertRegex(composition["plugin.backend"], r"^[a-z-]+@[0-9a-f]{40}$", spec)
            for setting in spec.partition(":")[2].split(",") if ":" in spec else ():
                key, _, value = setting.partition("=")
                self.assertEqual(composition[key], value, spec)

    @unittest.skipUnless(BENCH.is_file(), "no shunt-bench in this build")
    def test_the_loop_without_shunt_is_beside_it(self) -> None:
        """That it is timed at all, of as many operations; what the ratio is, only a quiet machine says."""
        for spec, loops in self.arms.items():
            for loop in loops:
                shown = said(BENCH, f"--benchmark_filter=^{loop}/{spec}/manual_time$", "--benchmark_min_time=0.002",
                             "--benchmark_format=json")
                result, = json.loads(shown[shown.index("{"):shown.rindex("}") + 1])["benchmarks"]
                self.assertGreater(result["floor_ns"], 1, result)

    def test_who_does_not_ask_does_not_have_it(self) -> None:
        """Neither linked nor loaded: a run on another backend has no C++ runtime in its process."""
        files = [SHUNT, *SHUNT.parent.glob("libshunt.so")]
        for file in files:
            self.assertNotRegex(libraries(file), r"libstdc\+\+|libboost|libtbb|libgomp|libomp", file)
        seen = subprocess.run([SHUNT, "run", "null", "spawn_join", "--iters", "1"], capture_output=True, text=True,
                              env={"LD_DEBUG": "libs"}, timeout=60)
        self.assertEqual(seen.returncode, 0, seen.stderr)
        self.assertNotIn("libstdc++", seen.stderr)

    def test_a_file_that_is_gone_is_the_reason(self) -> None:
        alone = self.folder / "shunt"
        shutil.copy(SHUNT, alone)
        for spec in self.arms:
            name = spec.partition(":")[0]
            self.assertIn(f"{name}.so is not where it was installed", said(alone, "list", "backends").replace("\n", " ")
                          .replace("                      ", ""))
            self.assertIn("is not where it was installed", said(alone, "run", name, "yield", code=3))
        said(alone, "run", "null", "spawn_join", "--iters", "1")


class Refusals(unittest.TestCase):
    def refused(self, spec: str, *words: str) -> None:
        if spec.partition(":")[0] not in available():
            self.skipTest(f"no {spec} in this build")
        shown = " ".join(said(SHUNT, "run", spec, "spawn_join", code=2).split())
        for word in words:
            self.assertIn(word, shown)

    def test_what_a_runtime_cannot_do(self) -> None:
        for spec, workload, lacks in (("tbb", "timers", "sleeps and deadlines"), ("openmp", "ring", "tasks that wait")):
            if spec in available():
                shown = said(SHUNT, "run", spec, workload, code=3)
                self.assertIn(f"needs {lacks}, which", " ".join(shown.split()))

    @unittest.skipUnless("openmp" in available(), "no openmp in this build")
    def test_the_environment_of_openmp_is_in_the_identity(self) -> None:
        file = Path(tempfile.mkdtemp()) / "one.json"
        self.addCleanup(shutil.rmtree, file.parent)
        subprocess.run([SHUNT, "run", "openmp", "spawn_join", "tasks=9", "--iters", "1", "--record", file], check=True,
                       env={**os.environ, "OMP_WAIT_POLICY": "active"}, stdout=subprocess.DEVNULL)
        self.assertIn("OMP_WAIT_POLICY=active", json.loads(file.read_text())["identity"]["composition"]["runtime"])

    def test_boost_fiber(self) -> None:
        self.refused("boost-fiber:workers=2", "no parameter 'workers'")
        self.refused("boost-fiber:stack=first", "fixedsize")


if __name__ == "__main__":
    unittest.main()
