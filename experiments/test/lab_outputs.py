# SPDX-License-Identifier: MIT
# What the lab writes for others is whole, goes where it was told to, and reads the same in each format.
"""Tests of export.py, export_sqlite.py, files.py, progress.py and of the lab's standard output."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

from campaign_case import LAB, Lab
from synthetic import series

from shuntlab.data import records, schema
from shuntlab.output import export_csv, export_hlog, export_sqlite
from shuntlab.planning.kept_plan import CampaignError
from shuntlab.running import progress
from shuntlab.tools import units
from shuntlab.tools.files import replacing


class Exports(Lab):
    def database(self, *words, **environment) -> sqlite3.Connection:
        base = self.root / "x.db"
        self.lab("export", self.out, "--sqlite", base, *words, **environment)
        db = sqlite3.connect(base)
        self.addCleanup(db.close)
        return db

    def test_the_three_formats_agree(self):
        self.lab("run", self.experiment("asm fail", n=1), "--out", self.out, code=3)
        rows = list(csv.DictReader(self.lab("export", self.out).stdout.splitlines()))
        lines = [json.loads(line) for line in
                 self.lab("export", self.out, "--jsonl", "-").stdout.splitlines()]
        in_csv = {r["run_id"]: float(r["metric.ns_per_switch"]) for r in rows}
        self.assertEqual(len(in_csv), 4)
        self.assertEqual(in_csv, {r["run_id"]: r["metrics"]["ns_per_switch"]["value"] for r in lines})
        self.assertEqual(in_csv, dict(self.database().execute(
            "SELECT run_id, value FROM runs JOIN metrics USING (run) WHERE name = 'ns_per_switch'")))
        self.assertEqual({r["file"] for r in rows}, {r["lab"]["file"] for r in lines})
        everything = self.lab("export", self.out, "--all", "--jsonl", "-").stdout.splitlines()
        failed = [r for r in map(json.loads, everything) if r["status"] == "failed"]
        self.assertEqual([r["metrics"] for r in failed], [{}, {}])

    def test_headers_have_units_and_the_dictionary_says_what_they_mean(self):
        self.lab("run", self.experiment("asm", n=1), "--out", self.out)
        words = self.root / "words.csv"
        out = self.lab("export", self.out, "--csv", "-", "--dictionary", words).stdout
        header = out.splitlines()[0].split(",")
        for name in ("metric.ns_per_switch", "metric.wall_ns", "metric.ops_per_s",
                     "series.lateness.p50 [ns]", "param.tasks"):
            self.assertIn(name, header)
        said = list(csv.DictReader(words.read_text().splitlines()))
        self.assertEqual([row["column"] for row in said], header)
        self.assertEqual([row["column"] for row in said if not row["meaning"]], [])
        by = {row.pop("column"): row for row in said}
        self.assertEqual(by["metric.ns_per_switch"]["meaning"].split(". ")[-1], "Lower is better.")
        self.assertIn("One of: ok, failed,", by["status"]["meaning"])
        self.assertEqual({k: by["series.lateness.p50 [ns]"][k] for k in ("type", "unit", "place")},
                         {"type": "integer", "unit": "ns", "place": "series.lateness.quantiles.p50"})
        self.assertEqual(by["param.tasks"]["type"], "integer")

    def test_each_number_that_the_kernel_gives_has_a_meaning_of_its_own(self):
        for above in (("usage",), ("interference", "before"), ("interference", "after"),
                      ("processor", "by_thread", "*")):
            for name in set(schema.below(above)["properties"]) - {"name"}:
                self.assertNotEqual(schema.described((*above, name)), schema.described(above), name)

    def test_ratios_have_one_unit_and_numbers_are_numbers(self):
        series = {"unit": "1/1000", "count": 1, "min": 1831, "max": 1831, "sum": 1831, "digits": 3,
                  "buckets": [[1831, 1]], "quantiles": {"p50": 1831}}
        record = {"lab": {"types": {"openloop": {"mean": "duration"}}},
                  "identity": {"workload": "openloop", "params": {"load": "1.2", "mean": "50000",
                                                                  "input": "0x1f"}},
                  "metrics": {"slowdown_p50": {"value": 1.831, "unit": "1", "better": "lower"}},
                  "series": {"slowdown": series}, "counters": {}, "usage": {}, "iterations": [],
                  "processor": {"absent": {"page_faults": "EPERM"}, "ops": 10, "by_thread": [
                      {"name": "main", "cycles": 3, "task_clock_ns": 0}, {"name": "worker1", "cycles": "4"}]},
                  "checks": []}
        _, (row,) = export_csv.table([({"run_id": "a"}, record)])
        self.assertEqual(row, {"run_id": "a", "param.load": 1.2, "param.mean [ns]": 50000,
                               "param.input": "0x1f", "metric.slowdown_p50": 1.831,
                               "series.slowdown.count": 1, "series.slowdown.p50": 1.831,
                               "processor.cycles": 7, "processor.task_clock_ns": 0, "processor.ops": 10})
        with tempfile.TemporaryDirectory() as folder:
            export_sqlite.write(Path(folder) / "x.db", ["run_id"], [({"run_id": "a"}, record)])
            with contextlib.closing(sqlite3.connect(Path(folder) / "x.db")) as db:
                self.assertEqual(db.execute("SELECT low, high, unit FROM buckets JOIN series "
                                            "USING (series)").fetchall(), [(1.831, 1.831, "1")])
                self.assertEqual(db.execute("SELECT value, unit FROM settings WHERE name = 'mean'")
                                 .fetchall(), [(50000, "ns")])
                self.assertEqual(db.execute("SELECT thread, value FROM processor WHERE name = 'cycles'").fetchall(),
                                 [("main", 3), ("worker1", 4)])
        self.assertEqual([units.number(t) for t in ("007", "-3", "1e-3", "1.", "nan", 5)],
                         ["007", -3, 0.001, "1.", "nan", 5])

    def test_a_run_of_256_workers_has_room(self):
        self.lab("run", self.experiment("asm", n=1), "--out", self.out, FAKE_WORKERS=2100)
        self.assertEqual(self.database().execute(
            "SELECT count(*) FROM counters WHERE name LIKE 'worker%'").fetchone(), (4200,))

    def test_buckets_have_bounds_and_digits(self):
        self.lab("run", self.experiment("asm", n=1, more="digits = 2\n"), "--out", self.out)
        rows = self.database().execute("SELECT DISTINCT digits, low, high, b.count FROM buckets b "
                                       "JOIN series USING (series)").fetchall()
        self.assertEqual(sorted(rows), [(2, 5, 5, 2), (2, 2048, 2063, 1)])


# Where `install_npm` of setup.sh puts packages; a NODE_PATH of one's own comes first.
NODE_PATH = os.pathsep.join(filter(None, (os.environ.get("NODE_PATH"), str(LAB.parents[1] / "build/npm/node_modules"))))
# What HdrHistogram makes of each line of a log: [tag, digits, count, start, {percentile: value}].
READ_HLOG = """
const hdr = require('hdr-histogram-js');
const log = new hdr.HistogramLogReader(require('fs').readFileSync(0, 'utf8'), 64);
const lines = [];
for (let h; (h = log.nextIntervalHistogram());)
  lines.push([h.tag, h.numberOfSignificantValueDigits, h.totalCount, h.startTimeStampMsec,
    Object.fromEntries(JSON.parse(process.argv[1]).map(p => [p, h.getValueAtPercentile(p)]))]);
