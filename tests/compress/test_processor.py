from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.compress.processor import Integers, integers_for, this_processor
from lifecycle.core.errors import UsageError


@pytest.mark.parametrize(
    ("machine", "flags", "integers"),
    [
        ("x86_64", {"avx512f", "avx512_vnni"}, Integers(activations="uint8", weight_bits=8)),
        ("AMD64", {"avx2", "avx_vnni"}, Integers(activations="uint8", weight_bits=8)),
        ("x86_64", {"avx2"}, Integers(activations="uint8", weight_bits=7)),
        ("aarch64", {"asimddp"}, Integers(activations="int8", weight_bits=8)),
    ],
)
def test_integers_follow_the_processor(machine: str, flags: set[str], integers: Integers) -> None:
    assert integers_for("auto", (machine, frozenset(flags))) == integers


def test_what_is_asked_for_is_taken() -> None:
    plain = ("x86_64", frozenset({"avx2"}))
    assert integers_for("int8", plain) == Integers(activations="int8", weight_bits=8)
    assert integers_for("uint8", ("aarch64", frozenset())) == Integers(activations="uint8")
    assert Integers(weight_bits=7).weight_limit == 63
    with pytest.raises(UsageError, match="activations is 'uint4': did you mean 'uint8'"):
        integers_for("uint4")  # type: ignore[arg-type]


def test_flags_are_read_where_the_system_tells_them(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("model name: x\nflags\t\t: fpu avx2 avx512_vnni\n")
    assert this_processor(tmp_path / "cpuinfo")[1] == {"fpu", "avx2", "avx512_vnni"}
    assert this_processor(tmp_path / "absent")[1] == frozenset()
