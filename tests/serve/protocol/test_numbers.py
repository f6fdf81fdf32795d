"""The quick reader of JSON beside the other: the same arrays, the same answers, the same complaints."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lifecycle.core.errors import LifecycleError
from lifecycle.core.signature import Signature, TensorSpec
from lifecycle.serve.predict import rows
from lifecycle.serve.protocol.codec import may_hold_booleans, parse_json
from lifecycle.serve.protocol.numbers import LONG, Numbers, UnusualError, read_message, read_rows, takes
from lifecycle.serve.protocol.oip import Decoder

DTYPES = {"FP16": "float16", "FP32": "float32", "FP64": "float64", "INT8": "int8", "UINT8": "uint8"} | {
    "INT64": "int64",
    "UINT64": "uint64",
}
NUMBER = (
    st.integers(-(2**65), 2**65)
    | st.integers(-200, 300)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(0, 1, width=32)
    | st.just(-0.0)
)
LEAF = NUMBER | st.none() | st.booleans() | st.text(max_size=3) | st.just({"a": 1}) | st.just("[")
EVEN = st.tuples(st.integers(1, 3), st.integers(1, 3)).flatmap(
    lambda shape: st.lists(
        st.lists(NUMBER, min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0]
    )
)
ANYTHING = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=4), max_leaves=12)
needs_simdjson = pytest.mark.skipif(sys.version_info >= (3, 14), reason="pysimdjson has no wheels for it")
RARELY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=300)


def signature(dtype: str, *sample: str | int) -> Signature:
    return Signature(
        inputs=(TensorSpec(name="x", dtype=dtype, shape=("batch", *sample)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", 2)),),
    )


def long(text: str) -> bytes:
    """The same JSON, of such a length that the quick reader is asked."""
    return text.encode() + b" " * LONG


def outcome(call: Any, *arguments: Any) -> object:
    try:
        found = call(*arguments)
    except LifecycleError as error:
        return type(error), error.message
    arrays = found if isinstance(found, dict) else found.arrays
    told = {name: (a.dtype, a.shape, a.tobytes(), a.flags.c_contiguous) for name, a in arrays.items()}
    return told if arrays is found else (told, found.id, found.outputs, found.timeout_s)


def the_other_reader(decoder: Decoder, text: bytes) -> Any:
    return decoder.decode(parse_json(text), booleans=may_hold_booleans(text))


@RARELY
@given(data=EVEN | st.lists(NUMBER, max_size=9) | ANYTHING, datatype=st.sampled_from(sorted(DTYPES)))
@example(data=[1, [2]], datatype="FP32")
@example(data=[[1, 2], [3]], datatype="FP32")
@example(data=[[[1]], "x"], datatype="INT8")
@example(data=[2**53 + 1, 2**64 - 1], datatype="FP64")
@example(data=[1.0, 2], datatype="INT64")
def test_both_readers_decode_a_message_alike(data: Any, datatype: str) -> None:
    sizes = list(np.shape(data)) if isinstance(data, list) and not any(map(is_ragged, data)) else [2, 2]
    for shape in (sizes, [len(data) // 2, 2] if isinstance(data, list) else [1, 2]):
        decoder = Decoder(signature(DTYPES[datatype], *("n",) * max(len(shape) - 1, 0)))
        tensor = {"name": "x", "shape": shape, "datatype": datatype, "data": data}
        text = long(json.dumps({"id": "7", "inputs": [tensor], "parameters": {"timeout": 5}}))
        assert outcome(decoder.decode_text, text) == outcome(the_other_reader, decoder, text)


def is_ragged(item: Any) -> bool:
    return isinstance(item, list | dict)


@RARELY
@given(data=EVEN | ANYTHING, dtype=st.sampled_from(sorted(DTYPES.values())), bare=st.booleans())
@example(data=[[1, 2, 3, 4]], dtype="float32", bare=False)
@example(data=[[[1, 2], [3, 4]]], dtype="int8", bare=True)
@example(data=[[1, 2, 3, 4], [1, 2, 3, [4]]], dtype="int8", bare=True)
def test_both_readers_decode_rows_alike(data: Any, dtype: str, bare: bool) -> None:
    text = long(json.dumps(data if bare else {"rows": data}))
    for sample in ((), (2,), ("n",), (2, 2), (1, "n")):
        expected = outcome(rows.decode_rows, parse_json(text), signature(dtype, *sample))
        assert outcome(rows.decode_text, text, signature(dtype, *sample)) == expected


TENSOR = '{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}'


@pytest.mark.parametrize(
    "text",
    [
        '{"inputs": {}}',
        '{"inputs": ""}',
        '{"inputs": [1]}',
        '{"inputs": [[]]}',
        "[0]",
        "{}",
        '"inputs"',
        "[" * 2000,
        f'{{"inputs": [{TENSOR}], "inputs": []}}',
        f'{{"id": "one", "id": "two", "inputs": [{TENSOR}]}}',
        f'{{"id": "[", "inputs": [{TENSOR}]}}',
        f'{{"id": "\\ud800", "inputs": [{TENSOR}]}}',
        f'{{"id": "\\u0000\\ud83d\\ude00", "inputs": [{TENSOR}]}}',
        f'{{"inputs": [{TENSOR}, {TENSOR}]}}',
        f'{{"inputs": [{TENSOR}], "outputs": [{{"name": "y"}}]}}',
        f'{{"inputs": [{TENSOR}], "outputs": [{{"name": "y", "parameters": {{"a": [1]}}}}]}}',
        f'{{"inputs": [{TENSOR}]}} x',
        f'{{"inputs": [{TENSOR[:-1]}, "data\\u0000": 5}}]}}',
        f'{{"inputs": [{TENSOR.replace("1, 2]}", "1, [2]]}")[:-1]}, "data\\u0000": 5}}]}}',
        "{" + ", ".join(f'"{name}": [1]' for name in range(50)) + f', "inputs": [{TENSOR}]}}',
        f'{{"inputs": [{TENSOR[:-1]}, "data": [3, 4]}}]}}',
        f'{{"inputs": [{TENSOR[:-1]}, "parameters": {{"binary_data_size": 8}}}}]}}',
        f'\n {{"inputs": [{TENSOR}]}}',
        f'\ufeff{{"inputs": [{TENSOR}]}}',
        f'{{"inputs": [{TENSOR.replace("2]}", "1e999]}")}]}}',
        f'{{"inputs": [{TENSOR.replace("2]}", "NaN]}")}]}}',
        f'{{"inputs": [{TENSOR.replace("x", "z")}]}}',
    ],
)
def test_what_is_odd_or_wrong_is_taken_alike(text: str) -> None:
    decoder = Decoder(signature("float32", 2))
    assert outcome(decoder.decode_text, long(text)) == outcome(the_other_reader, decoder, long(text))
    expected = outcome(lambda: rows.decode_rows(parse_json(long(text)), signature("float32", 2)))
    assert outcome(rows.decode_text, long(text), signature("float32", 2)) == expected


@needs_simdjson
def test_many_names_are_left_to_the_other_reader() -> None:
    """Each name of an object is searched for among all: hours for a body of the allowed size."""
    decoder = Decoder(signature("float32", 2))
    text = (
        "{" + ", ".join(f'"k{name}": 0' for name in range(200_000)) + f', "inputs": [{TENSOR}]}}'
    ).encode()
    with pytest.raises(UnusualError):
        read_message(text)
    assert decoder.decode_text(text).arrays["x"].tolist() == [[1, 2]]


@needs_simdjson
def test_what_is_usual_is_read_quickly() -> None:
    image = np.random.default_rng(0).random((2, 3, 4, 4), np.float32)
    for data in (image.tolist(), image.ravel().tolist()):
        tensor = {"name": "x", "shape": list(image.shape), "datatype": "FP32", "data": data}
        message: Any = read_message(json.dumps({"inputs": [tensor]}).encode())
        found = message["inputs"][0]["data"]
        assert isinstance(found, Numbers)
        assert found.array(image.shape, "float32").tobytes() == image.tobytes()
    for content in (image.tolist(), {"rows": image.tolist()}):
        assert read_rows(json.dumps(content).encode()).shape == image.shape
    assert takes("uint64") and not takes("bool") and not takes("object")
    with pytest.raises(UnusualError):
        read_rows(b'{"rows": [[1], [2, 3]]}')


def test_all_of_it_works_without_simdjson() -> None:
    script = """
import sys
sys.modules["simdjson"] = None  # as where it is not installed
from lifecycle.core.signature import Signature, TensorSpec
from lifecycle.serve.predict.rows import decode_text
from lifecycle.serve.protocol.oip import Decoder
spec = TensorSpec(name="x", dtype="float32", shape=("batch", 2))
signature = Signature(inputs=(spec,), outputs=(spec,))
text = b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}], "rows": [[3, 4]]}'
print(Decoder(signature).decode_text(text + b" " * 2000).arrays["x"].tolist())
print(decode_text(text + b" " * 2000, signature)["x"].tolist())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[[1.0, 2.0]]", "[[3.0, 4.0]]"]
