# SPDX-License-Identifier: MIT
# The report page holds everything, asks for nothing, fits any screen, and believes no file.
"""Tests of report.py and page.py. Skipped (77) without scipy, matplotlib or Chromium."""

from __future__ import annotations

import re
import sys
import tempfile
import unittest
from html.parser import HTMLParser
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
try:
    import matplotlib  # noqa: F401
    import scipy  # noqa: F401
except ImportError as missing:
    print(f"skipped: {missing} (Debian packages python3-scipy, python3-matplotlib)")
    sys.exit(77)

import chromium
import figure_campaigns as made
import synthetic
from shuntlab.commands import report
from shuntlab.output import page, verdict_page
from shuntlab.planning.campaign import load_campaign
from shuntlab.planning.kept_plan import CampaignError

if not chromium.find():
    print("skipped: no chromium (Debian package chromium)")
    sys.exit(77)

TEXT = '<script>console.error("ran")</script><img src=x onerror=alert(1)>"\'&--></style>'
EVIL = TEXT + "\x07"        # a plan holds no control characters; records and manifests may


class Tags(HTMLParser):
    """Collects what a page's markup holds, and whether it nests."""
    VOID = {"meta", "link", "br", "img", "input", "hr"}

    def __init__(self, text: str):
        super().__init__()
        self.names: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, name, attributes):
        self.names.append(name)
        for key, value in attributes:
            if key == "id":
                self.ids.append(value or "")
            if key in ("src", "href", "xlink:href", "action", "data"):
                self.links.append(value or "")
        if name not in self.VOID:
            self.open.append(name)

    def handle_startendtag(self, name, attributes):
        self.handle_starttag(name, attributes)
        if name not in self.VOID:
            self.open.pop()

    def handle_endtag(self, name):
        if not self.open or self.open.pop() != name:
            self.wrong.append(name)


def evil_campaign(folder: Path) -> Path:
    """Hostile text wherever a record or a plan can hold text."""
    plan = synthetic.plan(
        "evil", ["asm", "ucontext", "gone"], [{"workload": "yield", "axes": {"tasks": t}}
                                              for t in ("2", TEXT)],
        8, 1, metrics=["ns_per_switch"], title=TEXT, question=TEXT * 3,
        figures=[{"kind": "lines", "x": "tasks", "title": TEXT, "name": TEXT},
                 {"kind": "gantt", "name": "gantt"}],
        expect=[{"claim": TEXT, "metric": "ns_per_switch", "ratio": ["ucontext", "asm"],
                 "above": 5, "where": {}, "line": 3}])
    inner = synthetic.ratio_model(5.9, {"ucontext": 48.0})

    def model(arm, point, rng, shared):
        if arm == "gone":
            return {"status": "failed", "reason": EVIL}
        return inner(arm, point, rng, shared)
    return synthetic.write(folder, plan, model, machine=EVIL,
                           facts={"machine.hostname": EVIL, "topology.xml": EVIL * 40})


