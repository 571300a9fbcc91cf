# SPDX-License-Identifier: MIT
# Every mistake in an experiment is reported with its file, line, key and the nearest name.
"""Tests of toml_lines.py, toml_spec.py, plan.py, catalog.py and units.py."""

from __future__ import annotations

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
try:
    import tomllib
except ImportError:
    print("skipped: Python 3.11 or later is needed (tomllib)")
    sys.exit(77)

from shuntlab.commands import index, new as template
from shuntlab.planning import drivers as found, plan, schedule, specs, toml_spec
from shuntlab.planning.catalog import Catalog
from shuntlab.planning.drivers import Driver
from shuntlab.tools import toml_lines, units

GOOD = """\
question = "How?"
expectation = "So."
backends = ["asm", "ucontext"]
repetitions = 4

[[workload]]
name = "yield"
[workload.params]
tasks = [2, "1k"]
switches = "10k"
"""

CATALOG = Catalog("/nonexistent", {
    "backends": {"asm": "", "ucontext": "", "mn": "", "uring": "not built: liburing not found"},
    "workloads": {"yield": "", "timers": "", "chunked_sum": ""},
    "switches": {"asm": "", "ucontext": ""}, "waits": {"futex": "", "spin": "", "uring": "no"},
    "policies": {"fifo": "", "lifo": ""}, "timers": {"heap": ""}, "places": {"none": ""}},
    {"workers": {"type": "count"}, "stack.size": {"type": "size"}},
    {("workloads", "yield"): {"tasks": {"type": "count", "min": 1, "max": 1000},
                              "switches": {"type": "count"},
                              "mode": {"type": "choice", "choices": ["fast", "slow"]}},
     ("workloads", "chunked_sum"): {"input": {"type": "text"}},
     ("workloads", "timers"): {"tasks": {"type": "count"}, "period": {"type": "duration"}},
     ("waits", "spin"): {"wait.grid": {"type": "duration"}}})


def drivers() -> dict[str, Driver]:
    return {"shunt": Driver("shunt", ["shunt"], "ab" * 10, "1", "", CATALOG),
            "go": Driver("go", absent="Go is not installed")}


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def load(self, text: str, name: str = "demo.toml") -> toml_spec.Experiment:
        file = Path(self.folder.name) / name
        file.write_text(text)
        return toml_spec.load(file)

    def freeze(self, text: str, cpus: int = 4) -> plan.Frozen:
        return plan.freeze(self.load(text), drivers(), cpus)

    def refused(self, text: str, *wanted: str, freeze: bool = False) -> str:
        with self.assertRaises(toml_spec.SpecError) as caught:
            self.freeze(text) if freeze else self.load(text)
        message = str(caught.exception)
        for words in wanted:
            self.assertIn(words, message)
        return message