console.log(JSON.stringify(lines));
"""
PERCENTILES = (0.1, 10, 50, 90, 99, 99.9, 99.99, 100)


class Hlogs(unittest.TestCase):
    """The log of HdrHistogram, by HdrHistogram's own reader."""

    RUN = {"arm": "a b,c", "point": "p/1", "machine_class": "00", "file": "x.json", "elapsed_ns": 10 ** 9}

    def read(self, text: str) -> list:
        if not shutil.which("node"):
            self.skipTest("no node (Debian package nodejs)")
        if subprocess.run(["node", "-e", "require('hdr-histogram-js')"], stderr=subprocess.DEVNULL,
                          env={**os.environ, "NODE_PATH": NODE_PATH}).returncode:
            self.skipTest("no hdr-histogram-js (npm install --prefix build/npm hdr-histogram-js)")
        done = subprocess.run(["node", "-e", READ_HLOG, json.dumps(PERCENTILES)], input=text, text=True,
                              capture_output=True, env={**os.environ, "NODE_PATH": NODE_PATH}, timeout=100)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_its_reader_finds_the_same_percentiles(self):
        draw = random.Random(7)
        kept = {
            "wide": series([draw.lognormvariate(9, 3) for _ in range(20000)]),
            "coarse": series([draw.lognormvariate(9, 3) for _ in range(20000)], digits=2),
            "edges": series([0, 0, 1, 127, 128, 255, 256, 2047, 2048, 2049, 2 ** 40, 2 ** 52]),
            "one": series([3]), "none": series([]),
        }
        kept["many"] = {**series([5]), "count": 2 ** 50, "buckets": [[5, 2 ** 50 - 1], [9, 1]], "max": 9}
        late, early = ({**self.RUN, "started": f"2026-11-22T12:00:0{s}.500Z"} for s in (2, 1))
        out = io.StringIO()
        export_hlog.write(out, [(late, {"series": {"one": kept["one"]}}), (early, {"series": kept})])
        lines = self.read(out.getvalue())
        self.assertEqual([line[0] for line in lines],
                         [f"{name}/a%20b%2Cc/p%2F1" for name in ("wide", "coarse", "edges", "one", "many", "one")])
        self.assertEqual(lines[-1][3] - lines[0][3], 1000)
        for tag, digits, count, _, found in lines:
            ours = kept[tag.partition("/")[0]]
            self.assertEqual((digits, count), (ours["digits"], ours["count"]), tag)
            for p, value in found.items():
                wanted = records.quantile(ours, float(p) / 100)
                self.assertEqual(*(records.hist_index(v, digits) for v in (value, wanted)), (tag, p))

    def test_a_campaign(self):
        reference = LAB.parents[1] / "results" / "reference" / "quickstart"
        done = subprocess.run([str(LAB), "export", str(reference), "--hlog", "-", "--jsonl", "/dev/stderr"],
                              text=True, capture_output=True, check=True)
        kept = [s for line in done.stderr.splitlines() for s in json.loads(line)["series"].values()]
        self.assertEqual(sorted(line[2] for line in self.read(done.stdout)), sorted(s["count"] for s in kept))

    def test_what_no_log_can_hold_is_refused(self):
        much = {**series([1]), "buckets": [[1, 2 ** 63]]}
        for change, kept, said in (({}, much, "x.json: series lateness: a bucket of 9223372036854775808 samples"),
                                   ({"started": "2026-13-39T12:00:61.500Z"}, series([1]), "x.json: times.started")):
            run = {**self.RUN, "started": "2026-11-22T12:00:00.000Z", **change}
            with self.assertRaisesRegex(CampaignError, said):
                export_hlog.write(io.StringIO(), [(run, {"series": {"lateness": kept}})])


