"""A pruned module from a trainer's ``.ckpt``: made anew, pruned as that tells, given its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from lifecycle.compress.channels import replay_channels
from lifecycle.core.errors import UsageError
from lifecycle.train.checkpoint import load_ckpt
from lifecycle.train.describe import example_inputs
from lifecycle.train.hparams import arguments_from
from lifecycle.train.module import Module
from lifecycle.train.restoring import restore_module

M = TypeVar("M", bound=Module)


def load_pruned(cls: type[M], checkpoint_path: str | Path, **arguments: Any) -> M:
    """What ``cls.load_from_checkpoint`` is for modules that `StructuredPruning` has made smaller.

    Nothing is unpickled. The module can be trained on, pruned again, quantized or exported.

    Args:
        cls: The module's class, as it was when it was pruned.
        checkpoint_path: A ``.ckpt`` of a fit with `StructuredPruning`.
        arguments: For ``cls``, over those that the checkpoint holds.

    Raises:
        UsageError: the checkpoint tells of no pruning, or is of another class.
    """
    path = Path(checkpoint_path)
    content = cast("dict[str, Any]", load_ckpt(path))
    states = cast("Mapping[str, Any]", content.get("callbacks", {}))
    edits = [
        edit
        for state in states.values()
        if isinstance(state, Mapping)
        for edit in state.get("edits", ())
        if edit.get("edit") == "prune_channels"
    ]
    if not edits:
        raise UsageError(
            f"{path} tells of no pruning",
            hint=f"{cls.__name__}.load_from_checkpoint reads it; one saved with weights_only tells nothing",
        )
    module = cls(**arguments_from(content, cls, arguments))
    module.configure_model()
    for edit in edits:
        replay_channels(module, example_inputs(module), edit)
    module.on_load_checkpoint(content)
    restore_module(content, module)
    return module
