# SPDX-License-Identifier: MIT
# What a stranger puts into a campaign is refused with a message: no hang, no traceback, nothing outside it.
"""Tests of what is read from and written into a campaign's folder."""

from __future__ import annotations

import contextlib
import copy
import csv
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import synthetic
from shuntlab import cli
from shuntlab.commands import verify
from shuntlab.data import machine, packed, records
from shuntlab.output import export_csv
from shuntlab.planning import campaign, journal, reading
from shuntlab.statistics import points
from shuntlab.tools import files, locks

HANG_S = 300        # the machine may be busy; a hang is for ever
SUB_FOLDERS = ("locks", "quarantine", "attempts", "sessions", "traces", "records")


class Case(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.TemporaryDirectory()
        self.addCleanup(self.place.cleanup)
        self.root = Path(self.place.name)
        self.out = self.root / "campaign"
        self.plan = synthetic.plan("demo", ["asm", "mn"], [{"workload": "yield"}], 2, 1)
        synthetic.write(self.out, self.plan, synthetic.ratio_model(10.0, {"mn": 2.0}))
        self.files = campaign.record_files(self.out)
        signal.signal(signal.SIGALRM, lambda *_: self.fail(f"hung for {HANG_S} s"))
        signal.setitimer(signal.ITIMER_REAL, HANG_S, HANG_S)
        self.addCleanup(signal.alarm, 0)

    def lab(self, *words) -> tuple[int, str]:
        """(exit status, what it says) of a command of the lab, in this process."""
        text = io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text), \
                mock.patch.dict(os.environ, {
                    "SHUNT_BIN": str(HERE / "fake_shunt.py"),
                    "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"}):
            code = cli._main([str(w) for w in words])
        return code, text.getvalue()

    def fresh(self) -> Path:
        """A campaign with a frozen plan and no record yet."""
        folder = self.root / "fresh"
        experiment = self.root / "demo.toml"
        experiment.write_text('question = "?"\nexpectation = "!"\nrepetitions = 1\nbackends = ["asm", "mn"]\n'
                              '[[workload]]\nname = "yield"\n')
        self.assertEqual(self.lab("plan", experiment, "--out", folder)[0], 0)
        return folder

    def why(self, file: Path) -> str:
        """Why the campaign refuses a record, or an empty text."""
        return "".join(p.why for p in campaign.load_campaign(self.out).problems if p.file == file)

    def rewritten(self, change) -> str:
        """Why a record is refused whose parts were changed before it got its checksum."""
        record = json.loads(self.files[0].read_bytes())
        change(record)
        self.files[0].write_bytes(records.sealed(record))
        return self.why(self.files[0])


    def strange(self, place: Path):
        """What stands in place of a file, one after another."""
        def pipe():
            os.mkfifo(place)

        def link():
            place.symlink_to("/dev/zero")

        def listening():
            with socket.socket(socket.AF_UNIX) as it, contextlib.chdir(place.parent):
                it.bind(place.name)

        def huge():
            place.touch()
            os.truncate(place, 1 << 40)
        for make in (pipe, link, listening, huge):
            place.unlink(missing_ok=True)
            place.parent.mkdir(exist_ok=True)
            make()
            yield make.__name__
        place.unlink()