class Mistakes(Case):
    def test_the_good_one_is_accepted(self):
        e = self.load(GOOD)
        self.assertEqual((e.name, e.baseline, e.repetitions), ("demo", "asm", 4))

    def test_malformed_toml_names_line_and_column(self):
        self.refused(GOOD + "oops = = 3\n", "demo.toml:11:", "not TOML")

    def test_not_utf8(self):
        file = Path(self.folder.name) / "x.toml"
        file.write_bytes(b"question = \"\xff\"\n")
        with self.assertRaisesRegex(toml_spec.SpecError, "not UTF-8 at byte 12"):
            toml_spec.load(file)

    def test_unknown_key_has_line_path_and_nearest_name(self):
        self.refused(GOOD.replace("repetitions", "repetition"), "demo.toml:4: repetition:",
                     "did you mean 'repetitions'?")
        self.refused(GOOD.replace("name = ", "nmae = "), "demo.toml:7: workload[0].nmae")

    def test_every_mistake_is_reported_at_once(self):
        text = self.refused(GOOD.replace("4", "0").replace("question", "questio"))
        self.assertGreaterEqual(len(text.splitlines()), 3)

    def test_required_texts(self):
        self.refused(GOOD.replace('"How?"', '"  "'), "demo.toml:1: question")
        self.refused(GOOD.replace('expectation = "So."', ""), "'expectation' is missing")

    def test_wrong_types(self):
        self.refused("margin = 2.5\n" + GOOD, "demo.toml:1: margin: 2.5 is not a number from 0 to below 1")
        self.refused("timeout = 60\n" + GOOD, "timeout", "60s")
        self.refused("timeout = \"0s\"\n" + GOOD, "timeout")
        self.refused("repetitions = true\n" + GOOD.replace("repetitions = 4", ""), "repetitions")
        self.refused("cpus = \"some\"\n" + GOOD, "cpus")
        self.refused("control = 1\n" + GOOD, "control")

    def test_numbers_beyond_what_a_run_takes(self):
        for text, wanted in (
                ("warmup = 1000001\n", "demo.toml:1: warmup: 1000001 is not a whole number from 0 to 1,000,000"),
                ("iters = 0\n", "demo.toml:1: iters: 0 is not a whole number from 1 to 1,000,000"),
                ('cpus = "0-99999999999"\n', "demo.toml:1: cpus: '0-99999999999' is not \"all\""),
                ('cpus = "3-1"\n', "demo.toml:1: cpus: '3-1' is not \"all\""),
                (f'name = "{"a" * 101}"\n', "demo.toml:1: name: 'aaa")):
            self.refused(text + GOOD, wanted)
        self.refused(GOOD + f'[[arm]]\nname = "{"a" * 101}"\nbackend = "mn"\n', "demo.toml:12: arm[0].name: 'aaa")
        self.assertEqual(self.load("margin = 0\n" + GOOD).margin, 0)

    def test_dates_and_numbers_that_are_none(self):
        self.refused(GOOD + '\n[[figure]]\nkind = "lines"\ncaption = 2026-11-23\n',
                     "caption: a date or a time (2026-11-23): write it as a text")
        self.refused(GOOD + '\n[[figure]]\nkind = "lines"\nslo = [1.0, inf]\n',
                     "slo", "inf is not a number")

    def test_a_mark_of_the_editor(self):
        self.assertEqual(self.load("\ufeff" + GOOD).question, "How?")

    def test_a_setting_below_a_table(self):
        self.refused(GOOD.replace('[workload.params]', 'seed = 3\n[workload.params]'),
                     "demo.toml:8: workload[0].seed", "above the first [table]")

    def test_arms(self):
        self.refused(GOOD.replace('["asm", "ucontext"]', "[]"), "no backend to run")
        self.refused(GOOD.replace('"ucontext"', '"asm"'), "a second arm is named 'asm'")
        self.refused('baseline = "ams"\n' + GOOD, "no arm 'ams'", "did you mean 'asm'?")
        self.refused(GOOD + '[[arm]]\nname = "a b"\nbackend = "asm"\n', "arm[0].name")

    def test_empty_sweep(self):
        self.refused(GOOD.replace('[2, "1k"]', "[]"), "demo.toml:9: workload[0].params.tasks",
                     "empty list")

    def test_a_text_is_no_ratio(self):
        message = self.refused(GOOD + '[[expect]]\nclaim = "c"\nmetric = "m"\nratio = "asm"\nabove = 1\n',
                               "demo.toml:14: expect[0].ratio: is [")
        self.assertNotIn("no arm", message)

    def test_expectations(self):
        e = '\n[[expect]]\nclaim = "x"\nmetric = "m"\nratio = ["asm", "ucontextt"]\n'
        text = self.refused(GOOD + e, "expect[0].ratio", "did you mean 'ucontext'?", "needs 'above'")
        self.assertIn("demo.toml:15", text)

    def test_exclusion_needs_a_reason(self):
        self.refused(GOOD + '\n[[exclude]]\narm = "asm"\n', "exclude[0]: 'why' is missing")

    def test_name_of_the_file(self):
        with self.assertRaisesRegex(toml_spec.SpecError, "lower-case"):
            self.load(GOOD, "My Test.toml")


