from __future__ import annotations

import re

import pytest
import torch

from lifecycle.core.errors import UsageError
from lifecycle.export.structure import arrange, leaves, named_arrays, rebuild
from tests.export.networks import DIGITS
from tests.export.zoo import RECORD

A, B, C = (torch.full((2,), float(index)) for index in range(3))


def test_what_was_taken_apart_is_put_together() -> None:
    given = {"x": A, "pair": (B, [C])}
    names = [name for name, _ in leaves(given, "")]
    assert names == ["x", "pair.0", "pair.1.0"]
    assert rebuild(given, iter([C, B, A])) == {"x": C, "pair": (B, [A])}


def test_a_name_cannot_be_tensor_and_structure() -> None:
    with pytest.raises(UsageError, match=r"the signature calls 'row' an input, and 'row.kind' a part of it"):
        arrange(["row", "row.kind"], [A, B])


def test_arguments_are_named_by_the_signature() -> None:
    row = {"kind": torch.ones(3, dtype=torch.int64), "numbers": torch.zeros(3, 2)}
    flags = (torch.ones(3, dtype=torch.bool), torch.zeros(3, dtype=torch.bool))
    found = named_arrays(RECORD, (row, flags))
    assert list(found) == ["row.kind", "row.numbers", "flags.0", "flags.1"]
    assert found["flags.0"].all() and not found["flags.1"].any()
    # A flat signature may call its inputs otherwise than forward's parameters are called.
    assert list(named_arrays(DIGITS, (torch.zeros(1, 1, 8, 8),))) == ["image"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((A,), "forward was called with 1 arguments; the signature declares row, flags"),
        (({"kind": A}, (B, C)), "forward was called with row.kind, flags.0, flags.1; the signature declares"),
        (({"kind": 3, "numbers": A}, (B, C)), "forward was given for 'row' a int; allowed: a tensor"),
    ],
)
def test_other_arguments_are_refused(given: tuple[object, ...], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        named_arrays(RECORD, given)
