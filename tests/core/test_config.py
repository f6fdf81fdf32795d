from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from lifecycle.core.config import Config, build, convert, lookup, read_config
from lifecycle.core.errors import UsageError

FILE = """\
name: digits
train:
  trainer: {max_epochs: 15}
prune:
  macs: 0.25
"""


def read(
    folder: Path,
    text: str = FILE,
    environment: Mapping[str, str] | None = None,
    overrides: Iterable[str] = (),
) -> Config:
    path = folder / "pipeline.yaml"
    path.write_text(text)
    return read_config(
        path, known=("name", "train", "prune"), environment=environment or {}, overrides=overrides
    )


@dataclass(frozen=True, kw_only=True)
class Prune:
    macs: float
    importance: Literal["magnitude", "taylor"] = "magnitude"
    epochs: int = 5
    ignore: tuple[str, ...] = ()
    trainer: Mapping[str, object] = field(default_factory=dict)
    lr: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.macs < 1:
            raise UsageError(f"macs is {self.macs}; expected a fraction between 0 and 1", hint="Try 0.5.")


def test_later_layers_win_and_every_value_knows_its_origin(tmp_path: Path) -> None:
    environment = {
        "LIFECYCLE_TRAIN__TRAINER__MAX_EPOCHS": "3",
        "LIFECYCLE_PRUNE__EPOCHS": "2",
        "LIFECYCLE_WORKSPACE": "/somewhere",
        "PATH": "/bin",
    }
    config = read(
        tmp_path, environment=environment, overrides=["prune.epochs=1", "train.trainer.deterministic=false"]
    )
    assert config.tree == {
        "name": "digits",
        "train": {"trainer": {"max_epochs": 3, "deterministic": False}},
        "prune": {"macs": 0.25, "epochs": 1},
    }
    assert config.origin(("name",)) == "pipeline.yaml:1:7"
    assert config.origin(("prune", "macs")) == "pipeline.yaml:5:9"
    assert (
        config.origin(("train", "trainer", "max_epochs"))
        == "environment LIFECYCLE_TRAIN__TRAINER__MAX_EPOCHS"
    )
    assert config.origin(("prune", "epochs")) == "command line 'prune.epochs=1'"


def test_a_value_that_was_not_set_is_a_default(tmp_path: Path) -> None:
    config = read(tmp_path)
    assert lookup(config, ("register", "alias")) is None
    assert lookup(config, ("name", "below")) is None
    assert config.origin(("register", "alias")) == "defaults"


def test_a_whole_mapping_replaces_what_was_below(tmp_path: Path) -> None:
    config = read(tmp_path, overrides=["train={trainer: {max_epochs: 1}}", "train.trainer.max_epochs=2"])
    assert lookup(config, ("train",)) == {"trainer": {"max_epochs": 2}}
    assert config.origin(("train", "trainer", "max_epochs")) == "command line 'train.trainer.max_epochs=2'"


def test_a_key_without_a_value_can_be_filled(tmp_path: Path) -> None:
    assert read(tmp_path, "train:\n", overrides=["train.epochs=2"]).tree == {"train": {"epochs": 2}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("true", True),
        ("null", None),
        ("[onnx, torchscript]", ["onnx", "torchscript"]),
        ("a=b", "a=b"),
        ("1+1", "1+1"),
        ("__import__('os')", "__import__('os')"),
        ("!!python/object:os.system", "!!python/object:os.system"),
        ("[", "["),
        ("", None),
    ],
)
def test_text_is_read_as_yaml_and_never_evaluated(tmp_path: Path, text: str, value: object) -> None:
    assert lookup(read(tmp_path, overrides=[f"prune.x={text}"]), ("prune", "x")) == value
    assert lookup(read(tmp_path, environment={"LIFECYCLE_PRUNE__X": text}), ("prune", "x")) == value


