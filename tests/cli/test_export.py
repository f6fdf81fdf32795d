"""``lifecycle export`` and ``lifecycle benchmark`` on the digits example, trained for one epoch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lifecycle.core.artifact import open_artifact
from tests.cli.commands import CommandLine
from tests.projects import Project, copy_digits


@dataclass(frozen=True)
class Exported:
    """A project that was exported, and what the command printed."""

    project: Project
    out: str
    err: str

    @property
    def bundle(self) -> Path:
        (found,) = (self.project.workspace / "cache" / "export").glob("[0-9a-f]*")
        return found


def small(folder: Path) -> Project:
    """Stages of seconds."""
    project = copy_digits(folder)
    project.edit("pipeline.yaml", "max_epochs: 15", "max_epochs: 1")
    project.edit("pipeline.yaml", "width: 32", "width: 4")
    project.edit("pipeline.yaml", "prune: {macs: 0.25, importance: magnitude, epochs: 8}\n", "")
    project.edit("pipeline.yaml", "quantize: {method: qat, epochs: 2, lr: 0.0005}\n", "")
    project.edit(
        "pipeline.yaml", "budget: {metric: val_acc, mode: max, max_drop: 0.02, max_macs: 0.25}\n", ""
    )
    return project


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    project = small(tmp_path_factory.mktemp("exported") / "digits")
    done = project.lifecycle("export", "pipeline.yaml", "--format", "onnx", "--format", "pt2")
    assert done.returncode == 0, done.stderr
    return Exported(project, done.stdout, done.stderr)


def test_the_comparison_is_shown_and_nothing_after_export_ran(exported: Exported) -> None:
    assert "File against module" in exported.out
    for file in ("onnx, as written", "onnx, as run", "pt2, as run"):
        assert file in exported.out
    assert f"lifecycle export --show {exported.bundle}" in exported.err
    assert {path.name for path in (exported.project.workspace / "cache").iterdir()} == {"train", "export"}
    assert {path.suffix for path in exported.bundle.iterdir()} == {".json", ".onnx", ".pt2"}


def test_a_file_tells_all_that_it_is(lifecycle: CommandLine, exported: Exported) -> None:
    shown = lifecycle("export", "--show", str(exported.bundle / "model.onnx"))
    assert (shown.code, shown.err) == (0, "")
    for line in (
        "image  uint8  [batch, 1, 8, 8]  from 0 to 16",
        "probabilities  float32  [batch, 10]  from 0 to 1",
        "0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        "classification",
        "960 samples",
        "way non-strict",
        "proven as written",
    ):
        assert line in shown.out, line
    told = json.loads(lifecycle("export", "--show", str(exported.bundle), "--json").out)
    checkpoint = open_artifact(next((exported.project.workspace / "cache" / "train").glob("[0-9a-f]*")))
    assert told["meaning"]["parent"] == checkpoint.digest == open_artifact(exported.bundle).parent
    statistics = told["meaning"]["statistics"]["image"]
    assert statistics["samples"] == 960
    assert 4 < statistics["mean"] < 6
    assert told["bundle"]["facts"]["run"]
    assert set(told["bundle"]["facts"]["git"]) == {"commit", "dirty"}
    archived = json.loads(lifecycle("export", "--show", str(exported.bundle / "model.pt2"), "--json").out)
    assert archived["meaning"] == told["meaning"]


def test_a_lone_file_tells_its_meaning(lifecycle: CommandLine, exported: Exported) -> None:
    content = (exported.bundle / "model.onnx").read_bytes()
    (lifecycle.folder / "model.onnx").write_bytes(content)
    told = json.loads(lifecycle("export", "--show", "model.onnx", "--json").out)
    assert told["meaning"]["labels"] == list("0123456789")
    assert "bundle" not in told


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        ([], "nothing to export: name a pipeline file", 2),
        (["--show", "nothing.onnx"], "no file nothing.onnx", 2),
        (["--show", "pipeline.yaml"], "no format has files that end in '.yaml'; allowed: .onnx, ", 2),
        (["pipeline.yaml"], "the pipeline file has no export stage\nAdd to it: export: {formats: [onnx]}", 2),
        (["pipeline.yaml", "--format", "onxn"], "no format is called 'onxn': did you mean 'onnx'?", 2),
        (["pipeline.yaml", "export.formats=[pt2]"], "add onnx, which is what evaluate and serve run", 2),
        (["pipeline.yaml", "export.opset=7"], "opset is 7; allowed: 18 to 23, and 21 is the default", 2),
        (["--show", "cut.onnx"], "cut.onnx is not an ONNX file", 1),
    ],
)
def test_wrong_use_says_what_is_allowed(
    lifecycle: CommandLine, words: list[str], message: str, code: int
) -> None:
    (lifecycle.folder / "cut.onnx").write_bytes(b"\x08\x0a")
    ended = lifecycle("export", *words)
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err


def test_formats_are_listed(lifecycle: CommandLine) -> None:
    listed = json.loads(lifecycle("export", "--formats", "--json").out)
    assert [row["name"] for row in listed] == ["onnx", "pt2", "torchscript"]
    assert "model.ts" in lifecycle("export", "--formats").out


@pytest.mark.usefixtures("store")
def test_a_file_that_differs_ends_the_run_with_3_and_registers_nothing(
    lifecycle: CommandLine, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    project = small(tmp_path / "project")
    project.edit(
        "model.py",
        "self.blocks(x).mean(dim=(2, 3))",
        "torch.dropout(self.blocks(x).mean(dim=(2, 3)), 0.5, True)",
    )
    workspace = str(tmp_path / ".lifecycle")
    ended = lifecycle("run", str(project.folder / "pipeline.yaml"), "--workspace", workspace)
    assert ended.code == 3
    assert "the onnx file, as written, differs from the module: output '" in ended.err
    assert "; the first node that differs is " in ended.err
    assert "NO" in ended.err  # the table
    (kept,) = (tmp_path / ".lifecycle" / "cache" / "export").rglob("parity.json")
    assert f"All figures: {kept}" in ended.err
    figures = json.loads(kept.read_text())
    assert not all(item["holds"] for item in figures["comparisons"])
    assert not list((tmp_path / ".lifecycle" / "cache" / "export").rglob("model.onnx"))
    assert MlflowClient(f"sqlite:///{tmp_path}/.lifecycle/mlflow.db").search_registered_models() == []


def test_benchmark_compares_and_names_the_fastest(lifecycle: CommandLine, exported: Exported) -> None:
    score = str(exported.project.folder / "pipeline.yaml")
    words = ("benchmark", str(exported.bundle), "--calls", "20", "--score", score, "--plot", "plot.svg")
    shown = lifecycle(*words, "--json")
    assert shown.code == 0, shown.err
    found = json.loads(shown.out)
    assert [(row["format"], row["threads"], row["precision"]) for row in found["rows"]] == [
        ("onnx", 1, "float32"),
        ("pt2", 1, "float32"),
    ]
    assert found["metric"] == "test_acc"
    onnx, pt2 = found["rows"]
    assert onnx["quality"] == pytest.approx(pt2["quality"]) and onnx["keeps_quality"]
    assert onnx["size_bytes"] == (exported.bundle / "model.onnx").stat().st_size
    for row in found["rows"]:
        assert row["interval_ms"][0] <= row["median_ms"] <= row["interval_ms"][1]
        assert row["median_ms"] <= row["p95_ms"] <= row["p99_ms"]
        assert min(row[name] for name in ("first_ms", "load_ms", "peak_mb", "throughput_per_s")) > 0
    assert onnx["peak_mb"] < pt2["peak_mb"], "one of them loads torch"
    assert found["fastest"] in found["verdict"]
    assert ElementTree.fromstring((lifecycle.folder / "plot.svg").read_text()).tag.endswith("svg")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--threads", "one"], "--threads is 'one'; expected numbers such as 1,2,4"),
        (["--threads", "0"], "threads is [0]; expected numbers of at least 1"),
        (["--format", "torchscript"], "no bundle has a file of: torchscript"),
        (["--format", "tflite"], "no format is called 'tflite'"),
        (["--calls", "1"], "calls is 1; expected at least 2"),
    ],
)
def test_benchmark_says_what_is_allowed(
    lifecycle: CommandLine, exported: Exported, words: list[str], message: str
) -> None:
    ended = lifecycle("benchmark", str(exported.bundle), *words)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err


def test_benchmark_of_a_folder_that_is_not_there_is_wrong_usage(lifecycle: CommandLine) -> None:
    ended = lifecycle("benchmark", "nope")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: no folder nope\nName the folder of a bundle: ")


def test_benchmark_takes_bundles_only(lifecycle: CommandLine, exported: Exported) -> None:
    (checkpoint,) = (exported.project.workspace / "cache" / "train").glob("[0-9a-f]*")
    ended = lifecycle("benchmark", str(checkpoint))
    assert ended.code == 2
    assert "holds a checkpoint; only a bundle can be run" in ended.err