class Checksums(Case):
    def test_every_flipped_bit_is_found(self):
        chance = random.Random(5)
        blocks = {b["id"]: b for b in self.plan["blocks"]}
        for file in self.files:
            whole = file.read_bytes()
            self.assertEqual(records.sealed(json.loads(whole)), whole)
            for _ in range(60):
                bit = chance.randrange(8 * len(whole))
                bad = bytearray(whole)
                bad[bit // 8] ^= 1 << bit % 8
                file.write_bytes(bad)
                with self.assertRaises(records.RecordError, msg=f"bit {bit} of {file.name}"):
                    campaign.load_for_plan(file, blocks, [])
            file.write_bytes(whole)
        self.assertEqual(campaign.load_campaign(self.out).problems, [])

    def test_a_record_without_one_needs_a_journal(self):
        record = json.loads(self.files[0].read_bytes())
        record.pop("sha256")
        self.files[0].write_text(json.dumps(record))
        self.assertIn("no checksum, and no journal", self.why(self.files[0]))
        session = journal.Session(self.out, {})
        session.accepted(self.files[0], "ok", 1.0)
        session.close("complete")
        self.assertEqual(self.why(self.files[0]), "")
        self.files[0].write_text(json.dumps(record).replace("yield", "yiele", 1))
        self.assertIn("changed since it was accepted", self.why(self.files[0]))

    def test_one_in_another_place_is_none(self):
        record = json.loads(self.files[0].read_bytes())
        self.files[0].write_text(json.dumps({"sha256": record.pop("sha256"), **record}))
        self.assertIn("not its last member", self.why(self.files[0]))


class Kinds(Case):
    """A FIFO, a device, a socket, a link to one, a file without end: in place of everything that is read."""

    def test_each(self):
        env = next((self.out / "records" / "env").iterdir())
        for place, commands in (
                (self.files[0], ("verify", "export", "status")),
                (self.out / "plan.json", ("verify", "status")),
                (self.out / "sessions" / "a.jsonl", ("verify", "export")),
                (env, ("verify",))):
            there = place.read_bytes() if place.exists() else b""
            for kind in self.strange(place):
                for command in commands:
                    with self.subTest(place=place.name, kind=kind, command=command):
                        code, said = self.lab(command, self.out)
                        if command != "status":
                            self.assertIn(code, (2, 5), said)
                            self.assertRegex(said, "not a regular file|at most|not a campaign")
            if there:
                place.write_bytes(there)
        self.assertEqual(self.lab("verify", self.out)[0], 0)

    def test_an_experiment(self):
        for kind in self.strange(self.root / "x.toml"):
            self.assertEqual(self.lab("plan", self.root / "x.toml", "--dry-run")[0], 2, kind)

    def test_what_a_run_left(self):
        folder = self.fresh()
        for kind in self.strange(folder / "records" / ".b0001.asm.json"):
            self.assertEqual(self.lab("run", folder, "--concurrent", "--quiet", "--block", "1")[0], 0, kind)
            (folder / "records" / ".b0001.asm.json").touch()
        self.assertEqual(len(campaign.load_campaign(folder).records), 3)


class Links(Case):
    def test_no_sub_folder_leads_elsewhere(self):
        for name in (*SUB_FOLDERS, "records/env"):
            with self.subTest(name):
                folder, elsewhere = self.fresh(), self.root / "elsewhere"
                elsewhere.mkdir()
                place = folder / name
                if place.exists():
                    place.rename(self.root / "away")
                place.symlink_to(elsewhere)
                code, said = self.lab("run", folder, "--concurrent")
                self.assertEqual(code, 5, said)
                self.assertIn(f"{place}: a symbolic link where a campaign has a folder", said)
                self.assertEqual(os.listdir(elsewhere), [])
                for left in (folder, self.root / "away", elsewhere):
                    os.system(f"rm -rf '{left}'")

    def test_no_file_leads_elsewhere(self):
        victim, absent = self.root / "victim", self.root / "not yet"
        victim.write_text("precious")
        for name in ("locks/b0001.lock", "records/.b0001.asm.json"):
            for target in (victim, absent):
                with self.subTest(name, target=target.name):
                    folder = self.fresh()
                    (folder / "locks").mkdir(exist_ok=True)
                    (folder / name).symlink_to(target)
                    code, said = self.lab("run", folder, "--concurrent", "--quiet")
                    if name.startswith("locks"):
                        self.assertEqual(code, 5, said)
                        self.assertIn(f"{folder / name}: not a regular file: it is a symbolic link", said)
                        (folder / name).unlink()
                        code, said = self.lab("run", folder, "--concurrent", "--quiet")
                    self.assertEqual((code, victim.read_text(), absent.exists()), (0, "precious", False), said)
                    shutil.rmtree(folder)
        folder = self.fresh()
        (folder / "report.html").symlink_to(victim)
        with self.assertRaisesRegex(files.FileRefused, "symbolic link"):
            files.must_stay(folder / "report.html", folder)

    def test_a_merge_copies_no_link(self):
        (self.out / "traces").mkdir()
        (self.out / "traces" / "b0000.asm.json").symlink_to("/etc/passwd")
        code, said = self.lab("merge", self.out, "--out", self.root / "merged")
        self.assertEqual(code, 5, said)
        self.assertFalse(list(self.root.glob("merged/parts/*/traces/*")))


class Merged(Case):
    def test_a_part_that_is_elsewhere(self):
        (self.root / "merged" / "parts").mkdir(parents=True)
        (self.root / "merged" / "parts" / "a").symlink_to(self.out)
        self.files[0].write_text("{}")
        code, said = self.lab("verify", "--quarantine", self.root / "merged")
        self.assertEqual((code, (self.out / "quarantine").exists()), (5, False), said)

    def test_status_makes_nothing(self):
        elsewhere = self.root / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "b0001.owner").write_text("{}")
        (self.out / "locks").symlink_to(elsewhere)
        self.lab("status", self.out)
        (self.out / "locks").unlink()
        elsewhere.rename(self.out / "locks")
        self.lab("status", self.out)
        self.assertEqual(os.listdir(self.out / "locks"), ["b0001.owner"])


