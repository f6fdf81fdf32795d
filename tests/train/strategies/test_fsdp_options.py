"""How parts of a module and types of numbers are named, and what is said of other words."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy

from lifecycle.core.errors import UsageError
from lifecycle.strategies import FSDPStrategy
from lifecycle.train.precision import precision_of
from lifecycle.train.strategies.fsdp_options import Parts, policy_of

ALLOWED = "bfloat16, float16, float32"
CUDA = torch.device("cuda")


class Block(nn.Module):
    """With 2 * 20 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)


class Wide(Block):
    """A block too."""


def model() -> nn.Module:
    return nn.Sequential(Block(), nn.Sequential(Wide(), nn.LayerNorm(4)))


def found(given: Any) -> list[str]:
    module = model()
    names = {id(part): name for name, part in module.named_modules()}
    return [names[id(part)] for part in Parts("auto_wrap_policy", given).of(module)]


def test_parts_are_those_of_classes_or_of_their_names() -> None:
    assert found({Block}) == found(["Block"]) == ["0", "1.0"]
    assert found([Wide]) == found(["Wide"]) == ["1.0"]
    assert found(()) == []


def test_parts_by_size_count_what_is_in_no_smaller_one() -> None:
    assert found(20) == ["1.0.second", "1.0.first", "0.second", "0.first"]  # nothing is left for the blocks
    assert found(40) == ["1.0", "0"]  # 8 of the normalisation are left for what is around it
    assert found(48) == ["1"]
    assert found(1000) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["Blok"],
            "auto_wrap_policy: no part of Sequential is a Blok: did you mean 'Block'? "
            "Allowed: Block, LayerNorm, Linear, Sequential, Wide",
        ),
        ({nn.Conv2d}, "auto_wrap_policy: no part of Sequential is a Conv2d: allowed: Block"),
        (0, "auto_wrap_policy=0: expected at least one parameter"),
        ("Block", "auto_wrap_policy='Block': expected classes of parts, their names, or a number"),
        ([3], "auto_wrap_policy=[3]: expected classes of parts, their names, or a number"),
        (True, "auto_wrap_policy=True: expected classes of parts, their names, or a number"),
    ],
)
def test_what_names_no_part_is_refused(given: Any, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        found(given)
    assert str(refused.value).startswith(message)


def test_types_are_named_as_torch_names_them() -> None:
    half = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    assert policy_of(None) is None and policy_of(half) is half
    assert policy_of("bfloat16") == policy_of(torch.bfloat16) == half
    assert policy_of({"param_dtype": "float16", "cast_forward_inputs": False}) == MixedPrecisionPolicy(
        param_dtype=torch.float16, cast_forward_inputs=False
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("bfloat", f"mixed_precision='bfloat': did you mean 'bfloat16'? Allowed: {ALLOWED}"),
        (True, f"mixed_precision=True: allowed: {ALLOWED}"),
        ({"param_dtyp": "float16"}, "mixed_precision has no 'param_dtyp': did you mean 'param_dtype'?"),
        ({"param_dtype": "half"}, f"mixed_precision.param_dtype='half': allowed: {ALLOWED}"),
        ({"param_dtype": True}, "mixed_precision.param_dtype=True: "),
        ({"cast_forward_inputs": "no"}, "mixed_precision.cast_forward_inputs='no': expected true or false"),
    ],
)
def test_other_types_are_refused(given: Any, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        policy_of(given)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize("name", ["32-true", "bf16-true", "bf16-mixed"])
def test_mixed_precision_says_the_types_unless_the_user_does(name: str) -> None:
    strategy, told = FSDPStrategy(), FSDPStrategy(mixed_precision=torch.float16)
    for each in (strategy, told):
        each.computes_in(precision_of(name, CUDA))
    wanted = torch.bfloat16 if name == "bf16-mixed" else None
    assert (strategy._policy.param_dtype, strategy._policy.reduce_dtype) == (wanted, wanted)
    assert told._policy.param_dtype == torch.float16
