from __future__ import annotations

import io
from collections import Counter, OrderedDict, namedtuple
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lifecycle.train.copied import copied
from tests.train.small import same


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def trained() -> dict[str, object]:
    """A state with all that the bytes of a file depend on: shared memory, shared objects, strides, attributes."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 4), nn.LSTM(4, 4)
    )
    model[4].weight = model[3].weight
    model[0].to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        [{"params": model[3].parameters(), "lr": 0.1}, {"params": model[0].parameters()}], lr=0.2
    )
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=9)
    values = [1, 2]
    return {
        "epoch": 3,
        "state_dict": model.state_dict(),
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [schedule.state_dict()],
        "metrics": {
            "loss": torch.tensor(0.5, dtype=torch.float64),
            "half": torch.ones(3, dtype=torch.bfloat16),
        },
        "twice": (values, values),
        "same": [model[0].bias.detach()] * 2,
        "empty": torch.empty(0),
        "seen": Counter("aab"),
        "size": torch.Size([1, 2]),
        "nothing": None,
    }


def test_a_file_made_from_the_copy_has_the_bytes_of_one_made_from_the_state() -> None:
    content = trained()
    assert saved(dict(copied(content))) == saved(content)


def test_what_training_changes_afterwards_is_not_in_the_copy() -> None:
    content: Any = trained()
    before = saved(content)
    taken = copied(content)
    for tensor in content["state_dict"].values():
        tensor.fill_(9)
    content["optimizer_states"][0]["state"][0]["exp_avg"].fill_(9)
    content["optimizer_states"][0]["param_groups"][0]["lr"] = 9.0
    content["optimizer_states"].append({})
    content["twice"][0].append(9)
    content["seen"]["a"] = 9
    content["epoch"] = 9
    assert saved(dict(taken)) == before


def test_tied_weights_stay_tied() -> None:
    weight = torch.randn(100, 100)
    taken: Any = copied({"one": weight, "two": weight.view(-1), "three": weight.t()})
    assert len({tensor.untyped_storage().data_ptr() for tensor in taken.values()}) == 1
    assert same(dict(taken), {"one": weight, "two": weight.view(-1), "three": weight.t()})
    assert len(saved(dict(taken))) < 2 * weight.nbytes


def test_of_a_large_memory_just_what_is_shown_is_copied() -> None:
    memory = torch.randn(1000, 1000)
    content = {"row": memory[3], "same": memory[3], "column": memory[:, 5], "value": memory[7, 7]}
    taken: Any = copied(content)
    assert same(dict(taken), content)
    assert len(saved(dict(taken))) < 4 * memory[3].nbytes
    assert taken["row"].untyped_storage().data_ptr() == taken["same"].untyped_storage().data_ptr()


def test_views_that_make_up_their_memory_share_its_copy() -> None:
    flat = torch.randn(1000)
    taken: Any = copied({"first": flat[:500], "second": flat[500:]})
    assert taken["first"].untyped_storage().data_ptr() == taken["second"].untyped_storage().data_ptr()
    assert same(dict(taken), {"first": flat[:500], "second": flat[500:]})


@pytest.mark.parametrize(
    "odd",
    [
        torch.eye(3).to_sparse(),
        torch.tensor([1 + 2j, 3j]).conj(),
        torch.empty(3, device="meta"),
        torch.ones(3).expand(5, 3),
        torch.tensor(True),
    ],
    ids=["sparse", "conjugate", "meta", "expanded", "scalar"],
)
def test_tensors_of_other_kinds_are_copied_as_they_are(odd: Tensor) -> None:
    assert same_kind(copied({"odd": odd})["odd"], odd)


def same_kind(got: object, expected: Tensor) -> bool:
    assert isinstance(got, Tensor)
    assert (got.dtype, got.layout, got.shape) == (expected.dtype, expected.layout, expected.shape)
    return expected.is_meta or (got is not expected and bool((got.to_dense() == expected.to_dense()).all()))


def test_parameters_are_copied_without_their_graph() -> None:
    parameter = nn.Parameter(torch.ones(3))
    taken = copied({"weight": parameter, "after": parameter * 2})
    assert type(taken["weight"]) is Tensor
    assert not any(isinstance(value, Tensor) and value.requires_grad for value in taken.values())


def test_containers_keep_their_kind_their_order_and_their_attributes() -> None:
    pair = namedtuple("pair", "left right")
    state: OrderedDict[str, object] = OrderedDict(b=torch.ones(1), a=torch.zeros(1))
    state._metadata = {"": {"version": 2}}  # type: ignore[attr-defined]
    taken: Any = copied({"state": state, "pair": pair(torch.ones(1), 2), "plain": (1, "two")})
    assert list(taken["state"]) == ["b", "a"]
    assert type(taken["state"]) is OrderedDict
    assert taken["state"]._metadata == {"": {"version": 2}}
    assert taken["pair"] == pair(torch.ones(1), 2)


def test_what_holds_itself_is_copied_once() -> None:
    loop: list[object] = [torch.ones(1)]
    loop.append(loop)
    taken: Any = copied({"loop": loop})
    assert taken["loop"][1] is taken["loop"]
    assert taken["loop"] is not loop


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_from_a_cuda_device_it_arrives_in_pinned_memory_as_it_was() -> None:
    weight = torch.arange(10_000_000, dtype=torch.float32, device="cuda")
    expected = weight.cpu()
    taken: Any = copied({"weight": weight, "tied": weight})
    weight.zero_()
    taken.settle()
    assert taken["weight"].is_pinned()
    assert torch.equal(taken["weight"], expected)
    assert taken["weight"] is taken["tied"]