class Streams(Lab):
    def test_a_reader_that_leaves_ends_it_quietly(self):
        self.lab("run", self.experiment("asm", n=1), "--out", self.out)
        for words in (("export", self.out), ("status", self.out), ("list",)):
            reader, writer = os.pipe()
            os.close(reader)
            done = subprocess.run([str(LAB), *map(str, words)], stdout=writer, text=True,
                                  stderr=subprocess.PIPE, env=self.environment())
            os.close(writer)
            self.assertEqual((done.returncode, done.stderr), (141, ""), words)

    def test_a_log_gets_a_line_a_minute(self):
        log = io.StringIO()
        shown = progress.Progress(log)
        shown.start(["p asm"] * 3, 0)
        shown.begin({"id": "b0001"}, {"id": "p"}, "asm")
        shown.tick()
        self.assertEqual(log.getvalue(), "3 runs to do\n")
        shown.logged -= progress.LOG_EVERY_S
        shown.tick()
        shown.end({"id": "b0001"}, {"id": "p"}, "asm", "ok", "", 2.0)
        shown.logged -= progress.LOG_EVERY_S
        shown.end({"id": "b0002"}, {"id": "p"}, "asm", "ok", "", 2.0)
        self.assertEqual(log.getvalue().splitlines()[1:], [
            "  0 %  0/3  estimating  b0001  asm  p", " 66 %  2/3  2 s left  b0001  asm  p"])


class Replacing(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.file = self.root / "file"

    def write(self, file: Path, text: str = "new") -> None:
        with replacing(file) as draft:
            draft.write_text(text)

    def test_a_file_is_replaced_and_keeps_its_mode(self):
        self.file.write_text("old")
        self.file.chmod(0o640)
        before = self.file.stat().st_ino
        self.write(self.file)
        after = self.file.stat()
        self.assertEqual((self.file.read_text(), stat.S_IMODE(after.st_mode)), ("new", 0o640))
        self.assertNotEqual(after.st_ino, before)

    def test_symlinks_stay_and_what_they_name_is_written(self):
        (self.root / "place").mkdir()
        link, other = self.root / "link", self.root / "other"
        link.symlink_to("other")
        other.symlink_to("place/file")
        for text in ("first", "second"):        # dangling, then not
            self.write(link, text)
            self.assertEqual((self.root / "place" / "file").read_text(), text)
        self.assertTrue(link.is_symlink() and other.is_symlink())

    def test_devices_and_pipes_are_written_into(self):
        pipe = self.root / "pipe"
        os.mkfifo(pipe)
        got: list[str] = []
        reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
        reader.start()
        self.write(pipe)
        reader.join()
        self.assertEqual(got, ["new"])
        self.assertTrue(pipe.is_fifo())
        ours, theirs = os.openpty()     # no other device: one that is replaced is lost to the machine
        self.write(Path(os.ttyname(theirs)))
        self.assertEqual(os.read(ours, 3), b"new")
        os.close(ours), os.close(theirs)

    def test_an_open_descriptor_is_written_into(self):
        with open(self.file, "w+") as out:
            self.write(Path(f"/dev/fd/{out.fileno()}"))
            self.assertEqual(out.read(), "new")

    def test_a_draft_that_fails_leaves_the_old(self):
        self.file.write_text("old")
        with self.assertRaises(KeyError), replacing(self.file) as draft:
            draft.write_text("half")
            raise KeyError
        self.assertEqual([(p.name, p.read_text()) for p in self.root.iterdir()], [("file", "old")])

    def test_an_error_names_the_file_that_was_asked_for(self):
        for file in (self.root / "missing" / "file", self.root):
            with self.assertRaises(OSError) as caught:
                self.write(file)
            self.assertEqual(caught.exception.filename, str(file))

    @unittest.skipIf(os.geteuid() == 0, "root may write to every file")
    def test_a_file_that_may_not_be_written_to_stays(self):
        self.file.write_text("old")
        self.file.chmod(0o400)
        with self.assertRaises(PermissionError):
            self.write(self.file)
        self.assertEqual(self.file.read_text(), "old")


if __name__ == "__main__":
    unittest.main()
