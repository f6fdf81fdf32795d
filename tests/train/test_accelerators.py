from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch

import lifecycle.accelerators
from lifecycle.accelerators import Accelerator, CPUAccelerator, CUDAAccelerator, MPSAccelerator
from lifecycle.core.errors import UsageError
from lifecycle.train.accelerators import accelerator_of
from lifecycle.train.device_indices import Devices
from lifecycle.train.strategies.choice import strategy_of

Machine = Callable[..., None]


def device_of(
    accelerator: object = "auto", devices: object = "auto", strategy: object = "auto", nodes: int = 1
) -> torch.device:
    """Where the process that asks computes."""
    return strategy_of(accelerator_of(accelerator), devices, strategy, nodes).root_device


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Lets torch find some GPUs, whatever there are."""

    def has(*, cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    has()
    return has


@pytest.mark.parametrize(
    ("cuda", "mps", "auto"),
    [(0, False, "cpu"), (0, True, "mps:0"), (1, False, "cuda:0"), (4, True, "cuda:0")],
)
def test_auto_takes_the_fastest_that_is_there(machine: Machine, cuda: int, mps: bool, auto: str) -> None:
    machine(cuda=cuda, mps=mps)
    assert device_of() == torch.device(auto)
    assert device_of("cpu") == torch.device("cpu")


@pytest.mark.parametrize(("cuda", "mps", "gpu"), [(1, True, "cuda:0"), (0, True, "mps:0")])
def test_gpu_is_any_of_them(machine: Machine, cuda: int, mps: bool, gpu: str) -> None:
    machine(cuda=cuda, mps=mps)
    assert device_of("gpu") == torch.device(gpu)
    assert device_of("mps") == device_of(MPSAccelerator()) == torch.device("mps:0")


@pytest.mark.parametrize("one", [1, "1", [0], (0,), "0,", " 0, ", -1, "-1", "auto"])
@pytest.mark.parametrize("kind", ["cpu", "mps", "cuda"])
def test_one_device_has_many_spellings(machine: Machine, one: object, kind: str) -> None:
    machine(cuda=1, mps=True)
    device = device_of(kind, one, "single_device")
    assert (device.type, device.index or 0) == (kind, 0)


@pytest.mark.parametrize("third", [[2], "2,"])
def test_an_index_picks_one_of_several(machine: Machine, third: object) -> None:
    machine(cuda=4)
    assert device_of("gpu", third) == device_of(CUDAAccelerator(), third) == torch.device("cuda:2")


@pytest.mark.parametrize(
    ("devices", "indices"),
    [
        (2, [0, 1]),
        ("2", [0, 1]),
        ([0, 2], [0, 2]),
        ("0, 2", [0, 2]),
        (-1, [0, 1, 2, 3]),
        ("-1", [0, 1, 2, 3]),
    ],
)
def test_several_devices_are_meant_by_number_or_index(
    machine: Machine, devices: Any, indices: list[int]
) -> None:
    machine(cuda=4)
    found = CUDAAccelerator.get_parallel_devices(CUDAAccelerator.parse_devices(devices))
    assert found == [torch.device("cuda", index) for index in indices]
    strategy = strategy_of(CUDAAccelerator(), devices)
    assert (type(strategy).__name__, strategy.world_size) == ("DDPStrategy", len(indices))


def test_the_first_of_several_is_taken_and_logged(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    machine(cuda=4)
    with caplog.at_level(logging.INFO):
        assert device_of() == torch.device("cuda:0")
    assert caplog.messages == ["of 4 devices the first is used; devices=-1 trains on all"]


SINGLE = "Pass strategy='ddp', or devices=1."
STRATEGIES = (
    "auto, ddp, ddp_find_unused_parameters_false, ddp_find_unused_parameters_true, ddp_fork, ddp_notebook, "
    "ddp_spawn, fsdp, fsdp_cpu_offload, single_device"
)
SPELLING = "expected 'auto', a number of devices, or a list of their indices, such as [0]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("cuda", 2, "single_device"),
            f"strategy='single_device' trains on one device, and devices=2, num_nodes=1 asks for 2\n{SINGLE}",
        ),
        (
            ("cuda", 1, "deepspeed_stage_3"),
            f"strategy='deepspeed_stage_3': allowed: {STRATEGIES}",
        ),
        (
            ("cuda", 1, object()),
            "strategy=object(…) is no lifecycle.strategies.Strategy\n"
            "Pass one, or a name: ddp, fsdp, single_device.",
        ),
        (
            ("cuda", 2, "auto", 3),
            "Trainer(num_nodes=3): the processes of several machines are started by torchrun or Slurm, and this "
            "one was not\nRun `torchrun --nnodes=3 --nproc-per-node=2 …` on each.",
        ),
        (("cuda", 1, "auto", 0), "Trainer(num_nodes=0): expected a whole number of at least 1"),
        (("cpu", 1, "single"), f"strategy='single': did you mean 'single_device'? Allowed: {STRATEGIES}"),
        (
            ("cuda", [4]),
            "devices=[4]: there are 4 GPUs, 0 to 3\nPass devices=1, or one of these in a list.",
        ),
        (
            ("cuda", 5),
            "devices=5: there are 4 GPUs, 0 to 3\nPass devices=1, or one of these in a list.",
        ),
        (
            ("cuda", [1, 1]),
            "devices=[1, 1]: there are 4 GPUs, 0 to 3\nPass devices=1, or one of these in a list.",
        ),
        (
            ("cuda", -2),
            "devices=-2: there are 4 GPUs, 0 to 3\nPass devices=1, or one of these in a list.",
        ),
        (
            ("cpu", [1]),
            "devices=[1]: there is one CPU, of index 0\nPass devices=1, or one of these in a list.",
        ),
        (("cuda", 0), "devices=0 asks for no device\nPass devices=1."),
        (("cpu", "0"), "devices='0' asks for no device\nPass devices=1."),
        (("cuda", []), "devices=[] asks for no device\nPass devices=1."),
        (("cuda", "one"), f"devices='one': {SPELLING}"),
        (("cuda", ","), f"devices=',': {SPELLING}"),
        (("cpu", None), f"devices=None: {SPELLING}"),
        (("cpu", True), f"devices=True: {SPELLING}"),
        (("cuda", [0.0]), f"devices=[0.0]: {SPELLING}"),
        (("cdua",), "accelerator='cdua': did you mean 'cuda'? Allowed: auto, cpu, cuda, gpu, mps, xla"),
        (("tpu",), "accelerator='tpu': did you mean 'gpu'? Allowed: auto, cpu, cuda, gpu, mps, xla"),
        ((None,), "accelerator=None: allowed: auto, cpu, cuda, gpu, mps, xla"),
    ],
)
def test_anything_else_is_refused_with_what_to_pass(
    machine: Machine, arguments: tuple[Any, ...], message: str
) -> None:
    machine(cuda=4)
    with pytest.raises(UsageError) as caught:
        device_of(*arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("accelerator", "shown"),
    [("gpu", "'gpu'"), ("cuda", "'cuda'"), ("mps", "'mps'"), (CUDAAccelerator(), "CUDAAccelerator()")],
)
@pytest.mark.parametrize("built", ["12.8", None])
def test_what_is_not_there_is_refused_with_what_is(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, accelerator: object, shown: str, built: str | None
) -> None:
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(torch.version, "hip", None)
    with pytest.raises(UsageError) as caught:
        device_of(accelerator)
    assert str(caught.value) == (
        f"accelerator={shown}: torch {torch.__version__} finds none here; it finds: cpu\n"
        "Pass accelerator='auto' to take the fastest of what is there."
        + ("" if built else " This torch is built without CUDA.")
    )


class Meta(Accelerator):
    """A kind of device of the user's own."""

    @staticmethod
    def parse_devices(devices: Devices) -> Devices:
        return devices

    @staticmethod
    def get_parallel_devices(devices: Devices) -> list[torch.device]:
        return [torch.device("meta")]

    @staticmethod
    def auto_device_count() -> int:
        return 1

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def name() -> str:
        return "meta"


