#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, a plug-in from a file is used as one of the build is, listed with its file, and named in
the record; what does not fit is refused with the reason, and nothing crashes."""
from __future__ import annotations

import json
import os
import shlex
import struct
import subprocess
from pathlib import Path

from command import SHUNT, SOURCE, Called, CommandTest, main

COMPILE = shlex.split(os.environ["SHUNT_PLUGIN_COMPILE"])   # the compiler and what makes a plug-in
SUBJECT = SOURCE / "core" / "cli" / "test" / "subject.c"
EXAMPLES = SOURCE / "experiments" / "examples"
# In an assembly file of every machine: an address in the code, which the loader must write there.
TEXT_RELOCATION = ".text\n.globl used\nused: .quad used\n.section .note.GNU-stack\n"
EXPERIMENT = """
question = "Is nothing faster than nothing?"
expectation = "No."
backends = ["ucontext", "ucontext:mt=1"]
repetitions = 2
iters = 1
control = false
plugins = ["subject.so"]
[[workload]]
name = "subject"
"""


class PluginTest(CommandTest):
    made: dict[tuple[Path, tuple[str, ...]], bytes] = {}

    def compiled(self, name: str, *flags: str, source: Path = SUBJECT) -> Path:
        made = self.folder / f"{name}.so"
        kept = source, tuple(f for f in flags if str(self.folder) not in f)
        if source.is_relative_to(SOURCE) and kept[1] == flags and kept in self.made:
            made.write_bytes(self.made[kept])
            return made
        subprocess.run([*COMPILE[:1], *flags, *COMPILE[1:], *(f for f in flags if f.startswith("-Wl,")), "-o", made,
                        source], check=True)
        self.made[kept] = made.read_bytes()
        return made

    def changed(self, whole: bytes, field: int, form: str, value: int) -> Path:
        """The same with one field of the head of its table changed: quicker than to compile it."""
        at = whole.index(b"shunt-v1") + field
        made = self.folder / "changed.so"
        made.write_bytes(whole[:at] + struct.pack(form, value) + whole[at + struct.calcsize(form):])
        return made

    def is_refused(self, reason: str, file: Path, **more: object) -> None:
        """By `run` at once, and by `list` with the same reason, which goes on."""
        called = self.call("run", "ucontext", "yield", "switches=10", "--iters", "1", "--plugin", file, **more)
        self.assertEqual((called.status, called.out), (2, ""), called.err)
        self.assertRegex(called.err, rf"^shunt: plug-in {file}: .*{reason}")
        listed = self.call("list", "--plugin", file, "--json", **more)
        self.assertEqual(listed.status, 0, listed.err)
        self.assertRegex(listed.json()["plug-ins"][0]["why"], reason)


class Quick(PluginTest):
    """With one compilation or two."""

    def test_is_used_listed_and_recorded(self) -> None:
        file = self.compiled("subject")
        entry = self.call("list", "workloads", "--plugin", file, "--json").json()["workloads"][-1]
        self.assertEqual((entry["name"], entry["available"]), ("subject", True))
        origin = entry["origin"]
        self.assertEqual((origin["file"], origin["plugin"]), (str(file), "subject"))
        self.assertRegex(self.call("list", "--plugin", file).out,
                         rf"(?s)from {file}, build-id {origin['build_id'][:12]}.*plug-ins: .*1 of it can be used")
        self.assertIn(f"from {file}", self.call("describe", "subject", "--plugin", file).out)
        self.assertIn("subject", self.call("doctor", "--plugin", file).out)
        ids = []
        for build in (file, file, self.compiled("again", "-DOPERATIONS=2")):
            kept = self.folder / f"{len(ids)}.json"
            called = self.call("run", "ucontext", "subject", "--plugin", build, "--record", kept, "--iters", "1")
            self.assertEqual(called.status, 0, called.err)
            record = self.record(kept)
            ids.append(record["run_id"])
            if build == file:
                self.assertEqual(record["identity"]["composition"]["plugin.workload"], f"subject@{origin['build_id']}")
                self.assertIn("plugin.workload=subject@", called.out)
        self.assertEqual(ids[0], ids[1])
        self.assertNotEqual(ids[0], ids[2])

    def test_the_same_file_twice_is_one(self) -> None:
        file = self.compiled("subject")
        called = self.call("run", "ucontext", "subject", "--plugin", file, f"--plugin={file}", "--iters", "1")
        self.assertEqual(called.status, 0, called.err)

    def test_no_library(self) -> None:
        text = self.folder / "text.so"
        text.write_text("no ELF file\n")
        self.is_refused("it is not an ELF file", text)
        self.is_refused("it is a folder; name a file", self.folder)
        self.is_refused("No such file or directory", self.folder / "absent.so")
        os.mkfifo(self.folder / "fifo.so")
        self.is_refused("it is not a regular file", self.folder / "fifo.so")
        empty = self.folder / "empty.so"
        empty.touch()
        self.is_refused("it is not an ELF file", empty)
        self.refused("--plugin: the name of the file is empty", "run", "ucontext", "yield", "--plugin=")
        self.refused("--plugin needs a value: expected a text", "run", "ucontext", "yield", "--plugin")

    def test_cut_off_or_changed_anywhere(self) -> None:
        whole = self.compiled("subject").read_bytes()
        cut = self.folder / "cut.so"
        for length in (20, 63, 100, 300, len(whole) // 3):
            cut.write_bytes(whole[:length])
            self.is_refused("cut off", cut)
        for at, value in ((4, 1), (16, 2), (18, 3), (54, 1), (56, 0xff)):    # class, type, machine, headers
            cut.write_bytes(whole[:at] + bytes([value]) + whole[at + 1:])
            self.is_refused("another machine|not a shared library|headers are", cut)

    def test_who_may_write_it(self) -> None:
        file = self.compiled("subject")
        file.chmod(0o666)
        self.is_refused(f"anybody may write it: chmod o-w {file}", file)
        file.chmod(0o644)
        self.folder.chmod(0o777)
        self.is_refused(f"anybody may replace it: chmod o-w {self.folder}", file)
        self.folder.chmod(0o1777)
        self.assertEqual(self.call("run", "ucontext", "subject", "--plugin", file, "--iters", "1").status, 0)

    def test_unreadable(self) -> None:
        file = self.compiled("subject")
        self.folder.chmod(0o755)
        file.chmod(0)
        more = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        try:
            self.is_refused("Permission denied", file, **more)
        except PermissionError:
            self.skipTest("another user cannot start shunt here")

    def test_another_version_or_build(self) -> None:
        whole = self.compiled("subject").read_bytes()
        for field, form, value, reason in (     # core/plugin.h: struct shunt_plugin_v1
                (0, "Q", 1, "its shunt_plugin_v1 is not a shunt plug-in's"),
                (8, "I", 99, "version 99 of the plug-in interface, and this shunt 2 to 2"),
                (8, "I", 0, "version 0 of the plug-in interface"),
                (12, "I", 8, "its table has 8 bytes"), (12, "I", 1 << 20, "its table has 1048576 bytes"),
                (16, "I", 3, "it is of another build type"),
                (20, "I", 0, "it names 0 plug-ins"), (20, "I", 65, "it names 65 plug-ins")):
            with self.subTest(reason):
                self.is_refused(reason, self.changed(whole, field, form, value))


class Long(PluginTest):
    def test_folders_are_read_and_repeated(self) -> None:
        self.compiled("subject")
        (self.folder / "broken.so").write_text("no ELF file")
        self.environment["SHUNT_PLUGIN_PATH"] = f"{self.folder}:{self.folder}/absent"
        called = self.call("run", "ucontext", "subject", "--iters", "1")
        self.assertEqual(called.status, 0, called.err)
        self.assertIn(f"SHUNT_PLUGIN_PATH={self.folder}:", called.out)
        why = {Path(f["file"]).name: f.get("why") for f in self.call("list", "--json").json()["plug-ins"]}
        self.assertEqual(why, {"broken.so": "it is not an ELF file", "subject.so": None,
                               "absent": "No such file or directory"})

    def test_a_policy_and_a_wait_slot(self) -> None:
        files = [self.compiled(name, source=EXAMPLES / kind / f"{name}.c")
                 for kind, name in (("policy", "coin"), ("wait", "doze"), ("workload", "tally"))]
        options = [word for file in files for word in ("--plugin", str(file))]
        for spec in ("ucontext:policy=coin", "ucontext:policy=coin,wait=doze,workers=2"):
            called = self.call("run", spec, "tally", "rounds=20", "--iters", "1", *options)
            self.assertEqual(called.status, 0, called.err)

    def test_what_a_short_table_lacks_is_absent(self) -> None:
        file = self.compiled("subject", "-DENTRY_BYTES=offsetof(struct shunt_workload,judge)")
        called = self.call("run", "ucontext", "subject", "--plugin", file, "--iters", "1")
        self.assertEqual(called.status, 0, called.err)

    def test_text_relocations(self) -> None:
        source = self.folder / "text.s"
        source.write_text(TEXT_RELOCATION)
        made = self.folder / "text.so"
        done = subprocess.run([*COMPILE[:1], "-shared", "-nostdlib", "-Wl,-z,notext", "-o", made, source])
        if done.returncode:
            self.skipTest("this linker makes none")
        self.is_refused("text relocations: compile all of it with -fPIC", made)

    def test_no_plugin(self) -> None:
        source = self.folder / "none.c"
        source.write_text("int none;\n")
        self.is_refused("it has no symbol shunt_plugin_v1", self.compiled("none", source=source))
        source.write_text("int missing(void); int (*const address)(void) = missing;\n")
        self.is_refused("the loader refuses it: .*missing", self.compiled("missing", source=source))

    def test_other_headers(self) -> None:
        other = self.folder / "other" / "core"
        other.mkdir(parents=True)
        (other / "plugin_fingerprint.h").write_text('#define SHUNT_PLUGIN_FINGERPRINT "0123"\n')
        flags = f"-I{other.parent}"
        coin = self.compiled("coin", flags, source=EXAMPLES / "policy" / "coin.c")
        self.is_refused("policy 'coin' is refused: it was compiled with other engine headers", coin)
        self.is_refused("workload 'subject' is refused: it was compiled with other engine headers",
                        self.compiled("locked", flags, '-DLOCKED="core/task.h"'))
        # What knows no struct of the engine fits all the same.
        file = self.compiled("subject", flags)
        self.assertEqual(self.call("run", "ucontext", "subject", "--plugin", file, "--iters", "1").status, 0)
        # From a folder it is listed with its reason, and whoever wants it learns it.
        self.environment["SHUNT_PLUGIN_PATH"] = str(self.folder)
        self.assertEqual(self.call("run", "ucontext", "yield", "switches=10", "--iters", "1").status, 0)
        called = self.call("run", "ucontext:policy=coin", "yield")
        self.assertEqual(called.status, 3)
        self.assertRegex(called.err, "policy 'coin' is refused: it was compiled with other engine headers")

    def test_two_versions_at_once(self) -> None:
        old, new = self.compiled("old"), self.compiled("new", "-DOPERATIONS=2")
        called = self.call("run", "ucontext", "subject", "--plugin", old, "--plugin", new)
        self.assertEqual(called.status, 2)
        self.assertRegex(called.err, rf"plug-in {new}: workload 'subject' is there already, from {old} \(build-id ")

    def test_a_wrong_table(self) -> None:
        for flag, reason in (
                ("-DENTRY_BYTES=8", "workload 'subject' is refused: its table is too short: 8 bytes"),
                ("-DENTRY_BYTES=8192", "it was made for a newer shunt"),
                ("-DBODY=NULL", "a field that is required is NULL"),
                ('-DKIND="colour"', "an unknown kind, 'colour'"),
                ('-DNAME="a b"', "its workload has no valid name"),
                ('-DNAME="yield"', "workload 'yield' is there already, in shunt itself"),
                ("-Wl,--build-id=none", "it has no build-id")):
            with self.subTest(flag):
                self.is_refused(reason, self.compiled("subject", flag))

    def test_conformance(self) -> None:
        called = self.call("conformance", "--plugin", self.compiled("coin", source=EXAMPLES / "policy" / "coin.c"))
        self.assertEqual(called.status, 0, called.out + called.err)
        self.assertRegex(called.out, r"(?s)coin: \d+ clauses kept.*coin,workers=2: \d+ runs.*\nconforming\n$")
        called = self.call("conformance", "--plugin", self.compiled("subject"))
        self.assertEqual(called.status, 0, called.out + called.err)
        called = self.call("conformance", "--plugin", self.compiled("wrong", "-DRIGHT=false"))
        self.assertEqual(called.status, 1)
        self.assertRegex(called.out, "not conforming: see above\n$")
        self.refused("conformance needs a plug-in, as in `shunt conformance --plugin mine.so`", "conformance")

    def lab(self, status: int, *words: str | Path, **more: object) -> Called:
        called = self.call("lab", *words, stdin=subprocess.DEVNULL, cwd=self.folder, **more)
        self.assertEqual(called.status, status, called.err)
        return called

    def test_an_experiment_loads_it_with_consent_alone(self) -> None:
        file, mark, campaign = self.compiled("subject"), self.folder / "mark", self.folder / "campaign"
        self.environment |= {"SUBJECT_MARK": str(mark), "SHUNT_BIN": SHUNT}
        (self.folder / "mine.toml").write_text(EXPERIMENT)
        for words in (("plan", "mine.toml"), ("plan", "mine.toml", "--dry-run"), ("run", "mine.toml", "--dry-run"),
                      ("run", "mine.toml")):
            called = self.lab(4, *words)
            self.assertIn(f"the plug-in subject.so is code that does not come with shunt: {file}", called.err)
        self.assertFalse(mark.exists(), "it was loaded without consent")
        self.lab(0, "plan", "mine.toml", "--trust", "--out", campaign)
        self.assertTrue(mark.exists())
        mark.unlink()
        plugin, = json.loads((campaign / "plan.json").read_text())["plugins"]
        self.assertEqual(plugin["file"], str(file))
        # The same in a folder that somebody handed over.
        self.lab(4, "run", campaign)
        self.lab(0, "verify", campaign)
        self.assertFalse(mark.exists(), "it was loaded without consent")
        self.lab(0, "run", campaign, "--trust", "--concurrent")
        records = [json.loads(p.read_text()) for p in (campaign / "records").rglob("*.json") if "env" not in p.parts]
        self.assertEqual({r["identity"]["composition"]["plugin.workload"] for r in records},
                         {f"subject@{plugin['build_id']}"})
        self.compiled("subject", "-DOPERATIONS=2")
        self.assertRegex(self.lab(4, "run", campaign, "--trust").err, "the plug-in .*subject.so has build ")
        file.unlink()
        self.assertRegex(self.lab(4, "run", campaign, "--trust").err, "plug-in .*subject.so: No such file")
        plan = (campaign / "plan.json").read_text()
        (campaign / "plan.json").write_text(plan.replace(str(file), "--strict"))
        self.lab(5, "run", campaign, "--trust")


if __name__ == "__main__":
    main()
