"""The order of hooks as PyTorch Lightning 2.6.6 has it, in the notation of `tests.train.hook_record`.

Braces hold what varies: the index ``i`` of a batch and its epoch ``e``, the owner ``o`` of the hooks that move
it, the index ``k`` of its loader.
"""

from __future__ import annotations

from typing import Any

MOVE = """
{o}.on_before_batch_transfer(B,{k}) {o}.transfer_batch_to_device(B,cpu,{k}) {o}.on_after_batch_transfer(B,{k})
"""
BEGIN = MOVE.replace("{k}", "0") + "cm.on_train_batch_start(B,{i}) "
STEP = "m.training_step(B,{i}) "
CLEAR = "cm.on_before_zero_grad(opt) m.optimizer_zero_grad({e},{i},opt) "
GRADIENTS = "cm.on_before_backward(Tg) m.backward(Tg) cm.on_after_backward "
CLIP = "m.configure_gradient_clipping(opt,gradient_clip_val={clip},gradient_clip_algorithm={by}) "
UPDATE = "cm.on_before_optimizer_step(opt) " + CLIP
OPTIMIZE = "m.optimizer_step({e},{i},opt,fn) " + STEP + CLEAR + GRADIENTS + UPDATE
SCHEDULE = "m.lr_scheduler_step(StepLR,None) "
END = "cm.on_train_batch_end({{loss}},B,{i}) "

SET_UP = """
m.configure_callbacks d.prepare_data m.prepare_data
d.setup(stage=fit) cm.setup(stage=fit) m.configure_model
"""
FIT_START = "m.configure_optimizers cm.on_fit_start m.zero_grad "
LOADERS = "d.train_dataloader d.val_dataloader "
TRAIN_START = "cm.on_train_start "
FIT_END = "cm.on_fit_end d.teardown(stage=fit) cm.teardown(stage=fit) "
STATES = "m.state_dict c.state_dict d.state_dict c.on_save_checkpoint(ckpt) m.on_save_checkpoint(ckpt) "
RESTORE = """
m.on_load_checkpoint(ckpt)
m.state_dict
m.load_state_dict({layer.bias,layer.weight},strict=True)
d.load_state_dict({kept}) c.on_load_checkpoint(ckpt) c.load_state_dict({kept})
"""  # Not so in Lightning: state_dict is asked for, to tell what differs before anything is loaded.


def batch(
    epoch: int, index: int, *, last: bool, clip: str = "None", by: str = "None", owner: str = "d"
) -> str:
    """A batch that ends in an optimizer step; schedules of epochs step with the last."""
    parts = BEGIN + OPTIMIZE + SCHEDULE + (SCHEDULE if last else "") + END
    return parts.format(e=epoch, i=index, clip=clip, by=by, o=owner)


def evaluation(
    kind: str,
    *,
    batches: int = 1,
    loaders: int = 1,
    within_fit: bool = False,
    owner: str = "d",
    back: bool = True,
) -> str:
    """A pass over the loaders; the index of a loader is told when there are several."""
    found = "m.on_validation_model_zero_grad m.zero_grad " if within_fit else ""
    found += f"m.on_{kind}_model_eval m.eval m.train(False) cm.on_{kind}_start cm.on_{kind}_epoch_start "
    for loader_idx in range(loaders):
        which = f",{loader_idx}" if loaders > 1 else ""
        for index in range(batches):
            found += MOVE.format(o=owner, k=loader_idx)
            found += f"cm.on_{kind}_batch_start(B,{index}{which}) m.{kind}_step(B,{index}{which}) "
            found += f"cm.on_{kind}_batch_end(T,B,{index}{which}) "
    found += f"cm.on_{kind}_epoch_end cm.on_{kind}_end "
    return found + (f"m.on_{kind}_model_train m.train " if back else "")


def validation(**options: Any) -> str:
    return evaluation("validation", within_fit=True, **options)


def epoch(number: int, *, batches: int = 2, check: str | None = None) -> str:
    found = "cm.on_train_epoch_start "
    for index in range(batches):
        found += batch(number, index, last=index + 1 == batches)
    return found + (validation() if check is None else check) + "cm.on_train_epoch_end "


WHOLE = SET_UP + FIT_START + LOADERS + TRAIN_START + epoch(0) + "cm.on_train_end " + FIT_END
