"""Work in a forked process, as this one must use no GPU: it could not fork those that train then."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, TypeVar, cast

from lifecycle.core import errors
from lifecycle.core.errors import LifecycleError
from lifecycle.core.reference import place_in_project

if TYPE_CHECKING:
    from lifecycle.core.stage import Context, Stage

T = TypeVar("T")
ONE = (None, "auto", 1, "1")


def fits_in_several(stages: Mapping[str, Stage]) -> bool:
    """Whether a stage trains in several processes, which are forked from the one of the pipeline."""
    trainers = [getattr(stage, "trainer", {}) for stage in stages.values()]
    return any(_several(options) for options in trainers if isinstance(options, Mapping))


def _several(options: Mapping[str, Any]) -> bool:
    devices = options.get("devices")
    return len(devices) > 1 if isinstance(devices, list) else devices not in ONE


def placed(work: Callable[[], T], context: Context) -> T:
    """What some work gives, done `apart` where a stage of the run trains in several processes, else here."""
    return apart(work) if context.several else work()


def apart(work: Callable[[], T]) -> T:
    """What some work gives, done in a forked process, on one thread; nothing else of what it does is kept.

    Args:
        work: What it gives is plain: it comes back as JSON.

    Raises:
        LifecycleError: what the work raises; an error of another kind as its text and place.
    """
    forking = multiprocessing.get_context("fork")
    reader, writer = forking.Pipe(duplex=False)
    process = forking.Process(target=_answer, args=(work, reader, writer))
    process.start()
    writer.close()
    try:
        found = json.loads(reader.recv_bytes())
    except EOFError:
        process.join()
        raise LifecycleError(
            f"a process that was forked from this one ended with status {process.exitcode}",
            hint="The system's log says why, if it was killed: for want of memory, mostly.",
        ) from None
    finally:
        reader.close()
        if process.is_alive():
            process.terminate()
        process.join()
    if "error" in found:
        raise getattr(errors, found["error"])(found["message"], hint=found["hint"])
    return cast("T", found["result"])


def _answer(work: Callable[[], object], reader: Connection, writer: Connection) -> None:
    import torch

    # Ctrl-C reaches this process too: whoever waits for it ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    reader.close()
    # What has computed on several threads is forked without them, and would wait for them for ever.
    torch.set_num_threads(1)
    found: dict[str, object]
    try:
        found = {"result": work()}
    except LifecycleError as error:
        known = next(each for each in type(error).__mro__ if each.__module__ == errors.__name__)
        found = {"error": known.__name__, "message": error.message, "hint": error.hint}
    except Exception as error:
        place = place_in_project(error)
        text = f"{type(error).__name__}: {error}" + (f", raised at {place}" if place else "")
        found = {"error": "LifecycleError", "message": text, "hint": ""}
    writer.send_bytes(json.dumps(found).encode())
