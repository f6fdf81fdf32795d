from __future__ import annotations

from lifecycle.core.artifact import Artifact
from lifecycle.export.operators import quantized_weights, runtime_operators


def test_every_layer_of_an_integer_file_holds_integers(integer_bundle: Artifact) -> None:
    weights = quantized_weights(integer_bundle.file("model.onnx"))
    assert (weights.convolutions, weights.quantized_convolutions) == (7, 7)
    assert (weights.linears, weights.quantized_linears, weights.others) == (1, 1, ())


def test_float_layers_are_named(float_bundle: Artifact) -> None:
    weights = quantized_weights(float_bundle.file("model.onnx"))
    assert (weights.convolutions, weights.quantized_convolutions) == (7, 0)
    assert (weights.linears, weights.quantized_linears) == (1, 0)
    assert weights.others == (*(f"conv{index}" for index in range(7)), "logits")


def test_runtime_computes_every_convolution_in_integers(integer_bundle: Artifact) -> None:
    operators = runtime_operators(integer_bundle.file("model.onnx"))
    assert operators["QLinearConv"] == 7
    assert operators["QLinearAdd"] == 2
    assert operators["Conv"] == operators["FusedConv"] == operators["Gemm"] == 0
    assert operators["QGemm"] == 1


def test_runtime_computes_a_float_file_in_floats(float_bundle: Artifact) -> None:
    operators = runtime_operators(float_bundle.file("model.onnx"))
    assert operators["Conv"] + operators["FusedConv"] == 7
    assert operators["QLinearConv"] == 0
