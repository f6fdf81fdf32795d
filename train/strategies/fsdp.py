"""A part of every parameter on each device: torch's FSDP2, ``fully_shard``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from inspect import signature
from typing import Any, ClassVar, Literal, cast

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer
from torch.utils.checkpoint import checkpoint

from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.precision.base import Precision
from lifecycle.train.precision.mixed import MixedPrecision
from lifecycle.train.sharded.group import SaveGroup
from lifecycle.train.sharded.reading import Stored
from lifecycle.train.strategies.base import Step
from lifecycle.train.strategies.fsdp_manual import with_the_rest
from lifecycle.train.strategies.fsdp_options import Classes, Parts, Types, policy_of
from lifecycle.train.strategies.parallel import ParallelStrategy

STEPS = ("training_step", "validation_step", "test_step", "predict_step")
StateDictType = Literal["full", "sharded"]
STATE_DICT_TYPES = ("full", "sharded")


class FSDPStrategy(ParallelStrategy):
    """Parameters, gradients and optimizer state are divided between the processes.

    A part of the module is put together when its forward or backward pass begins, and divided again after it.
    The module stays divided when the fit has ended; checkpoints hold it whole, as that of one process.

    Args:
        auto_wrap_policy: Which parts are put together one after the other: those of these classes (or names
            of classes), or those with at least so many parameters that are in no smaller part. What is in
            no part is put together as a whole.
        mixed_precision: In which types parameters are put together and gradients reduced: a policy of
            torch's or its arguments, or the type of parameters; by default as the trainer's precision says.
        cpu_offload: Keep parameters and optimizer state in the memory of the processor.
        activation_checkpointing_policy: Parts that compute their forward pass once more in the backward
            pass, instead of keeping what it needs; told as those of ``auto_wrap_policy``.
        reshard_after_forward: Divide a part again between its forward and its backward pass.
        state_dict_type: ``full`` has the first process write checkpoints as a single one does; with
            ``sharded`` each process writes the parts that it has, into a folder.
        options: Of `ParallelStrategy`.

    Source: Zhao et al., "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel", VLDB 2023.
    """

    strategy_name: ClassVar[str] = "fsdp"
    sharded: ClassVar[bool] = True

    def __init__(
        self,
        *,
        auto_wrap_policy: Classes | int = (),
        mixed_precision: Types = None,
        cpu_offload: bool = False,
        activation_checkpointing_policy: Classes | int = (),
        reshard_after_forward: bool = True,
        state_dict_type: StateDictType = "full",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        for name, flag in (("cpu_offload", cpu_offload), ("reshard_after_forward", reshard_after_forward)):
            if not isinstance(flag, bool):
                raise UsageError(f"{name}={flag!r}: expected true or false")
        self._parts = Parts("auto_wrap_policy", auto_wrap_policy)
        self._checkpointed = Parts("activation_checkpointing_policy", activation_checkpointing_policy)
        self._given = policy_of(mixed_precision)
        self._policy = self._given or MixedPrecisionPolicy()
        self._offload = cpu_offload
        self._reshard = reshard_after_forward
        if state_dict_type not in STATE_DICT_TYPES:
            raise UsageError(
                f"FSDPStrategy(state_dict_type={state_dict_type!r}): "
                f"{suggest(str(state_dict_type), STATE_DICT_TYPES)}"
            )
        self._type = state_dict_type
        self._together: SaveGroup | None = None
        self._mesh: DeviceMesh | None = None
        self._recomputed: list[nn.Module] = []

    def computes_in(self, precision: Precision) -> None:
        """Put parameters together and reduce gradients in the types of mixed precision, as Lightning does."""
        if self._given is None and isinstance(precision, MixedPrecision):
            self._policy = MixedPrecisionPolicy(param_dtype=precision.dtype, reduce_dtype=precision.dtype)

    def bring(self, module: nn.Module) -> None:
        """Bring the module to its device; but for parameters that are to stay with the processor."""
        if not self._offload:
            super().bring(module)
            return
        for part in module.modules():  # buffers beside parameters follow when the module is divided
            if next(part.parameters(), None) is None:
                part.to(self.root_device)

    def set_up(self, module: nn.Module, *, fits: bool, sync_batchnorm: bool = False) -> None:
        """Divide the module, unless it is divided already."""
        if fits:
            for part in self._checkpointed.of(module):
                self._recompute(part)
        if is_divided(module):
            return
        super().set_up(module, fits=fits)
        if sync_batchnorm:
            raise UsageError(
                "Trainer(sync_batchnorm=True) needs strategy='ddp'",
                hint="Normalise by layers or groups in a module that is divided.",
            )
        if self._mesh is None:
            self._mesh = init_device_mesh(self.root_device.type, (self.world.size,))
        parts = self._parts.of(module)
        if not getattr(module, "automatic_optimization", True):
            parts = with_the_rest(module, parts)
        for part in reversed(parts):  # what lies within is divided first
            self._divide(part)
        self._divide(module)
        for name in STEPS:
            if name in _own_methods(type(module)):
                register_fsdp_forward_method(module, name)
                # What torch puts in the method's place shows its arguments without the first one.
                vars(module)[name].__func__.__signature__ = signature(getattr(type(module), name))

    def _divide(self, part: nn.Module) -> None:
        fully_shard(
            part,
            mesh=cast("DeviceMesh", self._mesh),
            reshard_after_forward=self._reshard,
            mp_policy=self._policy,
            offload_policy=self._offloading(),
        )

    def _offloading(self) -> OffloadPolicy:
        if not self._offload:
            return OffloadPolicy()
        return CPUOffloadPolicy(pin_memory=self.root_device.type != "cpu")  # which needs a GPU's driver

    def compiled_parts(self, module: nn.Module) -> list[nn.Module]:
        """The parts that are put together one after the other, where there are some.

        Between them run torch's hooks, which are not compiled; so a part is one graph, and the module none.
        """
        parts = self._parts.of(module)
        inner = [part for part in parts if not any(p in parts for p in part.modules() if p is not part)]
        return inner or [module]

    def _recompute(self, part: nn.Module) -> None:
        """Have a part compute its forward pass once more in its backward pass."""
        vars(part)["forward"] = partial(checkpoint, part.forward, use_reentrant=False)
        self._recomputed.append(part)

    def release(self, module: nn.Module) -> None:
        """Let parts keep again what their backward pass needs; the module stays divided."""
        for part in self._recomputed:
            vars(part).pop("forward", None)
        self._recomputed.clear()

    def training_step(self, module: nn.Module, step: Step, *, automatic: bool = True) -> Step:
        """The module's own: it puts parameters together where it needs them, and reduces gradients."""
        return step

    def before_evaluation(self, module: nn.Module) -> None:
        """Score with the buffers that the first process would save; parameters are everyone's."""
        if not self.abandoned:
            for buffer in module.buffers():
                dist.broadcast(buffer, src=0)

    # State, in the format of one process

    @property
    def together(self) -> SaveGroup | None:
        """All processes, where each writes what it has."""
        if self._type == "full":
            return None
        if self._together is None:
            self._together = SaveGroup(self.world.rank, self.world.size, self._timeout)
        return self._together

    def state_dict(self, module: nn.Module, *, divided: bool = False) -> dict[str, Any]:
        """The weights, whole, on the processor of every process; or divided as they are."""
        if divided:
            return module.state_dict()
        return {name: whole(value) for name, value in module.state_dict().items()}

    def load_state_dict(self, module: nn.Module, weights: Mapping[str, Any], *, strict: bool) -> None:
        """Take whole weights."""
        own = module.state_dict()
        parts = {name: like(value, own[name]) if name in own else value for name, value in weights.items()}
        module.load_state_dict(parts, strict=strict)

    def optimizer_state(
        self, module: nn.Module, optimizer: Optimizer, *, divided: bool = False
    ) -> dict[str, Any]:
        """The optimizer's state, whole, on the processor of every process; or divided as it is."""
        state = optimizer.state_dict()
        if divided:
            return state
        found = {
            index: {name: whole(value) for name, value in values.items()}
            for index, values in state["state"].items()
        }
        return {**state, "state": found}

    def load_optimizer_state(self, module: nn.Module, optimizer: Optimizer, state: dict[str, Any]) -> None:
        """Take a whole state, of as many processes as may be."""
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        found = {
            index: {name: like(value, parameters[index]) for name, value in values.items()}
            for index, values in state["state"].items()
        }
        optimizer.load_state_dict({**state, "state": found})

    def gradients(self, module: nn.Module, *, divided: bool = False) -> dict[str, Tensor] | None:
        """Gradients that wait for a step, whole; the first process gives them for all. Or divided."""
        if divided:
            return super().gradients(module)
        found = {n: whole(p.grad) for n, p in module.named_parameters() if p.grad is not None}
        return found if self.is_global_zero else None

    def load_gradients(self, module: nn.Module, gradients: Mapping[str, Tensor]) -> None:
        """Take whole gradients."""
        super().load_gradients(
            module, {n: like(gradients[n], p) for n, p in module.named_parameters() if n in gradients}
        )


