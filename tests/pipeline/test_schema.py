"""The schema that editors read says of a file what reading it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from lifecycle.core import plugins
from lifecycle.core.errors import UsageError
from lifecycle.pipeline.schema import file_schema
from lifecycle.pipeline.spec import read_pipeline
from lifecycle.stages.trainer_options import trainer_options

ROOT = Path(__file__).parents[2]
# What an example's own plug-in adds, the schema knows where that is installed.
EXAMPLES = sorted(
    path for path in (ROOT / "examples").glob("*/*.yaml") if not (path.parent / "plugin").is_dir()
)
HEAD = "name: digits\nmodel: model.py:Net\ndata: data.py:Data\n"


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = file_schema({"trainer": trainer_options()})
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_every_example_is_valid(validator: Draft202012Validator, path: Path) -> None:
    validator.validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("page", ["README.md", "docs/pipeline-file.md"])
def test_the_files_of_the_documentation_are_valid(validator: Draft202012Validator, page: str) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    whole = [block for block in blocks if "\nmodel: " in block]
    assert whole
    for block in whole:
        validator.validate(yaml.safe_load(block))


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("", True),
        ("train: {trainer: {max_epochs: 3}}", True),
        ("train: {trainer: {compile: true, channels_last: true, fused: true}}", True),
        ("train: {trainer: {compile: {dynamic: true}}}", True),
        ("train: {trainer: {strategy: {name: fsdp, auto_wrap_policy: 100000}}}", True),
        ("train: {trainer: {compile: {dynamik: true}}}", False),
        ("train: {trainer: {strategy: {auto_wrap_policy: 100000}}}", False),
        ("train:", True),
        ("quantize: {method: static, keep_float: [head]}", True),
        ("budget: {metric: val_acc, max_drop: 0.1}", True),
        ("gates: {test_acc: {min: 0.9}}", True),
        ("stages: [train, export]\nexport: {}", True),
        ('data_args: {token: "${env:TOKEN}"}', True),
        ("trian: {}", False),
        ("train: {trainer: {max_epoch: 3}}", False),
        ("train: {trainer: {max_epochs: many}}", False),
        ("train: 3", False),
        ("quantize: {method: int8}", False),
        ("prune: {macs: much}", False),
        ("prune: {macs: 0.5, importanse: magnitude}", False),
        ("gates: {test_acc: {mim: 0.9}}", False),
        ("gates: [test_acc]", False),
        ("seed: -1", False),
        ("seed: seven", False),
        ("stages: [trian]", False),
        ("budget: {mode: most}", False),
        ("register: {gates: {}}", False),
    ],
)
def test_it_agrees_with_what_reading_the_file_says(
    validator: Draft202012Validator, tmp_path: Path, text: str, valid: bool
) -> None:
    (tmp_path / "model.py").write_text("class Net: pass\n")
    (tmp_path / "data.py").write_text("class Data:\n    def __init__(self, token=''): pass\n")
    path = tmp_path / "pipeline.yaml"
    stages = "" if any(name in text for name in plugins.TABLES["stages"]) else "\ntrain: {}"
    path.write_text(HEAD + text + stages + "\n")
    assert validator.is_valid(yaml.safe_load(path.read_text())) is valid
    if valid:
        read_pipeline(path, {})
    else:
        with pytest.raises(UsageError):
            read_pipeline(path, {})


def test_every_option_of_every_stage_is_described(validator: Draft202012Validator) -> None:
    stages: dict[str, Any] = {name: validator.schema["properties"][name] for name in plugins.TABLES["stages"]}
    for name, stage in stages.items():
        for option, schema in stage["properties"].items():
            assert schema.get("description"), f"{name}.{option}"
    assert stages["prune"]["properties"]["epochs"]["default"] == 5
    assert "max_epochs" in stages["prune"]["properties"]["trainer"]["properties"]


# A number in quotes, as the environment has it, is read though the schema refuses it; a 2.0 for a whole
# number is refused though to JSON Schema it is one.
VALUES: list[Any] = [-1, 0, 0.5, 1, 1.5, 2, 17, 18, 23, 24, 50, 50.5, 100, 101, True]
VALUES += ["many", "challenger", "champion", "previous", "latest", "v3", "V12", "a-b", "a b"]
VALUES += [[], ["onnx"], ["torchscript"], ["pt2", "onnx"], ["onnx", "tflite"]]


def options_of(validator: Draft202012Validator) -> list[tuple[str, str]]:
    """Every option of every part of the file that has some, but for those that hold a mapping."""
    properties: dict[str, Any] = validator.schema["properties"]
    parts = {name: properties[name]["properties"] for name in (*plugins.TABLES["stages"], "budget")}
    parts["gates"] = properties["gates"]["additionalProperties"]["properties"]
    return [
        (part, option)
        for part, options in parts.items()
        for option in options
        if option not in ("trainer", "distill")
    ]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_schema_and_reading_agree_on_any_value_of_any_option(
    validator: Draft202012Validator, root: Path, data: st.DataObject
) -> None:
    part, option = data.draw(st.sampled_from(options_of(validator)))
    agree(validator, root, part, option, data.draw(st.sampled_from(VALUES)))


def agree(validator: Draft202012Validator, root: Path, part: str, option: str, value: Any) -> None:
    content: dict[str, Any] = {option: value}
    if part == "prune" and option not in ("macs", "params", "channels", "latency_ms"):
        content["macs"] = 0.5
    file: dict[str, Any] = {part: {"test_acc": content} if part == "gates" else content}
    file |= {} if part in plugins.TABLES["stages"] else {"train": {}}
    path = root / "pipeline.yaml"
    path.write_text(HEAD + yaml.safe_dump(file))
    valid = validator.is_valid(yaml.safe_load(path.read_text()))
    try:
        read_pipeline(path, {})
    except UsageError as error:
        assert not valid, f"{part}.{option} = {value!r}: the schema allows it, and reading says {error}"
    else:
        assert valid, f"{part}.{option} = {value!r}: the schema refuses what is read"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "model.py").write_text("class Net: pass\n")
    (folder / "data.py").write_text("class Data: pass\n")
    return folder


@pytest.mark.parametrize(
    ("part", "option", "terms"),
    [
        ("prune", "steps", {"minimum": 1}),
        ("prune", "macs", {"exclusiveMinimum": 0, "exclusiveMaximum": 1}),
        ("quantize", "percentile", {"exclusiveMinimum": 50, "maximum": 100}),
        ("export", "opset", {"minimum": 18, "maximum": 23}),
        ("export", "formats", {"contains": {"const": "onnx"}}),
    ],
)
def test_editors_are_told_the_range(
    validator: Draft202012Validator, part: str, option: str, terms: dict[str, Any]
) -> None:
    found: dict[str, Any] = validator.schema["properties"][part]["properties"][option]
    branches = [found, *found.get("anyOf", ())]
    assert any(terms.items() <= branch.items() for branch in branches)
