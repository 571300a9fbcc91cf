# SPDX-License-Identifier: MIT
# A plan from a stranger is data: every field is checked, no rule can be edited, nothing is started unasked.
"""Tests of reading.py, plan_file.py, sealing.py, trust.py, figure_kinds.py and Makefile.plot."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import pty
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import synthetic
from campaign_case import FAKE, LAB, Lab
from shuntlab.data import schema
from shuntlab.planning import campaign, drivers, figure_kinds, journal, kept_plan, schedule
from shuntlab.planning.kept_plan import Damaged
from shuntlab.running import opening, sealing

MAKEFILE = LAB.parents[1] / "Makefile.plot"
EXPECT = {"claim": "c", "metric": "m", "ratio": ["mn", {"arm": "asm", "tasks": 2}], "above": 1,
          "where": {"tasks": ">= 2"}, "line": 7}
FIGURES = [{"kind": "lines", "x": "tasks", "arms": "m*", "logy": True, "where": {}, "line": 3},
           {"kind": "load", "slo": "100us", "theory": ["exact", "fcfs", "ps-2"]}]


def good() -> dict:
    points = [{"workload": "yield", "axes": {"tasks": t}} for t in ("2", "8")]
    return synthetic.plan("demo", ["asm", "mn"], points, 2, 1, metrics=["m"], expect=[copy.deepcopy(EXPECT)],
                          figures=copy.deepcopy(FIGURES))


def put(the_plan: dict, path: str, value: object) -> dict:
    """The plan with a value at points.0.id, sealed again."""
    *way, last = [int(k) if k.isdigit() else k for k in path.split(".")]
    place = the_plan
    for key in way:
        place = place[key]
    place[last] = value
    return resealed(the_plan)


def resealed(the_plan: dict) -> dict:
    """As a forger would do it; a plan whose hashes cannot be made keeps those it had."""
    try:
        return kept_plan.sealed(the_plan)
    except (TypeError, KeyError, AttributeError):
        return the_plan


class Folder(unittest.TestCase):
    def setUp(self):
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.root = Path(held.name)

    def load(self, the_plan: object) -> dict:
        text = the_plan if isinstance(the_plan, str) else json.dumps(the_plan)
        (self.root / "plan.json").write_text(text)
        return kept_plan.load_plan(self.root)

    def refused(self, the_plan: object, *wanted: str) -> None:
        with self.assertRaises(Damaged) as caught:
            self.load(the_plan)
        for words in (str(self.root / "plan.json"), *wanted):
            self.assertIn(words, str(caught.exception))


class Checked(Folder):
    def test_a_good_one(self):
        self.assertEqual(self.load(good()), good())

    def test_what_is_not_what_it_should_be(self):
        for path, value, wanted in (
                ("margin", "x", "margin: 'x' is not a number"), ("margin", 1, "margin: 1 is not"),
                ("alpha", 5, "alpha: 5 is not"), ("alpha", float("nan"), "NaN is not a finite number"),
                ("repetitions", 10 ** 9, "repetitions: "), ("timeout_s", 0, "timeout_s: 0 is not"),
                ("timeout_s", 1e300, "timeout_s: 1e+300 is not a number from"),
                ("expect", [{}], "expect[0]: 'claim' is missing"), ("figures", 5, "write [[figures]]"),
                ("expect.0.ratio", ["mn", "am"], "expect[0].ratio: no arm 'am'; did you mean 'asm'?"),
                ("expect.0.ratio", [["mn"], {"arm": []}], "is not an arm"),
                ("expect.0.where", {"tasks": [1]}, "expect[0].where.tasks: [1] is not"),
                ("expect.0.above", -1, "expect[0].above: -1"),
                ("drivers", [], "drivers: [] is not a table"), ("drivers", {"x": {}}, "drivers.x.build_id"),
                ("commands", {"shunt": ["./x"]}, "come with shunt"), ("commands", {"x": "sh"}, "commands.x"),
                ("metrics", [[]], "metrics: "), ("baseline", "am", "baseline: no arm 'am'"),
                ("cpus", "list 9-1", "cpus: "), ("cpus", "list 0-99999999999", "cpus: "),
                ("arms.0.name", "evil\n", "arms[0].name: 'evil\\n'"), ("arms.1.name", "../x", "arms[1].name"),
                ("arms.0.backend", "--record=x", "is not a backend"), ("arms.0.driver", "-x", "arms[0].driver"),
                ("arms.1.name", "asm", "a second one is named 'asm'"), ("arms", {}, "is not a list of tables"),
                ("points.0.workload", "--trace", "points[0].workload"), ("points.0.id", 5, "points[0].id"),
                ("points.0.params", {"--record": "/x"}, "points[0].params.--record"),
                ("points.0.params", {"tasks\n": "2"}, "is not a letter, then"),
                ("points.0.params", {"tasks": 2}, "points[0].params.tasks: 2 is not a text"),
                ("points.0.axes", [], "points[0].axes"), ("points.0.excluded", [5], "points[0].excluded[0]"),
                ("points.0.iters", 10 ** 7, "points[0].iters"), ("points.0.arms", ["no"], "no arm 'no'"),
                ("blocks.0.id", "b1/../x", "blocks[0].id"), ("blocks.0.point", [], "blocks[0].point"),
                ("blocks.0.order", ["asm"], "is not the arms of its point"),
                ("blocks.0.seed", "-1", "blocks[0].seed"), ("blocks.0.seed", 5, "blocks[0].seed"),
                ("experiment.name", "../x", "experiment.name"), ("experiment.title", "\ud800", "surrogate"),
                ("experiment.title", "\x1b", "control character"),
                ("experiment.question", "x" * 20_000, "20,000 characters"), ("extra", 1, "extra: unknown key"),
                ("types", {"yield": {"tasks": []}}, "types.yield.tasks"),
                ("figures.0.kind", ";touch$IFS/tmp/x;#", "no figure kind"),
                ("figures.0.kind", "../../x", "no figure kind"), ("figures.0.kind", "_style", "no figure kind"),
                ("figures.0.kind", [], "figures[0].kind"), ("figures.0.arms", 5, "figures[0].arms: 5"),
                ("figures.0.series", {}, "figures[0].series"), ("figures.0.logy", "yes", "true or false"),
                ("figures.0.sereis", "arm", "kind lines has no key 'sereis'; did you mean 'series'?"),
                ("figures.0.slo", "1us", "kind lines has no key 'slo'"),
                ("figures.1.slo", "-1us", "figures[1].slo"), ("figures.1.theory", "fcfs-0", "figures[1].theory"),
                ("figures.1.theory", "ps-99999999", "figures[1].theory"),
                ("figures.1.theory", "exact-2", "figures[1].theory"),
                ("figures.0.where", 5, "where")):
            with self.subTest(f"{path} = {value!r:.40}"):
                self.refused(put(good(), path, value), wanted)

    def test_what_is_no_plan(self):
        for text in ("", "[]", "{", "5", "[" * 100_000, '{"schema": "shunt.plan/1"}', "1" * 5000,
                     '{"schema": "shunt.plan/1", "experiment": 5}', '{"schema": "shunt.plan/1", "experiment": {}}'):
            with self.subTest(text[:40]):
                self.refused(text)
        for key in set(good()) - {"seal", "types", "figures_id", "plan_id"}:
            with self.subTest(key):
                self.refused(resealed({k: v for k, v in good().items() if k != key}))

    def test_any_edit_is_refused_or_leaves_a_plan_that_can_be_worked_with(self):
        chance = random.Random(7)
        passed = 0
        for _ in range(600):
            edited = resealed(mutated(good(), chance))
            try:
                the_plan = self.load(edited)
            except Damaged:
                continue
            passed += 1
            opening.describe(the_plan)
            figure_kinds.named(the_plan)
            for block in the_plan["blocks"]:
                for arm in block["order"]:
                    for word in schedule.run_arguments(the_plan, block, arm)[1:3]:
                        self.assertNotEqual(word[0], "-")
        self.assertGreater(passed, 20, "the edits are all too coarse to show anything")

    def test_a_pattern_of_the_schema_ends_at_the_end(self):
        node = {"pattern": "^[a-z]+$", "propertyNames": {"pattern": "^[a-z]+$"}}
        self.assertEqual(schema.check("evil", node, {}), [])
        self.assertTrue(schema.check("evil\n", node, {}))
        self.assertTrue(schema.check({"evil\n": 1}, node, {}))

    def test_the_schema_says_where_it_is_not_kept(self):
        rule = {"properties": {"a": {"items": {"anyOf": [{"type": "integer"}, {"$ref": "#/word"}]}}},
                "required": ["b"], "additionalProperties": False}
        found = schema.check({"a": [1, "x", True], "c": 1}, rule, {"word": {"type": "string", "minLength": 2}})
        self.assertEqual(found, ["a[1]: 'x' is not of type integer", "a[2]: True is not of type integer",
                                 "b: missing", "c: not allowed"])
        self.assertRaises(ValueError, schema.check, 1, {"properties": {"a": {"multipleOf": 2}}}, {})


ODD = (None, True, 0, -1, 5, 1e308, 2 ** 70, 10 ** 400, "", "x", "\n", "-x", "../..", "9" * 200, [], [[]], [5], {},
       {"x": 1}, "\ud800", "asm", "b0000")


def mutated(value, chance: random.Random):
    """A JSON document with one place changed, dropped or doubled."""
    place, ways = value, []
    while isinstance(place, (dict, list)) and place and (not ways or chance.random() < 0.8):
        key = chance.choice(list(place)) if isinstance(place, dict) else chance.randrange(len(place))
        ways.append((place, key))
        place = place[key]
    holder, key = ways[-1]
    how = chance.randrange(4)
    if how == 0:
        del holder[key]
    elif how == 1 and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
    else:
        holder[key] = chance.choice(ODD)
    return value


class Seals(Folder):
    def test_a_rule_that_was_edited(self):
        for path, value in (("margin", 0.5), ("alpha", 0.2), ("metrics", ["n"]), ("expect.0.above", 2),
                            ("expect", []), ("experiment.expectation", "What came."),
                            ("types", {"yield": {"tasks": "size"}}), ("created", "2020-01-01")):
            with self.subTest(path):
                edited = put(good(), path, value)
                self.refused({**edited, "seal": good()["seal"]}, "changed after it was frozen", "seal")
        edited = put(good(), "blocks.0.seed", "1")
        self.refused({**edited, "plan_id": good()["plan_id"]}, "plan_id no longer matches")

    def test_figures_may_be_mended_and_that_shows(self):
        self.assertFalse(kept_plan.is_mended(self.load(good())))
        moved = {**good(), "figures": [{**f, "line": 99} for f in FIGURES]}
        self.assertFalse(kept_plan.is_mended(self.load(moved)), "a line number is no change")
        self.assertTrue(kept_plan.is_mended(self.load({**good(), "figures": [{"kind": "forest"}]})))

    def test_one_without_a_seal_is_not_trusted(self):
        self.refused({k: v for k, v in good().items() if k != "seal"}, "has no seal", "--seal")

    def test_a_forged_seal_is_not_that_of_the_sessions(self):
        self.load(good())
        journal.Session(self.root, {"seal": good()["seal"]}).close("complete")
        part = campaign.load_campaign(self.root)
        self.assertEqual(sealing.other_rules(part), [])
        self.load(put(good(), "margin", 0.5))
        part = campaign.load_campaign(self.root)
        self.assertIn("another seal", sealing.other_rules(part)[0].why)


class OldPlans(Lab):
    def unsealed(self, **more) -> None:
        file = self.out / "plan.json"
        the_plan = json.loads(file.read_text())
        for key in ("seal", "figures_id", "types"):
            the_plan.pop(key)
        file.write_text(json.dumps({**the_plan, **more}))

    def test_they_are_sealed_once_they_say_what_their_experiment_says(self):
        self.lab("run", self.experiment(n=1), "--out", self.out)
        sealed = kept_plan.load_plan(self.out)
        self.unsealed()
        for words in (("verify",), ("status",), ("export",), ("run", "--dry-run")):
            self.assertIn("has no seal", self.lab(words[0], self.out, *words[1:], code=5).stderr)
        self.assertIn("sealed", self.lab("verify", self.out, "--seal").stdout)
        self.assertEqual(kept_plan.load_plan(self.out), sealed)
        self.unsealed(margin=0.3)
        self.assertIn("margin is not what", self.lab("verify", self.out, "--seal", code=5).stderr)
        text = (self.out / "experiment.toml").read_text()
        (self.out / "experiment.toml").write_text("margin = 0.3\n" + text)
        self.assertIn("not the file that the plan was frozen from",
                      self.lab("verify", self.out, "--seal", code=5).stderr)


class Strangers(Lab):
    """An experiment that brings a driver which leaves a mark when it is started."""

    def setUp(self):
        super().setUp()
        self.mark = self.root / "started"
        program = self.root / "mine"
        program.write_text(f'#!/bin/sh\n: > {shlex.quote(str(self.mark))}\n'
                           f'FAKE_DRIVER=mine exec {shlex.quote(str(FAKE))} "$@"\n')
        program.chmod(0o755)
        self.more = '[[arm]]\nname = "x"\ndriver = "mine"\n[driver.mine]\ncommand = ["./mine"]\n'

    def test_what_only_looks_starts_nothing(self):
        file = self.experiment(n=1, more=self.more)
        looks = (("plan", "--dry-run"), ("plan", "--list"), ("plan", "--commands"), ("plan", "--json"),
                 ("run", "--dry-run"), ("run", "--list"))
        for words in looks:
            self.lab(words[0], file, *words[1:])
        self.assertFalse(self.mark.exists())
        self.lab("plan", file, "--out", self.out, "--trust")
        self.mark.unlink()
        for words in (*looks, ("status",), ("status", "--command", "b0001"), ("verify",), ("export",)):
            self.lab(words[0], self.out, *words[1:])
        self.assertFalse(self.mark.exists())

    def test_it_is_shown_and_needs_a_consent(self):
        file = self.experiment(n=1, more=self.more)
        for words in (("plan", file), ("run", file)):
            done = self.lab(*words, "--out", self.out, code=4)
            self.assertIn(f"does not come with shunt: {self.root.resolve()}/mine. Look", done.stderr)
        self.assertFalse(self.mark.exists() or self.out.exists())
        self.lab("run", file, "--out", self.out, "--trust")
        self.mark.unlink()
        self.lab("run", self.out, code=4)
        self.assertFalse(self.mark.exists(), "a consent was remembered in a folder that may be anyone's")

    def test_a_terminal_is_asked(self):
        self.lab("plan", self.experiment(n=1, more=self.more), "--out", self.out, "--trust")
        for answer, code in (("n\n", 4), ("y\n", 0)):
            self.mark.unlink(missing_ok=True)
            ours, theirs = pty.openpty()
            os.write(ours, answer.encode())
            done = subprocess.run(self.command("run", self.out, "--quiet"), stdin=theirs, stderr=theirs,
                                  stdout=subprocess.PIPE, env=self.environment(), timeout=200)
            said = os.read(ours, 1 << 16).decode()
            os.close(ours), os.close(theirs)
            self.assertEqual((done.returncode, self.mark.exists()), (code, code == 0), said)
            self.assertIn("Start it? [y/N]", said)

    def test_a_program_belongs_to_the_plans_identity(self):
        ids = {kept_plan.plan_id({**good(), "commands": c}) for c in ({}, {"x": ["./a"]}, {"x": ["./b"]})}
        self.assertEqual(len(ids), 3)

    def test_what_comes_with_shunt_is_ours_and_nothing_else_is(self):
        ours = "{experiments}/drivers/floor_driver.py"
        self.assertTrue(drivers.shipped(["python3", ours]))
        self.assertEqual(kept_plan.plan_id({**good(), "commands": {"x": ["python3", ours]}}), good()["plan_id"])
        for words in (["python3", ours, "--record"], ["python3", "-c", ours], ["sh", ours], [ours], "python3", 5,
                      ["python3", "{experiments}/drivers/../x.py"], ["python3", ours + "\n"], ["python3", 5]):
            self.assertFalse(drivers.shipped(words), words)

    def test_shunt_cannot_be_replaced(self):
        more = self.more.replace("mine]", "shunt]").replace('driver = "mine"', 'backend = "asm"')
        done = self.lab("plan", self.experiment(more=more), "--dry-run", code=2)
        self.assertIn("shunt, asyncio, erlang, go, tokio come with shunt", done.stderr)


class Figures(Lab):
    def hostile(self, kind: str) -> None:
        the_plan = {**good(), "figures": [{"kind": kind, "name": "x"}]}
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        (self.out / "plan.json").write_text(json.dumps(the_plan))

    @unittest.skipUnless(shutil.which("make"), "make is absent")
    def test_make_evaluates_nothing_of_a_plan(self):
        mark = self.root / "mark"
        for kind in (f";touch$$IFS{mark};#", f"$(shell touch {mark})", "../../x", f"x; touch {mark}"):
            self.hostile(kind)
            for target in ("figures", "tables", "check", "list"):
                done = subprocess.run(["make", "-f", str(MAKEFILE), target, f"CAMPAIGN={self.out}"],
                                      capture_output=True, text=True, env=self.environment())
                self.assertNotEqual(done.returncode, 0)
                self.assertIn("no figure kind", done.stderr)
            self.assertFalse(mark.exists(), kind)

    @unittest.skipUnless(shutil.which("make"), "make is absent")
    def test_the_name_of_a_folder_is_no_code_either(self):
        for name in ("a $(shell touch mark)", "a; touch mark", "a b", "it's", "$(touch mark)"):
            folder = self.root / name
            folder.mkdir()
            (folder / "plan.json").write_text(json.dumps(good()))
            done = subprocess.run(["make", "-f", str(MAKEFILE), "list", f"CAMPAIGN={folder}"], cwd=self.root,
                                  capture_output=True, text=True, env=self.environment())
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("demo-lines", done.stdout)
        self.assertFalse((self.root / "mark").exists())

    def test_kinds_are_explained(self):
        said = self.lab("figures", "--kinds").stdout
        for kind, keys in figure_kinds.kinds().items():
            self.assertIn(f"\n{kind}: ", said)
            for key in keys:
                self.assertRegex(said, rf"\n  {key} +\S")

    def test_a_script_declares_the_keys_that_it_uses(self):
        for kind, keys in figure_kinds.kinds().items():
            text = (figure_kinds.PLOTS / f"{kind}.py").read_text()
            used = set(re.findall(r'(?:ctx|spec)\.(?:spec\.)?get\("(\w+)"', text))
            used |= set(re.findall(r'ctx\.metric\("(\w+)"\)', text)) | ({"y"} if "ctx.metric()" in text else set())
            self.assertEqual(used - set(figure_kinds.COMMON), set(keys), kind)

    def test_wrong_keys_are_told_when_the_plan_is_made(self):
        file = self.experiment(n=1)
        file.write_text(file.read_text() + '[[figure]]\nkind = "lines"\nsereis = "arm"\narms = 5\n')
        said = self.lab("plan", file, "--dry-run", code=2).stderr
        self.assertIn("demo.toml:12: figure[0].sereis: a figure of kind lines has no key 'sereis'; did you mean "
                      "'series'?", said)
        self.assertIn("demo.toml:13: figure[0].arms: 5 is not a name or a list of names", said)


class Statuses(Lab):
    def test_a_fault_of_the_lab_is_no_answer(self):
        code = "import sys; from shuntlab import cli; cli._main = lambda words: 1 / 0; sys.exit(cli.main([]))"
        done = subprocess.run([sys.executable, "-c", code], cwd=LAB.parent, capture_output=True, text=True)
        self.assertEqual(done.returncode, 70)
        self.assertIn("ZeroDivisionError", done.stderr)

    def test_corrupt_data_has_a_status_of_its_own(self):
        self.lab("run", self.experiment(n=1), "--out", self.out)
        more = (("compare",), ("claims",), ("report", "--out", self.root / "r.html")) \
            if importlib.util.find_spec("scipy") else ()
        file = self.out / "plan.json"
        whole = json.loads(file.read_text())
        for broken in ({**whole, "margin": "x"}, {**whole, "expect": [{}]}, {**whole, "figures": 5}, []):
            file.write_text(json.dumps(broken))
            for words in (("verify",), ("status",), ("run", "--dry-run"), ("run",), ("export",), ("figures",), *more):
                done = self.lab(words[0], self.out, *words[1:], code=5)
                self.assertNotIn("Traceback", done.stderr)
                self.assertIn(str(file), done.stderr)
        file.write_text(json.dumps(whole))
        campaign.record_files(self.out)[0].write_text("{")
        for words in (("verify",), ("export",), *more):
            self.lab(words[0], self.out, *words[1:], code=5)


if __name__ == "__main__":
    unittest.main()
