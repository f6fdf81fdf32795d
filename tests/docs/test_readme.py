"""What the README shows was printed, and its project is one; `make tutorial` types what takes longer."""

from __future__ import annotations

import re

import pytest

from lifecycle.cli.main import VERBS
from tests.docs.pages import ROOT, anchors, blocks

README = ROOT / "README.md"
PRINTED = ROOT / "benchmarks" / "demo.txt"


def shown() -> list[str]:
    (block,) = [block for block in blocks(README) if block.mark.startswith("demo:begin")]
    return [line for line in block.text.splitlines() if line.strip() not in ("", "…")]


def test_the_demo_printed_what_is_shown_in_this_order() -> None:
    lines = iter(" ".join(line.split()) for line in PRINTED.read_text().splitlines())
    missing = [line for line in shown() if " ".join(line.split()) not in lines]
    assert missing == []


def test_what_is_shown_is_the_whole_life() -> None:
    text = "\n".join(shown())
    for word in (
        "train: done",
        "register: done",
        "digits@champion is version 1.",
        "lifecycle serve",
        "held-out",
    ):
        assert word in text


def test_numbers_are_measured_ones() -> None:
    """Outside of the demo's lines and the figures' region, no time, rate or ratio is written by hand."""
    text = re.sub(r"<!-- figures:begin -->.*?<!-- figures:end -->", "", README.read_text(), flags=re.DOTALL)
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"(?:×\s+\d[\d.]*|\b\d[\d.,]*\s*(?:ms|µs|s|times|%|MB|kB|/s)(?![\w-]))", text) == []


@pytest.mark.parametrize(
    "heading", ["two-commands", "your-own-project", "measured", "beside-others", "where-to-go-next"]
)
def test_it_has_its_parts(heading: str) -> None:
    assert heading in anchors(README)


def test_it_is_read_in_ten_minutes() -> None:
    prose = re.sub(
        r"^ *```.*?^ *```|<!--.*?-->|<picture>.*?</picture>",
        "",
        README.read_text(),
        flags=re.DOTALL | re.MULTILINE,
    )
    assert len(re.findall(r"\w+", prose)) < 2400  # at 240 words a minute


def test_the_commands_of_a_new_project_are_verbs() -> None:
    (block,) = [block for block in blocks(README) if block.language == "console"]
    typed = re.findall(r"^\$ lifecycle (\w+)", block.text, re.MULTILINE)
    assert typed == ["init", "plan", "run", "promote", "serve"]
    assert set(typed) <= set(VERBS)
