# SPDX-License-Identifier: MIT
# An artifact holds what made its figures, proves it where it is unpacked, and is refused where it could not.
"""Tests of `lab artifact`, on a generated campaign in a clone of the lab alone, with a driver that measures
nothing. Skipped (77) without git, scipy or matplotlib."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
import unittest.mock as mock
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
try:
    import matplotlib  # noqa: F401
    import scipy  # noqa: F401
    import tomllib  # noqa: F401
except ImportError as missing:
    print(f"skipped: {missing} (Debian packages python3-scipy, python3-matplotlib)")
    sys.exit(77)
if not shutil.which("git"):
    print("skipped: no git")
    sys.exit(77)
sys.path[:0] = [str(HERE.parent), str(HERE)]

import synthetic  # noqa: E402
from shuntlab import cli  # noqa: E402
from shuntlab.commands import artifact  # noqa: E402
from shuntlab.output import artifact_page, artifact_plugins  # noqa: E402
from shuntlab.planning import drivers, kept_plan  # noqa: E402
from shuntlab.planning.campaign import load_campaign  # noqa: E402
from shuntlab.tools.trust import Refused, Trust  # noqa: E402

GIT = ("-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false")
EXPECT = [{"claim": "A | in a claim.", "ratio": ["ucontext", "asm"], "metric": "ns_per_switch", "above": 5, "line": 1},
          {"claim": "Nobody ran it.", "ratio": ["ucontext", "asm"], "metric": "none_ns", "above": 5, "line": 2}]
PLUGIN = "c0" * 20
POINTS = [{"workload": "yield", "axes": {"tasks": "2"}}]


class Artifact(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="shunt-artifact-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.root = Path(folder.name)
        cls.clone = cls.root / "clone"
        skip = shutil.ignore_patterns("__pycache__", "test", "*.toml", "drivers")
        shutil.copytree(HERE.parent, cls.clone / "experiments", ignore=skip)
        (cls.clone / "core" / "measure").mkdir(parents=True)
        for file in (ROOT / "core" / "measure").glob("*.schema.json"):
            shutil.copy(file, cls.clone / "core" / "measure")
        (cls.clone / ".gitignore").write_text("__pycache__/\n")
        (cls.clone / "core" / "sched.c").write_text("int x;\n")
        cls.git("init", "-q")
        cls.first = cls.commit("first")
        (cls.clone / "README.md").write_text("A page that runs do not depend on.\n")
        cls.commit("second")
        cls.campaign = cls.made("campaign", {"build.commit": cls.first})

    @classmethod
    def git(cls, *words: str) -> str:
        return subprocess.run(["git", "-C", str(cls.clone), *GIT, *words], check=True, capture_output=True,
                              text=True).stdout.strip()

    @classmethod
    def commit(cls, message: str) -> str:
        cls.git("add", "-A")
        cls.git("commit", "-qm", message)
        return cls.git("rev-parse", "HEAD")

    @classmethod
    def made(cls, name: str, facts: dict, points=POINTS, **more) -> Path:
        plan = synthetic.plan("demo", ["asm", "ucontext"], points, 9, 1, expect=EXPECT, metrics=["ns_per_switch"],
                              figures=[{"kind": "forest", "line": 9}], **more,
                              drivers={"shunt": {"build_id": "ab" * 10, "version": "1"}})
        model = synthetic.ratio_model(6, {"ucontext": 20})
        for number, block in enumerate(plan["blocks"], 1):
            block["id"] = f"b{number:04d}"
        plan = kept_plan.sealed(plan)
        return synthetic.write(cls.root / name, plan, model, facts=facts)

    def lab(self, *words, tree=None, cwd=None, code=0, **environment: str) -> subprocess.CompletedProcess:
        done = subprocess.run([str((tree or self.clone) / "experiments" / "lab"), *map(str, words)], text=True,
                              capture_output=True, cwd=cwd or self.root, timeout=300,
                              env={**os.environ, "SHUNT_PYTHON": sys.executable, "PYTHONDONTWRITEBYTECODE": "1",
                                   "SHUNT_BIN": str(HERE / "fake_shunt.py"), "FAKE_LOG": str(self.root / "log"),
                                   **environment})
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def test_it_is_reproducible_and_checks_itself_where_it_is_unpacked(self):
        file = self.root / "one.tar.xz"
        self.lab("artifact", self.campaign, "--out", file)
        code, said = self.inside("artifact", self.campaign, "--out", self.root / "two.tar.xz")
        self.assertEqual(code, 0, said)
        self.assertEqual(file.read_bytes(), (self.root / "two.tar.xz").read_bytes())
        with tarfile.open(file) as tar:
            tar.extractall(self.root)
        top = self.root / "demo-artifact"
        page = (top / "README.md").read_text()
        for said in ("A \\| in a claim.", "`ns_per_switch: ucontext / asm > 5`", "confirmed", "`1-9`",
                     "ucontext does not report none_ns", self.git("rev-parse", "HEAD"), "Reproduced"):
            self.assertIn(said, page)
        self.assertEqual(json.loads((top / "claims.json").read_text())["chosen"], 0)
        self.assertEqual((top / "source" / "core" / "sched.c").read_text(), "int x;\n")
        sums = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=top, capture_output=True, text=True)
        self.assertEqual(sums.returncode, 0, sums.stdout)
        source = top / "source"
        said = self.lab("artifact", "--check", tree=source, cwd=top).stdout
        for line in ("files are as they were packed", "byte for byte the same",
                     "not byte for byte what made the records",
                     "claim: “A | in a claim.” is confirmed, as it was"):
            self.assertIn(line, said)
        drawn = top / "figures" / "demo-forest.csv"
        drawn.write_text(drawn.read_text() + "\n")
        said = self.lab("artifact", "--check", tree=source, cwd=top, code=5).stderr
        self.assertIn("figures/demo-forest.csv is not as it was packed", said)
        sums = [line for line in (top / "SHA256SUMS").read_text().splitlines() if not line.endswith(drawn.name)]
        (top / "SHA256SUMS").write_text("".join(f"{line}\n" for line in sums))
        said = self.lab("artifact", "--check", tree=source, cwd=top, code=3).stderr
        self.assertRegex(said, r"figures: 1 of \d+ files differ: demo-forest\.csv\n")

    def inside(self, *words, clone=None) -> tuple[int, str]:
        """The lab in this process, as that of the clone."""
        said = io.StringIO()
        with mock.patch.object(drivers, "HERE", (clone or self.clone) / "experiments"), \
                contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            return cli._main([str(w) for w in words]), said.getvalue()

    def refused(self, campaign: Path, wanted: str, code: int, *words, **how) -> None:
        out = self.root / "refused.tar.xz"
        found, said = self.inside("artifact", campaign, "--out", out, *words, **how)
        self.assertEqual(found, code, said)
        self.assertRegex(said, wanted)
        self.assertEqual([f for f in self.root.iterdir() if "refused" in f.name], [])

    def test_records_of_another_build(self):
        for name, facts, wanted in (
                ("dirty", {"build.commit": self.first, "build.dirty": True}, "with uncommitted changes"),
                ("gone", {"build.commit": "12" * 20}, "commit 121212121212, which this clone does not have"),
                ("unknown", {"build.commit": ""}, "names no commit: shunt was built outside a clone")):
            self.refused(self.made(name, facts), wanted, 4)

    def test_the_source_of_the_records_is_put_beside_that_of_the_lab(self):
        second, file = self.git("rev-parse", "HEAD"), self.root / "past.tar.xz"
        (self.clone / "core" / "sched.c").write_text("int y;\n")
        third = self.commit("other code")
        self.addCleanup(self.git, "reset", "-q", "--hard", "HEAD~1")
        self.lab("artifact", self.campaign, "--out", file)
        with tarfile.open(file) as tar:
            tar.extractall(self.root / "past")
        top = self.root / "past" / "demo-artifact"
        self.assertEqual([(top / at / "core" / "sched.c").read_text() for at in ("source", "measured")],
                         ["int y;\n", "int x;\n"])
        page = (top / "README.md").read_text()
        for said in (f"made with commit `{self.first}` and drawn with commit `{third}`",
                     "run rerun --shunt measured/build/release/shunt --accept-new-build"):
            self.assertIn(said, page)
        built = top / "measured" / "build" / "release" / "shunt"
        built.parent.mkdir(parents=True)
        built.symlink_to(HERE / "fake_shunt.py")
        said = self.lab("artifact", "--check", tree=top / "source", cwd=top).stdout
        self.assertIn("--shunt measured/build/release/shunt", said)
        self.assertIn("is confirmed, as it was", said)
        parts = self.root / "two"
        for number, commit in enumerate((second, third)):
            part = self.made(f"part{number}", {"build.commit": commit, "machine.hostname": f"n{number}"})
            shutil.copytree(part, parts / "parts" / part.name)
        self.refused(parts, "builds that measure differently", 4)

    def test_a_tree_with_changes_and_none_at_all(self):
        (self.clone / "new.txt").write_text("")
        self.addCleanup((self.clone / "new.txt").unlink)
        self.refused(self.campaign, "in no commit; commit, stash or ignore new.txt", 4)
        bare = self.root / "bare"
        shutil.copytree(self.clone, bare, ignore=shutil.ignore_patterns(".git"))
        self.refused(self.campaign, "not a clone of shunt", 4, clone=bare)

    def test_campaigns_that_are_not_whole(self):
        empty, part = self.root / "empty", self.root / "part"
        (empty / "records").mkdir(parents=True)
        shutil.copy(self.campaign / "plan.json", empty)
        self.refused(empty, "no records yet; .* makes them", 2)
        shutil.copytree(self.campaign, part)
        next((part / "records").glob("b0003*")).unlink()
        self.refused(part, "still lacks runs", 2)
        next((part / "records").glob("b0004*")).write_text("{")
        self.refused(part, "damaged; .* says what", 5)

    def test_what_it_does_not_hold_is_named(self):
        """A program or an input of the authors. The check repeats no claim that needs one."""
        lacking = load_campaign(self.made("lacking", {"build.commit": self.first}, points=[
            {"workload": "yield", "params": {"input": "/their/data"}}]))
        page, told = (data.decode() for _, data in artifact._pages(lacking, self.first, self.first, []))
        self.assertIn("**Not in this file**, and needed to repeat some claims", page)
        self.assertIn("- the input `/their/data`\n", page)
        self.assertIsNone(json.loads(told)["chosen"])
        plan = {"arms": [{"name": "asm", "driver": "mine"}], "commands": {"mine": ["sh", "their driver"]}}
        self.assertEqual(list(artifact._lacks(plan, {"arms": ["asm"], "params": {}})),
                         ["the program of driver mine, `sh 'their driver'`"])

    def plugged(self, name: str, home: Path) -> Path:
        """A campaign with the plug-in home/build/coin.so, whose build-id is PLUGIN."""
        (home / "build").mkdir(parents=True)
        (home / "coin.c").write_text("int coin;\n")
        (home / ".gitignore").write_text("build/\n")
        subprocess.run(["cc", "-shared", f"-Wl,--build-id=0x{PLUGIN}", "-o", home / "build" / "coin.so",
                        home / "coin.c"], check=True)
        return self.made(name, {"build.commit": self.first},
                         plugins=[{"file": str(home / "build" / "coin.so"), "build_id": PLUGIN}])

    @unittest.skipUnless(shutil.which("cc") and shutil.which("readelf"), "no compiler here")
    def test_plug_ins_come_along_with_their_source(self):
        home, file = self.root / "mine", self.root / "plugged.tar.xz"
        campaign = self.plugged("plugged", home)
        for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "mine")):
            subprocess.run(["git", "-C", str(home), *GIT, *words], check=True)
        self.lab("artifact", campaign, "--out", file, "--trust")
        shutil.rmtree(home)
        with tarfile.open(file) as tar:
            tar.extractall(self.root / "theirs")
        top = self.root / "theirs" / "demo-artifact"
        source, = (top / "plugins").iterdir()
        self.assertEqual((source / "coin.c").read_text(), "int coin;\n")
        page = (top / "README.md").read_text()
        for said in (f"| `campaign/plugins/coin.so` | `{PLUGIN}` | `plugins/{source.name}/`, commit `{source.name[5:]}",
                     "cp -r campaign/plan.json campaign/plugins rerun\n", "--accept-new-build --trust --block"):
            self.assertIn(said, page)
        said = self.lab("artifact", "--check", tree=top / "source", cwd=top, FAKE_PLUGIN=PLUGIN).stdout
        self.assertIn("--accept-new-build --trust --block 1-9", said)
        self.assertIn("is confirmed, as it was", said)
        record = json.loads(next((top / "rerun" / "records").glob("*.json")).read_text())
        self.assertIn(str(top / "rerun" / "plugins" / "coin.so"), record["argv"])

    @unittest.skipUnless(shutil.which("cc") and shutil.which("readelf"), "no compiler here")
    def test_plug_ins_that_are_not_those_of_the_records(self):
        home = self.root / "other"
        campaign, file = self.plugged("unlike", home), home / "build" / "coin.so"
        named = load_campaign(campaign)
        alone, = artifact_plugins.bundled(named.path, named.plan, "campaign", self.clone, Trust(False))
        self.assertEqual((alone.at, alone.source, alone.data), ("campaign/plugins/coin.so", "", file.read_bytes()))
        facts = artifact_page.Facts("demo", named.plan, "campaign/plan.json", "12", "12", [], [], None, [], [], 1, 1.0,
                                    0, [alone])
        self.assertIn("not in this file: it lay in no git repository", artifact_page.page(facts))
        subprocess.run(["git", "-C", str(home), "init", "-q"], check=True)
        started = self.root / "started"
        subprocess.run(["git", "-C", str(home), "config", "core.fsmonitor", f"touch {started}; false"], check=True)
        self.refused(campaign, "the repository other is .* that does not come with shunt: git -C .*other status", 4)
        self.assertFalse(started.exists(), "a stranger's git settings started a program")
        self.refused(campaign, "what coin.so was built from is in no commit; commit, stash or ignore .*coin.c", 4,
                     "--trust")
        self.assertTrue(started.exists())
        subprocess.run(["cc", "-shared", f"-Wl,--build-id=0x{'ab' * 20}", "-o", file, home / "coin.c"], check=True)
        self.refused(campaign, "coin.so: the plug-in has build-id abababababab; put back what the plan was", 4)
        file.write_text("no object")
        self.refused(campaign, "coin.so: the plug-in has build-id none", 4)
        file.unlink()
        self.refused(campaign, "coin.so: no such plug-in, and the artifact would be without it", 4)
        twice = {"plugins": [{"file": f"/{at}/coin.so", "build_id": "ab" * 20} for at in "ab"]}
        (campaign / "plugins").mkdir()
        subprocess.run(["cc", "-shared", f"-Wl,--build-id=0x{'ab' * 20}", "-o", campaign / "plugins" / "coin.so",
                        home / "coin.c"], check=True)
        with self.assertRaisesRegex(Refused, "two plug-ins are named coin.so"):
            artifact_plugins.bundled(campaign, twice, "campaign", self.clone, Trust(False))

    def test_the_target(self):
        there = self.root / "there.tar.xz"
        there.write_text("mine")
        code, said = self.inside("artifact", self.campaign, "--out", there)
        self.assertEqual((code, there.read_text()), (2, "mine"))
        self.assertIn("there.tar.xz exists; remove it, or give another --out", said)
        code, said = self.inside("artifact", "--check")
        self.assertEqual(code, 2)
        self.assertIn("not an unpacked artifact", said)

    def test_a_disk_that_fills_while_it_is_written(self):
        writes = mock.patch.object(artifact, "files_of", side_effect=OSError(errno.ENOSPC, "No space left"))
        with writes:
            self.refused(self.campaign, "the disk is full", 4)


if __name__ == "__main__":
    unittest.main()
