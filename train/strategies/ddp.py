"""A whole module on each device, whose gradients torch's DistributedDataParallel averages."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lifecycle.core.errors import UsageError
from lifecycle.train.strategies.base import Step
from lifecycle.train.strategies.parallel import ParallelStrategy


class DDPStrategy(ParallelStrategy):
    """Every process has the whole module, and reads samples of its own.

    Args:
        find_unused_parameters: Some parameters take no part in some losses; costs a walk over the graph.
        static_graph: The same parameters take part in every loss.
        gradient_as_bucket_view: Gradients lie where they are exchanged, which saves their size in memory.
        broadcast_buffers: Each step begins with the buffers of the first process.
        bucket_cap_mb: How much is exchanged at once, in MiB; by default as torch has it.
        ddp_comm_hook: Exchanges gradients in torch's place: one of ``torch.distributed.algorithms``, say.
        ddp_comm_state: Its first argument.
        options: Of `ParallelStrategy`.
    """

    strategy_name: ClassVar[str] = "ddp"

    def __init__(
        self,
        *,
        find_unused_parameters: bool = False,
        static_graph: bool = False,
        gradient_as_bucket_view: bool = False,
        broadcast_buffers: bool = True,
        bucket_cap_mb: int | None = None,
        ddp_comm_hook: Callable[..., Any] | None = None,
        ddp_comm_state: object = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        for name, flag in (
            ("find_unused_parameters", find_unused_parameters),
            ("static_graph", static_graph),
            ("gradient_as_bucket_view", gradient_as_bucket_view),
            ("broadcast_buffers", broadcast_buffers),
        ):
            if not isinstance(flag, bool):
                raise UsageError(f"{name}={flag!r}: expected true or false")
        self._options: dict[str, Any] = {
            "find_unused_parameters": find_unused_parameters,
            "static_graph": static_graph,
            "gradient_as_bucket_view": gradient_as_bucket_view,
            **({} if bucket_cap_mb is None else {"bucket_cap_mb": bucket_cap_mb}),
        }
        if not broadcast_buffers:
            known = inspect.signature(DistributedDataParallel).parameters
            name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
            self._options[name] = False
        self._hook, self._hook_state = ddp_comm_hook, ddp_comm_state
        self._wrapped: DistributedDataParallel | None = None
        self._replaced: list[tuple[nn.Module, str, nn.Module]] = []
        self.unsynced = self._unsynced

    def set_up(self, module: nn.Module, *, fits: bool, sync_batchnorm: bool = False) -> None:
        """All begin alike; batch normalisation looks at all processes' samples if that is wanted."""
        super().set_up(module, fits=fits)
        if fits and sync_batchnorm:
            self._sync_batchnorm(module)

    def _sync_batchnorm(self, module: nn.Module) -> None:
        if self.root_device.type == "cpu":
            raise UsageError(
                "Trainer(sync_batchnorm=True): torch synchronises batch normalisation on GPUs only",
                hint="Leave it out on the processor.",
            )
        for parent in list(module.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
                    self._replaced.append((parent, name, child))
                    setattr(parent, name, nn.SyncBatchNorm.convert_sync_batchnorm(child))  # type: ignore[no-untyped-call]

    def training_step(self, module: nn.Module, step: Step, *, automatic: bool = True) -> Step:
        """The step, called by DistributedDataParallel as the forward of a module around the user's."""
        if not automatic:
            return step  # gradients are averaged as they are computed: see `after_backward`
        if self._wrapped is not None:
            return self._step  # a search for a learning rate before the fit: it has the same step
        device = self.root_device
        self._wrapped = DistributedDataParallel(
            _Stepped(module, step),
            device_ids=None if device.type == "cpu" else [device.index],
            **self._options,
        )
        if self._hook is not None:
            self._wrapped.register_comm_hook(self._hook_state, self._hook)
        return self._step

    def _step(self, *arguments: Any) -> Any:
        assert self._wrapped is not None  # held here alone, so that `release` can let it go
        return self._wrapped(*arguments)

    @contextmanager
    def _unsynced(self) -> Iterator[None]:
        if self._wrapped is None:
            yield
            return
        with self._wrapped.no_sync():
            yield

    def after_backward(self, module: nn.Module) -> None:
        """Average the gradients of manual optimization, together by type, in the order of the parameters.

        A second backward pass averages what was averaged once more, which changes nothing of it.
        """
        wanted = [p for p in module.parameters() if p.requires_grad]
        has = torch.tensor([p.grad is not None for p in wanted], dtype=torch.uint8)
        dist.all_reduce(has, op=dist.ReduceOp.MAX)
        by_type: dict[torch.dtype, list[Tensor]] = {}
        for parameter, anybody in zip(wanted, has.tolist(), strict=True):
            if anybody:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                by_type.setdefault(parameter.grad.dtype, []).append(parameter.grad)
        for gradients in by_type.values():
            flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
            dist.all_reduce(flat)
            flat /= self.world.size
            sizes = [gradient.numel() for gradient in gradients]
            for gradient, mean in zip(gradients, torch.split(flat, sizes), strict=True):
                gradient.copy_(mean.view_as(gradient))

    def release(self, module: nn.Module) -> None:
        """Let DistributedDataParallel go, and give batch normalisation back its own class."""
        for parent, name, child in reversed(self._replaced):
            child.train(getattr(parent, name).training)  # parameters and statistics are the same tensors
            setattr(parent, name, child)
        self._replaced.clear()
        if self._wrapped is not None:
            self._wrapped = None
            gc.collect()  # its hooks on the parameters end with it


class _Stepped(nn.Module):
    """A module whose forward is the training step of the one in it."""

    def __init__(self, module: nn.Module, step: Step) -> None:
        super().__init__()
        self.module = module
        self._step = step
        if ignored := getattr(module, "_ddp_params_and_buffers_to_ignore", None):
            self._ddp_params_and_buffers_to_ignore = [f"module.{name}" for name in ignored]

    def __call__(self, *arguments: Any) -> Any:
        """Run the step; nobody can have hung hooks on this module, so it needs no look for them."""
        return self._step(*arguments)

    forward = __call__
