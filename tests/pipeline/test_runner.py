from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle.core.artifact import open_artifact
from lifecycle.core.errors import UsageError
from lifecycle.pipeline.runner import check_order
from tests.pipeline.plain import RAN, Export, Log, Notes, Pipeline, Prune, Register, Train, plain_project

ALL = ["train", "prune", "export", "register"]
ROOT = Path(__file__).parents[2]


def test_stages_run_in_order_each_on_the_newest_of_what_it_needs(pipeline: Pipeline) -> None:
    outcomes = {outcome.name: outcome.artifact for outcome in pipeline.run()}
    assert RAN == ["trained", "pruned", "exported", "registered"]
    assert list(outcomes) == ALL
    assert outcomes["train"].parent is None
    assert outcomes["prune"].parent == outcomes["train"].digest
    assert outcomes["export"].parent == outcomes["prune"].digest
    assert outcomes["register"].parent == outcomes["export"].digest


def test_the_first_checkpoint_is_the_baseline_of_all_that_follow(pipeline: Pipeline) -> None:
    outcomes = {outcome.name: outcome.artifact for outcome in pipeline.run()}
    texts = {name: artifact.file("text").read_text() for name, artifact in outcomes.items()}
    dense, pruned, bundle = (outcomes[name].digest for name in ("train", "prune", "export"))
    assert texts == {
        "train": "trained {} none 7",
        "prune": f"pruned {{'checkpoint': '{dense}'}} {dense} 7",
        "export": f"exported {{'checkpoint': '{pruned}'}} {dense} 7",
        "register": f"registered {{'bundle': '{bundle}'}} {dense} 7",
    }


def test_a_second_run_runs_nothing_and_says_so(pipeline: Pipeline) -> None:
    first = pipeline.run()
    RAN.clear()
    notes = Notes()
    second = pipeline.run(notes=notes)
    assert RAN == []
    assert [outcome.cached for outcome in second] == [True] * 4
    assert [outcome.artifact for outcome in second] == [outcome.artifact for outcome in first]
    assert notes.lines == [f"{o.name}: cached  {o.artifact.digest[:12]}" for o in second]


def test_a_run_says_what_it_does_and_what_came_of_it(pipeline: Pipeline) -> None:
    notes = Notes()
    outcome = pipeline.run(notes=notes)[0]
    assert notes.lines[0] == "train: running"
    assert notes.lines[1].startswith("train: done in ")
    assert notes.lines[1].endswith(f" s  {outcome.artifact.digest[:12]}  acc 0.5")


def test_another_option_reruns_its_stage_and_those_after_it(pipeline: Pipeline) -> None:
    pipeline.run()
    assert pipeline.changed("prune", text="pruned more").ran() == ["prune", "export", "register"]
    assert pipeline.changed("register", text="elsewhere").ran() == ["register"]
    assert pipeline.ran() == []  # what the first run made is still there


def test_a_stage_that_makes_the_same_bytes_reruns_nothing_after_it(pipeline: Pipeline) -> None:
    pipeline.run()
    # Another key, the same result: those after it depend on what was made, not on how.
    assert pipeline.changed("prune", trainer={"max_epochs": 3}).ran() == ["prune"]


def test_a_damaged_result_is_reported_and_built_again(pipeline: Pipeline) -> None:
    first = pipeline.run()
    first[1].artifact.file("text").write_text("altered")
    notes = Notes()
    second = pipeline.run(notes=notes)
    assert [outcome.name for outcome in second if not outcome.cached] == ["prune"]
    (report,) = [line for line in notes.lines if "altered" in line]
    assert report.startswith(
        f"prune: artifact {first[1].artifact.path} was altered: text differs from its SHA-256"
    )
    assert report.endswith("; it is built again")
    assert second[1].artifact == first[1].artifact
    assert pipeline.ran() == []


def test_a_result_that_is_gone_is_built_again(pipeline: Pipeline) -> None:
    first = pipeline.run()
    shutil.rmtree(first[0].artifact.path)
    assert pipeline.ran() == ["train"]


def test_a_result_whose_other_half_is_gone_is_built_again(pipeline: Pipeline) -> None:
    pipeline.run()
    (pipeline.root / "outside").unlink()
    assert pipeline.ran() == ["register"]


def test_a_failure_keeps_what_was_finished_and_what_the_stage_has_begun(pipeline: Pipeline) -> None:
    broken, log = pipeline.changed("export", text="fails"), Log()
    with pytest.raises(RuntimeError, match=r"^the stage failed$"):
        broken.run(log)
    assert log.ended == [("train", "ended"), ("prune", "ended"), ("export", "RuntimeError")]
    assert [path.name for path in (pipeline.cache / "export").rglob("half")] == ["half"]
    assert pipeline.ran() == ["export", "register"]