class AgainstTheBinary(Case):
    def test_unknown_backend(self):
        self.refused(GOOD.replace("ucontext", "ucontxt"), "no backend 'ucontxt'",
                     "did you mean 'ucontext'?", "demo.toml:3: backends", freeze=True)

    def test_unknown_but_optional(self):
        arm = '[[arm]]\nname = "x"\nbackend = "warp"\n'
        self.refused(GOOD + arm, "no backend 'warp'", freeze=True)
        frozen = self.freeze(GOOD + arm + "optional = true\n")
        self.assertIn("left out: x: this build has no backend 'warp'", " ".join(frozen.notes))

    def test_unknown_slot_and_value(self):
        self.refused(GOOD.replace('"ucontext"', '"asm:wiat=spin"'), "no slot 'wiat'",
                     "did you mean 'wait'?", freeze=True)
        self.refused(GOOD.replace('"ucontext"', '"asm:wait=spinn"'), "no wait 'spinn'",
                     freeze=True)

    def test_unknown_workload_and_parameter(self):
        self.refused(GOOD.replace("yield", "yeild"), "demo.toml:7: workload[0].name",
                     "did you mean 'yield'?", freeze=True)
        self.refused(GOOD.replace("switches", "swiches"), "demo.toml:10: workload[0].params.swiches",
                     "did you mean 'switches'?", freeze=True)

    def test_values(self):
        for value, wanted in (("0", "tasks = '0' is out of range: 1 to 1000"), ('"1001"', "out of range"),
                              ('"2.5"', "tasks = '2.5' is no count such as"),
                              ('"1..100G"', "more than 2,000,000 values")):
            self.refused(GOOD.replace('[2, "1k"]', value), f"demo.toml:9: workload[0].params.tasks: ", wanted,
                         freeze=True)
        self.refused(GOOD + 'mode = "fst"\n', "demo.toml:11: workload[0].params.mode: mode = 'fst': expected fast, "
                     "slow; did you mean 'fast'?", freeze=True)

    def test_what_expectations_and_figures_speak_of(self):
        expect = GOOD + '[[expect]]\nclaim = "c"\nmetric = "m"\nratio = ["asm", {}]\nabove = 1\n'
        for more, wanted in (
                ('workload = "yeld"', "workload: no workload 'yeld' here; did you mean 'yield'?"),
                ("where = { taks = 2 }", "where: no parameter 'taks' here; did you mean 'tasks'?")):
            wanted = f"demo.toml:16: expect[0].{wanted}"
            self.refused(expect.format('"ucontext"') + more, wanted, freeze=True)
        self.refused(expect.format('{ arm = "asm", taks = 2 }'), "demo.toml:14: expect[0].ratio: no parameter 'taks'",
                     freeze=True)
        figure = GOOD + '[[figure]]\nkind = "lines"\n'
        self.refused(figure + 'workload = "yeld"\n', "demo.toml:13: figure[0].workload: no workload", freeze=True)
        for more, wanted in (('x = "taks"', "figure[0].x: no parameter 'taks' here; did you mean 'tasks'?"),
                             ('arms = ["amn"]', "figure[0].arms: no arm 'amn' here; did you mean 'asm'?")):
            self.assertTrue(any(wanted in n for n in self.freeze(figure + more).notes), more)
        good = self.freeze(figure + 'x = "tasks"\nseries = "wait"\nfacet = "machine"\narms = ["a*"]\n'
                                    'where = { tasks = 2 }')
        self.assertFalse([n for n in good.notes if "figure" in n])

    def test_not_built_is_left_out_with_the_reason(self):
        frozen = self.freeze(GOOD.replace('"ucontext"', '"ucontext", "uring"'))
        self.assertNotIn("uring", frozen.plan["points"][0]["arms"])
        self.assertEqual(frozen.plan["points"][0]["excluded"][0]["arm"], "uring")
        self.assertIn("liburing not found", " ".join(frozen.notes))

    def test_a_baseline_that_is_not_built_is_an_error(self):
        self.refused(GOOD.replace('"asm"', '"uring"'), "baseline", "liburing", freeze=True)

    def test_foreign_runtime_absent(self):
        frozen = self.freeze(GOOD + '[[arm]]\nname = "go"\ndriver = "go"\n')
        self.assertIn("Go is not installed", " ".join(frozen.notes))
        self.assertNotIn("go", frozen.plan["drivers"])

    def test_nothing_left(self):
        self.refused(GOOD + '[[exclude]]\narm = "*"\nwhy = "all"\n', "nothing is left to run",
                     freeze=True)

    def test_too_many_runs(self):
        self.refused(GOOD.replace('[2, "1k"]', '["1..300000"]'), "a campaign holds at most",
                     "demo.toml:6: workload[0]", freeze=True)

    def test_an_override_that_an_arm_fixes(self):
        self.refused(GOOD.replace('"ucontext"', '"asm:wait=spin"')
                     + '[workload.backend]\nwait = ["futex"]\n', "already fixes wait", freeze=True)


