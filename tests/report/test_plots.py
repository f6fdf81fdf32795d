"""Drawings of a stage, as files of their own beside what it recorded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from mlflow import MlflowClient

from lifecycle.core.canonical import readable_json
from lifecycle.report.page.known import RunFacts
from lifecycle.report.plots import log_plots, plots
from lifecycle.tracking import recording
from lifecycle.workspace import Workspace
from tests.report.runs import pets

LABELS = ("cat", "dog", "<hamster>")


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> RunFacts:
    return pets(tmp_path_factory.mktemp("run") / "pets", labels=LABELS)


def drawn(facts: RunFacts, stage: str) -> dict[str, str]:
    outcome = next(outcome for outcome in facts.outcomes if outcome.name == stage)
    curves = {stage: facts.curves[stage]} if stage in facts.curves else {}
    effects = facts.effects if stage == "train" else {}
    return dict(plots(replace(outcome, cached=False), curves, effects, LABELS))


def words(svg: str) -> list[str]:
    """What is written in a drawing, which is XML of its own."""
    texts = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    return [text.text or "" for text in texts]


def test_each_stage_draws_what_it_has_to_show(facts: RunFacts) -> None:
    found = {outcome.name: [*drawn(facts, outcome.name)] for outcome in facts.outcomes}
    assert found == {
        "train": ["curve-loss", "curve-acc", "sensitivity"],
        "prune": [],  # a single value is no curve
        "export": ["parity"],
        "evaluate": ["confusion", "latency"],
        "register": [],
    }


def test_a_drawing_shows_the_numbers(facts: RunFacts) -> None:
    outcomes = facts.known.outcomes
    assert outcomes is not None
    confusion = words(drawn(facts, "evaluate")["confusion"])
    counts = [str(count) for row in outcomes.matrix(3) for count in row if count]
    assert [word for word in confusion if word.isdigit()] == counts
    assert set(LABELS) <= set(confusion)
    assert "+0.03" in words(drawn(facts, "export")["parity"]), "0.003 where 0.1 is allowed"
    assert {"train_loss", "val_loss"} <= set(words(drawn(facts, "train")["curve-loss"]))


@pytest.mark.needs("chromium")
def test_a_browser_shows_them_in_colour(facts: RunFacts, tmp_path: Path, browser: Any) -> None:
    path = tmp_path / "confusion.svg"
    path.write_text(drawn(facts, "evaluate")["confusion"])
    page = browser.new_page()
    page.goto(path.as_uri())
    fills = "cells => cells.map(cell => getComputedStyle(cell).fill)"
    assert set(page.eval_on_selector_all("rect.hit", fills)) == {"rgb(31, 95, 191)"}
    assert set(page.eval_on_selector_all("rect.miss", fills)) == {"rgb(194, 87, 26)"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"], timeout=120_000
        )


def test_they_are_kept_with_the_run_of_their_stage(
    client: MlflowClient, facts: RunFacts, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / ".lifecycle")
    ran = [replace(outcome, cached=False) for outcome in facts.outcomes]
    trained = ran[0].artifact
    kept: list[list[str]] = []
    with recording(workspace, "pets", print) as recorder:
        for place, cached in ((0, False), (0, True), (3, False), (3, True)):
            with recorder.run("stage", {}) as run:
                run.log_metrics({"val_acc": 0.5, "system/memory": 7.0}, 1)
                run.log_metrics({"val_acc": 0.7}, 2)
                outcomes = [*ran[:place], replace(ran[place], cached=cached)]
                log_plots(outcomes, workspace, run)
            kept.append([str(run.run_id)])
            workspace.sensitivity.mkdir(exist_ok=True)
            effects = {"title": "lost", "effects": [{"layer": "head", "drop": 0.1}]}
            (workspace.sensitivity / f"{trained.digest}-prune.json").write_bytes(readable_json(effects))
    names = [[file.path for file in client.list_artifacts(run_id, "plots")] for [run_id] in kept]
    assert names == [
        ["plots/curve-acc.svg"],
        ["plots/sensitivity.svg"],  # looked into since
        ["plots/confusion.svg", "plots/curve-acc.svg", "plots/latency.svg"],
        [],
    ]
