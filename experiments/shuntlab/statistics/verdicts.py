# SPDX-License-Identifier: MIT
"""From a comparison to a word: faster, slower, same, inconclusive or no verdict.

A word needs two things. The whole interval lies on one side of the margin, or inside it; and the
p-value of that word is small after Holm's adjustment over every comparison of the report. A control
that differs from the baseline takes the word away, and so does a pair that has no ratio.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy import stats as sps

from ..planning.reading import RUNS_MAX
from ..tools.units import comparisons
from . import stats

MARGIN = 0.02           # a ratio nearer to 1 than this does not matter in practice
DETECT = 0.05           # the shift a campaign should be able to tell
POWER = 0.80            # how often it should tell it
CONTROL_ALPHA = 0.01    # an A/A arm misses at most this often by chance

FASTER, SLOWER, SAME, INCONCLUSIVE, NO_VERDICT = (
    "faster", "slower", "same", "inconclusive", "no verdict")
TIMES_AND_RATES = ("ns", "us", "ms", "s", "1/s", "B/s")


@dataclass(frozen=True)
class Rules:
    """What counts as a difference; all ratios, all positive."""
    margin: float = MARGIN
    alpha: float = stats.ALPHA
    detect: float = DETECT
    power: float = POWER
    family: int = 1             # hypotheses in the report
    share: float = 1.0          # of alpha, that one hypothesis has at first

    @property
    def edge(self) -> float:
        return math.log1p(self.margin)

    @property
    def least(self) -> int:
        """The fewest pairs that can reach a verdict in this family."""
        return stats.min_pairs(self.alpha * self.share)


@dataclass(frozen=True)
class Verdict:
    word: str
    reason: str = ""
    runs: int = 0               # pairs that would settle it; 0: does not apply


@dataclass
class Comparison:
    """One arm over another; the effect is a logarithm of their ratio."""
    arm: str
    over: str
    is_control: bool
    method: str                 # "paired" or "unpaired"
    pairs: int
    estimate: float
    low: float                  # nan where there is no interval
    high: float
    level: float
    p: float
    spread: float               # standard deviation of one pair
    left_out: int               # pairs without a ratio: a value is zero or negative
    tails: stats.Tails
    by_node: dict[str, np.ndarray] = field(default_factory=dict)   # logarithms of the ratios on each node
    p_serial: float = 1.0       # of "the differences of successive blocks are independent"
    p_holm: float = math.nan    # null hypothesis: the ratio is within the margin of 1
    p_same: float = math.nan    # null hypothesis: it is not
    verdict: Verdict = field(default_factory=lambda: Verdict(INCONCLUSIVE))

    @property
    def ratio(self) -> tuple[float, float, float]:
        return exp(self.estimate), exp(self.low), exp(self.high)


def exp(x: float) -> float:
    return math.exp(x) if not x > 700 else math.inf


def percent(x: float) -> str:
    """A log-ratio as people say it: 0.0198 is 2.0 %."""
    return f"{100 * (exp(abs(x)) - 1):.1f} %"


def word_for(v: Verdict, unit: str, better: str) -> str:
    """The verdict in the metric's own terms: only times and rates are faster or slower."""
    if v.word not in (FASTER, SLOWER) or (unit in TIMES_AND_RATES and better != "none"):
        return v.word
    return "lower" if (v.word == FASTER) == (better != "higher") else "higher"


# ---- the control --------------------------------------------------------------------------------

OK, MISSED, UNKNOWN = "ok", "missed", "unknown"


@dataclass(frozen=True)
class Control:
    """What the baseline against itself shows at one point."""
    state: str
    floor: float                # log-ratio below which a difference is not believed
    reason: str = ""


def judge_control(c: Comparison, rules: Rules, what: str = "the A/A control", of: int = 1) -> Control:
    """Missed where a difference shows that cannot be; unknown where none could show.

    It is one of `of` controls, which together miss at most this often by chance."""
    if c.p < CONTROL_ALPHA / of and abs(c.estimate) > rules.edge:
        return Control(MISSED, math.inf,
                       f"{what} differs by {percent(c.estimate)} (p = {c.p:.2g})")
    floor = max([rules.edge, *(abs(v) for v in (c.low, c.high) if not math.isnan(v))])
    least = stats.min_pairs(CONTROL_ALPHA)
    if c.left_out:
        return Control(UNKNOWN, floor, f"{what}: {left_out_text(c)}")
    if c.pairs < least:
        return Control(UNKNOWN, floor, f"{what} has {c.pairs} of at least {least} pairs")
    return Control(OK, floor)


