"""Which arguments of `ModelCheckpoint` go together."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from lifecycle.core.errors import UsageError


def check_options(
    *,
    dirpath: str | Path | None,
    monitor: str | None,
    save_last: object,
    save_top_k: int,
    mode: str,
    every_n_train_steps: int,
    train_time_interval: timedelta | None,
    every_n_epochs: int,
) -> None:
    """Raise `UsageError` unless the arguments are allowed, each alone and all together."""
    periods = f"every_n_train_steps={every_n_train_steps}, every_n_epochs={every_n_epochs}"
    several = (every_n_train_steps > 0) + (every_n_epochs > 0) + (train_time_interval is not None) > 1
    for wrong, given, allowed in (
        ("://" in str(dirpath), f"dirpath={str(dirpath)!r}", "expected a local folder"),
        (mode not in ("min", "max"), f"mode={mode!r}", "allowed: min, max"),
        (
            save_last not in (None, True, False, "link"),
            f"save_last={save_last!r}",
            "allowed: True, False, 'link'",
        ),
        (save_top_k < -1, f"save_top_k={save_top_k}", "expected a number of files, or -1 for all"),
        (
            monitor is None and save_top_k > 1,
            f"save_top_k={save_top_k}, monitor=None",
            "name the metric by which the best are found",
        ),
        (min(every_n_train_steps, every_n_epochs) < 0, periods, "expected 0 or more"),
        (
            several,
            f"{periods}, train_time_interval={train_time_interval}",
            "give one of them; for several, add several ModelCheckpoints",
        ),
    ):
        if wrong:
            raise UsageError(f"ModelCheckpoint({given}): {allowed}")