def is_divided(module: nn.Module) -> bool:
    """Whether parameters of a module lie in several processes."""
    return any(isinstance(parameter, DTensor) for parameter in module.parameters())


def whole(value: Any) -> Any:
    """A tensor put together, on the processor; anything else as it is."""
    if isinstance(value, DTensor):
        return value.full_tensor().detach().cpu()
    return value.detach().cpu() if isinstance(value, Tensor) and value.ndim else value


def like(value: Any, model: Any) -> Any:
    """A whole tensor divided as another one of its shape is; anything else as it is."""
    if isinstance(value, Stored):
        fits = isinstance(model, Tensor) and value.shape == model.shape
        return value.like(model) if fits else value.whole()
    if not (isinstance(value, Tensor) and isinstance(model, DTensor) and value.shape == model.shape):
        return value
    if isinstance(value, DTensor):
        return value
    return distribute_tensor(value.to(model.device), model.device_mesh, model.placements)


def _own_methods(cls: type) -> set[str]:
    """Names of methods that a user's class defines: those of `lifecycle.Module` do nothing."""
    from lifecycle.train.overridable import Overridable

    found = set()
    for name in STEPS:
        with suppress(AttributeError):
            if getattr(cls, name) is not getattr(Overridable, name):
                found.add(name)
    return found
