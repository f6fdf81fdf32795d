"""What every strategy, accelerator and precision keeps to; those of docs/extending.md are found, told of and used."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from lifecycle.core import plugins
from lifecycle.core.errors import UsageError
from lifecycle.doctor.installation import plug_ins
from lifecycle.strategies import Strategy
from lifecycle.train.accelerators import accelerator_of, load_accelerator
from lifecycle.train.precision.choice import load_precision, precision_of
from lifecycle.train.strategies.choice import load_strategy, strategy_options, strategy_with
from tests.docs.plugins import entry_points, installed
from tests.train.small import Plain, loader, quiet, same, seeded

BROKEN = "[lifecycle.strategies]\nbroken = tests.contracts.test_devices:NOTHING\n"
NOTHING = 3


@pytest.fixture(scope="module", autouse=True)
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The distribution of the page, with a broken strategy besides."""
    points = entry_points().replace("[lifecycle.strategies]\n", BROKEN)
    with installed(tmp_path_factory.mktemp("site"), points):
        yield
    for name in [name for name in sys.modules if name == "own" or name.startswith("own.")]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def _products() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


def test_those_of_another_distribution_are_used() -> None:
    threads: list[int] = []

    class Watching(Plain):
        def on_train_start(self) -> None:
            threads.append(torch.get_num_threads())

    torch.set_num_threads(2)
    try:
        module, plain = seeded(Watching), seeded(Plain)
        trainer = quiet(strategy={"name": "local_sgd", "every": 2}, accelerator="one_core", precision="tf32")
        trainer.fit(module, loader(), loader())
        after = torch.get_num_threads()
    finally:
        torch.set_num_threads(1)
    quiet().fit(plain, loader(), loader())
    assert (type(trainer.strategy).__name__, trainer.strategy.every) == ("LocalSGD", 2)  # type: ignore[attr-defined]
    assert (trainer.accelerator.name(), trainer.precision) == ("one_core", "tf32")
    assert (threads, after) == ([1], 2)
    assert torch.get_float32_matmul_precision() == "high"
    for name, value in module.state_dict().items():  # one process averages with itself
        assert torch.allclose(value, plain.state_dict()[name])


def test_they_are_offered_where_another_name_was_written() -> None:
    with pytest.raises(UsageError, match="allowed: auto, cpu, cuda, gpu, mps, one_core, xla"):
        quiet(accelerator="nothing of the kind")
    with pytest.raises(UsageError, match="did you mean 'local_sgd'"):
        quiet(strategy="local_sdg")
    with pytest.raises(UsageError, match="did you mean 'tf32'"):
        quiet(precision="tf-32")
    with pytest.raises(UsageError, match="strategy 'local_sgd' has no option 'evry': did you mean 'every'"):
        quiet(strategy={"name": "local_sgd", "evry": 2})
    with pytest.raises(UsageError, match="devices=2: there is one"):
        quiet(accelerator="one_core", devices=2)


def test_doctor_lists_them_and_says_what_is_broken() -> None:
    found = {finding.what: finding.state for finding in plug_ins()}
    assert {said for said, state in found.items() if state == "ok"} >= {
        "accelerator 'one_core' of own loads",
        "precision 'tf32' of own loads",
        "strategy 'local_sgd' of own loads",
    }
    assert [said for said, state in found.items() if state == "broken"] == [
        "the strategy 'broken' is 3, no class of lifecycle.strategies.Strategy"
    ]


def names(family: str) -> list[str]:
    """Those that are built in, that are installed here, and those of the page."""
    page = {"strategies": "local_sgd", "accelerators": "one_core", "precisions": "tf32"}
    return sorted({*plugins.table(family), page[family]} - {"broken"})


@pytest.mark.parametrize("name", names("strategies"))
def test_a_strategy_of_one_process_asks_nobody(name: str) -> None:
    strategy = load_strategy(name)()
    strategy.place([torch.device("cpu")], None)
    assert (strategy.world_size, strategy.global_rank, strategy.is_global_zero) == (1, 0, True)
    assert strategy.launch(quiet(), quiet().fit, {}) == (False, None)  # no process is missing
    assert strategy.unsynced is None or callable(strategy.unsynced)


