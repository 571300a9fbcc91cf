#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, shunt-bench speaks Google Benchmark's flags and JSON, records, and fails where it should."""
from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BENCH = sys.argv.pop(1)
ROOT = Path(__file__).resolve().parents[3]
COMPARE = Path("/usr/share/benchmark/compare.py")     # Debian: libbenchmark-tools
SHORT = "--benchmark_min_time=0.005"
sys.path.insert(0, str(ROOT / "experiments"))
from shuntlab.data import records  # noqa: E402


def bench(*arguments: str, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BENCH, *arguments], capture_output=True, text=True, timeout=120, **more)


def few_files() -> None:
    """Room for one file more than a process has: an epoll set and its timer do not fit."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5))


class Bench(unittest.TestCase):
    def test_json_with_ratios_to_the_floor(self) -> None:
        done = bench("--benchmark_filter=^(yield|spawn_join_1000|ring_1000)/(asm|ucontext)/manual_time$",
                     SHORT, "--benchmark_format=json")
        self.assertEqual(done.returncode, 0, done.stderr)
        results = json.loads(done.stdout)["benchmarks"]
        self.assertGreaterEqual(len(results), 3)
        for result in results:
            self.assertGreater(result["real_time"], 0, result)
            self.assertGreater(result["x_floor"], 0, result)

    def test_a_floor_is_of_as_many_operations(self) -> None:
        """A thousand tasks are made where one was asked for, of the benchmark and of its floor."""
        done = bench("--benchmark_filter=^spawn_join_1000/ucontext/", "--benchmark_min_time=1e-9",
                     "--benchmark_format=json")
        result = json.loads(done.stdout)["benchmarks"][0]
        self.assertLess(result["iterations"], 10, result)
        self.assertGreater(result["x_floor"], 0.001, result)     # its stacks are new each time

    def test_every_workload_is_there(self) -> None:
        names = bench("--benchmark_list_tests").stdout
        for name in ("yield", "ring", "skynet", "chunked_sum:kernel=overlap"):
            self.assertIn(f"workload/{name}/", names)

    def test_a_kernel_has_its_own_floor(self) -> None:
        done = bench("--benchmark_filter=^workload/chunked_sum:kernel=.*/null/", SHORT, "--benchmark_format=json")
        floors = {result["name"].split("/")[1]: result["floor_ns"] for result in json.loads(done.stdout)["benchmarks"]}
        self.assertEqual(list(floors), ["chunked_sum:kernel=overlap", "chunked_sum:kernel=scalar"])
        self.assertGreater(min(floors.values()), 1, floors)

    def test_a_workload_runs(self) -> None:
        done = bench("--benchmark_filter=^workload/yield/", SHORT, "--benchmark_format=json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(json.loads(done.stdout)["benchmarks"])

    def test_an_unmatched_filter_fails(self) -> None:
        done = bench("--benchmark_filter=no-such-benchmark")
        self.assertEqual(done.returncode, 2)
        self.assertIn("matches no benchmark", done.stderr)

    def test_an_unknown_flag_fails(self) -> None:
        for flag in ("--benchmark_filtre=yield", "--shunt_recrod=x", "word"):
            self.assertEqual(bench(flag, "--benchmark_list_tests").returncode, 2, flag)

    def test_a_failed_benchmark_fails(self) -> None:
        name = "^yield/asm:wait=epoll/"
        if "yield/asm:wait=epoll" not in bench("--benchmark_list_tests").stdout:
            self.skipTest("no epoll in this build")
        done = bench(f"--benchmark_filter={name}", "--benchmark_format=json", preexec_fn=few_files)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertTrue(json.loads(done.stdout)["benchmarks"][0]["error_occurred"])

    def test_processor_time_is_of_what_was_timed(self) -> None:
        """On one worker, which never waits: at most the wall time, and more than the loop around nothing."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "out.json"
            done = bench("--benchmark_filter=^(yield|swap)/ucontext/", SHORT, "--benchmark_repetitions=3",
                         "--benchmark_format=json", f"--benchmark_out={file}")
            self.assertEqual(done.returncode, 0, done.stderr)
            results = json.loads(done.stdout)["benchmarks"]
            for of_file, shown in zip(json.loads(file.read_text())["benchmarks"], results):
                self.assertEqual(of_file["cpu_time"], shown["cpu_time"], shown["name"])
        for name in sorted({r["run_name"] for r in results}):
            each = [r for r in results if r["run_name"] == name and r["run_type"] == "iteration"]
            for result in each:
                self.assertGreater(result["cpu_time"], 5, result)
            # An interrupt between two readings of the clocks may spoil one repetition, not all.
            least = min(each, key=lambda result: result["cpu_time"] / result["real_time"])
            self.assertLess(least["cpu_time"], 1.1 * least["real_time"] + 5, least)
            times = [r["cpu_time"] for r in each]
            kinds = {"mean": statistics.mean(times), "median": statistics.median(times),
                     "stddev": statistics.stdev(times),
                     "cv": statistics.stdev(times) / statistics.mean(times)}
            for result in results:
                if result["run_name"] == name and result["run_type"] == "aggregate":
                    self.assertAlmostEqual(result["cpu_time"] / kinds[result["aggregate_name"]], 1, 6, result)

    def test_output_that_cannot_be_written_fails(self) -> None:
        one = ("--benchmark_filter=^swap/ucontext/", SHORT)
        done = bench(*one, "--benchmark_out=/dev/full")
        self.assertEqual(done.returncode, 3)
        self.assertIn("could not be written", done.stderr)
        for more in (one, ("--benchmark_list_tests",), ("--help",)):
            with open("/dev/full", "w") as full:
                done = subprocess.run([BENCH, *more], stdout=full, stderr=subprocess.DEVNULL, timeout=120)
            self.assertEqual(done.returncode, 3, more)

    def test_each_result_is_shown_when_it_is_there(self) -> None:
        """Ended at the first result it has not shown them all, unless this process had to wait for long."""
        results = len(bench("--benchmark_filter=^swap/", "--benchmark_list_tests").stdout.splitlines())
        self.assertGreater(results, 1)
        shown = [self.shown_by_the_first("0.05")]
        for least in ("0.2", "1", "3"):
            if shown[-1] == results:
                shown.append(self.shown_by_the_first(least))
        self.assertLess(shown[-1], results, "the first result came with the last")

    def shown_by_the_first(self, least: str) -> int:
        """How many results there are when the first has come."""
        child = subprocess.Popen([BENCH, "--benchmark_filter=^swap/", f"--benchmark_min_time={least}"],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = next(text for text in child.stdout if text.startswith("swap/"))
        child.kill()
        self.assertIn("ns", line)
        return 1 + sum(text.startswith("swap/") for text in child.communicate()[0].splitlines())

    @unittest.skipUnless(COMPARE.is_file(), "no compare.py (Debian package libbenchmark-tools)")
    def test_compare_reads_it(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            files = [f"{folder}/{n}.json" for n in "ab"]
            for file in files:
                done = bench("--benchmark_filter=^(yield|swap)/asm/", SHORT, "--benchmark_repetitions=3",
                             f"--benchmark_out={file}", "--benchmark_out_format=json")
                self.assertEqual(done.returncode, 0, done.stderr)
            done = subprocess.run([sys.executable, str(COMPARE), "--no-color", "benchmarks", *files],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, r"yield/asm/manual_time\S*\s+[-+]\d\.\d+")


class Records(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.place = Path(self.folder.name) / "records"

    def record(self, name: str, *more: str, code: int = 0, **options) -> str:
        done = bench(f"--benchmark_filter={name}", SHORT, f"--shunt_record={self.place}", *more, **options)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout + done.stderr

    def test_one_file_a_benchmark_and_the_lab_reads_it(self) -> None:
        shown = self.record("^(swap/asm|yield/asm|transfer/asm|workload/yield/asm)/manual_time$",
                            "--benchmark_repetitions=3", "--benchmark_format=json")
        names = sorted(f.name for f in self.place.glob("*.json"))
        if not names:
            self.skipTest("no asm in this build")
        self.assertEqual(names, ["swap.asm.json", "transfer.asm.json", "workload.yield.asm.json",
                                 "yield.asm.json"])
        medians = {b["name"].partition("/manual_time")[0].replace("/", "."): b["real_time"]
                   for b in json.loads(shown[shown.index("{"):shown.rindex("}") + 1])["benchmarks"]
                   if b.get("aggregate_name") == "median"}
        for file in self.place.glob("*.json"):
            record = records.load_record(file)
            self.assertEqual(record["identity"]["driver"], "shunt-bench")
            self.assertEqual(record["identity"]["composition"]["switch"], "asm")
            self.assertEqual(len(record["iterations"]), 3)
            cost = next(v["value"] for k, v in record["metrics"].items() if k.startswith("ns_per_"))
            self.assertLess(abs(cost / medians[file.stem] - 1), 0.01, file.name)
            self.assertTrue((self.place / "env" / f"{record['env_id']}.json").is_file())
        count = records.load_record(self.place / "transfer.asm.json")["counters"]
        self.assertGreater(count["transfers_direct"], 20 * count["transfers_plain"])

    def test_a_failure_is_a_record(self) -> None:
        if "yield/asm:wait=epoll" not in bench("--benchmark_list_tests").stdout:
            self.skipTest("no epoll in this build")
        self.record("^yield/asm:wait=epoll/", code=1, preexec_fn=few_files)
        record = records.load_record(self.place / "yield.asm-wait-epoll.json")
        self.assertEqual((record["status"], record["metrics"]), ("failed", {}))

    def test_aggregates_alone_are_recorded_too(self) -> None:
        for flag in ("report", "display"):
            self.place = Path(self.folder.name) / flag
            self.record("^swap/ucontext/", "--benchmark_repetitions=3",
                        f"--benchmark_{flag}_aggregates_only=true")
            record = records.load_record(self.place / "swap.ucontext.json")
            self.assertEqual(len(record["iterations"]), 3)

    def test_nothing_is_replaced(self) -> None:
        self.record("^swap/ucontext/")
        before = (self.place / "swap.ucontext.json").read_bytes()
        self.assertIn("exists", self.record("^swap/ucontext/", code=3))
        self.assertEqual((self.place / "swap.ucontext.json").read_bytes(), before)

    def test_no_folder(self) -> None:
        self.place = self.place / "not" / "there"
        self.assertIn("cannot make the folder", self.record("^swap/ucontext/", code=2))


if __name__ == "__main__":
    unittest.main()
