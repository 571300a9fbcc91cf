# SPDX-License-Identifier: MIT
"""Pieces of the report page: escaped HTML, tables that scroll by themselves, figures as inline SVG.

Text from files becomes HTML in esc() alone. The page has no script and a policy that forbids
loading anything; what a record says can neither run nor fetch.
"""

from __future__ import annotations

import html
import re
from typing import Any, Iterable

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

STYLE = """
:root { color-scheme: light; --ink: #1d2329; --soft: #5b6670; --line: #dfe3e7; --paper: #fff;
  --ground: #f4f6f8; --good: #00724f; --bad: #b34700; --open: #5b6670; --accent: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
main { max-width: 62rem; margin: 0 auto; padding: 1.2rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0.4rem 0; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 0.7rem; padding-top: 0.6rem;
  border-top: 2px solid var(--ink); }
h3 { font-size: 0.98rem; margin: 1.1rem 0 0.4rem; }
p { margin: 0.4rem 0; max-width: 46rem; }
.soft { color: var(--soft); }
.lead { font-size: 1.05rem; }
nav { display: flex; flex-wrap: wrap; gap: 0.3rem 1.1rem; margin: 0.9rem 0 0; }
nav a, a { color: var(--accent); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 0.6rem;
  margin: 1.1rem 0 0; }
.facts div { background: var(--paper); border: 1px solid var(--line); border-radius: 6px;
  padding: 0.5rem 0.75rem; }
.facts b { display: block; font-size: 1.15rem; }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 6px;
  padding: 0.8rem 0.9rem; margin: 0.8rem 0; }
.trouble { color: var(--bad); border-left: 4px solid var(--bad); padding-left: 0.7rem; }
.scroll { overflow-x: auto; }
.hint { display: none; color: var(--soft); font-size: 0.8rem; }
.hint.always { display: block; }
table { border-collapse: collapse; width: 100%; font-size: 0.87rem;
  font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th { text-align: left; font-weight: 600; border-bottom: 1.5px solid var(--ink);
  white-space: nowrap; }
td { border-bottom: 1px solid var(--line); vertical-align: top; }
th, td { padding: 0.28rem 0.9rem 0.28rem 0; }
td.wide { min-width: 14rem; overflow-wrap: anywhere; }
td.n { white-space: nowrap; }
td.head { font-weight: 600; min-width: 9rem; position: sticky; left: 0; background: var(--paper); }
tr.aa td { color: var(--soft); }
.tag { display: inline-block; border-radius: 4px; padding: 0 0.45em; font-weight: 600;
  white-space: nowrap; border: 1px solid currentColor; }
.good { color: var(--good); } .bad { color: var(--bad); } .open { color: var(--open); }
figure { margin: 0; }
figure svg { display: block; width: 100%; height: auto; margin: 0 auto; }
figure .phone { display: none; }
figcaption { color: var(--soft); font-size: 0.87rem; margin-top: 0.5rem; }
details > summary { cursor: pointer; color: var(--accent); padding: 0.15rem 0; }
pre, code { font: 0.82rem/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
pre { overflow-x: auto; background: var(--ground); padding: 0.6rem; border-radius: 4px;
  margin: 0.3rem 0; max-height: 24rem; }
ul { margin: 0.4rem 0; padding-left: 1.2rem; }
@media (max-width: 40rem) { figure .desk { display: none; } figure .phone { display: block; }
  h1 { font-size: 1.4rem; } .hint { display: block; } }
@media print { body { background: #fff; } details { display: none; }
  .card { break-inside: avoid; } }
"""


def esc(text: Any) -> str:
    """Text as HTML; control characters, which no page may hold, become a visible mark."""
    clean = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", "\ufffd", str(text))
    return html.escape(clean, quote=True)


def tag(word: str, kind: str) -> str:
    return f'<span class="tag {kind}">{esc(word)}</span>'


class Raw(str):
    """HTML made by this module or its callers, not to be escaped again."""


def cell(value: Any, kind: str = "td", css: str = "") -> str:
    body = value if isinstance(value, Raw) else esc(value)
    return f'<{kind}{f" class={css}" if css else ""}>{body}</{kind}>'


def table(heads: list[str], rows: Iterable[list[Any]], css: dict[int, str] | None = None,
          row_css: list[str] | None = None) -> str:
    """A table in a box that scrolls, and says so, where the screen is too narrow for it."""
    css = css or {}
    body = []
    for i, row in enumerate(rows):
        mark = f' class="{row_css[i]}"' if row_css and row_css[i] else ""
        body.append(f"<tr{mark}>" + "".join(cell(v, "td", css.get(k, "")) for k, v in
                                            enumerate(row)) + "</tr>")
    head = "".join(cell(h, "th") for h in heads)
    hint = ""
    if len(heads) > 2:
        always = " always" if len(heads) > 8 else ""
        hint = f'<div class="hint{always}">&#8594; scrolls sideways where it is too wide</div>'
    return (f'{hint}<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>'
            + "".join(body) + "</tbody></table></div>")


def details(summary: str, body: str) -> str:
    return f"<details><summary>{esc(summary)}</summary>{body}</details>"


def svg(text: str, css: str, prefix: str, label: str) -> str:
    """An SVG file as an element of the page: no ids shared with another, no size of its own."""
    text = text[text.index("<svg"):]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}\1"', text)
    text = re.sub(r'(href="#|url\(#)', rf"\1{prefix}", text)
    head = text[:text.index(">")]
    bare = re.sub(r'\s(?:width|height|version)="[^"]*"', "", head)
    width = float(re.search(r'viewBox="0 0 ([0-9.]+)', head)[1]) / 72     # type: ignore[index]
    limit = f'style="max-width:{width * 1.35:.2f}in"'
    return bare + f' class="{css}" role="img" aria-label="{esc(label)}" {limit}' + \
        text[text.index(">"):]


def document(title: str, body: Iterable[str]) -> str:
    return "\n".join([
        "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<link rel="icon" href="data:,">',
        f"<title>{esc(title)}</title>", f"<style>{STYLE}</style>", "</head>", "<body>", "<main>",
        *body, "</main>", "</body>", "</html>"]) + "\n"
