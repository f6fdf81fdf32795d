from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from lifecycle.report.run import newest_report, report_run
from lifecycle.tracking import recording
from lifecycle.workspace import Workspace
from tests.report.runs import pets


def test_a_page_is_written_and_kept_with_the_run(client: MlflowClient, tmp_path: Path) -> None:
    workspace, facts = Workspace(tmp_path / ".lifecycle"), pets(tmp_path / "pets")
    with recording(workspace, "pets", print) as recorder, recorder.run("pets", {}) as run:
        path = report_run(facts.pipeline, workspace, facts.outcomes, run)
    assert path.parent.name.endswith(str(run.run_id))
    assert newest_report(workspace) == path
    kept = Path(client.download_artifacts(str(run.run_id), "report.html", str(tmp_path)))
    assert kept.read_text() == path.read_text()


def test_while_mlflow_is_away_the_page_is_made_and_says_what_is_not_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    workspace, facts = Workspace(tmp_path / ".lifecycle"), pets(tmp_path / "pets")
    with recording(workspace, "pets", print) as recorder, recorder.run("pets", {}) as run:
        path = report_run(facts.pipeline, workspace, facts.outcomes, run)
    text = path.read_text()
    assert "MLflow did not answer, so curves and promotions are not shown" in text
    assert 'value="21046' in text
