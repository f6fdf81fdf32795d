"""Starting the processes of one machine, through torch's elastic agent, which this process becomes."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, cast

import torch
from torch import nn

from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.train.generators import SHARED, restore_states, states
from lifecycle.train.strategies.world import AGENT, JOB_STARTED

if TYPE_CHECKING:
    from torch.distributed.launcher.api import LaunchConfig

    from lifecycle.train.strategies.parallel import ParallelStrategy
    from lifecycle.train.trainer import Trainer

T = TypeVar("T")
GRACE_S = 15  # processes have so long to save on a signal, or to end when another one has died


def run_script(count: int, *, max_restarts: int) -> NoReturn:
    """Run the script that this process runs once in each of `count` others, and end as they do.

    Raises:
        UsageError: there is no script.
    """
    command = script_command()
    with tempfile.TemporaryDirectory(prefix="lifecycle-ranks-") as logs:
        status = _run(_config(count, Path(logs), "spawn", max_restarts), command[0], command[1:])
    sys.stdout.flush()
    raise SystemExit(status)


def script_command() -> list[str]:
    """How this process was started: the interpreter, its options, the script and its arguments.

    Raises:
        UsageError: it runs no script: somebody types, or it reads from a pipe.
    """
    file = str(getattr(sys.modules["__main__"], "__file__", "<stdin>"))
    found = list(sys.orig_argv[1:])
    read_once = file == "<stdin>" or file.startswith("/dev/")  # a pipe, which has nothing for a second reader
    if hasattr(sys, "ps1") or (read_once and "-c" not in found):
        raise UsageError(
            "several processes run the script anew, and there is none: this is a notebook, a prompt or "
            "a pipe",
            hint='Pass strategy="ddp_notebook", which starts them from here, or write the script to a file.',
        )
    return [sys.executable, *found]


def run_verb(
    strategy: ParallelStrategy,
    trainer: Trainer,
    verb: Callable[..., T],
    arguments: dict[str, Any],
    count: int,
) -> T | None:
    """Run a verb of the trainer in `count` processes; what it did to module and trainer is done here too.

    Args:
        strategy: Of the trainer.
        trainer: Goes to the processes, by forking or by pickling.
        verb: A method of it.
        arguments: Of the verb.
        count: Processes.

    Returns:
        What the verb gave in the first of them.

    Raises:
        LifecycleError: one of them failed; its traceback has been shown.
    """
    with tempfile.TemporaryDirectory(prefix="lifecycle-ranks-") as folder:
        answer = Path(folder, "answer.pt")
        method = cast("Literal['spawn', 'fork']", strategy.start_method)
        config = _config(count, Path(folder), method, strategy.max_restarts)
        drawn = states(SHARED)  # a process that is spawned begins with other numbers
        with _explained():
            status = _run(config, _rank, [trainer, verb.__name__, arguments, str(answer), drawn])
        if status == 128 + signal.SIGINT:
            raise KeyboardInterrupt
        if status == 128 + signal.SIGTERM:
            raise SystemExit(status)
        if status:
            raise LifecycleError(f"{verb.__name__} failed in one of {count} processes; it says above why")
        found = torch.load(answer, map_location="cpu", weights_only=True)  # no GPU is used here
    module = arguments.get("model") or trainer.lightning_module
    assert module is not None
    trainer.take_over(module, found)
    return cast("T", found["result"])


@contextmanager
def _explained() -> Iterator[None]:
    """Say what a process that is spawned gets, where that cannot be pickled."""
    try:
        yield
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        if "pickle" not in str(error):
            raise
        raise UsageError(
            f"start_method='spawn' sends trainer, module and data to new processes, and cannot: {error}",
            hint="Define classes and functions at the top of a file; strategy='ddp_fork' sends nothing.",
        ) from error


def _unshare(trainer: Trainer, arguments: dict[str, Any]) -> None:
    """Give the modules of a spawned process memory of their own: torch has it share that of all tensors sent.

    Each would step the same parameters, in its own time.
    """
    owners = (trainer, arguments.get("datamodule"), *trainer.callbacks)
    holders = [arguments, *(getattr(owner, "__dict__", {}) for owner in owners)]
    modules = [each for holder in holders for each in holder.values() if isinstance(each, nn.Module)]
    for tensor in {id(each): each for m in modules for each in (*m.parameters(), *m.buffers())}.values():
        tensor.data = tensor.data.clone()


def _rank(trainer: Trainer, verb: str, arguments: dict[str, Any], answer: str, drawn: dict[str, Any]) -> None:
    """One of the processes; its generators of random numbers begin as those of the one that started it."""
    from lifecycle.train.strategies.parallel import ParallelStrategy
    from lifecycle.train.strategies.world import world_of

    try:
        world = world_of()
        strategy = trainer.strategy
        assert world is not None and isinstance(strategy, ParallelStrategy)
        if strategy.start_method == "fork":
            # What has computed on several threads is forked without them, and would wait for them for ever.
            torch.set_num_threads(1)
        else:
            _unshare(trainer, arguments)
            torch.set_num_threads(
                min(torch.get_num_threads(), max((os.cpu_count() or 1) // world.local_size, 1))
            )
        restore_states(SHARED, drawn)
        strategy.joins(world)
        trainer.device = strategy.root_device
        found = trainer.hand_over(getattr(trainer, verb)(**arguments))
        if world.rank == 0:
            torch.save(found, answer)
    except KeyboardInterrupt:  # which torch takes for an end like any other
        raise SystemExit(128 + signal.SIGINT) from None
    except Exception:
        traceback.print_exc()
        raise


def _config(
    count: int, folder: Path, start_method: Literal["spawn", "fork"], max_restarts: int
) -> LaunchConfig:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig

    # As torchrun: else every process would compute on all cores.
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // count, 1)))
    return LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=f"lifecycle-{os.getpid()}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=max_restarts,
        start_method=start_method,
        shutdown_timeout=GRACE_S,
        logs_specs=DefaultLogsSpecs(log_dir=str(folder)),
    )


def _run(config: LaunchConfig, entry: Callable[..., object] | str, arguments: Sequence[Any]) -> int:
    """Start the processes and wait for them: 0, or the status of the one that failed first."""
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    os.environ[JOB_STARTED], os.environ[AGENT] = str(time.time()), str(os.getpid())
    try:
        elastic_launch(config, entry)(*arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = failure.exitcode
        how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
        print(f"process {rank} of {config.nproc_per_node} {how}; the others were ended", file=sys.stderr)
        return 128 - code if code < 0 else code
    except SignalException as error:
        return 128 + int(error.sigval)
    finally:
        del os.environ[JOB_STARTED], os.environ[AGENT]
    return 0
