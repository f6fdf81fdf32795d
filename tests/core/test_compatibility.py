from __future__ import annotations

from typing import Any

import pytest

from lifecycle.core.compatibility import breaks
from lifecycle.core.signature import Signature, TensorSpec


def signature(inputs: dict[str, Any], outputs: dict[str, Any], **more: Any) -> Signature:
    def specs(found: dict[str, Any]) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(name=name, dtype="float32", shape=shape) for name, shape in found.items())

    return Signature(inputs=specs(inputs), outputs=specs(outputs), **more)


OLD = signature({"x": ("batch", 2)}, {"y": ("batch", 3)})
LIMITED = signature({"x": ("batch", "length")}, {"y": ("batch", 3)}, axes={"length": (2, 8)})


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (OLD, OLD, []),
        (OLD, signature({"x": ("batch", "any")}, {"y": ("n", 3), "more": (1,)}), []),
        (
            OLD,
            signature({"x": ("batch", 2), "z": (1,)}, {"y": ("batch", 3)}),
            ["input 'z' was not asked for"],
        ),
        (OLD, signature({}, {"y": ("batch", 3)}), ["input 'x' is gone"]),
        (
            OLD,
            signature({"x": (1, 2)}, {"y": ("batch", 3)}),
            ["input 'x' is float32 [1, 2]; it was float32 [batch, 2]"],
        ),
        (OLD, signature({"x": ("batch", 2)}, {}), ["output 'y' is gone"]),
        (
            OLD,
            signature({"x": ("batch", 2)}, {"y": ("batch", "k")}),
            ["output 'y' is float32 [batch, k]; it was float32 [batch, 3]"],
        ),
        (
            LIMITED,
            signature({"x": ("batch", "length")}, {"y": ("batch", 3)}, axes={"length": (2, 4)}),
            ["axis 'length' takes 2 to 4; it took 2 to 8"],
        ),
        (LIMITED, signature({"x": ("batch", "length")}, {"y": ("batch", 3)}), []),
        (
            signature({"x": ("batch", "length")}, {"y": ("batch", 3)}),
            LIMITED,
            ["axis 'length' takes 2 to 8; it took any size"],
        ),
    ],
)
def test_what_would_break_a_client(old: Signature, new: Signature, expected: list[str]) -> None:
    assert breaks(old, new) == expected