def test_unfinished_work_is_removed_when_its_stage_has_ended(pipeline: Pipeline) -> None:
    pipeline.run()
    assert list(pipeline.cache.rglob("half")) == []
    assert sorted(path.name for path in pipeline.cache.iterdir()) == sorted(ALL)
    assert all(len(list(path.iterdir())) == 1 for path in pipeline.cache.iterdir())


def test_unfinished_work_of_a_run_that_was_killed_before_it_tidied_up_is_removed(pipeline: Pipeline) -> None:
    pipeline.run()
    (made,) = (pipeline.cache / "prune").iterdir()
    left = made.with_name(f".{made.name}.work")
    left.mkdir()
    (left / "half").write_text("of a fit")
    assert pipeline.ran() == []
    assert [*(pipeline.cache / "prune").iterdir()] == [made]


def test_a_killed_run_leaves_nothing_that_the_next_trips_over(pipeline: Pipeline) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from lifecycle.core.artifact import Draft\n"
        "from tests.pipeline.plain import plain_project\n"
        "seal = Draft.seal\n"
        "def killed(draft, kind, **more):\n"
        "    if kind == 'bundle':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return seal(draft, kind, **more)\n"
        "Draft.seal = killed\n"
        "plain_project(Path(sys.argv[1])).run()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(pipeline.root)], cwd=ROOT, env=os.environ, timeout=120
    )
    assert done.returncode == -signal.SIGKILL
    assert len(list((pipeline.cache / "export").glob(".*.draft"))) == 1
    assert pipeline.ran() == ["export", "register"]
    assert pipeline.ran() == []


def test_each_stage_is_recorded_with_options_numbers_and_where_it_came_from(pipeline: Pipeline) -> None:
    log = Log()
    outcomes = pipeline.changed("train", trainer={"max_epochs": 3, "nested": {"deep": 1}}).run(log)
    assert log.params["train"] == {"text": "trained", "trainer.max_epochs": 3, "trainer.nested.deep": 1}
    assert log.metrics["prune"] == {"acc": 0.5}
    versions = json.loads(log.tags["prune"]["lifecycle.versions"])
    assert {"python", "torch"} <= versions.keys()
    assert log.tags["prune"] == {
        "lifecycle.data": "data-1",
        "lifecycle.versions": json.dumps(versions),
        "lifecycle.key": outcomes[1].artifact.path.name,
        "lifecycle.digest": outcomes[1].artifact.digest,
        "lifecycle.parent_digest": outcomes[0].artifact.digest,
        "lifecycle.cached": "false",
    }
    assert log.tags["train"]["lifecycle.parent_digest"] == ""
    assert log.files == ALL


def test_a_cached_stage_is_recorded_as_such_and_its_files_are_not_copied_again(pipeline: Pipeline) -> None:
    pipeline.run()
    log = Log()
    pipeline.run(log)
    assert log.ended == [(name, "ended") for name in ALL]
    assert {tags["lifecycle.cached"] for tags in log.tags.values()} == {"true"}
    assert log.metrics["train"] == {"acc": 0.5}
    assert log.files == []


def test_two_folders_give_the_same_digests(pipeline: Pipeline, tmp_path: Path) -> None:
    other = plain_project(tmp_path / "other").changed("register", outside=pipeline.stages["register"].outside)  # type: ignore[attr-defined]
    assert [o.artifact.digest for o in other.run()] == [o.artifact.digest for o in pipeline.run()]


def test_results_are_verified_artifacts_below_stage_and_key(pipeline: Pipeline) -> None:
    for outcome in pipeline.run():
        assert outcome.artifact.path.parent == pipeline.cache / outcome.name
        assert open_artifact(outcome.artifact.path) == outcome.artifact


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (
            {"prune": Prune()},
            "stage 'prune' needs a checkpoint, and no stage before it makes one; the order is: prune",
        ),
        (
            {"export": Export(), "train": Train()},
            "stage 'export' needs a checkpoint, and no stage before it makes one; the order is: export, train",
        ),
        (
            {"train": Train(), "register": Register()},
            "stage 'register' needs a bundle, and no stage before it makes one; the order is: train, register",
        ),
    ],
)
def test_a_stage_that_would_not_find_what_it_needs_is_refused(
    pipeline: Pipeline, stages: dict[str, Train], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        check_order(stages)
    assert str(caught.value) == message
    with pytest.raises(UsageError):
        pipeline.changed(stages=stages).run()
    assert RAN == []
