# SPDX-License-Identifier: MIT
# Every figure kind shows the truth of its campaign, and the same bytes anywhere.
"""Tests of experiments/plots and Makefile.plot. Skipped (77) without scipy and matplotlib."""

from __future__ import annotations

import csv
import importlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
PLOTS = ROOT / "experiments" / "plots"
sys.path[:0] = [str(ROOT / "experiments"), str(PLOTS)]
try:
    import matplotlib  # noqa: F401
    import scipy  # noqa: F401
except ImportError as missing:
    print(f"skipped: {missing} (Debian packages python3-scipy, python3-matplotlib)")
    sys.exit(77)

import _axes
import _check
import _data
import _figure
import _signs
import _style
import _table
import figure_campaigns as made
import load
import numpy as np
from shuntlab.data import records
from shuntlab.planning import figure_kinds
from shuntlab.planning.campaign import Campaign, load_campaign
from shuntlab.statistics import objective


def setUpModule():
    folder = tempfile.TemporaryDirectory(prefix="shunt-figures-")
    unittest.addModuleCleanup(folder.cleanup)
    Scratch.root = Path(folder.name)


class Scratch(unittest.TestCase):
    """Campaigns are written once, and what is only drawn of them is read once."""
    root: Path
    written: dict[str, Path] = {}
    read: dict[str, Campaign] = {}
    rendered: set[tuple[str, str, tuple[str, ...]]] = set()

    def campaign(self, name: str) -> Path:
        if name not in self.written:
            self.written[name] = made.EVERY[name](self.root / name)
        return self.written[name]

    def loaded(self, name: str) -> Campaign:
        if name not in self.read:
            self.read[name] = load_campaign(self.campaign(name))
        return self.read[name]

    def draw(self, campaign: str, name: str = "", formats=("csv", "tex", "json"), **spec):
        """Render one figure in this process: (rows of its CSV, its drawing's files). One that the campaign
        declares is rendered once."""
        out = self.root / "out" / campaign / ("declared" if name and not spec else "own")
        known = figure_kinds.named(self.loaded(campaign).plan)
        chosen = next((s for s in known if s["name"] == name), {"name": "own"}) | spec
        if spec or (campaign, name, formats) not in self.rendered:
            out.mkdir(exist_ok=True, parents=True)
            _figure.render(importlib.import_module(chosen["kind"]), _data.Context([self.loaded(campaign)], chosen),
                           out, formats)
        if not spec:
            self.rendered.add((campaign, name, formats))
        with (out / f"{chosen['name']}.csv").open(encoding="utf-8") as f:
            return list(csv.DictReader(f)), out / chosen["name"]


