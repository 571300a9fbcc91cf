# SPDX-License-Identifier: MIT
"""Checks a campaign's figures: same bytes anywhere, fonts embedded, readable without colour.

Every figure is built twice, in two folders, with another time zone, locale and hash seed each time.
Then pdffonts must find every font embedded and none of Type 3, and each series must look different
from each other when what stands for it in the legend is drawn in grey. The grey pages are kept in
OUT/grey for the eye.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

import _style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

HERE = Path(__file__).resolve().parent
WORLDS = (
    {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "1"},
    {"TZ": "America/St_Johns", "LC_ALL": "C.UTF-8", "LANG": "de_DE.UTF-8",
     "PYTHONHASHSEED": "4242", "SOURCE_DATE_EPOCH": "86400"},
)
LEAST_DIFFERENCE = 0.05     # mean over the pixels of a marker or a line; 1 is black on white


def build(campaigns: list[Path], out: Path, world: dict[str, str]) -> str:
    """Draw all figures; what was complained about, or an empty text."""
    environment = {k: v for k, v in os.environ.items() if k not in ("LC_ALL", "LANG", "TZ")} | world
    done = subprocess.run(["/bin/sh", str(HERE.parent / "lab"), "figures", *map(str, campaigns), "--out",
                           str(out)], env={**environment, "SHUNT_PYTHON": sys.executable}, text=True,
                          capture_output=True, check=False)
    return (done.stderr.strip() or f"exit {done.returncode}") if done.returncode else ""


def same_bytes(name: str, first: Path, second: Path) -> list[str]:
    files = sorted(f.name for f in first.iterdir() if f.name.split(".")[0] in (name,
                                                                               f"{name}-wide"))
    return [f"{f} differs between two builds" for f in files
            if (first / f).read_bytes() != (second / f).read_bytes()]


def fonts(file: Path) -> list[str]:
    """What is wrong with the fonts of a PDF."""
    listing = subprocess.run(["pdffonts", str(file)], text=True, capture_output=True, check=True)
    rows = listing.stdout.splitlines()[2:]
    if not rows:
        return [f"{file.name}: no font at all"]
    bad = [f"{file.name}: {r.split()[0]} is a Type 3 font" for r in rows if "Type 3" in r]
    return bad + [f"{file.name}: {r.split()[0]} is not embedded" for r in rows
                  if r.split()[-5] != "yes"]


def swatches(colour: str, marker: str, dash: str) -> tuple[np.ndarray, np.ndarray]:
    """A series' marker and its line, each alone and in grey: 1 is white."""
    line = dash if dash.startswith("-") else ast.literal_eval(dash)
    return (_drawn((0.075, 0.075), color=colour, marker=marker, markerfacecolor="none", linestyle="none"),
            _drawn((0.40, 0.03), color=colour, linestyle=line, linewidth=1.1 if marker else 8))


def _drawn(size: tuple[float, float], **style: Any) -> np.ndarray:
    with _style.matplotlib.rc_context(_style.rc()):
        fig = Figure(figsize=size, dpi=400)
        canvas = FigureCanvasAgg(fig)
        axis = fig.add_axes((0, 0, 1, 1), xlim=(0, 2), ylim=(-1, 1))
        axis.axis("off")
        axis.plot([0, 1, 2], [0, 0, 0], markevery=[1], clip_on=False, **style)
        canvas.draw()
        rgb = np.asarray(canvas.buffer_rgba())[:, :, :3] / 255.0
    return rgb @ np.array([0.2126, 0.7152, 0.0722])


def grey(description: dict) -> list[str]:
    """Pairs of series that a grey print tells apart neither by marker nor by line."""
    samples = {name: swatches(*look) for name, look in description["looks"].items()}
    return [f"{a} and {b} look alike in grey" for a, b in combinations(samples, 2)
            if max(float(np.abs(p - q).mean()) for p, q in zip(samples[a], samples[b]))
            < LEAST_DIFFERENCE]


def check(name: str, folders: list[Path], out: Path) -> list[str]:
    """What is wrong with a figure that was drawn into two folders."""
    missing = [f"{name}.pdf is not there" for f in folders if not (f / f"{name}.pdf").is_file()]
    if missing:
        return missing
    problems = same_bytes(name, *folders)
    for file in (f"{name}.pdf", f"{name}-wide.pdf"):
        if shutil.which("pdffonts"):
            problems += fonts(folders[0] / file)
    if shutil.which("pdftoppm"):
        (out / "grey").mkdir(parents=True, exist_ok=True)
        subprocess.run(["pdftoppm", "-gray", "-r", "150", "-png", "-singlefile",
                        str(folders[0] / f"{name}.pdf"), str(out / "grey" / name)], check=True)
    return problems + grey(json.loads((folders[0] / f"{name}.json").read_text()))


def check_all(campaigns: list[Path], specs: list[dict], out: Path) -> int:
    if not shutil.which("pdffonts"):
        print("pdffonts is absent (Debian package poppler-utils): the fonts are not checked",
              file=sys.stderr)
    bad = 0
    with tempfile.TemporaryDirectory(prefix="shunt-figures-") as scratch:
        folders = [Path(scratch) / "a", Path(scratch) / "deeper" / "b"]
        complaints = [build(campaigns, folder, world) for folder, world in zip(folders, WORLDS)]
        print(*filter(None, complaints), sep="\n", end="", file=sys.stderr)
        for spec in specs:
            problems = check(spec["name"], folders, out)
            print(f"{'FAILED' if problems else 'ok':<8}{spec['name']}")
            for p in problems:
                print(f"        {p}")
            bad += bool(problems)
    return 1 if bad or any(complaints) else 0