def counted_campaign(folder: Path) -> Path:
    """Counters in the runs of one arm; of the other the reason why they are not there; of the control nothing."""
    inner = synthetic.ratio_model(5.9, {"ucontext": 48.0})
    threads = [{"name": "main", "instructions": 40_000, "cycles": 20_000, "cache_misses": 0, "page_faults": 5,
                "enabled_ns": 9, "running_ns": 9},
               {"name": "worker1", "instructions": 5_000, "cycles": 1_000, "cache_misses": 50, "page_faults": 0,
                "enabled_ns": 8, "running_ns": 4}]
    made = {"asm": {"ops": 1000, "wall_ns": 1, "by_thread": threads, "absent": {"branch_misses": "ENOENT: <none>"}},
            "ucontext": {"absent": {"hardware": "EOPNOTSUPP: no such counter", "software": "EACCES: refused"}}}
    plan = synthetic.plan("counted", ["asm", "ucontext"], [{"workload": "yield"}], 8, 1, metrics=["ns_per_switch"])
    return synthetic.write(folder, plan, lambda arm, *given: {
        **inner(arm, *given), **({"processor": made[arm]} if arm in made else {})})


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="shunt-report-test-")
        cls.addClassCleanup(cls.folder.cleanup)
        root = Path(cls.folder.name)
        cls.pages = {}
        for name, campaigns in (
                ("plain", [made.yields(root / "yields")]),
                ("evil", [evil_campaign(root / "evil")]),
                ("counted", [counted_campaign(root / "counted")]),
                ("two", [root / "yields", made.yields(root / "there", 8, "Other CPU", 5)])):
            file = root / f"{name}.html"
            file.write_text(report.build([load_campaign(c) for c in campaigns]), encoding="utf-8")
            cls.pages[name] = file

    def test_markup_is_sound_and_refers_to_nothing_outside(self):
        for name, file in self.pages.items():
            tags = Tags(file.read_text(encoding="utf-8"))
            self.assertEqual((tags.wrong, tags.open), ([], []), name)
            self.assertEqual(len(tags.ids), len(set(tags.ids)), name)
            self.assertTrue(all(k.startswith(("#", "data:,")) for k in tags.links), name)
            inside = {k[1:] for k in tags.links if k.startswith("#")}
            self.assertEqual(inside - set(tags.ids), set(), name)
            for bad in ("script", "img", "iframe", "object"):
                self.assertNotIn(bad, tags.names, name)

    def test_it_says_what_was_found(self):
        text = self.pages["plain"].read_text(encoding="utf-8")
        for wanted in ("480 of 480", "runs with a result", "ucontext", "Control and noise",
                       "shunt run ucontext yield", "cpu.model", "over 16 comparisons"):
            self.assertIn(wanted, text)
        self.assertEqual(text.count("<figure>"), 5)
        self.assertGreater(text.count('class="tag bad">slower'), 8)

    def test_what_was_counted_for_an_operation(self):
        text = self.pages["counted"].read_text(encoding="utf-8")
        part = text[text.index('<h2 id="counters">'):text.index('<h2 id="machine">')]
        self.assertEqual(re.findall("<th>([^<]*)</th>", part),
                         ["point", "arm", "cycles", "instructions", "cache misses", "page faults"])
        self.assertEqual(re.findall("<td[^>]*>([^<]*)</td>", part), ["yield", "asm", "22", "50", "0.1", "0.005"])
        self.assertEqual(re.findall("<li>([^<]*)</li>", part), [
            "branch misses: not counted in 8 of 24 runs: ENOENT: &lt;none&gt;",
            "hardware: not counted in 8 of 24 runs: EOPNOTSUPP: no such counter",
            "software: not counted in 8 of 24 runs: EACCES: refused",
            "8 of 24 runs hold no counts: their program does not count"])
        plain = self.pages["plain"].read_text(encoding="utf-8")
        self.assertIn("<li>480 of 480 runs hold no counts: their program does not count</li>", plain)

    def test_one_matrix_has_every_verdict(self):
        """A row a point, a column an arm but the baseline, in each cell the word and the ratio."""
        text = self.pages["plain"].read_text(encoding="utf-8")
        matrix = text[text.index('id="verdicts"'):text.index("The numbers of each row")]
        self.assertEqual(matrix.count("<table>"), 1)
        heads = re.findall("<th>([^<]*)</th>", matrix)
        rows = re.findall("<tr>(<td.*?)</tr>", matrix)
        self.assertEqual((heads[:2], len(rows)), (["point", "asm-again"], 4))
        for row in rows:
            cells = re.findall(r'<td><span class="tag \w+">([^<]+)</span><br>([0-9.]+)</td>', row)
            self.assertEqual(len(cells), len(heads) - 1, row)
            self.assertEqual(cells[heads.index("ucontext") - 1][0], "slower")

    def test_disturbed_runs_stand_first(self):
        """58 of 180 runs are invalid, and the load was 30 on four CPUs."""
        inner = synthetic.ratio_model(5.9, {})
        bad = iter([True] * 58 + [False] * 122)

        def model(*given):
            if next(bad):
                return {"status": "skipped", "reason": "invalid: the generator lagged"}
            return inner(*given)
        plan = synthetic.plan("d", ["asm", "ucontext"], [{"workload": "yield"}], 60, 1,
                              metrics=["response_p99_ns"])
        campaign = load_campaign(synthetic.write(
            Path(self.folder.name) / "disturbed", plan, model, facts={"cpu.logical": 2}))
        for r in campaign.ok():
            r["interference"]["before"]["load1"] = 30.0
        text = report.build([campaign])
        first = text[:text.index('class="facts"')]
        self.assertIn("58 of 180 runs invalid; load 30 on 2 CPUs at most, above their number in 122 "
                      "of 180 runs", first)
        self.assertNotIn("Disturbed", self.pages["plain"].read_text(encoding="utf-8"))

    def test_two_quantiles_have_two_names(self):
        """A run's own p99 is not the p99 of the samples of all runs."""
        for metric, quantile in (("response_p99_ns", True), ("lateness.p50", True),
                                 ("ns_per_switch", False), ("slowdown_p999", True)):
            self.assertEqual(verdict_page.is_quantile(metric), quantile, metric)

    def test_hostile_text_is_shown_as_text(self):
        text = self.pages["evil"].read_text(encoding="utf-8")
        self.assertNotIn("<script", text)
        self.assertNotIn("\x07", text)
        self.assertIn("&lt;script&gt;", text)
        self.assertIn("is not drawn: no run of this campaign was traced", text)
        self.assertIn("was traced", text)

    def test_two_machines(self):
        text = self.pages["two"].read_text(encoding="utf-8")
        for wanted in ("Generated, 4 CPUs", "Other, 4 CPUs", "later over first",
                       "never by the medians"):
            self.assertIn(wanted, text)

    def test_ids_of_figures_are_their_own(self):
        one = page.svg('<?xml?><svg width="9pt" viewBox="0 0 72 9"><metadata>http://x</metadata>'
                       '<path id="a"/><use xlink:href="#a" clip-path="url(#a)"/></svg>', "desk",
                       "f1-", '"')
        self.assertNotIn("http", one)
        self.assertIn('id="f1-a"', one)
        self.assertIn('href="#f1-a"', one)
        self.assertIn("url(#f1-a)", one)
        self.assertNotIn(' width="9pt"', one)

    def test_nothing_to_report(self):
        root = Path(self.folder.name)
        plan = synthetic.plan("none", ["asm", "mn"], [{"workload": "yield"}], 2, 1)
        campaign = synthetic.write(root / "none", plan, lambda *_: {
            "status": "failed", "reason": "no"})
        with self.assertRaisesRegex(CampaignError, "no finished run"):
            report.build([load_campaign(campaign)])

    def test_in_a_browser(self):
        with chromium.Browser() as browser:
            for name, file in self.pages.items():
                for width in (1280, 390):
                    browser.open(file.as_uri(), width)
                    browser.value("document.querySelectorAll('details')"
                                  ".forEach(d => d.open = true)")
                    wide = browser.value("document.documentElement.scrollWidth")
                    self.assertLessEqual(wide, width, f"{name} at {width}")
                    self.assertEqual(browser.value("window.innerWidth"), width)
                    shown = browser.value(
                        "[...document.querySelectorAll('figure svg')]"
                        ".filter(s => s.getBoundingClientRect().width > 100).length")
                    drawn = len(re.findall("<figure>", file.read_text(encoding="utf-8")))
                    self.assertEqual(shown, drawn, f"{name} at {width}")
                    silent = browser.value(
                        "[...document.querySelectorAll('.scroll')].filter(s => s.scrollWidth > "
                        "s.clientWidth + 1 && !(s.previousElementSibling?.className.startsWith('hint')"
                        " && s.previousElementSibling.offsetHeight > 0)).length")
                    if width == 390:
                        self.assertEqual(silent, 0, f"{name}: tables that scroll in silence")
                    self.assertEqual(browser.complaints(), [], f"{name} at {width}")
                    self.assertEqual(browser.requests(), [file.as_uri()], f"{name} at {width}")

    def test_the_browser_test_can_fail(self):
        bad = Path(self.folder.name) / "bad.html"
        bad.write_text('<p style="width:3000px">wide</p><img src="http://127.0.0.1:9/x.png">'
                       "<script>console.error('x')</script>", encoding="utf-8")
        with chromium.Browser() as browser:
            browser.open(bad.as_uri(), 390)
            self.assertGreater(browser.value("document.documentElement.scrollWidth"), 390)
            self.assertIn("console.error", browser.complaints())
            self.assertIn("http://127.0.0.1:9/x.png", browser.requests())


if __name__ == "__main__":
    unittest.main()
