"""What a strategy may do for the trainer, which is nothing for one process on one device.

The order in one verb of the trainer::

    launch                      starts further processes, and then does not come back; or there are none
    join                        meet the others
    (set-up of data and module, the module goes to its device)
    set_up(module)              all processes begin with the same module
    training_step(…)            in a fit: what is called in the step's place
    (the loop: `unsynced` around batches whose gradients wait)
    release(module)             what was hung on the module is taken off
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from lifecycle.train.strategies.world import World

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from lifecycle.train.precision import Precision
    from lifecycle.train.sharded.group import SaveGroup
    from lifecycle.train.strategies.agreement import Agreement
    from lifecycle.train.trainer import Trainer

T = TypeVar("T")
Step = Callable[..., Any]


class Strategy:
    """How a module is spread over devices. Everything here is for one process; others override what differs.

    Attributes:
        strategy_name: As ``Trainer(strategy=…)`` spells it.
        root_device: Where the module of this process is.
        world: This process among those that train together.
        unsynced: A context in which gradients stay in their process; None where there are no others.
        shards_samples: Whether each process is to read samples of its own.
        sharded: Whether a process holds but a part of each parameter.
        abandoned: Whether something failed here, so that nothing is asked of the others any more.
    """

    strategy_name: ClassVar[str] = "single_device"
    root_device: torch.device = torch.device("cpu")
    world: World = World()
    unsynced: Callable[[], AbstractContextManager[Any]] | None = None
    shards_samples: bool = False
    sharded: ClassVar[bool] = False
    abandoned: bool = False

    # The life of a verb

    def place(self, devices: Sequence[torch.device], world: World | None, *, num_nodes: int = 1) -> None:
        """Learn which devices of this machine are to be used, and who else is there.

        Args:
            devices: One for each process on this machine.
            world: In which this process was started; None where nobody has started others.
            num_nodes: Machines, as the user says.
        """
        self.root_device = devices[0]

    def launch(
        self, trainer: Trainer, verb: Callable[..., T], arguments: dict[str, Any]
    ) -> tuple[bool, T | None]:
        """Start what processes are missing: whether the verb has run in them, and what it gave."""
        return False, None

    def start_here(self) -> None:
        """Start missing processes from this one, by forking it: what it runs is not to be run anew."""

    def check_runs_here(self, who: str) -> None:
        """Raise `UsageError` if verbs run in processes that are forked or spawned from this one."""

    def join(self) -> None:
        """Meet the other processes."""

    def computes_in(self, precision: Precision) -> None:
        """Learn in which types the module computes."""

    def bring(self, module: nn.Module) -> None:
        """Bring the module to its device."""
        module.to(self.root_device)

    def set_up(self, module: nn.Module, *, fits: bool, sync_batchnorm: bool = False) -> None:
        """Prepare a module that is on its device; all processes begin with the same.

        Args:
            module: Changed in place.
            fits: Whether it will be trained.
            sync_batchnorm: Whether batch normalisation is over the samples of all processes.
        """

    def compiled_parts(self, module: nn.Module) -> list[nn.Module]:
        """Which parts are compiled, each for itself, where that is asked for; the module is set up."""
        return [module]

    def training_step(self, module: nn.Module, step: Step, *, automatic: bool = True) -> Step:
        """What is called in the place of the module's `training_step`."""
        return step

    def after_backward(self, module: nn.Module) -> None:
        """Gradients were computed by hand (manual optimization)."""

    def before_evaluation(self, module: nn.Module) -> None:
        """The module is about to be scored."""

    def release(self, module: nn.Module) -> None:
        """Take off what was hung on the module."""

    def abandon(self) -> None:
        """Something failed here: ask nothing of the others any more."""

    def agreement(self, received: Callable[[], int | None]) -> Agreement | None:
        """What a fit asks at each boundary between steps: whether all processes end there for a signal.

        Args:
            received: The signal that this process has received.
        """
        return None

    # State

    @property
    def together(self) -> SaveGroup | None:
        """Processes that write a checkpoint together; None where the first one writes it whole."""
        return None

    def state_dict(self, module: nn.Module, *, divided: bool = False) -> dict[str, Any]:
        """The weights, whole; or as they lie in the processes that save `together`."""
        return module.state_dict()

    def load_state_dict(self, module: nn.Module, weights: Mapping[str, Any], *, strict: bool) -> None:
        """Take whole weights."""
        module.load_state_dict(weights, strict=strict)

    def gradients(self, module: nn.Module, *, divided: bool = False) -> dict[str, Tensor] | None:
        """Gradients that wait for a step; None where the first process gives those of all."""
        return {n: p.grad for n, p in module.named_parameters() if p.grad is not None}

    def load_gradients(self, module: nn.Module, gradients: Mapping[str, Tensor]) -> None:
        """Take back what `gradients` gave."""
        for name, parameter in module.named_parameters():
            gradient = gradients.get(name)
            parameter.grad = None if gradient is None else gradient.to(parameter.device)

    def optimizer_state(
        self, module: nn.Module, optimizer: Optimizer, *, divided: bool = False
    ) -> dict[str, Any]:
        """The optimizer's state, whole; or as it lies in the processes that save `together`."""
        return optimizer.state_dict()

    def load_optimizer_state(self, module: nn.Module, optimizer: Optimizer, state: dict[str, Any]) -> None:
        """Take back what `optimizer_state` gave."""
        optimizer.load_state_dict(state)

    # What may be asked of all processes

    @property
    def is_global_zero(self) -> bool:
        """Whether this is the first process of all."""
        return self.world.rank == 0

    @property
    def global_rank(self) -> int:
        """Index of this process among all."""
        return self.world.rank

    @property
    def local_rank(self) -> int:
        """Index of this process on its machine."""
        return self.world.local_rank

    @property
    def node_rank(self) -> int:
        """Index of this machine."""
        return self.world.node

    @property
    def world_size(self) -> int:
        """Processes in all."""
        return self.world.size

    @property
    def num_nodes(self) -> int:
        """Machines in all."""
        return self.world.nodes

    @property
    def num_processes(self) -> int:
        """Processes on this machine."""
        return self.world.local_size

    def barrier(self, name: str | None = None) -> None:
        """Wait for all processes."""

    def broadcast(self, obj: T, src: int = 0) -> T:
        """What the process `src` has."""
        return obj

    def reduce(self, tensor: T, group: object = None, reduce_op: object = "mean") -> T:
        """Values of all processes, reduced by ``mean``, ``sum``, ``min`` or ``max``."""
        return tensor

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        """Whether all processes (or any) say so."""
        return decision

    def all_gather(self, tensor: T, group: object = None, sync_grads: bool = False) -> Any:
        """Values of all processes; of several, along a new first axis."""
        return tensor

    def stacked(self, tensor: Tensor) -> Tensor:
        """A tensor that has one shape and type in all processes, of all of them along a new first axis."""
        return tensor.unsqueeze(0)

    def gathered(self, value: T) -> list[T]:
        """Plain values and tensors of all processes, by rank."""
        return [value]

    @contextmanager
    def first_of_machine(self) -> Iterator[bool]:
        """Whether this is the process that does what a machine needs done once; the others wait for it."""
        try:
            yield self.local_rank == 0
        finally:
            self.barrier("first of machine")

    def sync_step(self, value: Tensor, reduce_fx: str) -> Tensor:
        """A value of a step over all processes."""
        return value