class Numbers(Case):
    def test_out_of_range(self):
        def bucket(index):
            return lambda r: r.update(series={"s": {"unit": "ns", "count": 1, "sum": 1, "min": 1, "max": 1,
                                                    "digits": 3, "quantiles": {}, "buckets": [[index, 1]]}})
        deep = "[" * 100000
        for change in (
                bucket(5 * 10 ** 12), bucket(10 ** 4000), bucket(-1), bucket(54272),
                lambda r: r.update(repetition=10 ** 30), lambda r: r.update(warmup=-1),
                lambda r: r["metrics"]["wall_ns"].update(value=10 ** 400),
                lambda r: r["metrics"]["wall_ns"].update(value=1e300),
                lambda r: r["metrics"]["wall_ns"].update(value="1\n"),
                lambda r: r["times"].update(elapsed_ns=10 ** 30),
                lambda r: r["counters"].update(switches=-1)):
            before = self.files[0].read_bytes()
            self.assertNotEqual(self.rewritten(change), "")
            self.files[0].write_bytes(before)
        for text in ('{"a":1e999}', '{"a":%s}' % ("9" * 5000), '{"a":"\\ud800"}', deep, "NaN",
                     "[" + "0," * 9_000_000 + "0]"):
            with self.assertRaises(records.RecordError):
                records.parse_record(text.encode())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.assertLess(peak, 500_000, "KiB of memory")

    def test_two_digits_have_fewer_buckets(self):
        series = {"unit": "ns", "count": 1, "sum": 1, "min": 1, "max": 1, "digits": 2, "quantiles": {},
                  "buckets": [[7168, 1]]}
        self.assertIn("bucket 7168", self.rewritten(lambda r: r.update(series={"s": series})))


STRANGE = (None, True, -1, 0, 10 ** 30, 10 ** 400, 1e29, "x", "", "\x1b[2J", [], {}, [[]], [{}], {"a": 1}, {"": {}})


def paths_of(value, path=()):
    yield path
    for key, inner in (value.items() if isinstance(value, dict) else
                       enumerate(value) if isinstance(value, list) else ()):
        yield from paths_of(inner, (*path, key))


def changed(document, path, value):
    """A copy with another value at a path."""
    made = copy.deepcopy(document)
    if not path:
        return value
    at = made
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return made


