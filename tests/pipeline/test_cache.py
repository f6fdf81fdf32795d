from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lifecycle.core.budget import Budget
from lifecycle.pipeline import libraries
from lifecycle.pipeline.cache import look_up
from lifecycle.pipeline.libraries import versions
from tests.pipeline.plain import Pipeline, plain_project

ALL = ["train", "prune", "export", "register"]


def keys(pipeline: Pipeline) -> list[str]:
    """Of its four stages."""
    return [outcome.artifact.path.name for outcome in pipeline.run()]


def write(name: str, text: str) -> Callable[[Pipeline], Pipeline]:
    def edit(pipeline: Pipeline) -> Pipeline:
        (pipeline.root / name).write_text(text)
        return pipeline

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        write("model.py", "import layers\nclass Net:\n    def __init__(self, width=2): pass\n"),
        write("layers.py", "value = 2\n"),
        write("data.py", "class Data: split = 2\n"),
        lambda pipeline: pipeline.changed(data="data-2"),
        lambda pipeline: pipeline.changed(seed=8),
        lambda pipeline: pipeline.changed(model_args={"width": 3}),
        lambda pipeline: pipeline.changed("train", trainer={"max_epochs": 2}),
        lambda pipeline: pipeline.changed(budget=Budget(metric="val_acc")),
    ],
)
def test_whatever_can_change_a_result_changes_its_key(
    pipeline: Pipeline, edit: Callable[[Pipeline], Pipeline]
) -> None:
    before = keys(pipeline)
    assert keys(edit(pipeline))[0] != before[0]


@pytest.mark.parametrize(
    "edit",
    [
        write("unrelated.py", "value = 2\n"),
        write("README.md", "More words.\n"),
    ],
)
def test_whatever_cannot_change_a_result_changes_no_key(
    pipeline: Pipeline, edit: Callable[[Pipeline], Pipeline]
) -> None:
    before = keys(pipeline)
    assert keys(edit(pipeline)) == before


def test_keys_are_the_same_in_another_folder(pipeline: Pipeline, tmp_path: Path) -> None:
    outside = {"outside": pipeline.stages["register"].outside}  # type: ignore[attr-defined]
    assert keys(plain_project(tmp_path / "other").changed("register", **outside)) == keys(pipeline)


def test_a_copied_workspace_is_used_where_it_is(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.run()
    shutil.copytree(pipeline.root, tmp_path / "copy")
    assert pipeline.changed(root=tmp_path / "copy").ran() == []


def test_another_version_of_a_library_changes_every_key(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys(pipeline)
    known = libraries._version
    monkeypatch.setattr(libraries, "_version", lambda name: "99.0" if name == "torch" else known(name))
    assert not set(before) & set(keys(pipeline))


def test_the_libraries_that_compute_are_known_by_version() -> None:
    known = versions()
    assert {"python", "torch", "torchao", "torch-pruning", "onnx", "onnxruntime", "numpy"} <= set(known)
    assert all(isinstance(version, str) for version in known.values())


def test_a_key_is_a_whole_hash(pipeline: Pipeline) -> None:
    assert {len(key) for key in keys(pipeline)} == {64}


def test_looking_up_says_why_there_is_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    artifact = pipeline.run()[0].artifact
    assert look_up(artifact.path) == (artifact, "")
    assert look_up(tmp_path / "never") == (None, "")
    (artifact.path / "added").touch()
    assert look_up(artifact.path) == (None, f"artifact {artifact.path} was altered: added was added")


def test_training_depends_on_which_metric_is_best_and_on_no_limit(pipeline: Pipeline) -> None:
    before, after = keys(pipeline), keys(pipeline.changed(budget=Budget(max_size_mb=3.0)))
    assert after[0] == before[0], "a changed limit does not train again"
    assert not set(after[1:]) & set(before[1:])
    assert keys(pipeline.changed(budget=Budget(metric="other")))[0] != before[0]
