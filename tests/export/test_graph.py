from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort

from lifecycle.export.graph import compact_, graphs, tensors

BRANCHES = """
<ir_version: 10, opset_import: ["" : 21, "unused" : 1], producer_name: "someone", doc_string: "words">
exported (float[N] x, bool flag) => (float[N] y)
<float[1] "layer.weight" = {2.0}, float[1] same = {2.0}, float[1] unused = {5.0}, float[1] long_name = {3.0}>
{
    scaled_input = Mul (x, "layer.weight")
    y = If (flag) <
        then_branch = then () => (float[N] then_result) { then_result = Add (scaled_input, same) },
        else_branch = else () => (float[N] else_result)
        <float[1] inner_constant = {7.0}>
        { between = Mul (scaled_input, inner_constant) else_result = Sub (between, long_name) }
    >
}
"""


def run(model: onnx.ModelProto, flag: bool) -> list[float]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": np.array([1, 4], np.float32), "flag": np.array(flag)})
    return list(y)


def test_branches_compute_the_same_after_renaming() -> None:
    model = onnx.parser.parse_model(BRANCHES)
    before = [run(model, flag) for flag in (True, False)]
    compact_(model, frozenset({"layer.weight"}))
    onnx.checker.check_model(model, full_check=True)
    assert [run(model, flag) for flag in (True, False)] == before == [[4.0, 10.0], [11.0, 53.0]]


def test_names_are_short_and_those_that_people_know_stay() -> None:
    model = onnx.parser.parse_model(BRANCHES)
    compact_(model, frozenset({"layer.weight"}))
    assert [tensor.name for tensor in tensors(model)] == ["layer.weight", "w0", "w1"]
    names = {name for graph in graphs(model) for node in graph.node for name in node.output}
    assert names == {"y", "mul0", "mul1", "add0", "sub0"}
    assert [opset.domain for opset in model.opset_import] == [""]
    assert model.producer_name == model.doc_string == ""


def test_short_names_avoid_those_of_inputs_and_outputs() -> None:
    text = (
        BRANCHES.replace("flag", "w0")
        .replace("(float[N] y)", "(float[N] mul0)")
        .replace("y = If", "mul0 = If")
    )
    model = onnx.parser.parse_model(text)
    compact_(model)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["x", "w0", "mul0"]


def test_a_constant_output_keeps_its_name() -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]>
        g (float[N] x) => (float[N] y, float[1] constant)
        <float[1] a = {1.0}, float[1] constant = {1.0}> { y = Add (x, a) }"""
    )
    compact_(model)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.output] == ["y", "constant"]


def test_attributes_at_their_default_go_and_others_stay() -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]>
        g (float[N,4,8,8] x, float[4,1,3,3] w) => (float[N,4,M,M] y)
        { y = Conv <auto_pad = "NOTSET", group = 4, strides = [2, 2]> (x, w) }"""
    )
    compact_(model)
    assert {attribute.name for attribute in model.graph.node[0].attribute} == {"group", "strides"}
