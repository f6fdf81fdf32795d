"""What strategies of several processes share: the process group, and what is asked of all of it."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.rank_zero import rank_zero_only
from lifecycle.train.strategies import exchange
from lifecycle.train.strategies.agreement import Agreement
from lifecycle.train.strategies.base import Strategy
from lifecycle.train.strategies.world import World, attempt, end_with_agent, meeting_point, restarted

if TYPE_CHECKING:
    from lifecycle.train.trainer import Trainer

T = TypeVar("T")
AGENT_STORE = "TORCHELASTIC_USE_AGENT_STORE"
StartMethod = Literal["script", "spawn", "fork"]
log = logging.getLogger(__name__)
distributed: Any = dist  # whose stores have no types
_fits = count(1)  # of this process, as many as of all others: the store outlives each
CONNECTS_IN_S = 10  # to a store that is there already
OPERATIONS = {
    "mean": dist.ReduceOp.SUM,
    "sum": dist.ReduceOp.SUM,
    "min": dist.ReduceOp.MIN,
    "max": dist.ReduceOp.MAX,
}


class ParallelStrategy(Strategy):
    """One process for each device, which work on the same module with samples of their own.

    Args:
        process_group_backend: ``gloo``, ``nccl`` or what torch knows besides; by default gloo for tensors on
            the processor, and NCCL for those on GPUs.
        timeout: How long a process waits for the others before it fails; a number is one of seconds.
        start_method: How processes are started that are missing: ``script`` runs the script once in each;
            ``spawn`` and ``fork`` run only the trainer's verb in them, and this process goes on after it.
        max_restarts: How often all processes are started anew when one of them fails.

    Raises:
        UsageError: an argument is not what it may be; says what is.
    """

    strategy_name: ClassVar[str] = "ddp"
    shards_samples = True

    def __init__(
        self,
        *,
        process_group_backend: str | None = None,
        timeout: timedelta | float | None = timedelta(minutes=30),
        start_method: StartMethod = "script",
        max_restarts: int = 0,
    ) -> None:
        if start_method not in ("script", "spawn", "fork"):
            raise UsageError(
                f"start_method={start_method!r}: {suggest(start_method, ['script', 'spawn', 'fork'])}"
            )
        if type(max_restarts) is not int or max_restarts < 0:
            raise UsageError(f"max_restarts={max_restarts!r}: expected a whole number of at least 0")
        self.start_method: StartMethod = start_method
        self.max_restarts = max_restarts
        self._backend = process_group_backend
        if isinstance(timeout, str | bool) or (isinstance(timeout, int | float) and timeout <= 0):
            raise UsageError(f"timeout={timeout!r}: expected a time, or a number of seconds above 0")
        self._timeout = timedelta(seconds=timeout) if isinstance(timeout, int | float) else timeout
        self._missing = 0  # processes that are to be started
        self.abandoned = False
        self._devices: Sequence[torch.device] = [self.root_device]

    # The life of a verb

    def place(self, devices: Sequence[torch.device], world: World | None, *, num_nodes: int = 1) -> None:
        """Take the place that the environment gives, or note that the others are missing."""
        self._devices = devices
        if world is None:
            if num_nodes > 1:
                raise UsageError(
                    f"Trainer(num_nodes={num_nodes}): the processes of several machines are started by "
                    "torchrun or Slurm, and this one was not",
                    hint=f"Run `torchrun --nnodes={num_nodes} --nproc-per-node={len(devices)} …` on each.",
                )
            self._missing = len(devices) if len(devices) > 1 else 0
            world = World(size=len(devices), local_size=len(devices))
        self.world = world
        self.root_device = devices[world.local_rank]

    def start_here(self) -> None:
        """Start missing processes from this one, by forking it: what it runs is not to be run anew."""
        if self.start_method == "script":
            self.start_method = "fork"

    def launch(
        self, trainer: Trainer, verb: Callable[..., T], arguments: dict[str, Any]
    ) -> tuple[bool, T | None]:
        """Start the missing processes; with ``script`` this one ends when they have."""
        if not self._missing:
            return False, None
        from lifecycle.train.strategies import launch

        if self.start_method == "fork" and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            raise UsageError(
                "several processes cannot be forked from one that has used a GPU",
                hint="Fit in a process that has not: in a new kernel, or in a script with strategy='ddp'.",
            )
        if self.start_method == "script":
            launch.run_script(self._missing, max_restarts=self.max_restarts)
        return True, launch.run_verb(self, trainer, verb, arguments, self._missing)

    def check_runs_here(self, who: str) -> None:
        """Raise `UsageError` if verbs run in processes that are forked or spawned from this one."""
        if self._missing and self.start_method != "script":
            raise UsageError(
                f"{who} finds nothing here: with start_method={self.start_method!r} it would in the "
                f"{self._missing} processes that are started from this one",
                hint="Search with devices=1, or pass the finder to Trainer(callbacks=…).",
            )

    def joins(self, world: World) -> None:
        """Be one of the processes that another one has started."""
        self._missing, self.world = 0, world
        self.root_device = self._devices[world.local_rank]

    def join(self) -> None:
        """Make the process group, or use the one that there is."""
        self.abandoned = False
        rank_zero_only.rank = self.world.rank  # type: ignore[attr-defined]
        if dist.is_initialized():
            return
        if self.start_method == "script":
            end_with_agent()
        cuda = self.root_device.type == "cuda"
        if cuda:
            torch.cuda.set_device(self.root_device)
        options: dict[str, Any] = {"timeout": self._timeout} if self._timeout is not None else {}
        if self.world.size == 1:
            options["store"] = dist.HashStore()  # type: ignore[attr-defined]
        elif self.world.started_by == "Slurm":
            address, port = meeting_point()
            os.environ.update(MASTER_ADDR=address, MASTER_PORT=str(port))
        elif restarted() and self.world.nodes == 1 and os.environ.get(AGENT_STORE) == "True":
            options["store"] = _store_of_attempt(self.world.size)
        dist.init_process_group(
            self._backend or ("cpu:gloo,cuda:nccl" if cuda else "gloo"),
            rank=self.world.rank,
            world_size=self.world.size,
            **options,
        )
        atexit.register(_leave)

    def set_up(self, module: nn.Module, *, fits: bool, sync_batchnorm: bool = False) -> None:
        """Have all processes begin with the parameters and buffers of the first."""
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.detach(), src=0)

    def before_evaluation(self, module: nn.Module) -> None:
        """Score what the first process would save: its running statistics of batch normalisation, say."""
        if not self.abandoned:
            for buffer in module.buffers():
                dist.broadcast(buffer, src=0)

    def agreement(self, received: Callable[[], int | None]) -> Agreement | None:
        """Over the store at which the processes met; None where somebody else had them meet."""
        fit = next(_fits)
        if self.world.size == 1 or not {"MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
            return None
        try:
            client = _client()
        except RuntimeError as error:  # the processes met elsewhere
            log.info("a signal ends each process for itself: %s", str(error).partition("\n")[0])
            return None
        store = distributed.PrefixStore(f"lifecycle/signals/{attempt()}/{fit}", client)
        timeout = self._timeout or timedelta(minutes=30)
        return Agreement(store, self.world.rank, self.world.size, received, timeout)

    def abandon(self) -> None:
        """Something failed here: ask nothing of the others any more."""
        self.abandoned = True

    # What may be asked of all processes

    def barrier(self, name: str | None = None) -> None:
        """Wait for all processes."""
        if not self.abandoned:
            dist.all_reduce(torch.zeros(1))  # on the processor: a GPU's work need not be done

    def broadcast(self, obj: T, src: int = 0) -> T:
        """What the process `src` has: numbers, text, tensors, and lists and dictionaries of them."""
        return obj if self.abandoned else exchange.broadcast(obj, self.world.rank, src)

    def gathered(self, value: T) -> list[T]:
        """Plain values and tensors of all processes, by rank; where one has failed, one's own."""
        return [value] if self.abandoned else exchange.gathered(value, self.world.size)

    def reduce(self, tensor: T, group: Any = None, reduce_op: object = "mean") -> T:
        """A tensor of all processes, reduced by ``mean``, ``sum``, ``min`` or ``max``.

        Raises:
            UsageError: by something else.
        """
        if not isinstance(tensor, Tensor) or self.abandoned:
            return tensor
        name = str(reduce_op).rpartition(".")[2].lower().replace("avg", "mean")
        if name not in OPERATIONS:
            raise UsageError(f"reduce_op={reduce_op!r}: {suggest(name, OPERATIONS)}")
        found = tensor.detach().clone()
        dist.all_reduce(found, op=OPERATIONS[name], group=group)
        return found / self.world.size if name == "mean" else found  # type: ignore[return-value]

    def sync_step(self, value: Tensor, reduce_fx: str) -> Tensor:
        """A value of a step over all processes."""
        return self.reduce(value.to(self.root_device), reduce_op=reduce_fx)

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        """Whether all processes (or any) say so."""
        votes = self.reduce(torch.tensor(int(decision)), reduce_op="sum")
        return bool(votes == self.world.size if all else votes > 0)

    def all_gather(self, tensor: Any, group: Any = None, sync_grads: bool = False) -> Any:
        """Values of all processes along a new first axis; collections are gathered item by item.

        Args:
            tensor: A tensor or a number, or such in lists, tuples and dictionaries; of one shape everywhere.
            group: Of processes; all by default.
            sync_grads: Whether gradients flow back to the processes.
        """
        if isinstance(tensor, Mapping):
            return {name: self.all_gather(value, group, sync_grads) for name, value in tensor.items()}
        if isinstance(tensor, list | tuple):
            items = [self.all_gather(value, group, sync_grads) for value in tensor]
            return type(tensor)(*items) if hasattr(tensor, "_fields") else type(tensor)(items)
        if isinstance(tensor, int | float):
            tensor = torch.tensor(tensor, device=self.root_device)
        if not isinstance(tensor, Tensor) or self.abandoned:
            return tensor
        if group is None:
            exchange.check_alike(tensor, self.world.size)
        if sync_grads:
            return exchange.GatherWithGradients.apply(tensor, group)  # type: ignore[no-untyped-call]
        return exchange.stacked(tensor.detach(), group)

    def stacked(self, tensor: Tensor) -> Tensor:
        """A tensor that has one shape and type in all processes, of all of them along a new first axis."""
        return tensor.unsqueeze(0) if self.abandoned else exchange.stacked(tensor.detach())


def _store_of_attempt(size: int) -> Any:
    """The agent's store, without the addresses that processes left there which are no more.

    torch 2.13 keeps one store for all attempts of a machine, and the processes of the second would wait for
    those of the first (ADR-0017).
    """
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = distributed.TCPStore(address, port, size, is_master=False)
    return distributed.PrefixStore(f"lifecycle/attempt_{attempt()}", store)


@cache
def _client() -> Any:
    """A connection of its own to the store at which the processes met."""
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return distributed.TCPStore(
        address, port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=CONNECTS_IN_S)
    )


def _leave() -> None:
    with suppress(Exception):  # the interpreter ends, and so does everything else
        dist.destroy_process_group()
