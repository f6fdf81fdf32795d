from __future__ import annotations

import logging
from pathlib import Path

import pytest
from mlflow import MlflowClient

from lifecycle.report.run import newest_report, report_run
from lifecycle.train.loggers.mlflow_run import MLFlowRun
from lifecycle.workspace import Workspace
from tests.report.runs import pets


def test_a_page_is_written_and_kept_with_the_run(client: MlflowClient, tmp_path: Path) -> None:
    facts = pets(tmp_path / "pets")
    run = MLFlowRun(client, client.create_run("0").info.run_id)
    path = report_run(facts.pipeline, Workspace(tmp_path), facts.outcomes, run)
    assert path.parent.name.endswith(run.run_id)
    assert newest_report(Workspace(tmp_path)) == path
    kept = Path(client.download_artifacts(run.run_id, "report.html", str(tmp_path)))
    assert kept.read_text() == path.read_text()


def test_while_mlflow_is_away_the_page_is_made_and_says_what_is_not_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = MLFlowRun(MlflowClient("http://127.0.0.1:9", "http://127.0.0.1:9"), "r" * 32)
    facts = pets(tmp_path / "pets")
    with caplog.at_level(logging.WARNING, "lifecycle.report"):
        path = report_run(facts.pipeline, Workspace(tmp_path), facts.outcomes, away)
    text = path.read_text()
    assert "MLflow did not answer, so curves and promotions are not shown" in text
    assert 'value="21046.0"' in text or 'value="21046"' in text
    [record] = caplog.records
    assert record.getMessage().startswith("the report is not in MLflow: ")