class Truth(Scratch):
    def test_lines(self):
        rows, _ = self.draw("yields", "switch")
        self.assertEqual(len(rows), 5 * 4)
        for r in rows:
            tasks, ratio = int(r["tasks"]), made.YIELD_RATIOS.get(r["series"], 1)
            want = 5.9 * ratio * (1 + 0.1 * math.log2(tasks))
            self.assertAlmostEqual(float(r["median"]) / want, 1, delta=0.06)
            self.assertLess(float(r["low"]), float(r["median"]))
            self.assertLess(float(r["median"]), float(r["high"]))
            self.assertEqual(r["n"], "20")

    def test_lines_never_average_over_a_forgotten_parameter(self):
        with self.assertRaisesRegex(_data.FigureError, "tasks = 2 and 8 at x = asm"):
            self.draw("yields", kind="lines", x="arm")

    def test_a_line_never_joins_two_workloads(self):
        with self.assertRaisesRegex(_data.FigureError, "asm would join the workloads yield and few"):
            self.draw("two_workloads", kind="lines", x="tasks")
        rows, _ = self.draw("two_workloads", "apart")
        self.assertEqual([(r["panel"], r["tasks"]) for r in rows if r["series"] == "asm"],
                         [("yield", "2"), ("yield", "64"), ("few", "8")])

    def test_lines_with_an_unknown_axis(self):
        with self.assertRaisesRegex(_data.FigureError, "no 'colour'.*it has arm, tasks"):
            self.draw("yields", kind="lines", x="colour")

    def test_only_a_legend_has_looks_to_tell_apart(self):
        def looks(**more):
            _, base = self.draw("yields", kind="lines", **more)
            return json.loads(base.with_suffix(".json").read_text())["looks"]
        self.assertEqual(len(looks(x="tasks")), 5)
        self.assertEqual(looks(x="arm", facet="tasks"), {})       # a row with its name for each

    def test_forest(self):
        rows, base = self.draw("yields", "switch_cost-forest")
        self.assertEqual(len(rows), 5 * 4)              # four arms and the control, four points
        found = {(r["point"], r["arm"]): r for r in rows}
        self.assertEqual(found["yield tasks=2", "ucontext"]["verdict"], "slower")
        self.assertAlmostEqual(float(found["yield tasks=64", "threads"]["ratio"]), 300, delta=9)
        self.assertEqual(found["yield tasks=8", "asm-again"]["verdict"], "control")
        self.assertIn("Holm over 16 comparisons", base.with_suffix(".caption.tex").read_text())

    def test_parity(self):
        rows, base = self.draw("yields", "parity")
        self.assertEqual(len(rows), 2 * 4)
        for r in rows:
            ratio, tasks = made.YIELD_RATIOS[r["arm"]], int(r["point"].split("=")[1])
            self.assertAlmostEqual((1 + float(r["error_percent"]) / 100) / ratio, 1, delta=0.04)
            self.assertAlmostEqual(float(r["baseline"]) / (5.9 * (1 + 0.1 * math.log2(tasks))), 1, delta=0.06)
            self.assertLess(float(r["low"]), float(r["error_percent"]))
        self.assertIn("half of the 8 points lie within", base.with_suffix(".caption.tex").read_text())

    def test_parity_is_of_one_unit(self):
        with self.assertRaisesRegex(_data.FigureError, "the units 1/s, ns; choose those of one unit"):
            self.draw("yields", kind="parity", y=["ns_per_switch", "ops_per_s"])

    def test_ccdf(self):
        rows, _ = self.draw("yields", "tail")
        marked = {(r["panel"], r["series"], r["quantile"]): r for r in rows if r["low"]}
        p50 = marked["tasks 2", "asm", "0.5"]
        self.assertAlmostEqual(float(p50["value"]) / math.exp(11), 1, delta=0.08)
        self.assertLess(float(p50["low"]), float(p50["value"]))
        self.assertLess(float(p50["value"]), float(p50["high"]))
        self.assertEqual(p50["samples"], "6000")
        self.assertIn(("tasks 8", "threads", "0.999"), marked)      # 6,000 samples carry p99.9
        beyond = [float(r["quantile"]) for r in rows if not r["low"]]
        self.assertLessEqual(max(beyond), 1 - 3 / 6000)     # and the curve stops before the last

    def test_bars_of_few_processes(self):
        """Below six processes there is no bar, below twenty the caption says that it is narrow."""
        for most, bars, words in ((5, False, "Bars are left out"), (6, True, "fewer than 20 they are narrow")):
            folder = self.written[f"few{most}"] = self.root / f"few{most}"
            shutil.copytree(self.campaign("yields"), folder)
            for file in (folder / "records").glob("*.json"):
                if json.loads(file.read_text())["repetition"] >= most:
                    file.unlink()
            rows, base = self.draw(f"few{most}", "tail", formats=("csv", "json", "pdf"))
            self.assertEqual(any(r["low"] for r in rows), bars, most)
            self.assertEqual({r["processes"] for r in rows}, {str(most)})
            self.assertIn(words, json.loads(base.with_suffix(".json").read_text())["caption"])
        _, base = self.draw("yields", "tail")
        self.assertNotIn("narrow", json.loads(base.with_suffix(".json").read_text())["caption"])

    def test_a_value_of_zero_has_no_ratio(self):
        """It is named, not left out: of a line of speed-ups and of a cell of ratios."""
        for kind, campaign in (("scaling", "scaling"), ("heatmap", "ablation")):
            folder = self.written[f"zero-{kind}"] = self.root / f"zero-{kind}"
            shutil.copytree(self.campaign(campaign), folder)
            plan = json.loads((folder / "plan.json").read_text())
            file = next(f for f in sorted((folder / "records").glob("*.json"))
                        if f.name.split(".")[1] not in (plan["baseline"], plan["control"])
                        and json.loads(f.read_text())["status"] == "ok")
            one = json.loads(file.read_text())
            for metric in one["metrics"].values():
                metric["value"] = 0.0
            file.write_bytes(records.sealed(one))
            with self.assertRaisesRegex(_data.FigureError, "value of zero or below, and so no ratio"):
                self.draw(f"zero-{kind}", campaign)

    def test_ccdf_of_two_digits_and_of_both(self):
        """Coarser buckets move a curve by less than a hundredth, to the right; counts stay."""
        fine, _ = self.draw("yields", "tail")
        plain = self.campaign("yields")
        for name, chosen in (("coarse", lambda r: True), ("mixed", lambda r: r["repetition"] % 2)):
            folder = self.written[name] = self.root / name
            shutil.copytree(plain, folder)
            for file in (folder / "records").glob("*.json"):
                one = json.loads(file.read_text())
                if chosen(one):
                    one["series"] = {k: records.coarsen(s, 2) for k, s in one["series"].items()}
                    file.write_bytes(records.sealed(one))
            rows, _ = self.draw(name, "tail")
            marked = [[r for r in these if r["low"]] for these in (fine, rows)]
            self.assertEqual(len(marked[0]), len(marked[1]))
            for f, c in zip(*marked):
                self.assertEqual([f[k] for k in ("panel", "series", "quantile", "samples")],
                                 [c[k] for k in ("panel", "series", "quantile", "samples")])
                for key in ("value", "low", "high"):
                    self.assertTrue(1 <= float(c[key]) / float(f[key]) < 1 + 1 / 128, (f, c))
            if name == "coarse":
                coarse = rows
        self.assertEqual(coarse, rows)      # some records of three digits change nothing

    def test_heatmap(self):
        rows, _ = self.draw("ablation", "ablation")
        found = {(r["wait"], r["policy"]): r for r in rows}
        self.assertEqual(len(found), 15)                    # spin with shared was skipped
        self.assertNotIn(("spin", "shared"), found)
        self.assertAlmostEqual(float(found["uring", "shared"]["ratio"]), 2.64, delta=0.1)
        self.assertEqual(float(found["futex", "fifo"]["ratio"]), 1.0)

    def test_heatmap_of_workloads(self):
        rows, base = self.draw("runtimes", "runtimes")
        found = {(r["workload"], r["arm"]): float(r["ratio"]) for r in rows}
        self.assertEqual({*found}, {("yield", "asm"), ("yield", "go"), *(("ring", a) for a in ("asm", "openmp", "go"))})
        for workload in ("yield", "ring"):      # each by its own metric
            self.assertAlmostEqual(found[workload, "go"], 20, delta=0.5)
        self.assertEqual(list(dict.fromkeys(r["arm"] for r in rows)), ["asm", "openmp", "go"])
        self.assertRegex(base.with_suffix(".table.tex").read_text(), r"asm & yield & \d\.?\d* ns")

    def test_scaling(self):
        rows, _ = self.draw("scaling", "scaling")
        found = {(r["series"], r["workers"]): r for r in rows}
        for arm, loss in (("mn", 0.05), ("threads", 0.3)):
            for workers in (2, 4, 8):
                r = found[arm, str(workers)]
                want = workers / (1 + loss * (workers - 1))
                self.assertAlmostEqual(float(r["speed_up"]) / want, 1, delta=0.06)
                self.assertAlmostEqual(float(r["efficiency"]) * workers, float(r["speed_up"]))

    def test_metg(self):
        """With cost c·e + o a chunk of o/c elements takes half of the best throughput."""
        rows, base = self.draw("chunks", "metg")
        best = max(float(r["median"]) for r in rows)
        for arm in ("asm", "ucontext", "asyncio"):
            r = next(r for r in rows if r["series"] == arm)
            share = best * made.PER_ELEMENT / 1e9       # the best here is a little below the limit
            want = made.OVERHEAD[arm] / made.PER_ELEMENT * share / (2 - share)
            self.assertAlmostEqual(float(r["metg"]) / want, 1, delta=0.08)
            self.assertLess(float(r["metg_low"]), float(r["metg"]))
            self.assertLess(float(r["metg"]), float(r["metg_high"]))
        self.assertIn("METG(50", base.with_suffix(".table.tex").read_text())

    def test_load(self):
        """The response of M/M/1 is mean / (1 - load): five times the mean at a load of 0.8."""
        rows, base = self.draw("loads", "mean")
        measured = [r for r in rows if r["n"]]
        self.assertEqual(len(measured), 2 * len(made.LOADS) + 4)
        asm = next(r for r in measured if r["series"] == "asm")
        self.assertAlmostEqual(float(asm["highest"]), 0.8, delta=0.01)
        self.assertLess(float(asm["highest_low"]), float(asm["highest"]))
        self.assertLess(float(asm["highest"]), float(asm["highest_high"]))
        self.assertLess(float(asm["highest_high"]) - float(asm["highest_low"]), 0.02)
        head, table = json.loads(base.with_suffix(".json").read_text())["table"]
        self.assertEqual(head, ["load", "asm [µs]", "mn [µs]", "threads [µs]"])
        self.assertRegex(table[0][1], r"^12\.\d \[12\.\d, 12\.\d\]$")       # 10 µs / (1 - 0.2)
        self.assertEqual((table[-1][0], *table[-1][2:]), ("highest load", "> 0.9", "> 0.7"))
        self.assertRegex(table[-1][1], r"^0\.\d+ \[0\.\d+, 0\.\d+\]$")
        for r in (r for r in rows if not r["n"]):
            self.assertAlmostEqual(float(r["median"]),
                                   made.MEAN_NS / (1 - float(r["load"])), delta=1)
        self.assertEqual({r["series"] for r in rows if not r["n"]}, {"M/M/1 FCFS", "M/G/1 PS"})

    def test_a_line_of_theory_is_named_for_what_was_served(self):
        """M/M/1, M/D/1 and M/G/1 are other formulas: at 0.5 they wait 1, 1/2 and, here, 0.98 services."""
        rows, _ = self.draw("laws", "laws")
        waits = {r["series"]: [] for r in rows if not r["n"]}
        for r in rows:
            if not r["n"] and abs(float(r["load"]) - 0.5) < 1e-9:
                waits[r["series"]].append(round(float(r["median"]) / made.MEAN_NS - 1, 3))
        self.assertEqual(waits, {"M/M/1 FCFS": [1.0], "M/D/1 FCFS": [0.5], "M/G/1 FCFS": [0.98],
                                 "M/G/1 PS": [1.0, 1.0, 1.0]})

    def test_two_servers_have_a_formula_of_exponential_service_alone(self):
        rows, _ = self.draw("laws", "two")
        self.assertEqual({r["series"] for r in rows if not r["n"]}, {"M/M/2 FCFS"})
        with self.assertRaisesRegex(_data.FigureError, "no formula .* with 2 workers and fixed"):
            self.draw("laws", "two", where={"service": "fixed"})

    def test_theory_is_of_poisson_arrivals(self):
        for params in ({"process": "constant"}, {"input": "trace.txt"}):
            with self.subTest(params), self.assertRaisesRegex(_data.FigureError, "Poisson arrivals"):
                load.expected("fcfs", 1, "response_mean_ns", 0.5,
                              {"mean": "1000", "service": "exponential", **params})

    def frame(self, campaign: str, name: str, **spec) -> list[tuple[float, ...]]:
        """The ends of each panel's axes, as drawn."""
        loaded = self.loaded(campaign)
        chosen = next((s for s in figure_kinds.named(loaded.plan) if s["name"] == name), {"name": name}) | spec
        ctx, module = _data.Context([loaded], chosen), importlib.import_module(chosen["kind"])
        drawing = module.prepare(ctx)
        drawing.give_looks(ctx)
        fig = _figure._drawn(module, drawing, ctx, _style.NARROW)
        ends = [(*a.get_xlim(), *a.get_ylim()) for a in fig.axes if a.get_visible()]
        self.assertGreater(len(ends), 1)
        return ends, [c.median for c in (drawing.data.get("cells") or
                                         [c for _, own, _ in drawing.data["panels"] for c in own])]

    def test_panels_that_share_an_axis_show_all_of_them(self):
        """The last panel's values are four times the first's: a frame of the first's leaves it empty."""
        for spec, along in (({"x": "arm"}, 0), ({"x": "load", "facet": "service", "where": {}}, 2)):
            with self.subTest(spec):
                ends, medians = self.frame("laws", "own", kind="lines", y="queueing_mean_ns", **(
                    {"where": {"load": "0.5"}, "facet": "service", "logy": False} | spec))
                for frame in ends:
                    self.assertLessEqual(frame[along], 0)
                    self.assertGreater(frame[along + 1], max(medians))

    def test_what_is_below_zero_is_in_the_frame(self):
        ends, medians = self.frame("laws", "own", kind="lines", x="arm", y="overhead_ns",
                                   where={"load": "0.5"}, facet="service")
        self.assertLess(min(medians), 0)
        self.assertTrue(all(f[0] < min(medians) for f in ends))

    def test_an_interval_of_few_wild_runs_does_not_press_the_rest_to_the_ground(self):
        ends, medians = self.frame("laws", "wild", kind="load", y="response_p50_ns", facet="service",
                                   logy=False)
        self.assertTrue(all(f[3] < 2 * max(medians) for f in ends))
        _, base = self.draw("laws", "wild", kind="load", y="response_p50_ns", facet="service", logy=False)
        for slo in (made.MEAN_NS / 50, made.MEAN_NS * 50):
            for log in (False, True):
                ends, _ = self.frame("laws", "wild", kind="load", y="response_p50_ns",
                                     facet="service", logy=log, slo=str(slo))
                self.assertTrue(all(f[2] < slo < f[3] for f in ends), (slo, log))
        self.assertIn("leave the frame", base.with_suffix(".caption.tex").read_text())

    def test_load_makes_no_interval_of_few_runs(self):
        """One value resampled is always itself: that would be an interval of no width."""
        line = [(x, np.full(n, y)) for x, y, n in ((0.5, 50.0, 8), (0.7, 90.0, 5), (0.9, 200.0, 8))]
        found = objective.highest(line, 100, "asm")
        self.assertEqual(len(found), 1)
        self.assertIn("too few runs", objective.highest_text(found, [x for x, _ in line]))
        line[1] = 0.7, np.full(6, 90.0)
        self.assertEqual(len(objective.highest(line, 100, "asm")), 3)

    def test_a_load_of_few_runs_is_a_hole(self):
        line = [(x, np.full(n, 50.0)) for x, n in ((0.3, 1), (0.5, 8), (0.7, 5), (0.9, 8))]
        self.assertEqual([x for x, _ in objective.counting(line)], [0.5, 0.9])
        self.assertEqual(objective.counting(line[:3]), line[:3])

    def test_claims_print_the_highest_loads(self):
        """The same numbers as the figure's, and a line also for an arm that has none."""
        campaign = load_campaign(self.campaign("loads"))
        kept = {k.arm: k for k in objective.of_figure(campaign, next(
            f for f in campaign.plan["figures"] if f.get("slo")))}
        rows, _ = self.draw("loads", "mean")
        drawn = next(r for r in rows if r["series"] == "asm" and r["n"])
        self.assertEqual(kept["asm"].found, tuple(
            float(drawn[k]) for k in ("highest", "highest_low", "highest_high")))
        self.assertEqual(kept["mn"].text, "> 0.9")
        printed = "\n".join(objective.table(campaign))
        self.assertRegex(printed, r"asm +0\.\d+ \[0\.\d+, 0\.\d+\]  \(n >= \d+\)")
        self.assertLessEqual(max(map(len, printed.splitlines())), 80)

    def test_claims_outlive_an_objective_that_cannot_be_told(self):
        """As the figure does, they say why; they neither end in a traceback nor choose a point."""
        campaign = load_campaign(self.campaign("loads"))
        figure = next(f for f in campaign.plan["figures"] if f.get("slo"))
        twice = {**figure, "x": "mean"}
        for spec, words in (({**figure, "slo": "soon"}, "not a positive value of a metric"),
                            (twice, "two points of asm have mean = "),
                            ({**figure, "x": "service"}, "service = exponential is not a number")):
            campaign.plan["figures"] = [spec]
            with self.subTest(words):
                self.assertIn(words, "\n".join(objective.table(campaign)))
                self.assertIn(words, objective.document(campaign)[0]["problem"])

    def test_ticks_of_a_ratio_in_thousandths(self):
        self.assertEqual([_style.tick(v, "1/1000") for v in (500, 10_000, 2_000_000)],
                         ["0.5", "10", "2000"])

    def test_load_of_a_quantile(self):
        rows, _ = self.draw("loads", "plain")
        theory = [r for r in rows if r["series"] == "M/M/1 FCFS"]
        self.assertAlmostEqual(float(theory[0]["median"]), made.MEAN_NS / 0.8 * math.log(100),
                               delta=1)
        self.assertTrue(all(r["highest"] == "" for r in rows))

    def test_load_beside_what_its_own_arrivals_give(self):
        """A line for each number of workers, of the runs that know it, named in legend and caption."""
        rows, base = self.draw("loads", "exact")
        lines = {name: [(float(r["load"]), round(float(r["median"]))) for r in rows if r["series"] == name]
                 for name in ("exact FCFS, 1 worker", "exact FCFS, 2 workers")}
        for share, line in zip((1, 2), lines.values()):
            self.assertEqual(line, [(at, round(0.5 * made.MEAN_NS / (1 - at / share)))
                                    for at in made.LOADS])
        said = json.loads(base.with_suffix(".json").read_text())["caption"]
        self.assertIn("named exact are of the same arrivals", said)
        self.assertIn("The other thin grey lines are queueing theory's", said)
        _, base = self.draw("loads", "exact", theory="exact")
        said = json.loads(base.with_suffix(".json").read_text())["caption"]
        self.assertNotIn("queueing theory", said)

    def test_what_is_exact_is_inside_the_frame(self):
        least = 0.5 * made.MEAN_NS / (1 - made.LOADS[0])
        for spec, above in (({"theory": "exact"}, False), ({"theory": "fcfs"}, True)):
            ctx = _data.Context([load_campaign(self.campaign("loads"))],
                                {"y": "response_mean_ns", "arms": "asm", "logy": True} | spec)
            self.assertEqual(load.prepare(ctx).data["frame"][0] > least, above, spec)

    def test_exact_needs_its_metric(self):
        for spec, words in (({"y": "response_p99_ns"}, "no run has the metric exact_response_p99_ns"),
                            ({"arms": "threads"}, "no run has the metric exact_response_mean_ns")):
            with self.subTest(spec), self.assertRaisesRegex(_data.FigureError, words):
                self.draw("loads", "exact", **{"theory": "exact"} | spec)

    def test_load_refuses_what_theory_cannot_say(self):
        for wrong, words in (({"theory": "ps"}, "no formula"), ({"theory": "fcfs-2"}, "no formula"),
                             ({"theory": "lifo"}, "exact, fcfs, ps"), ({"slo": "soon"}, "not a positive value"),
                             ({"slo": "0"}, "not a positive value")):
            with self.subTest(wrong), self.assertRaisesRegex(_data.FigureError, words):
                self.draw("loads", kind="load", name="wrong", y="response_p99_ns", **wrong)

    def test_the_crossing_of_an_objective(self):
        x = np.array([0.2, 0.4, 0.6])
        found = objective.crossings(x, np.array(
            [[1, 10, 100], [1, 2, 3], [20, 30, 40], [1, 20, 5]], dtype=float), 10)
        self.assertEqual(list(found[1:3]), [math.inf, -math.inf])
        self.assertAlmostEqual(found[0], 0.4)
        self.assertAlmostEqual(found[3], 0.2 + 0.2 * math.log(10) / math.log(20))

    def test_metg_beyond_what_was_measured_is_said_so(self):
        _, base = self.draw("chunks", kind="metg", name="small", where={"chunk": "<= 64"})
        self.assertRegex(base.with_suffix(".table.tex").read_text(),
                         r"asyncio & \\textgreater\{\} 64")

    def test_decomposition(self):
        rows, _ = self.draw("costs", "parts")
        found = {r["part"]: float(r["median"]) for r in rows}
        self.assertAlmostEqual(found["bare swap"], 2.8, delta=0.15)
        self.assertAlmostEqual(found["FP words"], 3.1, delta=0.15)
        self.assertAlmostEqual(found["residual"], 8.1 - 7.2, delta=0.15)
        rows, _ = self.draw("costs", "ladder")
        steps = [r for r in rows if r["part"].lstrip("'").startswith("+") or r["part"] == "bare"]
        self.assertAlmostEqual(sum(float(r["median"]) for r in steps), 8.1, delta=0.4)
        self.assertNotIn("residual", {r["part"] for r in rows})

    def test_decomposition_refuses_nonsense(self):
        for series, why in ((["x = asm asm"], "is not"), (["x = asm - nope"], "at 0 points")):
            with self.assertRaisesRegex(_data.FigureError, why):
                self.draw("costs", kind="decomposition", arms=["asm"], series=series)

    def test_gantt(self):
        rows, base = self.draw("tutorial", "gantt")
        self.assertEqual(len(rows), 2 * 6)
        self.assertEqual({r["worker"] for r in rows if r["panel"] == "asm"}, {"worker 0"})
        table = base.with_suffix(".table.tex").read_text()
        self.assertRegex(table, r"asm & 2 & 1 & 6 & 200\.1 & 1 ")     # concurrency
        self.assertRegex(table, r"mn & 2 & 2 & 6 & 200\.1 & 2 ")      # parallelism

    def test_of_a_long_trace_the_beginning_is_drawn(self):
        import gantt
        slices = [gantt.Slice(f"task {i % 3}", "worker 0", 1e6 * i, 5e5) for i in range(3 * gantt.MAX_SLICES)]
        short = gantt.Timeline("mn", "mn", slices[:9], 9e6, ["task 0"], ["worker 0"])
        long = gantt.Timeline("asm", "asm", slices, 1e6 * len(slices), ["task 0"], ["worker 0"])
        end = gantt.drawn_until([short, long])
        self.assertEqual([len(gantt.until(t, end).slices) for t in (short, long)], [9, gantt.MAX_SLICES])
        self.assertEqual(gantt.left_out([short, long], end),
                         ["The first 4000 ms of 12000 ms are drawn, without 8,000 later runs"])
        self.assertEqual((gantt.drawn_until([short]), gantt.left_out([short], 9e6)), (9e6, []))
        with mock.patch.object(gantt, "MAX_SLICES", 4):
            rows, base = self.draw("tutorial", "gantt", where={})
        self.assertEqual(len(rows), 2 * 6)
        self.assertRegex(base.with_suffix(".caption.tex").read_text(), r"without \d+ later\s+runs")

    def test_gantt_without_a_trace(self):
        with self.assertRaisesRegex(_data.FigureError, "no run of this campaign was traced"):
            self.draw("costs", kind="gantt")


