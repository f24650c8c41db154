"""TeX for the equations that the code writes as plain text."""

import re

LETTERS = "alpha|eta|gamma|lambda|omega|psi|sigma|sum|prod"
WORD = rf"(?<![A-Za-z_])(?:(?!(?:{LETTERS}|d[tWx]|Bernoulli)(?![A-Za-z]))[A-Za-z]{{2,}}|[Aa](?= [A-Za-z]{{2,}}))"
COMMA = r"[,;] (?![^([{]*[)\]}])"  # outside brackets
BETWEEN = re.compile(
    rf"((?:{COMMA}| )?{WORD}(?:[ -]{WORD}|, {WORD})*(?:{COMMA}| |$)|{COMMA})"
)  # what stands between equations
RULES = (  # a pattern of the plain notation, and its TeX
    (r"_([A-Za-z0-9]{2,})", r"_{\1}"),  # K_ij
    (r"\^\(([^()]*)\)", r"^{\1}"),  # dt^(1/2)
    (rf"\b({LETTERS})(?![A-Za-z])", r"\\\1"),
    ("Bernoulli", r"\\text{Bernoulli}"),
    ("<-", r"\\leftarrow"),
    ("~", r"\\sim"),
    (r"\.\.\.(?=[,\]])|(?<=, )\.\.\.", r"\\ldots"),
    (r"\.\.\.", r"\\cdots"),
    (r"(?<=[\w)]) d(?=[tW])", r"\\, d"),
)


def inline(text: str) -> str:
    r"""Returns the text with its equations as TeX: `$u \leftarrow \omega u$, by $A u = f$`. Lines can break between equations."""
    parts = BETWEEN.split(text)
    return "".join(
        part if between else _tex(part) for between, part in zip([False, True] * len(parts), parts, strict=False)
    )


def sentence(text: str) -> str:
    """Returns a sentence with its equations as TeX, and escapes stars, brackets and underscores in the rest."""
    parts = BETWEEN.split(text.removesuffix("."))
    return "".join(_tex(part) if re.search(" [=~] ", part) else escaped(part) for part in parts) + "."


def escaped(text: str) -> str:
    """Returns text whose stars, brackets and underscores Markdown leaves as they are."""
    return re.sub(r"([*_<>\[\]])", r"\\\1", text)


def _tex(equation: str) -> str:
    for pattern, replacement in RULES:
        equation = re.sub(pattern, replacement, equation)
    if unknown := re.search(rf"(?<![\\A-Za-z]){WORD}", re.sub(r"\{[^}]*\}", "", equation)):
        raise ValueError(
            f"expected letters and words of {LETTERS} in an equation. Received: {unknown[0]} in {equation}"
        )
    return equation and f"${equation.strip()}$"