class Types(Case):
    def setUp(self):
        super().setUp()
        for file in self.files[1:]:
            file.unlink()

    def read_all(self):
        """All that reads records, and every manifest and journal."""
        loaded = campaign.load_campaign(self.out)
        verify.check(loaded)
        points.machine_labels([loaded])
        points.gather(loaded)
        journal.starts(self.out)
        for lines in journal.accepted(self.out).values():
            self.assertGreaterEqual(lines[-1]["elapsed_s"], 0)
        for record in loaded.records:
            points.manifest_of(record)

    def test_records(self):
        whole = json.loads(self.files[0].read_bytes())
        for path in paths_of(whole):
            for value in STRANGE:
                made = changed(whole, path, value)
                text = records.sealed(made) if isinstance(made, dict) else json.dumps(made).encode()
                self.files[0].write_bytes(text)
                with self.subTest(path=path, value=value):
                    self.read_all()

    def test_a_session_of_very_many_runs_is_read(self):
        session = journal.Session(self.out, {})
        os.truncate(session.file, 70 << 20)
        session.write({})
        session.accepted(self.files[0], "ok", 1.0)
        session.close("complete")
        self.assertEqual([*journal.accepted(self.out)], [self.files[0].name])

    def test_sessions(self):
        session = journal.Session(self.out, {"cpus": "0", "drivers": {"shunt": "x"}})
        session.accepted(self.files[0], "ok", 1.0)
        session.close("complete")
        lines = [json.loads(text) for text in session.file.read_text().splitlines()]
        for number, line in enumerate(lines):
            for path in paths_of(line):
                for value in STRANGE:
                    made = [changed(line, path, value) if i == number else x for i, x in enumerate(lines)]
                    if value is None and len(path) == 1:
                        made[number].pop(path[0])
                    session.file.write_text("".join(json.dumps(x) + "\n" for x in made))
                    with self.subTest(path=path, value=value):
                        self.read_all()

    def test_manifests(self):
        file = next((self.out / "records" / "env").iterdir())
        whole = json.loads(file.read_text())
        for path in [p for p in paths_of(whole) if len(p) < 2] + [("facts", "cpu.model"), ("facts", "cpu.logical"),
                                                                 ("facts", "cpu.model", "value")]:
            for value in STRANGE:
                file.write_text(json.dumps(changed(whole, path, value)))
                with self.subTest(path=path, value=value):
                    self.read_all()


class Traces(Case):
    def test_what_is_no_trace(self):
        sys.path.insert(0, str(HERE.parent / "plots"))
        try:
            import gantt
        except ImportError as missing:
            self.skipTest(f"{missing} (Debian packages python3-scipy, python3-matplotlib)")
        file = self.root / "trace.json"
        for kind in self.strange(file):
            with self.assertRaisesRegex(gantt._data.FigureError, "not a regular file|at most", msg=kind):
                gantt.read_trace(file)
        good = {"traceEvents": [{"ph": "X", "name": "a", "cat": "task", "pid": 1, "tid": 1, "ts": 1, "dur": 2}]}
        for path in paths_of(good):
            for value in (*STRANGE, 10 ** 400):
                file.write_text(json.dumps(changed(good, path, value)))
                with contextlib.suppress(gantt._data.FigureError):
                    gantt.read_trace(file)


class Terminal(Case):
    def test_no_control_character_reaches_it(self):
        text = io.StringIO()
        print("a\x1b[2J\x07\x9b\r\x1b[Kb\tc", file=cli.Unheard(text))
        self.assertEqual(text.getvalue(), "a\ufffd[2J\ufffd\ufffd\r\x1b[Kb\tc\n")


class Cells(Case):
    def test_no_text_is_a_formula(self):
        for text in ("=1+1", "+1", "-x", "@SUM(A1)", "\t=1", "\r=1"):
            self.assertEqual(export_csv.csv_cell(text), "'" + text)
        for value in ("asm", "", "1-2", -1, -1.5, 0):
            self.assertIs(export_csv.csv_cell(value), value)
        self.rewritten(lambda r: r["identity"]["params"].update(input="=HYPERLINK(1)", low="-5"))
        rows = list(csv.DictReader(io.StringIO(self.lab("export", self.out)[1])))
        found = [(r["param.input"], r["param.low"]) for r in rows if r["param.input"]]
        self.assertEqual(found, [("'=HYPERLINK(1)", "-5")])


