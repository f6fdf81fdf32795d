"""Looking through an ONNX model and making it small: only what is needed to compute stays (ADR-0004)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import count

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

_SHORT = {"QuantizeLinear": "q", "DequantizeLinear": "d"}


def graphs(model: ModelProto) -> Iterator[GraphProto]:
    """The main graph, then those in attributes (branches and loop bodies), at any depth."""
    waiting = [model.graph]
    while waiting:
        graph = waiting.pop()
        yield graph
        waiting.extend(inner for node in graph.node for inner in _inner_graphs(node))


def nodes(model: ModelProto) -> Iterator[NodeProto]:
    """Every node, of functions too."""
    for graph in graphs(model):
        yield from graph.node
    for function in model.functions:
        yield from function.node


def tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every constant: initializers, and tensors in attributes."""
    for graph in graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in nodes(model):
        for attribute in node.attribute:
            yield from _attribute_tensors(attribute)


def compact_(model: ModelProto, parameters: frozenset[str] = frozenset()) -> dict[str, str]:
    """Remove what computes nothing, in place.

    Metadata, doc strings, value types, producer, attributes at their default, unused and repeated
    initializers, unused operator sets; names of nodes go, names of values become short.

    Args:
        model: As the exporter made it; inputs and outputs keep their names.
        parameters: Names of initializers to keep, since people know them.

    Returns:
        The new name of every value, by its name before.
    """
    _strip(model)
    _drop_defaults(model)
    _drop_unused_initializers(model.graph)
    _merge_initializers(model)
    renamed = _shorten(model, parameters)
    _drop_unused_opsets(model)
    return renamed


def _strip(model: ModelProto) -> None:
    for name in ("producer_name", "producer_version", "domain", "model_version", "doc_string"):
        model.ClearField(name)
    del model.metadata_props[:]
    for graph in graphs(model):
        del graph.value_info[:]
        graph.name = "main"  # required; two graphs may share it
        for part in (graph, *graph.input, *graph.output, *graph.initializer):
            _undocument(part)
    for node in nodes(model):
        node.ClearField("name")
        _undocument(node)
        for attribute in node.attribute:
            attribute.ClearField("doc_string")
    for function in model.functions:
        del function.value_info[:]
        _undocument(function)


def _undocument(
    part: GraphProto | NodeProto | TensorProto | onnx.ValueInfoProto | onnx.FunctionProto,
) -> None:
    part.ClearField("doc_string")
    del part.metadata_props[:]


def _drop_defaults(model: ModelProto) -> None:
    versions = {opset.domain: opset.version for opset in model.opset_import}
    for node in nodes(model):
        if node.domain not in versions or not onnx.defs.has(node.op_type, node.domain):
            continue
        schema = onnx.defs.get_schema(node.op_type, versions[node.domain], node.domain)
        kept = [item for item in node.attribute if not _is_default(item, schema)]
        del node.attribute[:]
        node.attribute.extend(kept)


def _is_default(attribute: AttributeProto, schema: onnx.defs.OpSchema) -> bool:
    declared = schema.attributes.get(attribute.name)
    if declared is None or declared.default_value.type != attribute.type:
        return False
    return bool(
        onnx.helper.get_attribute_value(declared.default_value) == onnx.helper.get_attribute_value(attribute)
    )


def _drop_unused_initializers(graph: GraphProto) -> None:
    used = _used(graph) | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _used(graph: GraphProto) -> set[str]:
    names = {name for node in graph.node for name in node.input}
    for node in graph.node:
        for inner in _inner_graphs(node):
            names |= _used(inner) | {value.name for value in inner.output}
    return names


def _merge_initializers(model: ModelProto) -> None:
    first: dict[bytes, str] = {}
    renamed: dict[str, str] = {}
    kept = []
    outputs = {value.name for value in model.graph.output}
    for tensor in model.graph.initializer:
        nameless = TensorProto()
        nameless.CopyFrom(tensor)
        nameless.ClearField("name")
        same = first.setdefault(nameless.SerializeToString(deterministic=True), tensor.name)
        if same == tensor.name or tensor.name in outputs:
            kept.append(tensor)
        else:
            renamed[tensor.name] = same
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    _rename(model, lambda name: renamed.get(name, name))


def _shorten(model: ModelProto, parameters: frozenset[str]) -> dict[str, str]:
    fixed = {value.name for value in (*model.graph.input, *model.graph.output)} | parameters | {""}
    renamed = {name: name for name in fixed}
    counters: dict[str, Iterator[int]] = {}

    def shorten(name: str, kind: str) -> None:
        if name not in renamed:
            candidates = (f"{kind}{number}" for number in counters.setdefault(kind, count()))
            renamed[name] = next(candidate for candidate in candidates if candidate not in fixed)

    for graph in graphs(model):
        for tensor in graph.initializer:
            shorten(tensor.name, "w")
        for value in graph.input:
            shorten(value.name, "x")
        for node in graph.node:
            for name in node.output:
                shorten(name, _SHORT.get(node.op_type) or re.sub(r"\W", "_", node.op_type).lower())
    _rename(model, lambda name: renamed[name])
    return renamed


def _rename(model: ModelProto, name_of: Callable[[str], str]) -> None:
    """Give every value another name, in all graphs: inner ones may use values of outer ones."""
    for graph in graphs(model):
        for part in (*graph.initializer, *graph.input, *graph.output):
            part.name = name_of(part.name)
        for node in graph.node:
            node.input[:] = [name_of(name) for name in node.input]
            node.output[:] = [name_of(name) for name in node.output]


def _drop_unused_opsets(model: ModelProto) -> None:
    used = {"" if node.domain == "ai.onnx" else node.domain for node in nodes(model)} | {""}
    kept = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _inner_graphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def _attribute_tensors(attribute: AttributeProto) -> Iterator[TensorProto]:
    if attribute.type == AttributeProto.TENSOR:
        yield attribute.t
    elif attribute.type == AttributeProto.SPARSE_TENSOR:
        yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
    yield from attribute.tensors
    for sparse in attribute.sparse_tensors:
        yield from (sparse.values, sparse.indices)