class Plans(Case):
    def test_blocks(self):
        p = self.freeze(GOOD).plan
        self.assertEqual(len(p["points"]), 2)
        self.assertEqual(len(p["blocks"]), 8)
        for block in p["blocks"]:
            self.assertEqual(sorted(block["order"]), ["asm", "asm-again", "ucontext"])
        # Rounds: after each round every point has as many repetitions.
        for i in range(0, 8, 2):
            self.assertEqual(len({b["point"] for b in p["blocks"][i:i + 2]}), 2)

    def test_the_seed_depends_on_the_block_alone(self):
        one, two = self.freeze(GOOD).plan, self.freeze(GOOD.replace('"ucontext"', '"mn"')).plan

        def seeds(p):
            return {(b["point"], b["repetition"]): b["seed"] for b in p["blocks"]}
        self.assertEqual(seeds(one), seeds(two))
        self.assertEqual(len(set(seeds(one).values())), 8)

    def test_frozen_twice_is_the_same_plan(self):
        one, two = self.freeze(GOOD).plan, self.freeze("# a comment\n" + GOOD).plan
        self.assertEqual(one["plan_id"], two["plan_id"])
        self.assertEqual(one["blocks"], two["blocks"])
        other = self.freeze("seed = 2\n" + GOOD).plan
        self.assertNotEqual(one["plan_id"], other["plan_id"])

    def test_order_within_blocks_is_not_always_the_same(self):
        p = self.freeze(GOOD.replace("= 4", "= 20")).plan
        firsts = [b["order"][0] for b in p["blocks"]]
        self.assertEqual(set(firsts), {"asm", "asm-again", "ucontext"})

    def test_too_few_repetitions_for_a_verdict_are_said(self):
        self.assertIn("up to 2 comparisons (arms x points x metrics) need at least 7",
                      " ".join(self.freeze(GOOD).notes))
        self.assertEqual(self.freeze(GOOD.replace("= 4", "= 7")).notes, [])

    def test_every_metric_is_a_comparison(self):
        many = 'metrics = ["ns_per_switch", "lateness.p99", "cpu_ns", "ns_per_timer"]\n' + GOOD.replace("= 4", "= 7")
        CATALOG.costs = {"yield": "ns_per_switch", "timers": "ns_per_timer"}
        self.addCleanup(CATALOG.costs.clear)
        self.assertIn("up to 8 comparisons", " ".join(self.freeze(many).notes))
        both = many + '[[workload]]\nname = "timers"\n'
        self.assertIn("up to 9 comparisons", " ".join(self.freeze(both).notes),
                      "neither workload has the other's cost")

    def test_axes_are_in_base_units(self):
        p = self.freeze(GOOD).plan
        self.assertEqual([x["axes"]["tasks"] for x in p["points"]], ["2", "1000"])
        self.assertEqual(p["points"][1]["params"]["tasks"], "1k")

    def test_types_come_from_the_program(self):
        p = self.freeze(GOOD.replace('"yield"', '"timers"').replace('switches = "10k"', 'period = ["1ms"]')
                        .replace('"ucontext"', '"asm:wait=spin,wait.grid=2us"')).plan
        self.assertEqual(p["types"], {"": {"stack.size": "size", "wait.grid": "duration"},
                                      "timers": {"period": "duration"}})
        self.assertEqual(p["points"][0]["axes"]["period"], "1000000")

    def test_overrides_and_ranges(self):
        p = self.freeze(GOOD + '[workload.backend]\nworkers = ["pow2..all"]\n', cpus=6).plan
        workers = sorted({x["overrides"]["workers"] for x in p["points"]})
        self.assertEqual(workers, ["1", "2", "4", "6"])
        block = p["blocks"][0]
        words = schedule.run_arguments(p, block, "ucontext")
        self.assertRegex(words[1], r"^ucontext:workers=\d$")
        self.assertIn("--seed", words)

    def test_a_range_is_a_sweep_without_a_list_too(self):
        p = self.freeze(GOOD.replace('[2, "1k"]', '"pow2..8"')).plan
        self.assertEqual([x["id"] for x in p["points"]], [f"yield,tasks={n}" for n in (1, 2, 4, 8)])

    def test_blanks_and_equal_values(self):
        p = self.freeze(GOOD.replace('[2, "1k"]', '[" 1k", 1000, 1e3, "1000.0", "2"]')).plan
        self.assertEqual([x["params"]["tasks"] for x in p["points"]], ["1k", "2"])

    def test_an_input_lies_beside_the_experiment(self):
        text = GOOD[:GOOD.index("[[workload]]")] + '[[workload]]\nname = "chunked_sum"\nparams.input = "../{}"\n'
        self.refused(text.format("absent.txt"), "workload[0].params.input: '../absent.txt': no such file beside "
                     "demo.toml", freeze=True)
        (Path(self.folder.name) / "sub").mkdir()
        file = Path(self.folder.name) / "n.txt"
        file.write_text("1 2 3")
        e = self.load(text.format("n.txt"), "sub/demo.toml")
        point = plan.freeze(e, drivers(), 4).plan["points"][0]
        self.assertEqual(point["params"], {"input": str(file.resolve())})
        self.assertEqual(point["id"], "chunked_sum")

    def test_each(self):
        text = GOOD.replace('backends = ["asm", "ucontext"]',
                            'baseline = "asm-futex-fifo"\n[[arm]]\nbackend = "asm"\n'
                            'each = { wait = "all", policy = ["fifo", "lifo"] }\n')
        text = text.replace("repetitions = 4\n", "")
        names = [a["name"] for a in self.freeze(text).plan["arms"]]
        self.assertEqual(names, ["asm-futex-fifo", "asm-futex-fifo-again", "asm-futex-lifo",
                                 "asm-spin-fifo", "asm-spin-lifo"])

    def test_excluded_by_condition(self):
        p = self.freeze(GOOD + '[[exclude]]\narm = "u*"\nwhere = { tasks = ">= 1k" }\nwhy = "no"\n')
        by_id = {x["id"]: x for x in p.plan["points"]}
        self.assertIn("ucontext", by_id["yield,tasks=2"]["arms"])
        self.assertNotIn("ucontext", by_id["yield,tasks=1k"]["arms"])

    def test_digits_are_in_the_plan_and_in_every_command(self):
        plain, coarse = self.freeze(GOOD).plan, self.freeze("digits = 2\n" + GOOD).plan
        self.assertNotIn("digits", plain)       # as in the plans of old
        self.assertEqual(coarse["digits"], 2)
        self.assertNotEqual(plain["plan_id"], coarse["plan_id"])
        self.assertEqual(plain["blocks"], coarse["blocks"])
        for arm in coarse["blocks"][0]["order"]:
            words = schedule.run_arguments(coarse, coarse["blocks"][0], arm)
            self.assertEqual(words[words.index("--digits") + 1], "2")
            self.assertNotIn("--digits", schedule.run_arguments(plain, plain["blocks"][0], arm))
        self.refused("digits = 4\n" + GOOD, "demo.toml:1: digits: 4 is not 2 or 3")

    def test_an_exclusion_that_excludes_nothing_is_said(self):
        f = self.freeze(GOOD + '[[exclude]]\narm = "asm"\nworkload = "ring"\nwhy = "no"\n')
        self.assertIn("excludes nothing", " ".join(f.notes))

    def test_template(self):
        file = Path(self.folder.name) / "mine.toml"
        e = self.load(template.text(file), "mine.toml")
        frozen = plan.freeze(e, drivers(), 2)
        self.assertEqual(len(frozen.plan["points"]), 2)
        # The switched-off lines are right too.
        on = template.text(file).replace("#: ", "").replace("#:\n", "\n")
        whole = self.load(on, "whole.toml")
        self.assertEqual(len(plan.freeze(whole, drivers(), 2).plan["arms"]), 10)


