# SPDX-License-Identifier: MIT
"""`lab artifact`: a finished campaign, its figures and the source that made them, in one file for reviewers.

The same campaign and commit give the same bytes. The check is part of the source in the artifact, so that
whoever has unpacked it needs nothing else (output/artifact_check.py).
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import io
import json
import lzma
import shlex
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Iterator

from ..data import packed
from ..data.packed import PACK
from ..output import artifact_check
from ..output.artifact_page import ClaimRow, Facts, page
from ..output.artifact_plugins import PlugIn, bundled
from ..output.wording import ratio_text
from ..planning import drivers
from ..planning.campaign import Campaign, load_campaign
from ..planning.figure_kinds import named
from ..planning.kept_plan import CampaignError, Damaged
from ..running.opening import UsageError, is_finished
from ..statistics.analysis import analyse
from ..statistics.expectations import Claim, CONFIRMED
from ..statistics.points import manifest_of
from ..tools.files import read_bytes, replacing
from ..tools.git import commit_of, files_of, git
from ..tools.naming import lab
from ..tools.trust import Refused, Trust
from . import figures

# What decides how a run goes; tests and pages do not.
MEASURED = ("CMakeLists.txt", "CMakePresets.json", "core", "backends", "workloads", "experiments/drivers",
            ":(exclude,glob)**/test/**", ":(exclude)*.md", ":(exclude)*.schema.json")


def register(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "artifact", help="one file for reviewers: source, records, figures, claims, and its check",
        description="Put a finished campaign into one file: the source of the commit, plan, records, figures and a "
                    "page with each claim's command, time and tolerance. Nothing may be uncommitted. Where the records "
                    "are of a build of another commit, its source is put beside it. Plug-ins come along, with the "
                    "source of the git repository that they lie in.",
        epilog="exit status: 0 written, or checked and good; 1 --check: the claim has another answer; 2 usage; 3 "
               "--check: figures or build differ; 4 refused: the source of the records' build, or one of their "
               "plug-ins, is not to be had; 5 data corrupt")
    p.add_argument("campaign", metavar="CAMPAIGN", type=Path, nargs="?")
    p.add_argument("--out", type=Path, metavar="FILE", help="default: NAME-artifact.tar.xz in the current folder")
    p.add_argument("--check", action="store_true",
                   help="in an unpacked artifact: compare its checksums, draw its figures anew, build, repeat a claim")
    p.add_argument("--trust", action="store_true",
                   help="run git in the repositories that plug-ins lie in without asking")
    p.set_defaults(run=command)


def command(args: argparse.Namespace) -> int:
    if args.check:
        return artifact_check.check(drivers.HERE.parent.parent)
    if args.campaign is None:
        raise UsageError(f"which campaign? {lab('artifact', 'results/NAME')}")
    loaded = load_campaign(args.campaign)
    out = args.out or Path(f"{loaded.name}-artifact.tar.xz")
    if out.exists():
        raise UsageError(f"{out} exists; remove it, or give another --out")
    _must_be_whole(loaded)
    source = drivers.HERE.parent
    commit = _commit_of(source)
    measured = _measured_by(source, commit, loaded)
    trust = Trust(args.trust)
    plugins = [plugin for part in loaded.parts or [loaded]
               for plugin in bundled(part.path, part.plan, _place(loaded, part), source, trust)]
    with tempfile.TemporaryDirectory(prefix="shunt-artifact-") as folder:
        drawn = Path(folder) / "figures"
        _draw(args.campaign, drawn)
        top = f"{loaded.name}-artifact"
        with replacing(out) as draft:
            _write(draft, top, int(git(source, "log", "-1", "--format=%ct", commit).stdout),
                   [*_pages(loaded, commit, measured, plugins), *_campaign_files(loaded), *_below(drawn),
                    *((p.at, p.data) for p in plugins)],
                   _sources(source, commit, measured, plugins))
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB\nnext, in an empty folder: tar xf {out.resolve()} && cd {top} && "
          "source/experiments/lab artifact --check")
    return 0


# ---- what may not be bundled --------------------------------------------------------------------

def _must_be_whole(loaded: Campaign) -> None:
    if loaded.problems:
        raise Damaged(f"{loaded.path}: damaged; `{lab('verify', loaded.path)}` says what, and only a sound campaign "
                      "is bundled")
    if not loaded.records:
        raise CampaignError(f"{loaded.path}: no records yet; `{lab('run', loaded.path)}` makes them")
    for part in loaded.parts or [loaded]:
        if not is_finished(part.path):
            raise UsageError(f"{part.path}: it still lacks runs; `{lab('run', part.path)}` makes them")


def _commit_of(source: Path) -> str:
    if git(source, "rev-parse", "HEAD").returncode or git(source, "rev-parse", "--show-cdup").stdout.strip():
        raise Refused(f"{source}: not a clone of shunt, so there is no commit to bundle: run the lab of a clone")
    return commit_of(source, "what was drawn with it")


def _measured_by(source: Path, commit: str, loaded: Campaign) -> str:
    """The commit whose source measures as the builds did that made the records: this one where it can be."""
    builds = sorted(_builds(loaded))
    for told, dirty in builds:
        if dirty:
            raise Refused(f"{loaded.path}: records are of a build of {told[:12]} with uncommitted changes, whose "
                          "source nobody has; commit, build and run again")
        if git(source, "cat-file", "-e", f"{told}^{{commit}}").returncode:
            raise Refused(f"{loaded.path}: records are of a build of commit {told[:12]}, which this clone does not "
                          "have; fetch it, or run again with a build of this one")
    chosen = next((c for c in (commit, *(told for told, _ in builds))
                   if not any(_differs(source, told, c) for told, _ in builds)), None)
    if chosen is None:
        raise Refused(f"{loaded.path}: its records are of builds that measure differently, of the commits "
                      f"{', '.join(told[:12] for told, _ in builds)}; run it again with one build")
    return chosen


def _differs(source: Path, one: str, other: str) -> bool:
    return bool(git(source, "diff", "--name-only", one, other, "--", *MEASURED).stdout)


def _builds(loaded: Campaign) -> set[tuple[str, bool]]:
    """(commit, whether it was changed) of every build of shunt that made a record."""
    found = set()
    for record in {r["env_id"]: r for r in loaded.records if r["identity"]["driver"] == "shunt"}.values():
        facts = (manifest_of(record) or {}).get("facts", {})
        told = facts.get("build.commit", {}).get("value")
        if not told:
            raise Refused(f"{record['lab']['file']}: its manifest names no commit: shunt was built outside a clone; "
                          "build it in a clone and run again")
        found.add((str(told), facts.get("build.dirty", {}).get("value") is not False))
    return found


# ---- what is in it ------------------------------------------------------------------------------

def _draw(folder: Path, out: Path) -> None:
    code = figures.command(argparse.Namespace(campaigns=[folder], out=out, figure="", formats="", list=False,
                                              check=False, kinds=False))
    if code:
        raise CampaignError(f"{folder}: a figure cannot be drawn, see above; mend it in the experiment's [[figure]]")


def _pages(loaded: Campaign, commit: str, measured: str, plugins: list[PlugIn]) -> Iterator[tuple[str, bytes]]:
    rows = [_row(loaded, claim) for claim in analyse([loaded]).claims]
    able = [i for i, row in enumerate(rows) if row.blocks and not row.lacks]
    chosen = min(able, key=lambda i: (rows[i].answer != CONFIRMED, rows[i].seconds), default=None)
    first = (loaded.parts or [loaded])[0]
    facts = Facts(loaded.name, first.plan, f"{_place(loaded, first)}/plan.json", commit, measured, _machines(loaded),
                  rows, chosen, [s["name"] for s in named(loaded.plan)], _packages(), len(loaded.records),
                  _seconds(loaded.records),
                  max(r["usage"].get("peak_rss_bytes", 0) for r in loaded.records), plugins)
    yield "README.md", page(facts).encode()
    told = {"schema": "shunt.artifact/1", "commit": commit, "measured": measured, "chosen": chosen,
            "drawn_with": artifact_check.drawn_with(), "claims": [dataclasses.asdict(row) for row in rows]}
    yield "claims.json", (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode()


def _row(loaded: Campaign, claim: Claim) -> ClaimRow:
    points = {p for f in claim.findings for p in f.points}
    first = (loaded.parts or [loaded])[0]
    blocks = [b["id"] for b in first.plan["blocks"] if b["point"] in points]
    lacks = sorted({what for p in first.plan["points"] if p["id"] in points for what in _lacks(first.plan, p)})
    runs = [r for r in loaded.records if r["lab"]["part"] == 0 and r["block"] in set(blocks)]
    ratios = [ratio_text(f.comparison) for f in claim.findings]
    shown = "; ".join(ratios[:4]) + (f"; … ({len(ratios)} in all)" if len(ratios) > 4 else "")
    return ClaimRow(claim.text, claim.predicate, claim.answer, shown or claim.reason, _ranges(blocks), _seconds(runs),
                    lacks)


def _lacks(plan: dict[str, Any], point: dict[str, Any]) -> Iterator[str]:
    """What the runs of a point need and an artifact does not hold: a program or an input of the authors."""
    used = {a["driver"] for a in plan["arms"] if a["name"] in point["arms"]}
    for name, words in plan["commands"].items():
        if name in used and not drivers.shipped(words):
            yield f"the program of driver {name}, `{shlex.join(words)}`"
    if "input" in point["params"]:
        yield f"the input `{point['params']['input']}`"


def _seconds(records: list[dict[str, Any]]) -> float:
    return sum(int(r["times"]["elapsed_ns"]) for r in records) / 1e9


def _ranges(blocks: list[str]) -> str:
    """Blocks as --block takes them: 1-3,7."""
    found: list[list[int]] = []
    for number in (int(b[1:]) for b in blocks):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in found)


def _machines(loaded: Campaign) -> list[str]:
    told = set()
    for record in {r["env_id"]: r for r in loaded.records}.values():
        facts = (manifest_of(record) or {}).get("facts", {})
        value = {k: f["value"] for k, f in facts.items() if "value" in f}
        told.add(f"{value.get('cpu.model', 'an unknown processor')}, {value.get('cpu.logical', '?')} CPUs, Linux "
                 f"{value.get('kernel.release', '?')}")
    return sorted(told)


def _packages() -> list[str]:
    """Of Debian, for building and for the lab."""
    lines = (drivers.HERE / "packages.txt").read_text(encoding="utf-8").splitlines()
    return sorted({line.split()[0] for line in lines
                   if line.strip() and not line.startswith("#") and line.split()[1] in ("build", "lab")})


def _place(loaded: Campaign, part: Campaign) -> str:
    return "campaign" if part is loaded else f"campaign/parts/{part.path.name}"


def _campaign_files(loaded: Campaign) -> Iterator[tuple[str, bytes]]:
    for part in loaded.parts or [loaded]:
        at = _place(loaded, part)
        names = ["plan.json", "experiment.toml", PACK]
        for pattern in ("records/env/*.json", "sessions/*.jsonl*", "traces/*.json"):
            names += [str(f.relative_to(part.path)) for f in sorted(part.path.glob(pattern))]
        for name in names:
            if (part.path / name).exists():
                yield f"{at}/{name}", read_bytes(part.path / name)
        if not packed.is_packed(part.path):
            for file in packed.record_files(part.path):
                yield f"{at}/records/{file.name}", packed.read_record(file)


def _below(folder: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        yield f"figures/{file.relative_to(folder)}", read_bytes(file)


# ---- the file -----------------------------------------------------------------------------------

def _sources(source: Path, commit: str, measured: str, plugins: list[PlugIn]) -> dict[str, tuple[Path, str]]:
    """{folder in the artifact: the clone and its commit that it is of}"""
    past = {artifact_check.MEASURED: (source, measured)} if measured != commit else {}
    return {"source": (source, commit), **past, **{p.source: (p.clone, p.commit) for p in plugins if p.clone}}


def _write(draft: Path, top: str, mtime: int, files: list[tuple[str, bytes]],
           sources: dict[str, tuple[Path, str]]) -> None:
    """A tar of which every byte depends on what is in it alone."""
    sums: dict[str, str] = {}

    def put(name: str, data: bytes, mode: int = 0o644) -> None:
        head = tarfile.TarInfo(f"{top}/{name}")
        head.size, head.mtime, head.mode = len(data), mtime, mode
        tar.addfile(head, io.BytesIO(data))
        sums[name] = hashlib.sha256(data).hexdigest()

    with lzma.open(draft, "wb", preset=6) as packing, \
            tarfile.open(fileobj=packing, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files:
            put(name, data)
        for folder, (clone, commit) in sources.items():
            for name, data, mode in files_of(clone, commit):
                put(f"{folder}/{name}", data, mode)
        listed = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
        put(artifact_check.SUMS, listed.encode())
