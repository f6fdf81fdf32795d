from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

import lifecycle as pl
from lifecycle.core.errors import UsageError
from lifecycle.train.precision import HalfPrecision
from lifecycle.train.summary import ModelSummary, summarize
from lifecycle.train.summary_text import human_count
from tests.train.small import same


class Net(pl.LightningModule):
    """25 parameters: 4·3+3 to train, 3+3 and 1 of its own that are not, 3 in a layer that is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
        self.body[1].requires_grad_(False)
        self.drop = nn.Dropout(0.5)
        self.unused = nn.Linear(2, 1)
        self.offset = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.drop.eval()
        self.example_input_array: Tensor | None = torch.ones(5, 4)

    def forward(self, inputs: Tensor) -> Mapping[str, Tensor]:
        hidden = self.body(inputs)
        return {"logits": self.drop(hidden) + self.offset}


def test_the_table_says_what_there_is() -> None:
    # 5 samples · 4 inputs · 3 outputs, a multiplication and an addition each
    assert str(summarize(Net())) == (
        "  | Name         | Type       | Params | Mode  | FLOPs | In sizes | Out sizes\n"
        "-----------------------------------------------------------------------------\n"
        "0 | body         | Sequential | 21     | train | 120   | [5, 4]   | [5, 3]\n"
        "1 | drop         | Dropout    | 0      | eval  | 0     | [5, 3]   | [5, 3]\n"
        "2 | unused       | Linear     | 3      | train | 0     | ?        | ?\n"
        "  | other params | n/a        | 1      | n/a   | n/a   | n/a      | n/a\n"
        "-----------------------------------------------------------------------------\n"
        "18        Trainable params\n"
        "7         Non-trainable params\n"
        "25        Total params\n"
        "0.000     Total estimated model params size (MB)\n"
        "4         Modules in train mode\n"
        "1         Modules in eval mode\n"
        "120       Total FLOPs"
    )


def test_without_an_example_there_are_no_sizes() -> None:
    net = Net()
    net.example_input_array = None
    summary = summarize(net)
    assert [heading for heading, _ in summary.columns()] == ["", "Name", "Type", "Params", "Mode"]
    assert summary.in_sizes == summary.out_sizes == ["?"] * 3
    assert "FLOPs" not in str(summary)


@pytest.mark.parametrize(
    ("depth", "names"),
    [
        (0, []),
        (1, ["body", "drop", "unused"]),
        (2, ["body", "body.0", "body.1", "drop", "unused"]),
        (-1, ["body", "body.0", "body.1", "drop", "unused"]),
    ],
)
def test_layers_are_listed_down_to_the_depth(depth: int, names: list[str]) -> None:
    summary = summarize(Net(), max_depth=depth)
    assert summary.layer_names == names
    if "body.0" in names:
        at = names.index("body.0")
        assert (summary.layer_types[at], summary.param_nums[at]) == ("Linear", 15)
        assert summary.in_sizes[at] == [5, 4]
        assert summary.layers[at].flops == 120
    assert summary.total_parameters == 25 and summary.trainable_parameters == 18


@pytest.mark.parametrize("depth", [-2, 1.5, True])
def test_no_other_depth_is_taken(depth: int) -> None:
    with pytest.raises(UsageError, match=f"max_depth={depth}: expected -1 for all layers"):
        summarize(Net(), max_depth=depth)


def test_looking_changes_nothing() -> None:
    net = Net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [part.training for part in net.modules()]
    torch.manual_seed(3)
    random.seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    net.body.insert(0, Noise())
    summarize(net, max_depth=-1)
    assert torch.equal(torch.rand(2), expected)
    del net.body[0]
    assert same(dict(net.state_dict()), before)
    assert [part.training for part in net.modules()] == modes
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(part._forward_hooks for part in net.modules())


class Noise(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + torch.rand_like(inputs)


class Two(nn.Module):
    """Takes two inputs, gives a tuple, and uses one layer twice."""

    def __init__(self, example: object) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.pair = Pair()
        self.example_input_array = example

    def forward(self, first: Tensor, second: Tensor) -> object:
        self.layer(torch.cat([first, first]))
        return self.pair(self.layer(first), second=second)


class Pair(nn.Module):
    def forward(self, first: Tensor, second: Tensor) -> object:
        return {"both": (first, [second]), "text": "x"}


@pytest.mark.parametrize(
    "example",
    [
        (torch.zeros(3, 2), torch.zeros(7)),
        [torch.zeros(3, 2), torch.zeros(7)],
        {"second": torch.zeros(7), "first": torch.zeros(3, 2)},
    ],
)
def test_several_inputs_and_nested_outputs_have_sizes(example: object) -> None:
    summary = summarize(Two(example))
    assert summary.in_sizes == [[6, 2], [[3, 2], [7]]]
    assert summary.out_sizes == [[6, 2], {"both": [[3, 2], [[7]]], "text": "?"}]
    assert "{both: [[3, 2], [[7]]], text: ?}" in str(summary)


def test_an_example_that_does_not_fit_is_not_passed_over() -> None:
    net = Net()
    net.example_input_array = torch.zeros(5, 99)
    with pytest.raises(RuntimeError, match="99"):
        summarize(net)
    assert not any(part._forward_hooks for part in net.modules())


def test_half_precision_is_half_as_large() -> None:
    precision = HalfPrecision("bf16-true")
    net = nn.Linear(999, 1000, bias=True)
    net.example_input_array = torch.zeros(2, 999)  # type: ignore[assignment]
    assert summarize(net).model_size == pytest.approx(4.0)
    precision.convert_module(net)
    assert ModelSummary(net, precision=precision).model_size == pytest.approx(2.0)


def test_lazy_layers_are_counted_once_they_are_made() -> None:
    net = nn.Sequential(nn.LazyLinear(3))
    with pytest.warns(UserWarning, match="parameters of lazy layers are not counted"):
        assert summarize(net).total_parameters == 0
    net.example_input_array = torch.zeros(2, 4)  # type: ignore[assignment]
    assert summarize(net).total_parameters == 15


def test_a_compiled_module_is_not_compiled_for_it() -> None:
    compiled = []

    def backend(graph: object, inputs: object) -> object:
        compiled.append(graph)
        return graph

    net = Net()
    net.body = torch.compile(net.body, backend=backend)  # type: ignore[assignment]
    assert summarize(net).total_flops == 120
    assert compiled == []
    net(torch.ones(5, 4))
    assert len(compiled) == 1


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0 K"),
        (1234, "1.2 K"),
        (99_949, "99.9 K"),
        (100_000, "100 K"),
        (2_000_000, "2.0 M"),
        (3_000_000_000, "3.0 B"),
        (400 * 10**12, "400 T"),
        (5 * 10**15, "5,000 T"),
    ],
)
def test_counts_are_short(number: int, text: str) -> None:
    assert human_count(number) == text
