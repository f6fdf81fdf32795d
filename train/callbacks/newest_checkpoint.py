"""Finding the checkpoint that a fit goes on from."""

from __future__ import annotations

import logging
import pickle
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from lifecycle.core.errors import ArtifactError
from lifecycle.train.checkpoint import KEYS, own_state
from lifecycle.train.sharded.index import COMMON, read_index
from lifecycle.train.whole_file import INDEX

_log = logging.getLogger(__name__)
_UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, TypeError, KeyError, pickle.UnpicklingError)


class _Progress(NamedTuple):
    """How far training was; compared field by field."""

    batches_seen: int
    global_step: int
    epoch: int


def newest_checkpoint(folders: Iterable[Path], *, since: float = 0.0) -> Path | None:
    """The newest whole ``.ckpt`` below these folders that a fit can go on from, None if there is none.

    What decides is when a file was last written. Files that have the same time (a clock may be as coarse as
    two seconds) are told apart by how far training was: batches, then optimizer steps, then epochs. For that
    they are opened, but their tensors are not read. A torn or foreign file is passed over with a warning. One
    that holds weights alone is given only where there is no other.

    Args:
        folders: Where to look.
        since: Files that are older do not count; in seconds since 1970.
    """
    weights_alone = None
    for group in _newest_first(folders, since):
        found = []
        for path in group:
            progress, weights = _progress(path)
            if progress is not None and weights:
                weights_alone = weights_alone or path
            elif progress is not None:
                found.append((progress, path))
        if found:
            return max(found)[1]
    return weights_alone


def _newest_first(folders: Iterable[Path], since: float) -> list[list[Path]]:
    """Checkpoints in groups that have the same time."""
    by_time: dict[int, set[Path]] = {}
    for folder in folders:
        for path in folder.rglob("*.ckpt"):
            try:
                file = path / INDEX if path.is_dir() else path  # of several processes, or of one
                if file.is_file() and file.stat().st_mtime >= since:
                    by_time.setdefault(file.stat().st_mtime_ns, set()).add(path)
            except FileNotFoundError:
                _log.debug("%s has just been removed", path)
    return [sorted(by_time[time]) for time in sorted(by_time, reverse=True)]


def _progress(path: Path) -> tuple[_Progress | None, bool]:
    """How far training was when a checkpoint was made, None if it is none; whether it holds weights alone."""
    try:
        if path.is_dir():
            read_index(path)  # every file is there
        file = path / COMMON if path.is_dir() else path
        content: Any = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        missing = [key for key in KEYS if key not in content]
        if missing:
            raise ValueError(f"it lacks {', '.join(missing)}")
        state = own_state(content)["state"]
        progress = _Progress(state["batches_seen"], content["global_step"], content["epoch"])
    except (
        ArtifactError,
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        TypeError,
        KeyError,
        pickle.UnpicklingError,
    ) as error:
        first_line = str(error).partition("\n")[0]
        warnings.warn(f"{path} is no checkpoint that a fit can go on from: {first_line}", stacklevel=4)
        return None, False
    return progress, not content["optimizer_states"] and not content["callbacks"]