class Looks(unittest.TestCase):
    def test_what_is_drawn_together_has_two_colours(self):
        arms = [f"arm-{i}" for i in range(24)]
        groups = [set(arms), set(arms[3:21:3]), set(arms[::5]), {"arm-1", "arm-23"}]
        found = _style.looks(arms, groups)
        for group in groups[1:]:
            self.assertEqual(len({found[n].colour for n in group}), len(group))
        self.assertEqual(len(set(found.values())), 24)
        known = _style.looks(["asyncio", "null", "go", "threads", "asm", "uring"])
        self.assertEqual(len({k.colour for k in known.values()}), 6)

    NAMES = ["asm", "ucontext", "uring", "mn", "asyncio", "mn-shared", "mine", "asm:wait=epoll",
             "yours", "a", "b"]

    def test_one_of_its_own_for_each(self):
        found = _style.looks(self.NAMES[:10])
        self.assertEqual(len({k.marker for k in found.values()}), 10)

    def test_a_known_name_looks_the_same_in_any_company(self):
        alone = _style.looks(["ucontext"])["ucontext"]
        self.assertEqual(_style.looks(self.NAMES)["ucontext"], alone)
        self.assertEqual(_style.looks(["mine"]), {"mine": _style.looks(["mine", "mine"])["mine"]})

    def test_grey_prints_keep_them_apart(self):
        found = _style.looks(self.NAMES[:10])
        described = {"looks": {n: [k.colour, k.marker, str(k.dash)] for n, k in found.items()}}
        self.assertEqual(_check.grey(described), [])

    def test_the_check_sees_what_only_colour_tells_apart(self):
        alike = {"looks": {"a": ["#0072B2", "o", "-"], "b": ["#D55E00", "o", "-"],
                           "c": ["#0072B2", "s", "-"]}}
        self.assertEqual(_check.grey(alike), ["a and b look alike in grey"])


