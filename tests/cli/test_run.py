from __future__ import annotations

import math
from pathlib import Path

import click
import pytest

from lifecycle.cli.main import cli
from lifecycle.cli.run import run
from lifecycle.workspace import Workspace
from tests.cli.commands import PIPELINE, CommandLine, Ended
from tests.pipeline import tiny
from tests.test_workspace import held_by_another


def refused(ended: Ended) -> str:
    """The one message of a command that was refused as wrong usage."""
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.count("error: ") == 1
    assert "Traceback" not in ended.err
    return ended.err.partition("error: ")[2].removesuffix("\n")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "name:",
            "nmae:",
            "pipeline.yaml:1:1: unknown key 'nmae': did you mean 'name'? Allowed: budget, data, data_args, ",
        ),
        (
            "max_epochs",
            "max_epoch",
            "did you mean 'max_epochs'? Allowed: accelerator, accumulate_grad_batches, ",
        ),
        ("max_epochs: 1", "max_epochs: one", "trainer.max_epochs is 'one': Input should be a valid integer"),
        ("width", "widht", "model.py:Net takes no argument 'widht': did you mean 'width'? Allowed: width"),
        ("py:Net", "py:Nett", "model.py defines no class 'Nett': did you mean 'Net'? Allowed: Net"),
        ("data.py", "dada.py", "dada.py: did you mean 'data.py'? Allowed: data.py, model.py"),
        ("train: {", "train: {{", "not YAML"),
        ("train:", "name:", "pipeline.yaml:5:1: 'name' stands twice; first at pipeline.yaml:1"),
    ],
)
def test_a_wrong_file_is_refused_with_the_closest_match_and_what_is_allowed(
    lifecycle: CommandLine, old: str, new: str, message: str
) -> None:
    lifecycle.write("pipeline.yaml", PIPELINE.replace(old, new))
    assert message in refused(lifecycle("run", "pipeline.yaml"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pipelin.yaml"], "no file pipelin.yaml: did you mean 'pipeline.yaml'? Allowed: pipeline.yaml"),
        (["nowhere/pipeline.yaml"], "no file nowhere/pipeline.yaml: nor any other pipeline file beside it"),
        (
            ["pipeline.yaml", "train"],
            "'train' sets nothing: expected key=value, as in train.trainer.max_epochs=3",
        ),
        (
            ["pipeline.yaml", "seed=x"],
            "command line 'seed=x': 'seed' is 'x': Input should be a valid integer",
        ),
        (
            ["pipeline.yaml", "trian.x=1"],
            "command line 'trian.x=1': unknown key 'trian': did you mean 'train'?",
        ),
        (
            ["pipeline.yaml", "name.x=1"],
            "command line 'name.x=1': 'name' is 'tiny', nothing can be set below it",
        ),
        (
            ["pipeline.yaml", "stages=[prune,train]", "prune.macs=0.5"],
            "stage 'prune' needs a checkpoint, and no stage",
        ),
    ],
)
def test_wrong_words_are_refused_with_the_closest_match_and_what_is_allowed(
    lifecycle: CommandLine, words: list[str], message: str
) -> None:
    assert message in refused(lifecycle("run", *words))


def test_the_environment_sets_options_too(lifecycle: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFECYCLE_TRAIN__TRAINR", "{}")
    message = refused(lifecycle("run", "pipeline.yaml"))
    assert message.startswith(
        "environment LIFECYCLE_TRAIN__TRAINR: unknown key 'train.trainr': did you mean 'trainer'?"
    )


def test_what_is_refused_leaves_no_workspace(lifecycle: CommandLine) -> None:
    refused(lifecycle("run", "pipeline.yaml", "seed=x"))
    assert sorted(path.name for path in lifecycle.folder.iterdir()) == [
        "data.py",
        "model.py",
        "pipeline.yaml",
    ]


@pytest.mark.usefixtures("store")
def test_a_run_that_is_refused_inside_lets_go_of_the_workspace(lifecycle: CommandLine) -> None:
    for _ in range(2):  # a lock that is kept would stop the second
        message = refused(lifecycle("run", "pipeline.yaml"))
        assert "Net does not say what its input looks like" in message


def test_a_workspace_elsewhere_is_named(lifecycle: CommandLine, tmp_path: Path, store: Path) -> None:
    store.parent.rename(tmp_path / "results")
    refused(lifecycle("run", "pipeline.yaml", "--workspace", "results"))
    assert not (tmp_path / ".lifecycle").exists()
    assert (tmp_path / "results" / "identity").is_file()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pipeline.yaml"], 0.0),
        (["--wait", "pipeline.yaml"], math.inf),
        (["pipeline.yaml", "--wait"], math.inf),
        (["--wait", "30", "pipeline.yaml"], 30.0),
        (["--wait=1.5", "pipeline.yaml"], 1.5),
    ],
)
def test_a_run_waits_as_long_as_it_is_told_to(words: list[str], expected: float) -> None:
    given = run.make_context("run", list(words)).params
    assert (given["wait"], given["file"]) == (expected, Path("pipeline.yaml"))


@pytest.mark.parametrize("verb", ["prune", "compress", "export", "sensitivity", "gc"])
def test_every_verb_that_holds_a_workspace_can_wait_for_it(verb: str) -> None:
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    words = [] if verb == "gc" else ["pipeline.yaml"]
    assert command.make_context(verb, [*words, "--wait"]).params["wait"] == math.inf
    assert command.make_context(verb, [*words]).params["wait"] == 0.0


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("words", [["prune", "pipeline.yaml", "prune.macs=0.5"], ["gc", "--yes"]])
def test_who_is_waited_for_is_told(lifecycle: CommandLine, tmp_path: Path, words: list[str]) -> None:
    with held_by_another(Workspace(tmp_path / ".lifecycle")) as holder:
        ended = lifecycle(*words, "--wait", "0.1")
    assert (ended.code, ended.out) == (1, "")
    first, second = ended.err.splitlines()[:2]
    assert f"process {holder.pid}" in first and first.endswith(": waiting for it to end")
    assert second.startswith("error: another run works in ")


@pytest.mark.usefixtures("store")
def test_a_slip_is_told_before_training_and_the_failed_run_has_a_page(
    lifecycle: CommandLine, tmp_path: Path
) -> None:
    for name, text in (("pipeline.yaml", tiny.PIPELINE), ("model.py", tiny.MODEL), ("data.py", tiny.DATA)):
        lifecycle.write(name, text.replace("gates: {test_acc:", "gates: {test_accc:"))
    ended = lifecycle("run", "pipeline.yaml")
    assert (ended.code, ended.out) == (2, "")
    told = ended.err.splitlines()
    assert told[0] == "train: running"
    page = Path(told[1].removeprefix("Report: "))
    assert told[2].startswith(
        "error: pipeline.yaml:12:9: gates.test_accc is about 'test_accc', which test_step"
    )
    assert "did you mean 'test_acc'?" in told[2]
    assert not list((tmp_path / ".lifecycle" / "cache" / "train").glob("[0-9a-f]*"))
    text = page.read_text()
    assert "Failed in train" in text and "gates.test_accc is about" in text and "not reached" in text
