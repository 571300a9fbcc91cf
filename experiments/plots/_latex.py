# SPDX-License-Identifier: MIT
"""Floats for a paper of two columns: figures and booktabs tables with their captions.

Nothing is wider than its column or two columns: \\resizebox only shrinks.
"""

from __future__ import annotations

from typing import Iterable

from _signs import escape

_FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{"
# Points, in a column of the narrowest class (article); of letters in \footnotesize.
COLUMN, PAGE = 229, 470
LETTER, GAP = 4.25, 6.0
ROWS = 50       # of a table that leaves its column room for a caption


def caption(sentences: Iterable[str]) -> str:
    """Sentences as one escaped paragraph, each ended with a full stop."""
    whole = [s.strip() for s in sentences if s and s.strip()]
    return " ".join(escape(s if s[-1] in ".!?" else s + ".") for s in whole) + "\n"


def figure(name: str, text: str, pages: int = 1, wide: bool = False) -> str:
    """Whole figure environments, one a page; \\graphicspath says where the PDF lies."""
    kind, file = ("figure*", f"{name}-wide.pdf") if wide else ("figure", f"{name}.pdf")
    lines = []
    for page, said in _parts(name, text, pages):
        choice = f"[page={page}]" if pages > 1 else ""
        lines += [rf"\begin{{{kind}}}", r"  \centering",
                  rf"  {_FIT}\includegraphics{choice}{{{file}}}}}", *_caption("fig", name, said, page),
                  rf"\end{{{kind}}}"]
    return "\n".join(lines) + "\n"


def table(name: str, text: str, columns: list[str], rows: list[list[str]], numeric: set[int]) -> str:
    """Whole table environments; the columns whose index is in `numeric` are set to the right."""
    kind = "table" if width_of(columns, rows) <= COLUMN else "table*"
    align = "".join("r" if i in numeric else "l" for i in range(len(columns)))
    pages = max(1, -(-len(rows) // ROWS))
    share = -(-len(rows) // pages)
    lines = []
    for page, said in _parts(name, text, pages):
        own = rows[(page - 1) * share:page * share]
        lines += [rf"\begin{{{kind}}}", r"  \centering\footnotesize\setlength{\tabcolsep}{3pt}",
                  *_caption("tab", name, said, page), r"  \smallskip",
                  rf"  {_FIT}\begin{{tabular}}{{@{{}}{align}@{{}}}}", r"\toprule",
                  " & ".join(map(escape, columns)) + r" \\", r"\midrule",
                  *(" & ".join(map(escape, row)) + r" \\" for row in own),
                  r"\bottomrule", r"\end{tabular}}", rf"\end{{{kind}}}"]
    return "\n".join(lines) + "\n"


def width_of(columns: list[str], rows: list[list[str]]) -> float:
    """About how many points wide a table is, in \\footnotesize."""
    widest = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    return LETTER * sum(widest) + GAP * (len(columns) - 1)


def _parts(name: str, text: str, pages: int) -> list[tuple[int, str]]:
    """What each part of a float says; the first says it all."""
    if pages == 1:
        return [(1, text.strip())]
    return [(1, f"{text.strip()} Part 1 of {pages}."),
            *((n, f"{escape(name)}, part {n} of {pages}.") for n in range(2, pages + 1))]


def _caption(kind: str, name: str, said: str, page: int) -> list[str]:
    label = name if page == 1 else f"{name}-{page}"
    return [rf"  \caption[{escape(name)}]{{{said}}}", rf"  \label{{{kind}:{label}}}"]
