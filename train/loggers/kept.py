"""The checkpoints that a callback keeps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lifecycle.train.loggers.parameters import Plain, plain

if TYPE_CHECKING:
    from lifecycle.train.callbacks.base import Callback

_OPTIONS = (
    "monitor",
    "mode",
    "save_last",
    "save_top_k",
    "save_weights_only",
    "_every_n_train_steps",
    "_every_n_epochs",
)


class Kept(NamedTuple):
    """A checkpoint that is there.

    Attributes:
        path: The file.
        about: Its score, and how it was chosen.
        aliases: ``latest``, and ``best`` if it is.
    """

    path: Path
    about: dict[str, Plain]
    aliases: list[str]


def kept_by(callback: Callback) -> list[Kept]:
    """The checkpoints of a `ModelCheckpoint`, or of another callback with such attributes, oldest first."""
    best = getattr(callback, "best_model_path", "")
    scores: dict[str, Any] = {
        getattr(callback, "last_model_path", ""): getattr(callback, "current_score", None),
        best: getattr(callback, "best_model_score", None),
        **getattr(callback, "best_k_models", {}),
    }
    options = {name: plain(getattr(callback, name)) for name in _OPTIONS if hasattr(callback, name)}
    found = [
        Kept(
            Path(path),
            {"score": plain(score), "original_filename": Path(path).name, "Checkpoint": options},
            ["latest", "best"] if path == best else ["latest"],
        )
        for path, score in scores.items()
        if path and Path(path).is_file()
    ]
    return sorted(found, key=lambda kept: kept.path.stat().st_mtime)