class Text(unittest.TestCase):
    def test_nothing_reaches_tex_raw(self):
        text = _signs.escape(made.NASTY)
        for command in re.findall(r"\\[A-Za-z]+", text):
            self.assertIn(command, {r"\textbackslash", r"\textasciicircum", r"\textasciitilde",
                                    r"\textless", r"\textgreater", r"\mu", r"\rightarrow"})
        self.assertTrue(text.isascii())
        self.assertNotRegex(text, r"(?<!\\)[%#&_](?!\{)")

    def test_no_sign_becomes_another(self):
        self.assertEqual(_signs.escape("a ≠ ½ 10⁻³ ≮ --json e\u0301 日"),
                         r"a $\neq$ \textsuperscript{1}/\textsubscript{2} 10\textsuperscript{$-$}"
                         r"\textsuperscript{3} $\not <$ -{}-json \'{e} {[}U+65E5{]}")
        same = {"\u00ad": "-", "ſ": "s", "ĳ": "ij", "Ĳ": "IJ"}       # print as what they stand for
        seen: dict[str, str] = {}
        for c in map(chr, [*range(0x20, 0x7f), *range(0xa1, 0x180), *map(ord, "≠≤≥≈×÷±√∞∑→←⇒∈∉∅")]):
            if c not in same:
                self.assertNotIn("U+", _signs.escape(c), c)
                self.assertEqual(seen.setdefault(_signs.escape(c), c), c)

    def test_a_table_reads_in_the_units_of_its_figure(self):
        ratio = [_table.Entry(v, v / 2, 2 * v, "1/1000", 9) for v in (4_207.0, 37_023.0)]
        self.assertEqual(_table.column("p50", ratio), ["p50", "4.21 [2.10, 8.41]", "37.0 [18.5, 74.0]"])
        times = [_table.Entry(v, v, v, "ns", 9) for v in (870.0, 25_000.0)]
        self.assertEqual(_table.column("asm", [*times, None]), ["asm [µs]", "0.870", "25.0", "-"])
        wide = [_table.Entry(v, v, v, "ns", 9) for v in (5.9, 2e6)]
        self.assertEqual(_table.column("asm", wide), ["asm", "5.90 ns", "2.00 ms"])

    def test_a_table_is_laid_out_for_its_place(self):
        def size(series: int, places: int):
            found = {("", f"arm-{s}", str(x)): _table.Entry(12.0, 11.0, 13.0, "ns", 9)
                     for s in range(series) for x in range(places)}
            head, rows = _table.lay_out(found, "x", "arm", str)
            return len(head), len(rows)
        self.assertEqual(size(2, 9), (3, 9))        # a column holds a series each
        self.assertEqual(size(9, 2), (3, 9))        # and here a value of x each
        self.assertEqual(size(4, 5), (5, 5))        # two columns
        self.assertEqual(size(12, 12), (4, 144))    # none does

    def test_ticks(self):
        self.assertEqual([_style.tick(v, "ns") for v in (5, 1500, 2e6, 3e9)],
                         ["5 ns", "1.5 µs", "2 ms", "3 s"])
        self.assertEqual([_style.tick(v) for v in (1024, 10000, 2.5e6)], ["1024", "10k", "2.5M"])


