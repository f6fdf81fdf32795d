"""The README's lines of `make demo`, picked from what one run of it printed.

``python examples/digits/demo.py 2>&1 | python -m docs.generate.demo > benchmarks/demo.txt`` keeps what is
printed, without warnings of libraries and without paths; ``make docs`` then picks anew.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRINTED = ROOT / "benchmarks" / "demo.txt"
REGION = re.compile(r"(<!-- demo:begin[^>]*-->\n).*?(<!-- demo:end -->)", re.DOTALL)
NOISE = re.compile(r"^(Failed to load |[WE]\d{4} |Report: |Next:)|^ +\S*(lifecycle|mlflow|curl) ")
SHOWN = re.compile(
    r"^\$ lifecycle|^\w+: done in |^  (dense|prune|compressed) +test_acc|^  step  |^ +gate |^  (ok|REFUSED) "
    r"|is version \d+\.$|^ *lifecycle serve: serving|^  a (8|2): answered \d with|^  all \d+ held-out"
)


def kept(printed: str) -> str:
    """Without what libraries say and what names a path of the machine."""
    lines = (line.rstrip() for line in re.sub(r"\x1b\[[\d;]*m", "", printed).splitlines())
    return "\n".join(line for line in lines if not NOISE.search(line)).strip() + "\n"


def readme() -> str:
    """The README with its region made of the committed output."""
    found: list[str] = []
    left_out = False
    answered = 0
    for line in PRINTED.read_text().splitlines():
        answered += bool(re.match(r"^  a \d: answered", line))
        if not SHOWN.search(line) or ("answered" in line and answered > 2):
            left_out = left_out or bool(line.strip(" ─"))
            continue
        if found and line.startswith("$"):
            found.append("")
        elif left_out and re.match(r"^  (step|all) ", line):
            found.append("…")
        left_out = False
        found.append(line)
    block = "\n".join(found)
    return REGION.sub(
        lambda region: f"{region[1]}\n```\n{block}\n```\n\n{region[2]}", (ROOT / "README.md").read_text()
    )


if __name__ == "__main__":
    sys.stdout.write(kept(sys.stdin.read()))
