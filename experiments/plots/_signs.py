# SPDX-License-Identifier: MIT
"""Any text as LaTeX that pdfLaTeX sets with nothing but the kernel and graphicx.

Letters with accents become accent commands; what the old font encoding lacks is taken from T1 or TS1 for
this one sign, which needs no package. What has no command is written as [U+1F600], never dropped: a sign
that becomes another says something false.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any


def _pairs(text: str, form: str) -> dict[str, str]:
    words = text.split()
    return {sign: form % command for sign, command in zip(words[::2], words[1::2])}


_ASCII = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_",
    "%": r"\%", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''", "[": "{[}", "]": "{]}",
}
_TEXT = _pairs(r"""
    ß ss æ ae Æ AE œ oe Œ OE ø o Ø O ł l Ł L ı i ȷ j … ldots § S ¶ P † dag ‡ ddag £ pounds © copyright
""", r"\%s{}") | _pairs(r"""
    – -- — --- ‒ -- ― --- ‐ - ‑ - ’ ' ‘ ` “ `` ” '' ¡ !` ¿ ?` ĳ ij Ĳ IJ ŉ 'n ĸ \textsc{k} ſ s
    ŀ l$\cdot$ Ŀ L$\cdot$ Ħ \leavevmode\rlap{\raise.35ex\hbox{--}}H ħ \leavevmode\rlap{\raise.55ex\hbox{-}}h
    Ŧ \leavevmode\rlap{\kern.2em\raise.05ex\hbox{-}}T ŧ \leavevmode\rlap{\kern.05em\raise.1ex\hbox{-}}t
""", "%s") | {"\u00a0": "~", "\u202f": r"\,", "\u2009": r"\,", "\u00ad": r"\-", "¸": r"\c{ }"}
_T1 = _pairs(r"""
    ð \dh Ð \DH þ \th Þ \TH đ \dj Đ \DJ ŋ \ng Ŋ \NG « \guillemotleft » \guillemotright ‹ \guilsinglleft
    › \guilsinglright „ \quotedblbase ‚ \quotesinglbase
""", r"\UseTextSymbol{T1}{%s}")
_TS1 = _pairs(r"""
    ¢ \textcent ¤ \textcurrency ¥ \textyen ¦ \textbrokenbar € \texteuro ¨ \textasciidieresis
    ¯ \textasciimacron ´ \textasciiacute ª \textordfeminine º \textordmasculine ® \textregistered
    ™ \texttrademark ‰ \textperthousand • \textbullet № \textnumero Ω \textohm
""", r"\UseTextSymbol{TS1}{%s}")
_MATH = _pairs(r"""
    ± \pm ∓ \mp × \times ÷ \div · \cdot ⋅ \cdot ∙ \bullet ∘ \circ ° ^\circ ¬ \neg − - ∕ / ∖ \setminus ∗ \ast
    ⋆ \star √ \surd ∛ \sqrt[3]{} ∜ \sqrt[4]{} ∝ \propto ∞ \infty ∠ \angle ∣ \mid ∤ \not\mid ∥ \parallel
    ∦ \not\parallel ∧ \wedge ∨ \vee ∩ \cap ∪ \cup ∫ \int ∬ \int\!\int ∭ \int\!\int\!\int ∮ \oint ∶ : ∷ ::
    ∀ \forall ∂ \partial ∃ \exists ∄ \not\exists ∅ \emptyset ∆ \Delta ∇ \nabla ∈ \in ∉ \notin ∋ \ni
    ∌ \not\ni ∏ \prod ∐ \coprod ∑ \sum ∼ \sim ≀ \wr ≁ \not\sim ≃ \simeq ≅ \cong ≈ \approx ≉ \not\approx
    ≍ \asymp ≐ \doteq ≔ := ≕ =: ≝ \stackrel{\mathrm{def}}{=} ≟ \stackrel{?}{=} ≠ \neq ≡ \equiv
    ≢ \not\equiv ≤ \leq ≥ \geq ≦ \leq ≧ \geq ≪ \ll ≫ \gg ≲ \stackrel{<}{\sim} ≳ \stackrel{>}{\sim}
    ≺ \prec ≻ \succ ⊂ \subset ⊃ \supset ⊆ \subseteq ⊇ \supseteq ⊎ \uplus ⊑ \sqsubseteq ⊒ \sqsupseteq
    ⊓ \sqcap ⊔ \sqcup ⊕ \oplus ⊖ \ominus ⊗ \otimes ⊘ \oslash ⊙ \odot ⊢ \vdash ⊣ \dashv ⊤ \top ⊥ \bot
    ⊧ \models ⊨ \models ⋀ \bigwedge ⋁ \bigvee ⋂ \bigcap ⋃ \bigcup ⋄ \diamond ⋈ \bowtie ⋮ \vdots
    ⋯ \cdots ⋱ \ddots ⌈ \lceil ⌉ \rceil ⌊ \lfloor ⌋ \rfloor ⟨ \langle ⟩ \rangle ′ ' ″ '' ‖ \Vert
    ← \leftarrow ↑ \uparrow → \rightarrow ↓ \downarrow ↔ \leftrightarrow ↕ \updownarrow ↖ \nwarrow
    ↗ \nearrow ↘ \searrow ↙ \swarrow ↦ \mapsto ↩ \hookleftarrow ↪ \hookrightarrow ⇌ \rightleftharpoons
    ⇐ \Leftarrow ⇑ \Uparrow ⇒ \Rightarrow ⇓ \Downarrow ⇔ \Leftrightarrow ⇕ \Updownarrow
    ⟵ \longleftarrow ⟶ \longrightarrow ⟷ \longleftrightarrow ⟸ \Longleftarrow ⟹ \Longrightarrow
    ℓ \ell ℏ \hbar ℜ \Re ℑ \Im ℵ \aleph ℘ \wp Γ \Gamma Δ \Delta Θ \Theta Λ \Lambda Ξ \Xi Π \Pi Σ \Sigma
    Υ \Upsilon Φ \Phi Ψ \Psi Ω \Omega α \alpha β \beta γ \gamma δ \delta ε \varepsilon ϵ \epsilon
    ζ \zeta η \eta θ \theta ϑ \vartheta ι \iota κ \kappa λ \lambda μ \mu µ \mu ν \nu ξ \xi ο o π \pi
    ϖ \varpi ρ \rho ϱ \varrho σ \sigma ς \varsigma τ \tau υ \upsilon φ \varphi ϕ \phi χ \chi ψ \psi
    ω \omega Α \mathrm{A} Β \mathrm{B} Ε \mathrm{E} Ζ \mathrm{Z} Η \mathrm{H} Ι \mathrm{I} Κ \mathrm{K}
    Μ \mathrm{M} Ν \mathrm{N} Ο \mathrm{O} Ρ \mathrm{P} Τ \mathrm{T} Χ \mathrm{X}
