# SPDX-License-Identifier: MIT
"""Text for a paper: escaping, captions, booktabs tables. Nothing from a file reaches TeX raw."""

from __future__ import annotations

import unicodedata
from typing import Any, Iterable

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "_": r"\_", "%": r"\%", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''",
    "µ": r"$\mu$", "μ": r"$\mu$", "×": r"$\times$", "±": r"$\pm$", "≤": r"$\leq$",
    "≥": r"$\geq$", "·": r"$\cdot$", "…": r"\ldots{}", "–": "--", "—": "---", "’": "'",
    "−": "$-$", "→": r"$\rightarrow$", "\u00a0": "~", "\u202f": r"\,",
}


def escape(text: Any) -> str:
    """Any text as LaTeX that prints it; a character pdfLaTeX cannot set becomes its nearest."""
    return "".join(_escaped(c) for c in " ".join(str(text).split()))


def _escaped(c: str) -> str:
    if c in _SPECIAL:
        return _SPECIAL[c]
    if " " <= c <= "~":
        return c
    plain = "".join(p for p in unicodedata.normalize("NFKD", c) if " " <= p <= "~")
    if c.isalpha() and "\u00c0" <= c <= "\u017f":
        return c        # accented Latin letters: inputenc knows them
    return "".join(_SPECIAL.get(p, p) for p in plain) or "?"


def caption(sentences: Iterable[str]) -> str:
    """Sentences as one escaped paragraph, each ended with a full stop."""
    whole = [s.strip() for s in sentences if s and s.strip()]
    return " ".join(escape(s if s[-1] in ".!?" else s + ".") for s in whole) + "\n"


def figure(name: str, text: str, pages: int = 1) -> str:
    """A whole figure environment, one a page; \\graphicspath says where the PDF lies."""
    short = escape(name)
    lines = []
    for page in range(1, pages + 1):
        choice, label, said = "", name, text.strip()
        if pages > 1:
            choice, said = f"[page={page}]", f"{said} Part {page} of {pages}."
        if page > 1:
            label, said = f"{name}-{page}", f"{short}, part {page} of {pages}."
        lines += [r"\begin{figure}", r"  \centering",
                  rf"  \includegraphics{choice}{{{name}.pdf}}",
                  rf"  \caption[{short}]{{{said}}}", rf"  \label{{fig:{label}}}",
                  r"\end{figure}"]
    return "\n".join(lines) + "\n"


def table(columns: list[str], rows: list[list[str]], numeric: set[int]) -> str:
    """A booktabs tabular; the columns whose index is in `numeric` are set to the right."""
    align = "".join("r" if i in numeric else "l" for i in range(len(columns)))
    lines = [rf"\begin{{tabular}}{{{align}}}", r"\toprule",
             " & ".join(escape(c) for c in columns) + r" \\", r"\midrule"]
    lines += [" & ".join(escape(v) for v in row) + r" \\" for row in rows]
    return "\n".join(lines + [r"\bottomrule", r"\end{tabular}"]) + "\n"