@pytest.mark.parametrize("override", ["prune.macs", "=3", ""])
def test_an_override_that_sets_nothing_is_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(
        UsageError, match=f"^'{override}' sets nothing: expected key=value, as in train.trainer"
    ):
        read(tmp_path, overrides=[override])


def test_nothing_can_be_set_below_a_plain_value(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError,
        match=r"^command line 'prune.macs.x=1': 'prune.macs' is 0.25, nothing can be set below it$",
    ):
        read(tmp_path, overrides=["prune.macs.x=1"])


def test_a_missing_file_is_refused_with_the_closest_one(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(FILE)
    with pytest.raises(
        UsageError, match=r"no file .*/pipelin.yml: did you mean 'pipeline.yaml'\? Allowed: pipeline"
    ):
        read_config(tmp_path / "pipelin.yml", known=(), environment={})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1,\n", r"pipeline.yaml:3:1: not YAML: "),
        ("a: *nope\n", r"pipeline.yaml:1:4: not YAML: found undefined alias 'nope'"),
        (
            "a: !!python/object/apply:os.abort []\n",
            r"pipeline.yaml:1:4: not YAML: could not determine a constructor",
        ),
        ("- a\n", r"pipeline.yaml: expected a mapping of keys to values at the top"),
        ("", r"pipeline.yaml: expected a mapping of keys to values at the top"),
        ("a: 1\nb: 2\na: 3\n", r"^pipeline.yaml:3:1: 'a' stands twice; first at pipeline.yaml:1"),
        ("a: {b: 1,\n  b: 2}\n", r"^pipeline.yaml:2:3: 'a.b' stands twice; first at pipeline.yaml:1"),
        ("a: {b: 1}\na: {c: 1}\n", r"^pipeline.yaml:2:1: 'a' stands twice; first at pipeline.yaml:1"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused_with_the_place(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("train:\n\tlr: 1\n", "Indent with spaces: YAML allows no tabs."),
        ("a: 1\n  b: 2\n", ""),
        ("  a: 1\n b: 2\n", "Keys of one mapping begin in the same column: "),
        ("a: {b: 1}\n  c: 2\n", "Keys of one mapping begin in the same column: "),
    ],
)
def test_a_slip_of_indentation_is_told_with_its_mend(tmp_path: Path, text: str, hint: str) -> None:
    with pytest.raises(UsageError, match="not YAML") as error:
        read(tmp_path, text)
    assert error.value.hint.startswith(hint)


def test_a_folder_or_a_file_of_python_is_no_pipeline_file(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"beside it\nGo to the folder that has one, or .* lifecycle init NAME"
    ):
        read_config(tmp_path / "pipeline.yaml", known=(), environment={})
    (tmp_path / "pipeline.yaml").write_text(FILE)
    with pytest.raises(
        UsageError, match=r" is a folder: name a pipeline file in it; allowed: pipeline.yaml$"
    ):
        read_config(tmp_path, known=(), environment={})
    (tmp_path / "model.py").write_text('"""A model."""\nimport torch\n')
    with pytest.raises(
        UsageError, match=r"A pipeline file is meant: the one that says `model: FILE.py:CLASS`"
    ):
        read_config(tmp_path / "model.py", known=(), environment={})


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(UsageError, match=r"pipeline.yaml: not YAML: 'utf-8' codec can't decode"):
        read_config(tmp_path / "pipeline.yaml", known=(), environment={})


def test_options_are_built_from_all_layers(tmp_path: Path) -> None:
    text = "prune:\n  macs: 0.25\n  ignore: [head]\n  trainer: {max_epochs: 2}\n"
    config = read(tmp_path, text, {"LIFECYCLE_PRUNE__EPOCHS": "7"}, ["prune.importance=taylor"])
    assert build(Prune, config, ("prune",)) == Prune(
        macs=0.25, importance="taylor", epochs=7, ignore=("head",), trainer={"max_epochs": 2}
    )


def test_values_that_are_passed_on_are_no_options(tmp_path: Path) -> None:
    assert build(Prune, read(tmp_path), ("prune",), more={"epochs": 9}).epochs == 9
    with pytest.raises(UsageError, match=r"unknown key 'prune.epochs'"):
        build(Prune, read(tmp_path, overrides=["prune.epochs=1"]), ("prune",), more={"epochs": 9})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "prune:\n  macs: 0.5\n  epoch: 3\n",
            r"^pipeline.yaml:3:3: unknown key 'prune.epoch': did you mean 'epochs'\? "
            r"Allowed: epochs, ignore, importance, lr, macs, trainer$",
        ),
        (
            "prune:\n  macs: half\n",
            r"^pipeline.yaml:2:9: 'prune.macs' is 'half': Input should be a valid number",
        ),
        (
            "prune:\n  macs: 0.5\n  importance: tayler\n",
            r"^pipeline.yaml:3:15: 'prune.importance' is 'tayler': Input should be 'magnitude' or 'taylor': did you mean 'taylor'\?$",
        ),
        (
            "prune:\n  macs: 0.5\n  epochs: 1.5\n",
            r"^pipeline.yaml:3:11: 'prune.epochs' is 1.5: .*valid integer",
        ),
        (
            "prune:\n  macs: 0.5\n  ignore: head\n",
            r"^pipeline.yaml:3:11: 'prune.ignore' is 'head': .*valid tuple",
        ),
        ("prune:\n  epochs: 3\n", r"^pipeline.yaml:1:1: 'prune' lacks 'macs', which has no default$"),
        ("prune: 3\n", r"^pipeline.yaml:1:8: 'prune' is 3; expected a mapping of options$"),
        (
            "prune:\n  macs: 2\n",
            r"^pipeline.yaml:2:9: 'prune': macs is 2.0; expected a fraction .*\nTry 0.5.$",
        ),
    ],
)
def test_a_wrong_option_is_refused_with_place_and_what_is_allowed(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        build(Prune, read(tmp_path, text), ("prune",))


def test_a_wrong_option_of_the_command_line_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^command line 'prune.epoch=3': unknown key 'prune.epoch'"):
        build(Prune, read(tmp_path, overrides=["prune.epoch=3"]), ("prune",))
    with pytest.raises(UsageError, match=r"^environment LIFECYCLE_PRUNE__EPOCH: unknown key 'prune.epoch'"):
        build(Prune, read(tmp_path, environment={"LIFECYCLE_PRUNE__EPOCH": "3"}), ("prune",))


def test_a_value_is_converted_or_refused() -> None:
    assert convert(int, "3", "here: 'seed'") == 3
    with pytest.raises(UsageError, match=r"^here: 'seed' is 'x': Input should be a valid integer"):
        convert(int, "x", "here: 'seed'")


def test_an_environment_variable_with_a_typo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"^environment LIFECYCLE_TRIAN__X: unknown key 'trian': did you mean 'train'\?"
    ):
        read(tmp_path, environment={"LIFECYCLE_TRIAN__X": "1"})


def test_what_a_class_refuses_is_placed_where_the_option_it_speaks_of_stands(tmp_path: Path) -> None:
    config = read(tmp_path, "prune:\n  epochs: 3\n  macs: 0.5\n", overrides=["prune.lr=0.1"])
    assert config.blamed(("prune",), "macs is 2; expected less") == "pipeline.yaml:3:9"
    assert config.blamed(("prune",), "lr is 2, and macs is 3") == "command line 'prune.lr=0.1'"
    assert config.blamed(("prune",), "nothing that is named") == "pipeline.yaml:1:1"
    assert config.place(("prune", "macs")) == "pipeline.yaml:3:3"


def test_a_reference_between_braces_without_quotes_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^.*pipeline.yaml:1:\d+: not YAML") as error:
        read(tmp_path, "train: {token: ${env:TOKEN}}\n")
    assert error.value.hint == 'Between braces a reference needs quotes: {token: "${env:TOKEN}"}'