""", "$%s$")
_SIGNS = _MATH | _TS1 | _T1 | _TEXT | _ASCII

_ACCENTS = _pairs("\u0300 \\` \u0301 \\' \u0302 \\^ \u0303 \\~ \u0304 \\= \u0306 \\u \u0307 \\. \u0308 \\\" "
                  "\u030a \\r \u030b \\H \u030c \\v \u0323 \\d \u0327 \\c \u0331 \\b \u0326 \\textcommabelow", "%s")
_DOTLESS = {"i": r"\i", "j": r"\j"}
_OVERLAY, _OGONEK, _BELOW = "\u0338", "\u0328", "\u0323\u0326\u0327\u0331"
_SPACES = re.compile("[\t-\r\x1c-\x20\x85\u2028\u2029]+")
_CLUSTER = re.compile("(.)([\u0300-\u036f]*)", re.DOTALL)
_LIGATURES = re.compile(r"([-'`,])(?=\1)|([?!])(?=`)")


def escape(text: Any) -> str:
    """Any text as LaTeX that prints it."""
    plain = unicodedata.normalize("NFC", _SPACES.sub(" ", str(text)).strip())
    # What would become a dash or a quotation mark, as the two of --json, is kept apart.
    plain = _LIGATURES.sub(lambda m: m[0] + "\0", plain)
    return "".join("{}" if base == "\0" else _cluster(base, marks) for base, marks in
                   _CLUSTER.findall(plain))


def _cluster(base: str, marks: str) -> str:
    """A sign and the accents on it, at first as one, then taken apart."""
    if base in _SIGNS:
        made = _SIGNS[base]
    else:
        apart = unicodedata.normalize("NFD", base)
        base, marks = (apart[0], apart[1:] + marks) if _known(apart[1:]) else (base, marks)
        made = _one(base)
    for mark in marks:
        made = _with_accent(base, made, mark)
        base = ""
    return made


def _known(marks: str) -> bool:
    return bool(marks) and all(m in _ACCENTS or m in (_OVERLAY, _OGONEK) for m in marks)


def _with_accent(base: str, made: str, mark: str) -> str:
    if mark == _OVERLAY and (made.startswith("$") or base in "=<>"):
        return rf"$\not{made.strip('$') if made.startswith('$') else ' ' + base}$"
    if mark == _OGONEK:
        return rf"\UseTextAccent{{T1}}{{\k}}{{{made}}}"
    if mark not in _ACCENTS:
        return made + _number(mark)     # e.g. a hook, which no encoding of these has
    return f"{_ACCENTS[mark]}{{{made if mark in _BELOW else _DOTLESS.get(base, made)}}}"


def _one(c: str) -> str:
    if c in _SIGNS:
        return _SIGNS[c]
    if " " <= c <= "~":
        return c
    if unicodedata.category(c) in ("Cc", "Cf"):
        return ""
    kind, _, same = unicodedata.decomposition(c).partition(" ")
    plain = "".join(chr(int(code, 16)) for code in same.split()) if kind.startswith("<") else ""
    if kind == "<fraction>":
        above, _, below = plain.partition("\u2044")
        return rf"\textsuperscript{{{above}}}/\textsubscript{{{below}}}"
    if kind in ("<super>", "<sub>") and not plain.isspace():
        return rf"\text{kind[1:-1]}script{{{escape(plain)}}}"
    if kind == "<circle>":
        return f"({escape(plain)})"
    # A ligature, a wide or a mathematical letter is its letters; a lone accent is no letter.
    return escape(plain) if plain and not plain.startswith(" ") else _number(c)


def _number(c: str) -> str:
    return f"{{[}}U+{ord(c):04X}{{]}}"
