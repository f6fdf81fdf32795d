from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from lifecycle.core.errors import UsageError
from lifecycle.train.loggers import TensorBoardLogger

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def events(folder: str) -> Any:
    return accumulator.EventAccumulator(folder).Reload()


def test_one_chart_may_have_several_curves(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    logger.log_metrics({"loss": {"train": 0.5, "val": 0.25}}, step=1)
    logger.finalize("success")
    found = {
        path.name: events(str(path)).Scalars("loss")[0].value
        for path in Path(logger.log_dir).iterdir()
        if path.is_dir()
    }
    assert found == {"loss_train": 0.5, "loss_val": 0.25}


def test_hyperparameters_are_shown_with_a_metric(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    logger.log_hyperparams(
        {"net": {"width": 8}, "act": nn.ReLU, "lr": torch.tensor(0.5)}, {"val_acc": 0.75}, 3
    )
    logger.finalize("success")
    found = events(logger.log_dir)
    assert [(e.step, e.value) for e in found.Scalars("val_acc")] == [(3, 0.75)]
    assert "hp_metric" not in found.Tags()["scalars"]
    content = found.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"net/width" in content and b"torch.nn" in content
    saved = yaml.safe_load((Path(logger.log_dir) / "hparams.yaml").read_text())
    assert saved == {"net": {"width": 8}, "act": "torch.nn.modules.activation.ReLU", "lr": 0.5}


@pytest.mark.parametrize(("default", "expected"), [(True, [(0, -1.0)]), (False, [])])
def test_hyperparameters_alone_get_a_metric_by_default(
    tmp_path: Path, default: bool, expected: list[tuple[int, float]]
) -> None:
    logger = TensorBoardLogger(tmp_path, default_hp_metric=default)
    logger.log_hyperparams({"lr": 0.5})
    logger.log_metrics({"loss": 1.0}, step=0)
    logger.finalize("success")
    found = events(logger.log_dir)
    scalars = found.Scalars("hp_metric") if "hp_metric" in found.Tags()["scalars"] else []
    assert [(event.step, event.value) for event in scalars] == expected


class Net(nn.Module):
    def __init__(self, example: object) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)
        self.dropout = nn.Dropout(0.5)
        self.example_input_array = example

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.linear(x)) + torch.rand(1)  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore:Trace had nondeterministic nodes", "ignore:Output nr 1. of the traced")
@pytest.mark.parametrize("example", [torch.zeros(1, 4), (torch.zeros(1, 4),)])
def test_the_graph_leaves_no_trace_in_the_module(tmp_path: Path, example: object) -> None:
    module, logger = Net(example), TensorBoardLogger(tmp_path, log_graph=True)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    logger.log_graph(module)
    assert torch.equal(torch.rand(1), expected)
    assert module.training
    logger.finalize("success")
    assert any("linear" in node.name for node in graph(logger).node)


def graph(logger: TensorBoardLogger) -> Any:
    from tensorboard.compat.proto.graph_pb2 import GraphDef  # type: ignore[import-untyped]

    return GraphDef.FromString(events(logger.log_dir)._graph)


def test_without_an_example_there_is_no_graph(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, log_graph=True)
    with pytest.warns(UserWarning, match=r"records no graph: Net.example_input_array is NoneType; set it to"):
        logger.log_graph(Net(None))
    logger.finalize("success")
    assert not (tmp_path / "lightning_logs").exists()


def test_a_graph_is_recorded_only_if_asked_for(tmp_path: Path) -> None:
    TensorBoardLogger(tmp_path).log_graph(Net(torch.zeros(1, 4)))
    assert list(tmp_path.iterdir()) == []


def test_a_version_may_have_folders_below(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, name="", version="run", sub_dir="a/b", max_queue=1)
    logger.experiment.add_text("note", "hello")
    logger.finalize("success")
    assert (logger.log_dir, logger.sub_dir) == (str(tmp_path / "run" / "a/b"), "a/b")
    assert "note/text_summary" in events(logger.log_dir).Tags()["tensors"]


def test_what_is_no_number_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"^metric 'loss' is 'low': expected a number, a tensor of one element"
    ):
        TensorBoardLogger(tmp_path).log_metrics({"loss": "low"}, step=0)


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lifecycle.train.loggers.tensorboard_logger.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs the package tensorboard") as caught:
        TensorBoardLogger(tmp_path)
    assert "model-lifecycle[tensorboard]" in caught.value.hint
