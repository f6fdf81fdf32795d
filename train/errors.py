"""What is missing or does not fit, said in one way wherever it is noticed.

Functions return the error, for the caller to raise.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from torch import Tensor, nn
from torch.optim import Optimizer

from lifecycle.core.errors import ArtifactError, UsageError, suggest
from lifecycle.train.diagnose.finding import times

_BODIES = {
    "training_step": "(self, batch, batch_idx)` and return the loss",
    "validation_step": "(self, batch, batch_idx)` and log a metric",
    "test_step": "(self, batch, batch_idx)` and log a metric",
    "configure_optimizers": "(self)` and return torch.optim.AdamW(self.parameters(), lr=1e-3)",
}
_SHOWN = 5  # names of each kind
_GO_ON = "A fit goes on with the optimizer that was saved; for another, begin anew from load_from_checkpoint."


def missing_method(module: nn.Module, name: str) -> UsageError:
    """The module does not define a method that the trainer needs.

    Args:
        module: The user's.
        name: ``training_step``, ``validation_step``, ``test_step`` or ``configure_optimizers``.
    """
    kind = type(module)
    own = [
        found
        for cls in kind.__mro__
        if not cls.__module__.startswith(("torch.", "lifecycle.", "builtins"))
        for found, value in vars(cls).items()
        if callable(value) and found != name and not hasattr(nn.Module, found)
    ]
    close = get_close_matches(name, own, n=1, cutoff=0.7)
    message = f"{kind.__name__} defines no {name}"
    if close:
        return UsageError(f"{message}; it defines {close[0]}", hint=f"Rename that to {name}.")
    return UsageError(message, hint=f"Write `def {name}{_BODIES[name]}.")


def missing_metric(who: str, monitor: str, logged: Iterable[str]) -> UsageError:
    """Somebody follows a metric that nobody logged.

    Args:
        who: ``EarlyStopping``, ``ModelCheckpoint``, ``ReduceLROnPlateau``, …
        monitor: The metric.
        logged: The names that were logged.
    """
    names = sorted(logged)
    if not names:
        return UsageError(
            f"{who} follows '{monitor}', and nothing was logged",
            hint=f"Call self.log('{monitor}', value) in validation_step, or in training_step.",
        )
    return UsageError(
        f"{who} follows '{monitor}', which was not logged: {suggest(monitor, names)}",
        hint=f"Follow one of these, or call self.log('{monitor}', value).",
    )


def missing_monitor(scheduler: object) -> UsageError:
    """A scheduler that follows a metric does not say which."""
    return UsageError(
        f"{type(scheduler).__name__} follows a metric, and configure_optimizers does not say which",
        hint='Return {"optimizer": optimizer, "lr_scheduler": {"scheduler": ..., "monitor": "val_loss"}}.',
    )


def other_model(saved: Mapping[str, object], wanted: Mapping[str, object]) -> UsageError | None:
    """A checkpoint's weights are not the module's; None if they are.

    Args:
        saved: The checkpoint's state, by name.
        wanted: The module's.
    """
    lines = _named("only in the checkpoint", saved.keys() - wanted.keys())
    lines += _named("only in the module", wanted.keys() - saved.keys())
    shapes = []
    for name in sorted(saved.keys() & wanted.keys()):
        ours, theirs = wanted[name], saved[name]
        if isinstance(ours, Tensor) and isinstance(theirs, Tensor) and ours.shape != theirs.shape:
            shapes.append(
                f"{name}: {times(theirs.shape)} in the checkpoint, {times(ours.shape)} in the module"
            )
    lines += [*shapes[:_SHOWN], *_rest(shapes)]
    if not lines:
        return None
    prefix = _prefix(saved.keys(), wanted.keys())
    hint = ""
    if prefix:
        hint = f"The names differ by '{prefix}' alone: one of the two is wrapped in another module."
    return UsageError("\n  ".join(["the checkpoint is of another model:", *lines]), hint=hint)


def other_groups(saved: Mapping[str, Any], wanted: Optimizer) -> UsageError | None:
    """A checkpoint's optimizer has other groups of parameters than this one; None if it has not.

    Args:
        saved: Its ``state_dict``.
        wanted: What `configure_optimizers` returned.
    """
    before, now = (
        " + ".join(str(len(group["params"])) for group in groups)
        for groups in (saved["param_groups"], wanted.param_groups)
    )
    if before == now:
        return None
    kind = type(wanted).__name__
    return UsageError(
        f"the checkpoint is of an optimizer of {before} parameters, and this {kind} has {now}", hint=_GO_ON
    )


def other_optimizer(saved: Mapping[str, Any], wanted: Optimizer) -> UsageError | None:
    """A checkpoint's optimizer was of another kind than this one, which has loaded it; None if it was not.

    Args:
        saved: Its ``state_dict``.
        wanted: What `configure_optimizers` returned: it fills in what older versions of its kind had not.
    """
    lacking = {name for group in wanted.param_groups for name in wanted.defaults.keys() - group.keys()}
    if not lacking:
        return None
    names = {name for group in saved["param_groups"] for name in group} - {"params", *wanted.defaults}
    return UsageError(
        f"the checkpoint is of another optimizer than this {type(wanted).__name__}: it knows no "
        f"{', '.join(sorted(lacking))}, but {', '.join(sorted(names))}",
        hint=_GO_ON,
    )


def unreadable(path: Path, error: Exception) -> ArtifactError:
    """A file is no checkpoint, or was not written whole, or holds what only unpickling could bring back."""
    size = path.stat().st_size
    if not is_zipfile(path):
        return ArtifactError(
            f"checkpoint {path} cannot be read: it has {size:,} bytes and is no whole archive of torch.save",
            hint="It was cut short, or is another kind of file; take an older checkpoint.",
        )
    if found := re.search(r"GLOBAL (\S+)", str(error)):
        return ArtifactError(
            f"checkpoint {path} cannot be read: it holds {found[1]}, which only unpickling could bring back",
            hint="Unpickling runs code of the file's, so it is not done: take weights and plain values out "
            "of it with the program that wrote it.",
        )
    return ArtifactError(f"checkpoint {path} cannot be read: {error}")


def _named(where: str, names: Collection[str]) -> list[str]:
    ordered = [f"{where}: {name}" for name in sorted(names)]
    return [*ordered[:_SHOWN], *_rest(ordered)]


def _rest(lines: list[str]) -> list[str]:
    return [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []


def _prefix(first: Collection[str], second: Collection[str]) -> str:
    """What stands before every name of one, and before none of the other: ``model.`` or ``_orig_mod.``."""
    for longer, shorter in ((first, second), (second, first)):
        name, other = min(longer, default=""), min(shorter, default="")
        prefix = name.removesuffix(other)
        if prefix and prefix != name and {prefix + each for each in shorter} == set(longer):
            return prefix
    return ""