class Repairs(Case):
    def test_verify_and_run_agree(self):
        folder = self.fresh()
        self.assertEqual(self.lab("run", folder, "--concurrent", "--quiet")[0], 0)
        env = next((folder / "records" / "env").iterdir())
        for damage in (env.unlink, lambda: env.write_text(env.read_text()[:100])):
            damage()
            code, said = self.lab("verify", folder)
            self.assertEqual(code, 5)
            self.assertIn("verify --quarantine", said)
            self.assertEqual(self.lab("verify", "--quarantine", folder)[0], 5)
            self.assertEqual(self.lab("run", folder, "--concurrent", "--quiet")[0], 0)
            code, said = self.lab("verify", folder)
            self.assertEqual((code, said), (0, "3 of 3 records are here and sound\n"))

    def test_a_manifest_that_was_cut_off(self):
        manifest = synthetic.manifest("a machine")
        self.assertEqual(machine.manifest_fault(self.root / "none.json"), "is missing")
        file = self.root / f"{manifest['env_id']}.json"
        for text in (b"", b"{", json.dumps(manifest).encode()[:200], b"[]", b"{}"):
            file.write_bytes(text)
            self.assertIn("is damaged", machine.manifest_fault(file))
        file.write_text(json.dumps(manifest))
        self.assertEqual(machine.manifest_fault(file), "")

    def test_without_hard_links(self):
        with mock.patch("os.link", side_effect=PermissionError(1, "no links here")):
            folder = self.fresh()
            self.assertEqual(self.lab("run", folder, "--concurrent", "--quiet")[0], 0)
        self.assertEqual(len(campaign.load_campaign(folder).ok()), 3)


class Owners(Case):
    def owner(self, ahead_s: float) -> None:
        owner = self.root / "b0001.owner"
        owner.write_text(json.dumps({"machine": "another", "host": "far", "pid": 1}))
        os.utime(owner, (time.time() + ahead_s,) * 2)

    def test_one_dated_ahead_is_none(self):
        self.owner(0)
        with self.assertRaises(locks.Busy):
            locks.Lock(self.root, "b0001").take()
        self.owner(3600)
        locks.Lock(self.root, "b0001").take().release()

    def test_a_lock_is_refreshed_whatever_the_clock_says(self):
        with locks.Lock(self.root, "b0002") as lock:
            os.utime(lock.owner_file, (1, 1))
            lock.refreshed -= locks.REFRESH_S
            lock.refresh()
            self.assertLess(abs(time.time() - lock.owner_file.stat().st_mtime), 3600)

    def test_blocks_that_others_have_are_not_all_run(self):
        folder = self.fresh()
        (folder / "locks").mkdir(exist_ok=True)
        (folder / "locks" / "b0001.owner").write_text(json.dumps({"machine": "x", "host": "far", "pid": 1}))
        code, said = self.lab("run", folder, "--concurrent")
        self.assertEqual(code, 4, said)
        self.assertIn("process 1 on far", said)

    def test_the_machine_has_one(self):
        with mock.patch.object(locks.MachineLock, "NAME", f"\0shunt-test-{os.getpid()}"):
            with locks.MachineLock().take():
                with self.assertRaisesRegex(locks.Busy, f"process {os.getpid()}"):
                    locks.MachineLock().take()
            locks.MachineLock().take().__exit__()


class Page(unittest.TestCase):
    """THREATS.md says what the code does: its bounds are the constants, its functions and tests are there."""

    def test_its_bounds_and_names(self):
        page = " ".join((HERE.parent / "THREATS.md").read_text(encoding="utf-8").split())
        loader = (HERE.parents[1] / "core" / "measure" / "trace_load.c").read_text(encoding="utf-8")
        rings = int(re.search(r"RINGS_MAX\s+(\d+)", loader)[1])
        gib = int(re.search(r"TRACE_BYTES_MAX \(UINT64_C\((\d+)\) << 30\)", loader)[1])
        for said in (f"regular files of at most {files.BYTES_MAX >> 20} MiB, a schema",
                     f"at most {packed.FILE_BYTES_MAX >> 30} GiB packed; unpacked at most "
                     f"{packed.BYTES_MAX >> 30} GiB, or "
                     f"{packed.RATIO_MAX} times its size",
                     f"at most {gib} GiB in C and {files.BYTES_MAX >> 20} MiB in Python; at most {rings:,} rings",
                     f"a document at most {files.VALUES_MAX // 10 ** 6} million values",
                     f"a bucket an index below {records.INDEX_MAX + 1:,}", f"a plan of {reading.RUNS_MAX:,} runs"):
            self.assertIn(said, page)
        for name in re.findall(r"`([a-z]+_[a-z]+)`", page[page.index("A new file that the lab reads"):]):
            self.assertTrue(hasattr(files, name) or list(HERE.parents[1].glob(f"*/**/test/{name}.*")), name)


if __name__ == "__main__":
    unittest.main()
