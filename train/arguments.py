"""Arguments that the trainer does not take: which one was meant."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from lifecycle.core.errors import UsageError, suggest

P = ParamSpec("P")

_INSTEAD = {  # of arguments that Lightning had before 2.0
    "amp_backend": "leave it out",
    "auto_lr_find": "call Tuner(trainer).lr_find(model)",
    "auto_scale_batch_size": "call Tuner(trainer).scale_batch_size(model)",
    "checkpoint_callback": "write enable_checkpointing=…",
    "gpus": 'write accelerator="gpu", devices=1',
    "log_gpu_memory": "add DeviceStatsMonitor() to callbacks",
    "move_metrics_to_cpu": "leave it out",
    "multiple_trainloader_mode": "train on CombinedLoader(loaders, mode=…)",
    "num_processes": "write devices=1",
    "progress_bar_refresh_rate": "add TQDMProgressBar(refresh_rate=…) to callbacks",
    "replace_sampler_ddp": "write use_distributed_sampler=…",
    "resume_from_checkpoint": "call trainer.fit(model, ckpt_path=…)",
    "terminate_on_nan": "leave it out: a loss that is not finite ends a fit",
    "track_grad_norm": "call self.log_dict(grad_norm(self, norm_type=2)) in on_before_optimizer_step",
    "weights_save_path": "add ModelCheckpoint(dirpath=…) to callbacks",
    "weights_summary": "write enable_model_summary=…",
}


def named(init: Callable[P, None]) -> Callable[P, None]:
    """Have the ``__init__`` of the trainer say what it takes when it is given something else.

    Raises:
        UsageError: an argument has a name that there is not, or none.
    """
    allowed = tuple(inspect.signature(init).parameters)[1:]

    @wraps(init)
    def checked(*args: P.args, **kwargs: P.kwargs) -> None:
        if len(args) > 1:
            raise UsageError(f"Trainer({args[1]!r}): give its arguments by name, as in Trainer(max_epochs=3)")
        for name in kwargs:
            if name in _INSTEAD:
                raise UsageError(f"Trainer takes no '{name}' any more: {_INSTEAD[name]}")
            if name not in allowed:
                raise UsageError(f"Trainer has no argument '{name}'; {suggest(name, allowed)}")
        init(*args, **kwargs)

    return checked
