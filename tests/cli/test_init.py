from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lifecycle.scaffold.project import TEMPLATES
from tests.cli.commands import CommandLine

# As short as can be; what comes out is not what is tested here. Quantizing an image network takes longest, and
# tests/stages/test_digits.py does it.
STAGES = {
    "image": ["train", "prune", "export", "evaluate", "register"],
    "tabular": ["train", "prune", "quantize", "export", "evaluate", "register"],
}
QUICK = (
    "model_args.width=16",
    "train.trainer.max_epochs=2",
    "prune.epochs=1",
    "evaluate.steps=false",
    "evaluate.timed_calls=2",
    "budget.max_drop=1",
)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_new_project_runs_as_it_is(
    lifecycle: CommandLine, empty_store: Path, monkeypatch: pytest.MonkeyPatch, template: str
) -> None:
    made = lifecycle("init", "My Project", "--template", template)
    assert made.code == 0
    names = ("README.md", "data.py", "model.py", "pipeline.yaml", ".gitignore")
    assert {line.removeprefix("My Project/") for line in made.out.splitlines()} == set(names)
    assert made.err == "Next: cd 'My Project' && lifecycle run pipeline.yaml\n"
    folder = lifecycle.folder / "My Project"
    (folder / ".lifecycle").mkdir()
    shutil.copy(empty_store, folder / ".lifecycle" / "mlflow.db")
    monkeypatch.chdir(folder)
    order = f"stages=[{','.join(STAGES[template])}]"
    ended = lifecycle("run", "pipeline.yaml", order, *QUICK, "--json")
    assert ended.code == 0, ended.err
    stages = {stage["stage"]: stage for stage in json.loads(ended.out)}
    assert list(stages) == STAGES[template]
    assert stages["evaluate"]["metrics"]["test_acc"] > 0.2
    assert stages["prune"]["metrics"]["macs"] < stages["train"]["metrics"]["macs"]
    version = json.loads((Path(stages["register"]["path"]) / "version.json").read_text())
    assert (version["name"], version["number"]) == ("My-Project", 1)
    assert "[[" not in "".join((folder / name).read_text() for name in names)


def test_nothing_is_overwritten(lifecycle: CommandLine) -> None:
    before = {path: path.read_bytes() for path in lifecycle.folder.iterdir()}
    ended = lifecycle("init", ".", "--name", "pets")
    assert (ended.code, ended.out) == (2, "")
    assert "has data.py, model.py, pipeline.yaml already; nothing was written" in ended.err
    assert {path: path.read_bytes() for path in lifecycle.folder.iterdir()} == before


def test_a_folder_with_other_things_is_written_into(lifecycle: CommandLine) -> None:
    (lifecycle.folder / "new").mkdir()
    (lifecycle.folder / "new" / ".gitignore").write_text("mine\n")
    assert lifecycle("init", "new").code == 0
    assert (lifecycle.folder / "new" / ".gitignore").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["new", "--template", "imag"], "'imag' is not one of 'image', 'tabular'"),
        (["new", "--name", "../x"], "name is '../x'; expected letters, digits, '-' and '_'"),
        (["model.py"], "model.py is a file; expected a folder, or nothing"),
    ],
)
def test_wrong_words_write_nothing(lifecycle: CommandLine, words: list[str], message: str) -> None:
    ended = lifecycle("init", *words)
    assert ended.code == 2
    assert message in ended.err
    assert not (lifecycle.folder / "new").exists()