@pytest.mark.parametrize("name", names("strategies"))
def test_a_strategy_is_made_by_its_name_and_takes_options_by_theirs(name: str) -> None:
    assert isinstance(strategy_with({"name": name}), load_strategy(name))
    for option in strategy_options(load_strategy(name)):
        assert option.isidentifier() and option != "name"
    with pytest.raises(UsageError, match=f"strategy '{name}' has no option 'nothing_of_the_kind'"):
        strategy_with({"name": name, "nothing_of_the_kind": 1})


@pytest.mark.parametrize("name", names("strategies"))
def test_a_strategy_overrides_methods_as_they_are_called(name: str) -> None:
    """With the parameters of the base class, so that the trainer may call any of them alike."""
    cls = load_strategy(name)
    for method, base in inspect.getmembers(Strategy, inspect.isfunction):
        if method.startswith("__"):
            continue
        own = inspect.signature(getattr(cls, method)).parameters
        assert list(own)[: len(inspect.signature(base).parameters)] == list(
            inspect.signature(base).parameters
        )


# That of FSDP leaves the module divided: tests/train/strategies/test_ranks.py.
@pytest.mark.parametrize("name", [name for name in names("strategies") if name != "fsdp"])
def test_a_strategy_trains_and_gives_back_what_it_was_given(name: str) -> None:
    module, plain = seeded(Plain), seeded(Plain)
    trainer = quiet(strategy=name)
    trainer.fit(module, loader())
    quiet().fit(plain, loader())
    strategy = trainer.strategy
    assert all(torch.allclose(v, plain.state_dict()[n]) for n, v in module.state_dict().items())
    assert "forward" not in vars(module) and "training_step" not in vars(module)
    kept = strategy.state_dict(module)
    strategy.load_state_dict(module, {n: torch.zeros_like(v) for n, v in kept.items()}, strict=True)
    assert all(not value.any() for value in module.state_dict().values())
    optimizer = trainer.optimizers[0]
    state = strategy.optimizer_state(module, optimizer)
    strategy.load_optimizer_state(module, optimizer, state)
    assert same(strategy.optimizer_state(module, optimizer), state)


@pytest.mark.parametrize("name", names("accelerators"))
def test_an_accelerator_says_what_it_is(name: str) -> None:
    kind = load_accelerator(name)
    assert kind.name() == name
    if not kind.is_available():
        with pytest.raises(UsageError, match=re.escape(f"accelerator={name!r}: ")):
            accelerator_of(name)
        return
    assert kind.auto_device_count() >= 1
    (device, *_) = kind.get_parallel_devices(kind.parse_devices(1))
    assert isinstance(device, torch.device)
    with pytest.raises(UsageError, match="devices="):
        kind.parse_devices(10_000 if name != "cpu" else 0)
    accelerator = accelerator_of(name)
    assert type(accelerator) is kind
    accelerator.setup_device(device)
    accelerator.setup(quiet())
    accelerator.teardown()
    assert all(isinstance(value, float | int) for value in accelerator.get_device_stats(device).values())


# Scaled losses in float16 need a GPU: tests/train/test_precision.py.
@pytest.mark.parametrize("name", [name for name in names("precisions") if name != "16-mixed"])
def test_a_precision_is_known_by_its_name_and_leaves_a_step_possible(name: str) -> None:
    device = torch.device("cpu")
    precision = precision_of(name, device)
    assert isinstance(precision, load_precision(name)) and precision.name == precision.precision == name
    default = torch.get_default_dtype()
    module = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    before = module.weight.detach().clone()
    precision.convert_module(module)
    batch: Any = precision.convert_batch([torch.ones(3, 4), torch.tensor([0, 1, 0])])
    assert batch[1].dtype == torch.int64
    with precision.context():
        loss = module(batch[0]).float().square().mean()
    assert torch.get_default_dtype() == default
    precision.scale(loss).backward()  # type: ignore[no-untyped-call]
    precision.unscale_(optimizer)
    precision.step(optimizer)
    assert not torch.equal(module.weight.float(), before)
    precision.load_state_dict(precision.state_dict())


def test_tpus_need_a_package_and_the_error_names_it() -> None:
    with pytest.raises(UsageError) as refused:
        accelerator_of("xla")
    assert str(refused.value) == (
        "accelerator='xla': there is none here\n"
        "Run `pip install torch_xla[tpu]` of torch's own version on a machine with TPUs; "
        "elsewhere pass accelerator='auto'."
    )
