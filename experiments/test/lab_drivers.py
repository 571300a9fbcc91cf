# SPDX-License-Identifier: MIT
# Drivers of foreign runtimes do the same work as shunt, check it, and leave the same records.
"""Tests of drivers/, of those that the command line names; else of asyncio and go, the cheap ones. A runtime
that is not installed is left out, and said so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "drivers")]
import asyncio_driver
import lines
import synthetic
from shuntlab.commands import verify
from shuntlab.data import machine, records
from shuntlab.planning import drivers

SMALL = {
    "chunked_sum": [["items=10k", "tasks=7", "chunk=33", "sample=5"],
                    ["items=1k", "tasks=3", "chunk=100", "pause=300us", "tail=1"],
                    ["preset=tutorial", "pause=1ms"]],
    "yield": [["tasks=3", "switches=1k", "sample=16"], ["switches=100", "sample=0"]],
    "spawn_join": [["tasks=500", "alive=7", "sample=3"], ["tasks=20", "alive=30"]],
    "timers": [["tasks=10", "sleeps=3", "period=1ms"],
               ["tasks=10", "sleeps=5", "period=2ms", "spread=1ms", "cancel=0.5"],
               ["tasks=3", "sleeps=2", "period=1ms", "mode=random"]],
    "ring": [["tasks=5", "hops=103", "sample=1"]],
    "skynet": [["leaves=1000", "sample=1"], ["leaves=64", "width=4"]],
}
NAMED = {w for w in sys.argv[1:] if w in ("asyncio", "erlang", "go", "tokio")}
FOUND = drivers.find(NAMED or {"asyncio", "go"}, {})
SHUNT = os.environ.get("SHUNT_BIN", "")
if os.access(SHUNT, os.X_OK) and os.path.isfile(SHUNT):
    FOUND |= drivers.find({"shunt"}, {}, SHUNT)
for absent in [d for d in FOUND.values() if d.absent]:
    print(f"left out: {absent.name}: {absent.absent}")
HERE = {name: d for name, d in FOUND.items() if not d.absent}
ALL_ABSENT = NAMED and not NAMED & {*HERE}
BACKEND = {"shunt": "asm"}


class Kept(unittest.TestCase):
    def test_where_a_user_without_a_home_keeps_built_drivers(self):
        with tempfile.TemporaryDirectory() as folder, \
                mock.patch.object(drivers, "HERE", Path(folder) / "experiments"), \
                mock.patch.object(tempfile, "tempdir", folder), \
                mock.patch.object(os.path, "expanduser", lambda path: path), \
                mock.patch.dict(os.environ, XDG_CACHE_HOME=""):
            place = drivers._cache_folder()
            self.assertEqual(place, Path(folder, f"shunt-{os.getuid()}"))
            self.assertEqual(place.stat().st_mode & 0o777, 0o700)
            place.rename(Path(folder, "shunt-54321"))
            with mock.patch.object(os, "getuid", lambda: 54321), self.assertRaises(OSError):
                drivers._cache_folder()


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = Path(self.folder.name)
        self.count = 0

    def run_one(self, name, workload, params, code=0, spec="", **options):
        self.count += 1
        file = self.root / f"{name}-{self.count}.json"
        words = [*HERE[name].command, "run", spec or BACKEND.get(name, name), workload, *params,
                 "--record", str(file), "--iters", "2"]
        for key, value in options.items():
            words += [f"--{key}", str(value)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=200)
        self.assertEqual(done.returncode, code, f"{words}\n{done.stdout}{done.stderr}")
        return records.load_record(file) if file.exists() else done

    def record_is_sound(self, name, record):
        file = next(self.root.glob(f"{name}-{self.count}.json"))
        self.assertEqual(verify._misnamed(record), "")
        self.assertEqual(verify._no_manifest(record, file, {}), "")


class Work(Case):
    def test_every_workload_leaves_a_sound_record(self):
        for name in HERE:
            for workload, variants in SMALL.items():
                for params in variants:
                    with self.subTest(name=name, workload=workload, params=params):
                        r = self.run_one(name, workload, params, seed=7)
                        self.assertEqual(r["status"], "ok", r["reason"])
                        self.assertEqual(len(r["iterations"]), 2)
                        self.assertTrue(all(c["ok"] for c in r["checks"]))
                        self.record_is_sound(name, r)

    def test_the_same_seed_is_the_same_work(self):
        for params in (["items=5k", "tasks=7"], ["items=5k", "tasks=3", "data=index"]):
            answers = {name: {c["name"]: c["actual"] for c in
                              self.run_one(name, "chunked_sum", params, seed=123)["checks"]}
                       for name in HERE}
            self.assertEqual(len({json.dumps(a, sort_keys=True) for a in answers.values()}), 1,
                             answers)
        cancelled = {name: self.run_one(name, "timers", SMALL["timers"][1], seed=9)["checks"][2]
                     for name in HERE}
        self.assertEqual(len({json.dumps(c, sort_keys=True) for c in cancelled.values()}), 1,
                         cancelled)

    def test_another_seed_is_other_work(self):
        for name in HERE:
            totals = {self.run_one(name, "chunked_sum", ["items=5k"], seed=s)["checks"][0]["actual"]
                      for s in (1, 2)}
            self.assertEqual(len(totals), 2, name)

    def test_the_same_metrics_and_series(self):
        for workload, (params, *_) in SMALL.items():
            rows = {name: self.run_one(name, workload, params) for name in HERE}
            units = {n: {k: (m["unit"], m["better"]) for k, m in r["metrics"].items()}
                     for n, r in rows.items()}
            common = set.intersection(*({*u} for u in units.values()))
            self.assertGreaterEqual(len(common), 4, units)
            for key in common:
                self.assertEqual(len({u[key] for u in units.values()}), 1, (workload, key))
            series = {n: {*r["series"]} for n, r in rows.items()}
            for name, names in series.items():
                self.assertEqual(names, series[next(iter(series))], (workload, name))

    def test_every_driver_keeps_as_many_digits_as_it_is_told(self):
        params = ["tasks=500", "sleeps=8", "period=1ms"]
        for name in HERE:
            fine, coarse = (self.run_one(name, "timers", params, **o)["series"]["lateness"]
                            for o in ({}, {"digits": 2}))
            self.assertEqual((fine["digits"], coarse["digits"]), (3, 2), name)
            for s in (fine, coarse):
                self.assertEqual({*s["quantiles"]}, {"p50", "p90", "p95", "p99", "p99.9"}, name)
                for q, value in s["quantiles"].items():
                    self.assertEqual(records.hist_index(value, s["digits"]), records.hist_index(
                        records.quantile(s, float(q[1:]) / 100), s["digits"]), (name, q))
            # Three digits are still what the quantiles are computed from.
            exact = {records.hist_bounds(records.hist_index(v, 3), 3)[1]
                     for v in coarse["quantiles"].values()} | {coarse["max"]}
            self.assertLessEqual({*coarse["quantiles"].values()}, exact, name)
            self.assertLess(len({i >> 7 for i, _ in coarse["buckets"]}), 64)

    def test_open_loops_have_one_table(self):
        """Whatever the law, its hash is that of shunt; numbers that may not be believed are skipped."""
        for law in ("fixed", "exponential", "bimodal", "extreme", "lognormal", "mix"):
            hashes = {}
            for name in HERE:
                r = self.open_loop(name, [f"service={law}", "requests=300", "mean=20us"])
                hashes[name] = r["facts"]["arrivals.hash"]
            self.assertEqual(len({*hashes.values()}), 1, (law, hashes))

    def open_loop(self, name, params):
        """A run on this machine, be it busy: a generator that is a task makes no run invalid."""
        self.count += 1
        file = self.root / f"{name}-{self.count}.json"
        done = subprocess.run(
            [*HERE[name].command, "run", BACKEND.get(name, name), "openloop", *params, "--record",
             str(file), "--iters", "1", "--warmup", "0", "--seed", "77"], capture_output=True,
            text=True, timeout=200)
        r = records.load_record(file)
        self.record_is_sound(name, r)
        self.assertEqual((r["status"], done.returncode), ("ok", 0), r["reason"])
        self.assertTrue(all(c["ok"] for c in r["checks"]))
        return r

    def test_open_loops_tell_the_same(self):
        rows = {name: self.open_loop(name, ["requests=1000", "load=0.9", "mean=200us"])
                for name in HERE}
        units = {n: {k: (m["unit"], m["better"]) for k, m in r["metrics"].items()}
                 for n, r in rows.items()}
        for name, found in units.items():
            for key in ("response_p99_ns", "slowdown_p99", "response_mean_ns", "lag_p99_ns"):
                self.assertEqual(found[key], units[next(iter(units))][key], (name, key))
        for r in rows.values():
            self.assertEqual({*r["series"]}, {"lag", "injection", "queueing", "service",
                                              "response", "slowdown"})
            self.assertEqual(r["series"]["slowdown"]["unit"], "1/1000")
            self.assertEqual(r["series"]["response"]["count"], 900)
            service = r["series"]["service"]        # a loop that a compiler leaves out takes nothing
            self.assertGreater(int(service["sum"]) / service["count"], 100_000)

    def test_all_drivers_name_one_machine(self):
        classes = {self.run_one(name, "yield", ["switches=100"])["machine_class"] for name in HERE}
        self.assertEqual(classes, {machine.machine_class()})

    def test_the_tutorials_answers(self):
        for name in HERE:
            r = self.run_one(name, "chunked_sum", ["preset=tutorial", "pause=1ms"])
            answers = {c["name"]: c["actual"] for c in r["checks"]}
            self.assertEqual((answers["sum_A"], answers["sum_B"]), ("4950", "14950"), name)

    def test_the_plan_is_copied_into_the_record(self):
        for name in HERE:
            r = self.run_one(name, "yield", ["switches=100"], arm="x-y", repetition=3,
                             block="b0007", seed=2 ** 62)
            self.assertEqual((r["arm"], r["repetition"], r["block"], r["identity"]["seed"]),
                             ("x-y", 3, "b0007", str(2 ** 62)), name)
            self.assertEqual(r["identity"]["build_id"], HERE[name].build_id)

    def test_its_workers_are_told(self):
        kinds = {"tokio": {"1": "current_thread", "2": "multi_thread"}}
        for name in {*HERE} - {"shunt", "asyncio"}:
            for workers in ("1", "2") if len(os.sched_getaffinity(0)) > 1 else ("1",):
                r = self.run_one(name, "skynet", ["leaves=1000"], spec=f"{name}:workers={workers}")
                composition = r["identity"]["composition"]
                self.assertEqual(composition["workers"], workers)
                self.assertRegex(composition["runtime"], kinds.get(name, {}).get(workers, r"\d"))
            done = self.run_one(name, "yield", [], spec=f"{name}:worker=2", code=3)
            self.assertIn("it has workers", done["reason"])

    @unittest.skipUnless("asyncio" in HERE, "asyncio was not asked for")
    def test_what_asyncio_cannot_do_is_skipped_with_a_reason(self):
        r = self.run_one("asyncio", "skynet", ["leaves=1000"], spec="asyncio:workers=2", code=3)
        self.assertEqual(r["status"], "skipped")
        self.assertIn("one thread", r["reason"])
        self.record_is_sound("asyncio", r)


    def test_a_parameter_that_a_driver_has_not_is_skipped(self):
        for name in {*HERE} - {"shunt"}:
            for workload, word in (("yield", "depth=2"), ("timers", "busy=1"), ("chunked_sum", "walk=1"),
                                   ("ring", "form=step"), ("openloop", "slice=1us"), ("openloop", "injection=outside")):
                with self.subTest(name=name, word=word):
                    r = self.run_one(name, workload, [word], code=3)
                    self.assertEqual(r["status"], "skipped")
                    self.assertIn(word.partition("=")[0], r["reason"])

    def test_more_at_once_than_the_backlog_fails(self):
        for name in {*HERE} - {"shunt"}:
            r = self.run_one(name, "openloop", ["requests=200", "mean=1ms", "load=64", "backlog=2"], code=3)
            self.assertIn("more than backlog=2", r["reason"], name)

    def test_floors(self):
        floor = drivers.find({"floor"}, {"floor": ["python3", "{experiments}/drivers/floor_driver.py"]}, SHUNT)
        if floor["floor"].absent:
            self.skipTest(floor["floor"].absent)
        with mock.patch.dict(HERE, floor):
            for spec, workload, params in (
                    ("floor:way=eventfd", "wakeup", ["wakes=100", "pause=10us"]),
                    ("floor:way=epoll", "echo", ["connections=3", "requests=50"]),
                    ("floor:way=heap", "timers", ["tasks=20", "sleeps=3", "period=1ms"])):
                r = self.run_one("floor", workload, params, spec=spec)
                self.assertEqual(spec.partition("=")[2], r["identity"]["composition"]["way"])
                self.record_is_sound("floor", r)
            r = self.run_one("floor", "wakeup", [], spec="floor:way=heap", code=3)
            self.assertIn("way=heap is not a floor of wakeup", r["reason"])


class BadInput(Case):
    def test_wrong_words(self):
        for name in HERE:
            for workload, params in (("rnig", []), ("ring", ["hop=3"]), ("ring", ["hops=-1"]),
                                     ("ring", ["hops=0"]), ("ring", ["hops=1x"]),
                                     ("timers", ["period=5"]),
                                     ("timers", ["mode=fixed", "spread=1ms"]), ("skynet", ["leaves=999"]),
                                     ("timers", ["mode=sometimes"])):
                with self.subTest(name=name, workload=workload, params=params):
                    done = self.run_one(name, workload, params, code=2)
                    self.assertTrue(done.stderr.strip())
            self.run_one(name, "ring", [], spec="nothing", code=2)

    def test_a_table_of_arrivals_that_cannot_be(self):
        """One that no 64 bits hold is refused, not wrapped around; nor is a rate without a gap."""
        for name in HERE:
            for params, words in ((["requests=300k", "rate=1"], "300000 .* rate of 1 .*78 hours"),
                                  (["load=1000", "mean=1ns"], "1 to 10\\^9")):
                with self.subTest(name=name, params=params):
                    done = self.run_one(name, "openloop", params, code=2)
                    self.assertRegex(" ".join(done.stderr.split()), words)

    def test_a_signal_leaves_a_record(self):
        for name in HERE:
            for number in (signal.SIGINT, signal.SIGTERM):
                file = self.root / f"{name}-{number}.json"
                for patience in (1, 4, 16):     # a busy machine may take seconds to start it
                    self.interrupt(name, number, file, patience)
                    if file.exists():
                        break
                self.assertEqual(records.load_record(file)["status"], "interrupted", name)

    def interrupt(self, name, number, file, after):
        child = subprocess.Popen(
            [*HERE[name].command, "run", BACKEND.get(name, name), "timers", "tasks=3", "sleeps=100",
             "period=1s", "--record", str(file)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(after)
        child.send_signal(number)
        child.wait(timeout=100)


class Parts(unittest.TestCase):
    def test_splitmix64(self):
        state, found = 0, []
        for _ in range(3):
            state, z = lines.splitmix64(state)
            found.append(z)
        # The values of the generator's published reference code for the seed 0.
        self.assertEqual(found, [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F])

    def test_numbers_with_and_without_numpy(self):
        with_numpy = asyncio_driver.numbers_from_seed(1000, 2 ** 64 - 3)
        hidden = {n: sys.modules.pop(n, None) for n in ("numpy",)}
        sys.modules["numpy"] = None
        try:
            without = asyncio_driver.numbers_from_seed(1000, 2 ** 64 - 3)
        finally:
            sys.modules.pop("numpy", None)
            sys.modules.update({n: m for n, m in hidden.items() if m})
        self.assertEqual(list(with_numpy), list(without))
        self.assertLess(min(without), 0)

    def test_series_of_two_digits(self):
        values, value = [], 1
        for _ in range(5000):
            value = value * 6364136223846793005 + 1442695040888963407 & lines.MASK
            values.append(value >> (2 + value % 61))
        fine = synthetic.series(values)
        self.assertEqual(records._check_series(fine), [])
        self.assertEqual(records.coarsen(fine, 2), synthetic.series(values, digits=2))

    def test_series_of_different_digits_are_pooled(self):
        values = range(1, 200_000, 17)
        one, two = (synthetic.series([k * v for v in values]) for k in (1, 3))
        one["sum"], two["sum"] = int(one["sum"]), int(two["sum"])   # as a record is read
        fine = records.pool([one, two])
        mixed = records.pool([one, records.coarsen(two, 2)])
        self.assertEqual(mixed, records.coarsen(fine, 2))
        self.assertEqual(mixed, records.pool([records.coarsen(one, 2), two]))
        self.assertEqual(fine["digits"], 3)
        with self.assertRaisesRegex(ValueError, "different units: 1, ns"):
            records.pool([one, {**two, "unit": "1"}])

    def test_shares(self):
        self.assertEqual([lines.share(10, 4, i) for i in range(4)], [3, 3, 2, 2])


if __name__ == "__main__":
    if ALL_ABSENT:
        sys.exit(77)
    sys.argv[1:] = [w for w in sys.argv[1:] if w not in NAMED]
    signal.signal(signal.SIGINT, signal.SIG_DFL)    # a job in the background may begin with it ignored
    unittest.main()