class Sight(Scratch):
    """What a reader must be able to see."""
    prepared: dict[str, tuple] = {}

    def drawn(self, campaign: str, name: str, width: float = _style.NARROW, **spec):
        loaded = self.loaded(campaign)
        chosen = next((s for s in figure_kinds.named(loaded.plan) if s["name"] == name), {"name": "own"}) | spec
        module, key = importlib.import_module(chosen["kind"]), repr((campaign, name, spec))
        with matplotlib.rc_context(_style.rc()):
            if key not in self.prepared:
                ctx = _data.Context([loaded], chosen)
                drawing = module.prepare(ctx)
                drawing.give_looks(ctx)
                self.prepared[key] = ctx, drawing
            ctx, drawing = self.prepared[key]
            fig = _figure._drawn(module, drawing, ctx, width)
            fig.draw_without_rendering()
        return fig, drawing

    def test_one_point_does_not_hide_another(self):
        alike = {n: [(x, 10.0 * x, 9.0 * x, 11.0 * x) for x in (1, 2, 4)] for n in "ab"}
        (moved,), changed = _axes.set_apart([alike], True, True)
        self.assertTrue(changed)
        for before, a, b in zip(alike["a"], moved["a"], moved["b"]):
            self.assertLess(a[0], before[0])
            self.assertGreater(b[0], before[0])
            self.assertEqual(a[1:], before[1:])
        apart = {"a": alike["a"], "b": [(x, 100 * y, 100 * low, 100 * high) for x, y, low, high in alike["b"]]}
        self.assertEqual(_axes.set_apart([apart], True, True), ([apart], False))

    def test_nothing_is_cut_off_or_written_over(self):
        for campaign, name in (("yields", "switch"), ("yields", "tail"), ("loads", "mean"), ("chunks", "metg")):
            fig, _ = self.drawn(campaign, name)
            for axis in (a for a in fig.axes if a.get_visible()):
                (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
                frame = axis.get_window_extent()
                bare = ("", "None", None, "|", "_")
                for line in (n for n in axis.lines if len(n.get_xdata()) and n.get_marker() not in bare):
                    self.assertFalse(line.get_clip_on(), (name, line))
                    for x, y in zip(*line.get_data()):
                        self.assertTrue(left <= x <= right and low <= y <= high, (name, x, y))
                for text in axis.texts:
                    self.assertGreaterEqual(text.get_window_extent().x0, frame.x1, text.get_text())

    def test_ticks_do_not_collide(self):
        for campaign, name, spec in (("yields", "switch", {"logx": False}), ("yields", "tail", {}),
                                     ("loads", "mean", {}), ("chunks", "metg", {})):
            for width in (_style.NARROW, _style.WIDE):
                fig, _ = self.drawn(campaign, name, width, **spec)
                for axis in (a for a in fig.axes if a.get_visible()):
                    left, right = axis.get_xlim()
                    labels = [t.label1 for t in axis.xaxis.get_major_ticks() if left <= t.get_loc() <= right]
                    boxes = sorted((t.get_window_extent() for t in labels if t.get_visible() and t.get_text()),
                                   key=lambda b: b.x0)
                    self.assertTrue(all(a.x1 < b.x0 for a, b in zip(boxes, boxes[1:])), (name, width))

    def test_swept_values_choose_their_axis(self):
        self.assertTrue(_style.wants_log_steps([500, 1000, 2000, 5000, 10_000]))
        self.assertTrue(_style.wants_log_steps([500, 10_000]))
        self.assertFalse(_style.wants_log_steps([0.5, 0.7, 0.85]))
        self.assertFalse(_style.wants_log_steps([1, 2, 3, 4, 5, 6]))

    def test_the_margin_of_a_forest_can_be_seen(self):
        """Also beside a ratio of 300: a twentieth of the axis at least."""
        fig, drawing = self.drawn("yields", "switch_cost-forest")
        axis = fig.axes[0]
        ends = [axis.transData.transform((v, 0))[0] for v in (1 / 1.02, 1.02, *axis.get_xlim())]
        self.assertGreater((ends[1] - ends[0]) / (ends[3] - ends[2]), 0.05)
        self.assertIn("axis is stretched", " ".join(drawing.sentences))

    def test_shares_are_written_in_one_way(self):
        import ccdf
        self.assertEqual([ccdf.share(v, 1e-3) for v in (1, 0.1, 0.001)], ["1", "0.1", "0.001"])
        self.assertEqual([ccdf.share(v, 1e-4) for v in (1, 0.1, 0.001, 1e-4)], ["1", "10⁻¹", "10⁻³", "10⁻⁴"])

    def test_a_caption_says_what_was_left_out_and_from_what_tree(self):
        _, base = self.draw("loads", "mean")
        text = base.with_suffix(".caption.tex").read_text()
        self.assertIn("24 of 168 runs are left out (24 invalid)", text)
        self.assertIn("Response mean against offered load.", text)
        self.assertEqual(text.count("Bars "), 1)
        self.assertIn("commit 0123abc.", text)
        folder = self.written["dirty"] = self.root / "dirty"
        shutil.copytree(self.campaign("costs"), folder)
        for file in (folder / "records" / "env").glob("*.json"):
            one = json.loads(file.read_text())
            one["facts"]["build.dirty"]["value"] = True
            file.write_text(json.dumps(one))
        _, base = self.draw("dirty", "ladder")
        self.assertIn("commit 0123abc (modified)", base.with_suffix(".caption.tex").read_text())

    def test_a_caption_says_one_thing_of_its_bars(self):
        for campaign, name in (("yields", "tail"), ("scaling", "scaling"), ("ablation", "ablation")):
            _, base = self.draw(campaign, name)
            text = base.with_suffix(".caption.tex").read_text()
            self.assertEqual(text.count("95 \\%"), 1, text)


class Files(Scratch):
    def make(self, target: str, campaign: str, out: Path, **variables: str):
        return subprocess.run(
            ["make", "-f", str(ROOT / "Makefile.plot"), target, f"CAMPAIGN={campaign}",
             f"OUT={out}", f"PYTHON={sys.executable}",
             *(f"{k}={v}" for k, v in variables.items())],
            text=True, capture_output=True, check=False)

    @unittest.skipUnless(shutil.which("make"), "make is absent")
    def test_make(self):
        campaign, out = self.campaign("costs"), self.root / "made"
        listed = self.make("list", str(campaign), out)
        self.assertEqual([line.split() for line in listed.stdout.splitlines()],
                         [["ladder", "decomposition"], ["parts", "decomposition"]])
        done = self.make("figures", str(campaign), out)
        self.assertEqual(done.returncode, 0, done.stderr)
        for end in (".pdf", "-wide.pdf", ".png", ".csv", ".json", ".caption.tex", ".figure.tex",
                    ".table.tex"):
            self.assertTrue((out / f"ladder{end}").stat().st_size > 0)
        self.assertIn("newer than its records", self.make("tables", str(campaign), out).stdout)
        (out / "ladder.table.tex").unlink()
        self.assertEqual(self.make("tables", str(campaign), out).stdout, f"drawn: {out}/ladder\n")
        later = (out / "ladder.pdf").stat().st_mtime + 10
        os.utime(campaign / "records", (later, later))
        self.assertEqual(self.make("figures", str(campaign), out).stdout.count("drawn: "), 2)

    @unittest.skipUnless(shutil.which("make") and shutil.which("pdffonts"),
                         "make or pdffonts is absent")
    def test_make_check(self):
        campaign = made.yields(self.root / "checked", figures=[
            {"kind": "lines", "name": "switch", "x": "tasks"}, {"kind": "forest", "name": "all"}])
        done = self.make("check", str(campaign), self.root / "made")
        self.assertEqual((done.returncode, done.stdout.count("ok ")), (0, 2),
                         done.stdout + done.stderr)
        self.assertTrue((self.root / "made" / "grey" / "switch.png").is_file())

    @unittest.skipUnless(shutil.which("pdffonts"), "pdffonts is absent")
    def test_the_check_sees_type_3_fonts(self):
        from matplotlib import rc_context
        from matplotlib.figure import Figure
        with rc_context({"pdf.fonttype": 3}):
            fig = Figure()
            fig.subplots().set_title("text")
            fig.savefig(self.root / "bad.pdf")
        self.assertTrue(any("Type 3" in p for p in _check.fonts(self.root / "bad.pdf")))

    def test_the_check_sees_other_bytes(self):
        for name in ("x", "y"):
            (self.root / name).mkdir()
            (self.root / name / "f.csv").write_text(name)
        self.assertEqual(_check.same_bytes("f", self.root / "x", self.root / "y"),
                         ["f.csv differs between two builds"])

    def test_two_machines_in_one_figure(self):
        other = made.yields(self.root / "there", machine="Slower CPU", seed=5)
        loaded = [load_campaign(self.campaign("yields")), load_campaign(other)]
        spec = next(s for s in figure_kinds.named(loaded[0].plan) if s["name"] == "switch")
        out = self.root / "two"
        out.mkdir()
        _figure.render(importlib.import_module("lines"), _data.Context(loaded, spec), out,
                       ("csv", "tex"))
        with (out / "switch.csv").open(encoding="utf-8") as f:
            panels = {r["panel"] for r in csv.DictReader(f)}
        self.assertEqual(panels, {"Generated, 4 CPUs", "Slower, 4 CPUs"})
        self.assertIn("Machines: ", (out / "switch.caption.tex").read_text())

    def test_what_is_too_much_for_a_page_comes_in_pages(self):
        import forest
        import heatmap
        self.written["many"] = made.many(self.root / "many")
        rows, files = self.draw("many", "many", ("pdf", "csv", "tex"))
        self.assertEqual(len(rows), 3 * 41)
        drawing = forest.prepare(_data.Context([load_campaign(self.campaign("many"))], {"name": "many"}))
        pages = forest.pages(drawing, _style.NARROW)
        self.assertEqual([len(p.data["entries"]) for p in pages], [41, 41, 41])
        self.assertTrue(all(p.height < 9 for p in pages))
        self.assertEqual({p.data["ends"] for p in pages}, {drawing.data["ends"]}, "the pages' scales differ")
        tex = Path(f"{files}.figure.tex").read_text()
        self.assertEqual(re.findall(r"\[page=(\d)\]", tex), ["1", "2", "3"])
        if shutil.which("pdfinfo"):
            said = subprocess.run(["pdfinfo", f"{files}.pdf"], capture_output=True, text=True, check=True).stdout
            self.assertRegex(said, r"Pages:\s+3\n")
        ratios = heatmap.prepare(_data.Context([load_campaign(self.campaign("ablation"))], {
            "name": "a", "x": "wait", "y": "policy"}))
        self.assertEqual(len(heatmap.pages(ratios, _style.NARROW)), 1)

    def test_bytes_are_counted_in_powers_of_two(self):
        for most in (4200, 13000, 5e6):
            ticks = _style.byte_ticks(most)
            self.assertGreaterEqual(ticks[-1], most)
            self.assertLessEqual(len(ticks), 8)
            for t in ticks:
                self.assertRegex(_style.tick(t, "B"), r"^\d+( [KM]iB)?$|^0$")

    def test_a_figure_that_cannot_be_drawn_says_why(self):
        campaign = self.root / "untraced"
        shutil.copytree(self.campaign("tutorial"), campaign)
        shutil.rmtree(campaign / "traces")
        done = subprocess.run([str(ROOT / "experiments" / "lab"), "figures", str(campaign)], text=True,
                              capture_output=True, check=False,
                              env={**os.environ, "SHUNT_PYTHON": sys.executable})
        self.assertEqual(done.returncode, 3)
        self.assertIn("was traced", done.stderr)


if __name__ == "__main__":
    unittest.main()
