"""The page of a run, as a browser shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lifecycle.pipeline.runner import Failure
from lifecycle.report.page.known import RunFacts
from lifecycle.report.page.page import render, verdicts, write_page
from tests.report.runs import DENSE, SERVED, TIMINGS, pets

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"], timeout=120_000
        )


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> RunFacts:
    return pets(tmp_path_factory.mktemp("run") / "pets")


class Opened:
    """A page in the browser, and what it asked for."""

    def __init__(self, browser: Any, path: Path, width: int) -> None:
        self.requests: list[str] = []
        self.page = browser.new_page(viewport={"width": width, "height": 800})
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.requests.append(str(error)))
        self.page.on("dialog", lambda dialog: self.requests.append(dialog.message))
        self.page.goto(path.as_uri())

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.page.locator(selector).all_inner_texts()
        return [text.strip() for text in found]

    def numbers(self, selector: str) -> list[tuple[str, str]]:
        """What people read and what stands behind it."""
        script = "nodes => nodes.map(node => [node.getAttribute('value'), node.textContent])"
        return [(shown, value) for value, shown in self.page.eval_on_selector_all(f"{selector} data", script)]


@pytest.fixture(scope="module")
def opened(browser: Any, facts: RunFacts, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    return Opened(browser, write_page(facts, tmp_path_factory.mktemp("reports")), 1200)


def test_no_request_leaves_the_file(opened: Opened) -> None:
    assert [url for url in opened.requests if not url.startswith("file:")] == []
    assert len(opened.requests) == 1
    assert opened.page.evaluate("document.scripts.length") == 0


def test_it_tells_the_whole_story(opened: Opened) -> None:
    assert opened.texts("main > section > h2") == [
        "Stages",
        "Before and after",
        "Step by step",
        "Training",
        "What was taken for what",
        "Latency",
        "Proof of the files",
        "Sensitivity",
        "Budget and gates",
        "Lineage",
        "Environment",
        "Model card",
    ]
    targets = opened.page.eval_on_selector_all("nav a", "links => links.map(link => link.hash)")
    assert all(opened.page.locator(target).count() == 1 for target in targets)
    assert opened.texts("#stages tbody th") == ["train", "prune", "export", "evaluate", "register"]
    assert opened.texts("#lineage .flow b") == [
        "code",
        "data",
        "train",
        "prune",
        "export",
        "evaluate",
        "register",
    ]


def test_the_numbers_are_those_of_the_facts(opened: Opened) -> None:
    shown = dict(opened.numbers("#before-after"))
    for values in (DENSE, SERVED):
        for value in values.values():
            assert str(float(value)) in {str(float(number)) for number in shown.values()}
    assert float(shown["21.0 kB"]) == 21046
    assert float(shown["0.033 ms"]) == SERVED["latency_ms"]
    assert float(shown["× 0.226"]) == pytest.approx(478528 / 2116224)
    medians = {str(timing["median_ms"]) for timing in TIMINGS}  # type: ignore[call-overload, index]
    assert medians <= {value for _, value in opened.numbers("#latency")}
    assert ("0.7500", "0.75") in opened.numbers(".tiles")


def test_the_confusion_matrix_counts_the_outcomes(opened: Opened, facts: RunFacts) -> None:
    outcomes = facts.known.outcomes
    assert outcomes is not None
    cells = [int(value) for _, value in opened.numbers(".matrix")]
    assert cells == [count for row in outcomes.matrix(3) for count in row]
    assert opened.texts("#confusion p") == [
        "9 of 12 test samples were answered as they should be, 3 were not."
    ]


def test_charts_have_names_and_the_same_numbers_as_tables(opened: Opened, facts: RunFacts) -> None:
    charts = opened.page.locator("figure svg")
    for number in range(charts.count()):
        assert charts.nth(number).get_attribute("role") == "img"
        assert charts.nth(number).get_attribute("aria-label")
    opened.page.locator("#training summary").first.click()
    table = opened.texts("#training figure:nth-of-type(1) tbody tr")
    assert len(table) == 22 and table[0].split() == ["train", "train_loss", "0", "2.0000"]
    lines = opened.page.locator("#training figure:nth-of-type(1) polyline").count()
    assert lines == 2


@pytest.mark.parametrize("width", [360, 768])
def test_nothing_is_wider_than_a_narrow_screen(
    browser: Any, facts: RunFacts, tmp_path: Path, width: int
) -> None:
    opened = Opened(browser, write_page(facts, tmp_path), width)
    for summary in opened.page.locator("summary").all():
        summary.click()
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width
    beyond = """nodes => nodes.filter(node => !node.closest('.frame')
        && node.getBoundingClientRect().right > innerWidth + 1).map(node => node.outerHTML.slice(0, 80))"""
    assert opened.page.eval_on_selector_all("body *", beyond) == []
    # Text is not drawn over other text: what a cell holds fits into it.
    crowded = """nodes => nodes.filter(node => node.scrollWidth > node.clientWidth + 1)
        .map(node => node.textContent)"""
    whole = ".stack td, .tiles div, .flow li, .frame:not(:has(.wide))"
    assert opened.page.eval_on_selector_all(whole, crowded) == []


def test_it_prints(opened: Opened, tmp_path: Path) -> None:
    content = opened.page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert content.startswith(b"%PDF-") and len(content) > 20_000
    opened.page.emulate_media(media="print")
    assert not opened.page.locator("nav").is_visible()
    assert opened.page.locator("#stages table").is_visible()
    opened.page.emulate_media(media="screen")


def test_what_a_project_is_called_runs_nothing(browser: Any, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    facts = pets(
        tmp_path / "pets", labels=(evil, '"><img src=x onerror=alert(2)>', "{{ 7 * 7 }}"), notes=[evil]
    )
    opened = Opened(browser, write_page(facts, tmp_path / "reports"), 1200)
    assert len(opened.requests) == 1
    assert opened.page.evaluate("document.scripts.length + document.images.length") == 0
    assert opened.texts("p.note") == [evil]
    assert "{{ 7 * 7 }}" in opened.texts(".matrix tbody th")


def test_a_run_of_one_stage_has_a_page_too(browser: Any, facts: RunFacts, tmp_path: Path) -> None:
    short = pets(tmp_path / "pets", outcomes=facts.outcomes[:1], curves={}, effects={})
    opened = Opened(browser, write_page(short, tmp_path / "reports"), 1200)
    assert opened.texts("main > section > h2") == [
        "Stages",
        "Budget and gates",
        "Lineage",
        "Environment",
        "Model card",
    ]
    assert "how good it is is not known" in opened.texts("#card")[0]


def test_what_was_missed_is_said_at_the_top(facts: RunFacts, tmp_path: Path) -> None:
    from lifecycle.core.budget import Budget

    assert verdicts(facts) == [("within budget", "good"), ("meets its own gates", "good")]
    tight = replace(facts, pipeline=replace(facts.pipeline, budget=Budget(max_size_mb=0.02)))
    assert verdicts(tight)[0] == ("outside the budget", "bad")
    assert "outside the budget" in render(tight)


def test_many_classes_are_told_by_the_pairs_that_are_confused_most(tmp_path: Path) -> None:
    text = render(pets(tmp_path / "pets", labels=tuple(f"class {number}" for number in range(40))))
    assert 'class="matrix' not in text
    assert "Confused most" in text


def test_the_same_facts_give_the_same_page(facts: RunFacts) -> None:
    assert render(facts) == render(facts)


def failed(facts: RunFacts, reached: int) -> RunFacts:
    """The same run, had it failed in the stage after so many."""
    stages = {outcome.name: facts.pipeline.stages["register"] for outcome in facts.outcomes}
    message = "the bundle is refused:\n  REFUSED  onnx: 0.2 (allowed: ≤ 0.1)\n  REFUSED  <b>bold</b>"
    failure = Failure(stage=[*stages][reached], message=message, hint="Look at it with `lifecycle export`.")
    pipeline = replace(facts.pipeline, stages=stages)
    known = {"curves": {}, "effects": {}} if not reached else {}
    return replace(facts, pipeline=pipeline, outcomes=facts.outcomes[:reached], failure=failure, **known)


@pytest.mark.parametrize("width", [360, 1200])
def test_a_run_that_failed_says_where_why_and_what_was_reached(
    browser: Any, facts: RunFacts, tmp_path: Path, width: int
) -> None:
    opened = Opened(browser, write_page(failed(facts, 2), tmp_path), width)
    assert opened.texts("main > section > h2")[:2] == ["Failed in export", "Stages"]
    assert opened.texts("#failed p") == [
        "the bundle is refused:",
        "REFUSED  onnx: 0.2 (allowed: ≤ 0.1)".replace("  ", " "),
        "REFUSED  <b>bold</b>".replace("  ", " "),
        "Look at it with `lifecycle export`.",
        "What the stages before it made is kept: the same command goes on from there.",
    ]
    assert opened.texts(".chip.bad") == ["failed in export"]
    results = [text.split("\n")[0] for text in opened.texts("#stages tbody td:nth-of-type(1)")]
    assert results == ["cached", "ran", "failed", "not reached", "not reached"]
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width


def test_a_run_that_failed_at_once_has_a_page_too(browser: Any, facts: RunFacts, tmp_path: Path) -> None:
    opened = Opened(browser, write_page(failed(facts, 0), tmp_path), 1200)
    assert opened.texts("main > section > h2")[0] == "Failed in train"
    assert opened.texts("#stages tbody th") == ["train", "prune", "export", "evaluate", "register"]
    assert len(opened.requests) == 1
