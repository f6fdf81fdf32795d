"""What holds for every stage, built in or brought by another distribution; the one of the docs is an example."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lifecycle.core import plugins
from lifecycle.core.artifact import Artifact, open_artifact
from lifecycle.core.canonical import JSON, canonical_json
from lifecycle.core.errors import UsageError
from lifecycle.core.stage import Context, Stage
from lifecycle.pipeline.plugin import load_stage
from lifecycle.pipeline.runner import check_order
from lifecycle.pipeline.schema import descriptions, stage_schema
from lifecycle.pipeline.spec import read_pipeline
from tests.docs.pages import blocks
from tests.docs.plugins import PAGE, entry_points, installed

(PIPELINE,) = [block.text for block in blocks(PAGE) if block.language == "yaml"]
LEAST: dict[str, dict[str, Any]] = {"prune": {"macs": 0.5}}  # options without which a stage cannot be made
HEAD = "name: digits\nmodel: model.py:Net\ndata: data.py:Data\n"


@pytest.fixture(scope="module", autouse=True)
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The distribution of docs/extending.md, and stages that do not fit."""
    points = entry_points(
        "[lifecycle.stages]",
        "round_weights = own.stage:RoundWeights",
        "train = own.stage:RoundWeights",
        "odd = tests.contracts.test_stages:Odd",
        "gone = no_such_package:Stage",
    )
    points = points.replace("[lifecycle.stages]\nround_weights = own.stage:RoundWeights\n", "", 1)
    with installed(tmp_path_factory.mktemp("site"), points):
        yield


@dataclass
class Odd:
    consumes: ClassVar[str] = "checkpoint"
    bits: int = 3


@pytest.fixture(params=[*plugins.TABLES["stages"], "round_weights"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stage(name: str) -> Stage:
    return load_stage(name)(**LEAST.get(name, {}))


def test_nobody_replaces_a_built_in_stage() -> None:
    assert load_stage("train").__module__ == "lifecycle.stages.train"
    assert load_stage("round_weights").__module__ == "own.stage"


def test_its_options_are_plain_data_that_a_key_can_hold(stage: Stage) -> None:
    options: dict[str, JSON] = asdict(stage)  # type: ignore[call-overload]
    assert canonical_json(options) == canonical_json(asdict(replace(stage)))  # type: ignore[type-var, call-overload]
    with pytest.raises(AttributeError):
        setattr(stage, next(iter(options)), None)


def test_every_option_is_described_and_has_a_schema(stage: Stage) -> None:
    said = descriptions(type(stage))
    assert {each.name for each in fields(stage)} <= set(said)  # type: ignore[arg-type]
    schema = stage_schema(type(stage), {})
    assert schema["description"] and schema["additionalProperties"] is False


def test_its_neighbours_are_checked(name: str, stage: Stage) -> None:
    made: dict[str, Any] = {f"makes {kind}": Makes(kind) for kind in stage.consumes}
    for kind in stage.consumes:
        without = {other: maker for other, maker in made.items() if other != f"makes {kind}"}
        with pytest.raises(UsageError, match=f"'{name}' needs a {kind}, and no stage before it makes one"):
            check_order({**without, name: stage})
    check_order({**made, name: stage, "next": Takes(stage.produces)})


class Makes:
    def __init__(self, kind: str) -> None:
        self.consumes, self.produces = (), kind


class Takes:
    def __init__(self, kind: str) -> None:
        self.consumes, self.produces = (kind,), "end"


def test_importing_stages_loads_no_framework() -> None:
    names = ", ".join(map(repr, plugins.TABLES["stages"]))
    code = (
        "import sys\nfrom lifecycle.pipeline.plugin import load_stage\n"
        f"for name in [{names}]: load_stage(name)\n"
        "print([name for name in ('torch', 'mlflow', 'onnxruntime', 'bentoml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_is_no_stage_is_told_what_it_lacks() -> None:
    with pytest.raises(UsageError) as error:
        load_stage("odd")
    for lack in (
        "stage 'odd' (tests.contracts.test_stages:Odd) is no stage: its dataclass is not frozen",
        "its options are not keyword-only",
        'it has no consumes: a tuple of kinds of artifacts, such as ("checkpoint",)',
        'it has no produces: a kind of artifact, such as "checkpoint"',
        "it has no method run(given, into, context)",
    ):
        assert lack in error.value.message
    with pytest.raises(
        UsageError, match=r"^stage 'gone' \(no_such_package:Stage\) cannot be loaded: No module"
    ):
        load_stage("gone")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "model.py").write_text("class Net: pass\n")
    (tmp_path / "data.py").write_text("class Data: pass\n")
    return tmp_path / "pipeline.yaml"


def test_the_example_stands_in_a_pipeline_file(file: Path) -> None:
    file.write_text(HEAD + PIPELINE)
    pipeline = read_pipeline(file, {})
    assert list(pipeline.stages) == ["train", "round_weights", "export", "evaluate"]
    assert pipeline.stages["round_weights"] == load_stage("round_weights")(bits=8)  # type: ignore[call-arg]
    file.write_text(HEAD + "stages: [round_weights]\nround_weights: {bits: 99}\n")
    with pytest.raises(
        UsageError, match=r"^pipeline.yaml:5:23: 'round_weights': bits is 99; expected a whole"
    ):
        read_pipeline(file, {})


def test_a_stage_whose_place_is_not_said_is_not_left_out_in_silence(file: Path) -> None:
    file.write_text(HEAD + "train: {}\nround_weights: {}\n")
    with pytest.raises(UsageError, match=r"^pipeline.yaml:5:1: stage 'round_weights' has no place") as error:
        read_pipeline(file, {})
    assert "stages: [train, round_weights]" in error.value.hint


def test_the_example_works(tmp_path: Path) -> None:
    import torch

    from lifecycle.core.reference import Reference
    from lifecycle.core.stage import Project
    from lifecycle.session import data_maker
    from lifecycle.train.artifact import make_module, open_checkpoint, write_checkpoint
    from tests.projects import copy_digits

    project = Project(
        name="digits",
        root=copy_digits(tmp_path / "project").folder,
        model=Reference("model.py:ConvNet"),
        data=Reference("data.py:Digits"),
        model_args={"width": 4},
    )
    torch.manual_seed(0)
    module = make_module(project.model, project.model_args, project.root)
    parent = write_checkpoint(module, tmp_path / "parent", project=project)
    given: Mapping[str, Artifact] = {"checkpoint": parent}
    context = Context(project=project, data=data_maker(project))
    stage = load_stage("round_weights")(bits=3)  # type: ignore[call-arg]
    made = [stage.run(given, tmp_path / folder, context) for folder in ("one", "two")]
    assert made[0].digest == made[1].digest == open_artifact(tmp_path / "one", stage.produces).digest
    assert (made[0].parent, "val_acc" in made[0].numbers()) == (parent.digest, True)
    weights = {weight for each in open_checkpoint(made[0]).parameters() for weight in each.flatten().tolist()}
    assert len({abs(weight / 2.0 ** torch.frexp(torch.tensor(weight))[1].item()) for weight in weights}) <= 9
