"""Results in a notebook: one part of a page, in light and dark, whatever names and values hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lifecycle.pipeline.plan import Planned
from lifecycle.verbs.plans import PlanResult
from lifecycle.verbs.results import RunResult
from tests.report.runs import SERVED, pets

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    facts = pets(tmp_path_factory.mktemp("run") / "pets")
    return RunResult(
        pipeline=facts.pipeline,
        outcomes=facts.outcomes,
        report=Path("/runs/a b/report.html"),
        run_id="0123abcd",
        tracking_uri="https://mlflow.example.com",
        run_url="https://mlflow.example.com/#/experiments/1/runs/0123abcd",
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])


def opened(browser: Any, html: str, scheme: str = "light", attributes: str = "") -> Any:
    page = browser.new_page(color_scheme=scheme, viewport={"width": 900, "height": 700})
    page.set_content(f"<!doctype html><html><body {attributes}>{html}<p id=other>other</p></body></html>")
    return page


def test_names_and_values_are_text_and_no_markup(result: RunResult) -> None:
    hostile = [replace(result.outcomes[0], name=HOSTILE), *result.outcomes[1:]]
    html = replace(result, outcomes=hostile)._repr_html_()
    assert HOSTILE not in html and "&lt;img src=x onerror=alert(1)&gt;" in html
    plan = PlanResult(
        name="pets",
        stages=[Planned(stage="train", action="run", reasons=(HOSTILE,), last_s=None)],
    )
    assert HOSTILE not in plan._repr_html_() and "&lt;img" in plan._repr_html_()
    assert HOSTILE in repr(plan)


@pytest.mark.needs("chromium")
def test_a_notebook_shows_stages_before_and_after_and_where_to_read_more(
    result: RunResult, browser: Any
) -> None:
    page = opened(browser, result._repr_html_())
    captions = page.locator("caption").all_inner_texts()
    assert captions == ["Stages of the run", "Dense and served model"]
    rows = page.locator("table").first.locator("tbody th").all_inner_texts()
    assert rows == [outcome.name for outcome in result.outcomes]
    assert f"{SERVED['test_acc']:.4f}" in page.locator("table").last.inner_text()
    links = {link.inner_text(): link.get_attribute("href") for link in page.locator("a").all()}
    assert links == {
        "report of this run": "file:///runs/a%20b/report.html",
        "run in MLflow": "https://mlflow.example.com/#/experiments/1/runs/0123abcd",
    }
    assert page.evaluate("document.scripts.length") == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 900


@pytest.mark.needs("chromium")
@pytest.mark.parametrize(
    ("scheme", "attributes", "dark"),
    [
        ("light", "", False),
        ("dark", "", True),
        ("light", 'data-jp-theme-light="false"', True),
        ("dark", 'data-jp-theme-light="true"', False),
        ("light", 'class="vscode-dark"', True),
    ],
)
def test_it_is_as_light_or_dark_as_the_notebook(
    result: RunResult, browser: Any, scheme: str, attributes: str, dark: bool
) -> None:
    page = opened(browser, result._repr_html_(), scheme, attributes)
    look = "node => { const s = getComputedStyle(node); return [s.backgroundColor, s.color]; }"
    paper, ink = page.locator(".lifecycle-result").evaluate(look)
    assert (paper, ink) == (
        ("rgb(20, 23, 27)", "rgb(232, 235, 239)") if dark else ("rgb(255, 255, 255)", "rgb(22, 25, 29)")
    )
    other = page.locator("#other").evaluate(look)
    assert other[0] == "rgba(0, 0, 0, 0)", "the style reaches nothing else"