class OwnDrivers(Case):
    def test_a_plan_names_our_files_by_their_place_in_the_tree(self):
        ours = found.HERE / "drivers" / "floor_driver.py"
        known = {**drivers(), "floor": Driver("floor", ["x"], "cd" * 10, "1")}
        more = '[[arm]]\nname = "f"\ndriver = "floor"\nbackend = "floor"\n[driver.floor]\n' \
               f'command = ["python3", "{ours}", "./beside.py"]\n'
        frozen = plan.freeze(self.load(GOOD + more), known, 4)
        words = frozen.plan["commands"]["floor"]
        self.assertEqual(words[:2], ["python3", "{experiments}/drivers/floor_driver.py"])
        self.assertEqual(found.located(words)[1], str(ours))
        # What lies beside a file of the user's is where it is.
        self.assertEqual(words[2], str((Path(self.folder.name) / "beside.py").resolve()))

    def test_no_experiment_of_ours_puts_a_path_of_this_machine_into_its_plan(self):
        for file in sorted(found.HERE.glob("*.toml")):
            for words in toml_spec.load(file).drivers.values():
                self.assertEqual([w for w in found.portable(words) if w.startswith("/")], [], file.name)


class Claims(unittest.TestCase):
    def test_the_list_of_claims_is_up_to_date(self):
        try:
            text = index.document()
        except ModuleNotFoundError as e:
            self.skipTest(f"answers need {e.name}")
        file = Path(index.__file__).resolve().parents[2] / "claims.md"
        self.assertEqual(file.read_text(), text, "experiments/lab index writes it anew")

    def test_every_experiment_says_what_it_costs_and_why(self):
        for file in sorted(Path(index.__file__).resolve().parents[2].glob("*.toml")):
            e = toml_spec.load(file)
            self.assertEqual({*e.cost}, {"minutes", "memory"}, file.name)
            self.assertGreater(len(e.question), 20, file.name)
            self.assertGreater(len(e.expectation), 20, file.name)