def left_out_text(c: Comparison) -> str:
    noun, of = ("pair", f" of {c.pairs + c.left_out}") if c.method == "paired" else ("run", "")
    many = noun + ("s have" if c.left_out > 1 or of else " has")
    return f"{c.left_out}{of} {many} a value of zero or below, and so no ratio"


# ---- the word -----------------------------------------------------------------------------------

def verdict(c: Comparison, rules: Rules, control: Control | None = None,
            lower_is_better: bool = True) -> Verdict:
    """Say what the interval and the adjusted p-values allow to be said, and no more."""
    if c.left_out:
        return Verdict(NO_VERDICT, left_out_text(c))
    if control and control.state == MISSED:
        return Verdict(NO_VERDICT, control.reason)
    inside = -rules.edge <= c.low and c.high <= rules.edge
    outside = c.low > rules.edge or c.high < -rules.edge
    if inside and c.p_same <= rules.alpha:
        return Verdict(SAME)
    if outside and c.p_holm <= rules.alpha and not (control and abs(c.estimate) <= control.floor):
        return Verdict(FASTER if (c.estimate < 0) == lower_is_better else SLOWER)
    return Verdict(INCONCLUSIVE, _why_open(c, rules, inside, outside, control),
                   runs_to_print(c, rules))


def _why_open(c: Comparison, rules: Rules, inside: bool, outside: bool,
              control: Control | None) -> str:
    """Why an interval that speaks for a word does not get it."""
    p = c.p_same if inside else c.p_holm
    if (inside or outside) and not p <= rules.alpha:
        return f"Holm-adjusted p = {p:.2g} over {comparisons(rules.family)}"
    if outside and control:
        return f"below the floor of the A/A control ({percent(control.floor)})"
    return ""


# ---- how many runs ------------------------------------------------------------------------------

def deviation(d: np.ndarray) -> float:
    """The standard deviation; 0 of a single value."""
    return float(np.std(d, ddof=1)) if len(d) > 1 else 0.0


def spread_of(sample: float, pairs: int, low: float, high: float, level: float) -> float:
    """The standard deviation of one pair that an interval of this width stands for.

    Where there is no interval yet, the sample's own."""
    if math.isnan(low):
        return sample
    z = sps.norm.ppf(0.5 + level / 2)
    return (high - low) / (2 * z) * math.sqrt(pairs)


RANK_LOSS = math.pi / 3         # of the signed-rank test, against the mean, on normal data


def _upper_spread(spread: float, pairs: int) -> float:
    """The spread's upper 80 % bound: a lucky pilot must not promise too much."""
    return spread * math.sqrt((pairs - 1) / sps.chi2.ppf(0.2, pairs - 1))


def runs_needed(spread: float, pairs: int, distance: float, rules: Rules) -> int:
    """Pairs that separate a true effect `distance` away from an edge from that edge.

    They do with the probability rules.power, at the Bonferroni share of alpha."""
    if pairs < 2 or not distance > 0:
        return 0
    z = sps.norm.ppf(1 - rules.alpha * rules.share / 2) + sps.norm.ppf(rules.power)
    return max(rules.least,
               math.ceil(RANK_LOSS * (z * _upper_spread(spread, pairs) / distance) ** 2))


def runs_to_print(c: Comparison, rules: Rules) -> int:
    """The runs to print: enough to call the effect at hand, or the shift to detect if that is less.

    An effect counts with the lower 90 % bound of its distance from the margin. When that many
    runs were made and it is still open, the estimate lies near an edge, and its distance decides."""
    if c.pairs < 2:
        return rules.least
    designed = min(rules.edge, math.log1p(rules.detect) - rules.edge)
    error = _upper_spread(c.spread, c.pairs) * math.sqrt(RANK_LOSS / c.pairs)
    distance = max(designed, abs(c.estimate) - rules.edge - sps.norm.ppf(0.9) * error)
    need = runs_needed(c.spread, c.pairs, distance, rules)
    if need <= c.pairs:
        near = max(abs(abs(c.estimate) - rules.edge), rules.edge / 20)
        return runs_to_settle(c, min(distance, near), rules)
    return _round_up(need)


def runs_to_settle(c: Comparison, distance: float, rules: Rules) -> int:
    """The runs for a question whose answer lies `distance` away; always more than were made."""
    least = max(c.pairs + 1, rules.least)
    return _round_up(max(least, runs_needed(c.spread, c.pairs, distance, rules)))


def _round_up(n: int) -> int:
    """A number of runs as one would choose it: 23 is 25, 131 is 140."""
    step = 1 if n <= 10 else 5 if n <= 100 else 10 ** (len(str(n)) - 2)
    return min(-(-n // step) * step, RUNS_MAX)
