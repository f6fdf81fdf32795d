"""In which hooks ``self.log`` may be called, and what it reports there by default: Lightning's rules."""

from __future__ import annotations

from typing import NamedTuple

from lifecycle.core.errors import UsageError


class Levels(NamedTuple):
    """What is reported: each step's value, the epoch's reduction, or both."""

    on_step: bool
    on_epoch: bool


_STEP = Levels(on_step=True, on_epoch=False)
_EPOCH = Levels(on_step=False, on_epoch=True)

# Where single batches are seen, both may be asked for.
_PER_BATCH = {
    "training_step": _STEP,
    "on_train_batch_start": _STEP,
    "on_train_batch_end": _STEP,
    "on_before_zero_grad": _STEP,
    "on_before_backward": _STEP,
    "on_after_backward": _STEP,
    "on_before_optimizer_step": _STEP,
    "optimizer_step": _STEP,
    "configure_gradient_clipping": _STEP,
    "backward": _STEP,
    "optimizer_zero_grad": _STEP,
    **{
        f"{prefix}{kind}_{moment}": _EPOCH
        for kind in ("validation", "test")
        for prefix, moment in (("", "step"), ("on_", "batch_start"), ("on_", "batch_end"))
    },
}
# Elsewhere there are no steps to report.
_PER_EPOCH = {
    f"on_{kind}_{moment}"
    for kind in ("train", "validation", "test")
    for moment in ("start", "epoch_start", "epoch_end")
}


def levels_of(hook: str, name: str, on_step: bool | None, on_epoch: bool | None) -> Levels:
    """Fill what was not said with the defaults of a hook.

    Raises:
        UsageError: nothing can be logged there, or not like that.
    """
    if hook in _PER_EPOCH:
        if on_step or on_epoch is False:
            raise UsageError(
                f"self.log('{name}', on_step={on_step}, on_epoch={on_epoch}) in {hook}: "
                "there are no steps to report; only on_epoch=True is allowed"
            )
        return _EPOCH
    if hook not in _PER_BATCH:
        raise UsageError(
            f"self.log('{name}', …) in {hook or 'code that no Trainer runs'}: nothing is reported from there",
            hint="Log in a step or a hook of batches or epochs; elsewhere use self.logger.",
        )
    default = _PER_BATCH[hook]
    levels = Levels(
        default.on_step if on_step is None else on_step,
        default.on_epoch if on_epoch is None else on_epoch,
    )
    if not any(levels):
        raise UsageError(
            f"self.log('{name}', on_step=False, on_epoch=False) in {hook} reports nothing: set one of them"
        )
    return levels