class Small(unittest.TestCase):
    def test_lines(self):
        text = 'a = """\nb = 1\n[c]\n"""\n[[d]]\ne = [\n 1, # ]\n 2]\n[d.f]\n"g.h" = 1\n[[d]]\ni.j = 2\n'
        lines = toml_lines.line_map(text)
        self.assertEqual(lines, {("a",): 1, ("d", 0): 5, ("d", 0, "e"): 6, ("d", 0, "f"): 9,
                                 ("d", 0, "f", "g.h"): 10, ("d", 1): 11, ("d", 1, "i", "j"): 12})
        self.assertEqual(toml_lines.line_of(lines, ("d", 0, "e", "x")), 6)
        self.assertEqual(toml_lines.text_of(("d", 0, "f", "g.h")), 'd[0].f."g.h"')

    def test_units(self):
        self.assertEqual(units.base("10k"), "10000")
        self.assertEqual(units.base("50us"), "50000")
        self.assertEqual(units.base("64k", "size"), "65536")
        self.assertEqual(units.base("T1"), "T1")
        self.assertEqual(units.base("1.5ms"), "1500000")
        self.assertIsNone(units.duration_ns("5"))
        # All that the core reads (core/param_parse.c).
        self.assertEqual([units.count(t) for t in ("2K", "1.5M", ".5k", "3.")], [2000, 1500000, 500, 3])
        self.assertEqual([units.size(t) for t in ("2kB", "1KiB", "1kiB", "1MB", "1GiB", "7B", "1K")],
                         [2048, 1024, 1024, 1 << 20, 1 << 30, 7, 1024])
        self.assertEqual(units.duration_ns("5\N{MICRO SIGN}s"), 5000)
        self.assertEqual(units.notation("5000", "duration"), "5us")

    def test_ranges(self):
        self.assertEqual(specs.expand_range("pow2..all", 8), ["1", "2", "4", "8"])
        self.assertEqual(specs.expand_range("pow2..all", 1), ["1"])
        self.assertEqual(specs.expand_range("pow10..100k", 1)[-1], "100000")
        self.assertEqual(specs.expand_range("100..pow10..10k", 1), ["100", "1000", "10000"])
        self.assertEqual(specs.expand_range("2..4", 1), ["2", "3", "4"])
        self.assertLess(len(specs.expand_range("1..100G", 1)), plan.RUNS_MAX + 2)
        for bad in ("pow1..8", "4..2", "pow2..x", ".."):
            self.assertFalse(specs.expand_range(bad, 4), bad)

    def test_conditions(self):
        self.assertTrue(specs.satisfies("100k", ">= 100k"))
        self.assertTrue(specs.satisfies("1000000", "1M"))
        self.assertFalse(specs.satisfies("10", "> 10"))
        self.assertTrue(specs.satisfies("shared", "shared"))
        self.assertTrue(specs.satisfies("shared", "!= fifo"))


if __name__ == "__main__":
    # The answers of all reference campaigns take longest: a test of their own, `lab_experiments.py claims`.
    if sys.argv[1:] == ["claims"]:
        sys.argv[1:] = ["Claims"]
    else:
        del Claims
    unittest.main()
