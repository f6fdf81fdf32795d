from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lifecycle as pl
from lifecycle.compress.calibration import calibrate_
from lifecycle.compress.capture import capture
from lifecycle.compress.quantizer import convert_quantized, prepare_quantization_, replay_quantize
from lifecycle.train.describe import example_inputs

A = torch.ops.aten
X = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))
ALLOWED = torch.ones(5, 5).tril().bool()


class Fused(nn.Module):
    """Two heads over projections; a mask of either kind, a scale of its own, dropout."""

    def __init__(self, mask: Tensor | None = None, scale: float | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        self.project, self.scale, self.dropout = nn.Linear(8, 24), scale, dropout
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.project(x).reshape(-1, 5, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        rate = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, self.mask, rate, scale=self.scale)
        return mixed.transpose(1, 2).flatten(2)


@pytest.mark.parametrize(
    "module",
    [Fused(), Fused(ALLOWED), Fused(torch.where(ALLOWED, 0.0, -1e4)), Fused(scale=0.1)],
    ids=["plain", "allowed", "added", "scaled"],
)
def test_fused_attention_becomes_products_that_give_the_same(module: Fused) -> None:
    graph = capture(module.eval(), (X,))
    targets = [node.target for node in graph.graph.nodes]
    assert targets.count(A.matmul.default) == 2
    assert A.scaled_dot_product_attention.default not in targets
    for batch in (X, X[:1]):
        assert torch.allclose(graph(batch), module(batch), atol=1e-5)


def test_dropout_of_attention_is_there_in_training_alone() -> None:
    module = Fused(dropout=0.5)
    prepare_quantization_(module, (X,), method="qat")
    calibrate_(module, [(X,)])
    assert torch.equal(module.eval()(X), module(X))
    assert not torch.equal(module.train()(X), module(X))
    wanted = module.eval()(X).detach()
    assert torch.allclose(convert_quantized(module)(X), wanted, atol=0.02 * float(wanted.abs().max()))


class Causal(Fused):
    def forward(self, x: Tensor) -> Tensor:
        query = self.project(x)
        return F.scaled_dot_product_attention(query, query, query, is_causal=True)


def test_causal_attention_stays_as_it_is() -> None:
    graph = capture(Causal().eval(), (X,))
    assert A.scaled_dot_product_attention.default in [node.target for node in graph.graph.nodes]


def test_layers_over_sequences_see_rows_whatever_the_batch() -> None:
    module = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2))
    graph = capture(module, (X,))
    layers = [node for node in graph.graph.nodes if node.target is A.linear.default]
    assert [node.meta["val"].dim() for node in layers] == [2, 2]
    for batch in (X, X[:1], X.repeat(3, 1, 1)):
        assert torch.allclose(graph(batch), module(batch), atol=1e-6)


def test_an_encoder_layer_of_pytorch_trains_and_evaluates_as_before() -> None:
    torch.manual_seed(0)
    module = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    wanted = module(X).detach()  # with gradients: PyTorch does not take its own fast way for evaluation
    prepare_quantization_(module, (X,), method="static")
    assert torch.allclose(module(X), wanted, atol=1e-4)
    calibrate_(module, [(X,)])
    assert float((convert_quantized(module)(X) - wanted).detach().abs().max()) < 0.1 * float(
        wanted.abs().max()
    )


class Words(pl.Module):
    """Attention over words of any number, those that are padding not looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(10, 8), nn.Parameter(torch.randn(12, 8))
        self.attention, self.head = Fused(), nn.Linear(8, 2)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids) + self.places[: ids.shape[1]]
        query, key, value = self.attention.project(x).unflatten(-1, (3, 8)).unbind(-2)
        scores = (query @ key.transpose(-2, -1)).masked_fill((ids == 0)[:, None], -1e4)
        return self.head((scores.softmax(-1) @ value).mean(1))

    def signature(self) -> pl.Signature:
        return pl.Signature(
            inputs=(pl.TensorSpec(name="ids", dtype="int64", shape=("batch", "length"), range=(0, 9)),),
            outputs=(pl.TensorSpec(name="logits", dtype="float32", shape=("batch", 2)),),
            axes={"length": (1, 12)},
        )


def test_an_axis_that_the_signature_names_stays_open() -> None:
    torch.manual_seed(0)
    module = Words()
    ids = torch.arange(24).remainder(10).view(2, 12)
    plain = [module.eval()(ids[:, :length]).detach() for length in (3, 7, 12)]
    edit = prepare_quantization_(module, example_inputs(module), method="static")
    calibrate_(module, [(ids[:, :length],) for length in (3, 12, 7)])
    integers = convert_quantized(module)
    for length, wanted in zip((3, 7, 12), plain, strict=True):
        assert torch.allclose(integers(ids[:, :length]), wanted, atol=0.1)
    assert integers(ids[:, :1]).shape == (2, 2)
    again = Words()
    replay_quantize(again, example_inputs(again), edit.to_json())
    again.load_state_dict(module.state_dict())
    assert torch.equal(again.eval()(ids[:, :5]), module.eval()(ids[:, :5]))
