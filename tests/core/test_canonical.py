from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.core.canonical import (
    JSON,
    canonical_json,
    finite,
    readable_json,
    sha256,
    sha256_file,
    write_whole,
)

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


def shuffled(value: JSON) -> JSON:
    """The same value, its keys in the opposite order."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@given(VALUES)
def test_canonical_json_does_not_depend_on_the_order_of_keys(value: JSON) -> None:
    assert canonical_json(value) == canonical_json(shuffled(value))


@given(VALUES)
def test_canonical_json_loses_nothing(value: JSON) -> None:
    assert json.loads(canonical_json(value)) == value


def test_canonical_json_has_one_spelling() -> None:
    assert canonical_json({"ü": 1, "a": (1, 2.5, "x")}) == '{"a":[1,2.5,"x"],"ü":1}'.encode()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_canonical_json_refuses_what_json_cannot_spell(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"loss": value})


def test_readable_json_writes_null_for_what_is_not_finite() -> None:
    content = readable_json({"loss": math.nan, "best": [math.inf, 1.5]})
    assert json.loads(content) == {"loss": None, "best": [None, 1.5]}
    assert content.endswith(b"}\n")
    assert content.count(b"\n") > 2


def test_finite_goes_into_everything() -> None:
    assert finite({"a": [{"b": (math.inf, 0.0)}]}) == {"a": [{"b": [None, 0.0]}]}


def test_a_file_has_the_hash_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"weights" * 100_000)
    assert sha256_file(path) == sha256(b"weights" * 100_000)


def test_write_whole_replaces_a_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    write_whole(path, b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"new"


def test_write_whole_keeps_the_old_file_when_it_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(TypeError):
        write_whole(path, "no bytes")  # type: ignore[arg-type]
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"