def test_an_accelerator_of_ones_own_is_used() -> None:
    own = Meta()
    assert accelerator_of(own) is own
    assert device_of(own) == torch.device("meta")


def test_accelerators_answer_as_lightnings_do(machine: Machine) -> None:
    machine(cuda=3)
    assert [kind.name() for kind in (CPUAccelerator, CUDAAccelerator, MPSAccelerator)] == [
        "cpu",
        "cuda",
        "mps",
    ]
    assert [kind.is_available() for kind in (CPUAccelerator, CUDAAccelerator, MPSAccelerator)] == [
        True,
        True,
        False,
    ]
    assert CUDAAccelerator.auto_device_count() == 3
    assert CUDAAccelerator.parse_devices("1,2") == [1, 2]
    assert CUDAAccelerator.get_parallel_devices([1, 2]) == [torch.device("cuda:1"), torch.device("cuda:2")]
    assert CPUAccelerator.parse_devices("3") == 3
    assert CPUAccelerator.get_parallel_devices(2) == [torch.device("cpu")] * 2


def test_a_processor_is_set_up_and_watched() -> None:
    accelerator = accelerator_of("cpu")
    accelerator.setup_device(torch.device("cpu"))
    accelerator.setup(None)
    stats = accelerator.get_device_stats("cpu")
    accelerator.teardown()
    assert set(stats) == {"cpu_vm_percent", "cpu_percent", "cpu_swap_percent"}
    assert 0 < stats["cpu_vm_percent"] < 100 and all(0 <= value <= 100 for value in stats.values())
    assert set(MPSAccelerator().get_device_stats("mps")) == {"M1_vm_percent", "M1_percent", "M1_swap_percent"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_is_set_up_and_watched() -> None:
    accelerator = accelerator_of("cuda")
    accelerator.setup_device(torch.device("cuda:0"))
    kept = torch.ones(1024, device="cuda")
    assert accelerator.get_device_stats(kept.device)["allocated_bytes.all.current"] >= 4096
    accelerator.teardown()


def test_the_thin_module_says_what_it_offers() -> None:
    with pytest.raises(
        AttributeError,
        match=r"has no attribute 'XLAAccelerator'; it offers: Accelerator, CPUAccelerator, CUDAAccelerator, MPS",
    ):
        lifecycle.accelerators.XLAAccelerator  # noqa: B018
