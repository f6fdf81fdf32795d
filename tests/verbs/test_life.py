"""A model's life from Python, in one process and without the command line."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

import lifecycle
from lifecycle import verbs
from lifecycle.core.errors import UsageError
from lifecycle.verbs.results import RunResult
from tests.pipeline.tiny import tiny_project

PATIENCE = "MLFLOW_HTTP_REQUEST_TIMEOUT"
DOCS = Path(__file__).parents[2] / "docs" / "from-python.md"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> lifecycle.Pipeline:
    folder = tmp_path_factory.mktemp("life") / "tiny"
    tiny_project(folder)
    return lifecycle.Pipeline(folder / "pipeline.yaml", {"train.trainer.max_epochs": 3})


@pytest.fixture(scope="module")
def result(pipeline: lifecycle.Pipeline) -> RunResult:
    return pipeline.run()


def test_values_lie_over_the_file(pipeline: lifecycle.Pipeline) -> None:
    options = {option.key: option.value for option in pipeline.options()}
    assert options["train.trainer.max_epochs"] == 3
    assert options["prune.macs"] == 0.5


def test_a_wrong_value_is_refused_when_the_pipeline_is_made(pipeline: lifecycle.Pipeline) -> None:
    with pytest.raises(UsageError, match=r"prune.*macs|macs.*2"):
        lifecycle.Pipeline(pipeline.file, {"prune.macs": 2.0})
    with pytest.raises(UsageError, match="the pipeline file has no 'compress': its stages are train, prune"):
        pipeline.run(until="compress")


def test_a_result_holds_what_was_made_and_measured(result: RunResult, pipeline: lifecycle.Pipeline) -> None:
    assert list(result.artifacts) == ["train", "prune", "quantize", "export", "evaluate", "register"]
    assert result.digests["export"] == result["export"].artifact.digest == result.bundle.digest  # type: ignore[union-attr]
    assert result.metrics["test_acc"] == result["evaluate"].artifact.numbers()["test_acc"]
    assert result.version == 1
    assert result.report.is_file() and result.run_id in result.report.parent.name
    assert result.tracking_uri == pipeline.workspace.default_tracking_uri and result.run_url == ""
    with pytest.raises(UsageError, match=r"the run has no stage 'serve': .*train"):
        result["serve"]
    assert json.loads(json.dumps(result.to_json()))[0]["stage"] == "train"


def test_a_terminal_shows_tables(result: RunResult) -> None:
    text = repr(result)
    for outcome in result.outcomes:
        assert re.search(rf"{outcome.name} .*{outcome.artifact.digest[:12]}", text)
    assert f"{result.metrics['test_acc']:.4f}" in text
    assert "Registered tiny version 1." in text and str(result.report) in text
    assert "\x1b" not in text


def test_a_part_of_a_run_ends_where_it_is_told_to(pipeline: lifecycle.Pipeline, result: RunResult) -> None:
    trained = pipeline.run(until="train")
    assert list(trained.artifacts) == ["train"]
    assert trained["train"].cached and trained.digests["train"] == result.digests["train"]
    assert trained.metrics["val_acc"] == result["train"].artifact.numbers()["val_acc"]
    assert trained.version is None and "Before and after" not in repr(trained)


def test_what_is_edited_meanwhile_counts(pipeline: lifecycle.Pipeline, result: RunResult) -> None:
    assert {stage.action for stage in pipeline.plan().stages} == {"cached"}
    assert "Nothing to run" in repr(pipeline.plan())
    model = pipeline.file.with_name("model.py")
    text = model.read_text()
    model.write_text(text.replace("lr=0.02", "lr=0.03"))
    try:
        (first, *_) = pipeline.plan().stages
        assert first.action == "run" and first.reasons == ("model.py: Net.configure_optimizers changed",)
    finally:
        model.write_text(text)


@pytest.fixture(scope="module")
def champion(pipeline: lifecycle.Pipeline, result: RunResult) -> Iterator[str]:
    assert all(row.holds for row in verbs.propose("tiny", workspace=pipeline.workspace.path).rows)
    moved = verbs.promote("tiny", workspace=pipeline.workspace.path, reason="the first")
    assert str(moved) == "tiny@champion is version 1."
    yield "models:/tiny@champion"


def test_the_registry_says_who_is_champion(champion: str, pipeline: lifecycle.Pipeline) -> None:
    place = pipeline.workspace.path
    (entry,) = verbs.history("tiny", workspace=place)
    assert (entry.version, entry.reason) == (1, "the first")
    (row,) = verbs.status(workspace=place)
    assert (row["model"], row["champion"]) == ("tiny", 1)
    assert verbs.diff("tiny", 1, "@champion", workspace=place) == []
    with pytest.raises(UsageError, match="version 1 is the first champion of tiny"):
        verbs.rollback("tiny", workspace=place)
    assert not verbs.gc(workspace=place).items
    assert verbs.report(place).is_file()


def test_a_server_is_held_asked_and_stopped(champion: str, pipeline: lifecycle.Pipeline) -> None:
    rows, before = np.ones((3, 8), np.float32), {*psutil.Process().children()}
    with verbs.serve(champion, workspace=pipeline.workspace.path, workers=1) as server:
        assert server.running and "tiny version 1" in repr(server)
        answer = server.predict(rows)
        assert len(answer["predictions"]) == 3 and answer["model_version"] == "1"  # type: ignore[arg-type]
        assert verbs.predict(server.url, rows.tolist())["predictions"] == answer["predictions"]
        (process,) = {*psutil.Process().children()} - before
        assert PATIENCE in os.environ  # set for this process, when it looked into the registry
        assert PATIENCE not in process.environ()
    assert not server.running
    server.stop()
    with pytest.raises(UsageError, match="neither models:/NAME@ALIAS"):
        verbs.serve("tiny", workspace=pipeline.workspace.path)
    with pytest.raises(UsageError, match="int cannot be asked about; expected an array"):
        verbs.predict(server.url, 3)  # type: ignore[arg-type]


def test_the_code_of_the_docs_runs_as_it_stands(
    pipeline: lifecycle.Pipeline,
    champion: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    monkeypatch.chdir(pipeline.file.parent)
    exec(compile(found[1], str(DOCS), "exec"), {})
    said = capsys.readouterr().out
    assert "Nothing to run: every result is there." in said
    assert "[{'output': [" in said, "what the server answered"


def test_bundles_are_compared(result: RunResult) -> None:
    assert result.bundle is not None
    found = verbs.benchmark(result.bundle.path, calls=2)
    assert [row.candidate.format.name for row in found.rows] == ["onnx"]
    assert all(finding.state != "broken" for finding in verbs.doctor(result.report.parents[2]))
