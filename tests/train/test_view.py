"""What may be asked of a trainer, its module and its callbacks: Lightning's names, and what they say when."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

import lifecycle as pl
from lifecycle.callbacks import EarlyStopping, ModelCheckpoint, ProgressBar
from tests.train.course import Course, numbered
from tests.train.small import Plain, Recorder, Regression, loader, quiet

# Public names of Lightning 2.6.6. Left out are those of its inner loops, of Fabric and of TensorRT.
PROPERTIES = """
accelerator callback_metrics checkpoint_callback checkpoint_callbacks ckpt_path current_epoch default_root_dir
device_ids distributed_sampler_kwargs early_stopping_callback early_stopping_callbacks enable_validation
estimated_stepping_batches evaluating global_rank global_step interrupted is_global_zero is_last_batch
lightning_module local_rank log_dir logged_metrics logger loggers lr_scheduler_configs max_epochs max_steps
min_epochs min_steps model node_rank num_devices num_nodes num_predict_batches num_sanity_val_batches
num_test_batches num_training_batches num_val_batches optimizers precision precision_plugin predict_dataloaders
predicting progress_bar_callback progress_bar_metrics received_sigterm sanity_checking scaler strategy
test_dataloaders testing train_dataloader training val_dataloaders validating world_size
accumulate_grad_batches barebones callbacks check_val_every_n_epoch datamodule enable_autolog_hparams
fast_dev_run fit_loop gradient_clip_algorithm gradient_clip_val limit_predict_batches limit_test_batches
limit_train_batches limit_val_batches log_every_n_steps num_sanity_val_steps overfit_batches profiler
reload_dataloaders_every_n_epochs should_stop val_check_interval
"""
VERBS = {
    "fit": "model train_dataloaders val_dataloaders datamodule ckpt_path weights_only",
    "validate": "model dataloaders ckpt_path verbose datamodule weights_only",
    "test": "model dataloaders ckpt_path verbose datamodule weights_only",
    "predict": "model dataloaders datamodule return_predictions ckpt_path weights_only",
}
CALLBACK = """
on_exception() on_fit_start() on_fit_end() on_sanity_check_start() on_sanity_check_end() on_train_start()
on_train_end() on_train_epoch_start() on_train_epoch_end() on_validation_epoch_start() on_validation_epoch_end()
on_test_epoch_start() on_test_epoch_end() on_predict_epoch_start() on_predict_epoch_end() on_validation_start()
on_validation_end() on_test_start() on_test_end() on_predict_start() on_predict_end() on_after_backward()
setup(stage) teardown(stage) on_train_batch_start(batch,batch_idx) on_train_batch_end(outputs,batch,batch_idx)
on_validation_batch_start(batch,batch_idx,dataloader_idx) on_test_batch_start(batch,batch_idx,dataloader_idx)
on_predict_batch_start(batch,batch_idx,dataloader_idx)
on_validation_batch_end(outputs,batch,batch_idx,dataloader_idx)
on_test_batch_end(outputs,batch,batch_idx,dataloader_idx)
on_predict_batch_end(outputs,batch,batch_idx,dataloader_idx)
on_before_backward(loss) on_before_optimizer_step(optimizer) on_before_zero_grad(optimizer)
on_save_checkpoint(checkpoint) on_load_checkpoint(checkpoint)
""".replace("on_exception()", "on_exception(exception)")
MODULE = """
forward(input) training_step(args,kwargs) validation_step(args,kwargs) test_step(args,kwargs)
predict_step(args,kwargs) configure_optimizers() configure_callbacks() configure_model()
configure_sharded_model() prepare_data() train_dataloader() val_dataloader() test_dataloader()
predict_dataloader() transfer_batch_to_device(batch,device,dataloader_idx)
on_before_batch_transfer(batch,dataloader_idx) on_after_batch_transfer(batch,dataloader_idx)
optimizer_step(epoch,batch_idx,optimizer,optimizer_closure) optimizer_zero_grad(epoch,batch_idx,optimizer)
backward(loss,args,kwargs) lr_scheduler_step(scheduler,metric)
configure_gradient_clipping(optimizer,gradient_clip_val,gradient_clip_algorithm)
clip_gradients(optimizer,gradient_clip_val,gradient_clip_algorithm) manual_backward(loss,args,kwargs)
optimizers(use_pl_optimizer) lr_schedulers() toggle_optimizer(optimizer) untoggle_optimizer(optimizer)
toggled_optimizer(optimizer) freeze() unfreeze() all_gather(data,group,sync_grads)
save_hyperparameters(args,ignore,frame,logger)
on_validation_model_zero_grad() on_validation_model_eval() on_validation_model_train() on_test_model_eval()
on_test_model_train() on_predict_model_eval()
log(name,value,prog_bar,logger,on_step,on_epoch,reduce_fx,enable_graph,sync_dist,sync_dist_group,add_dataloader_idx,batch_size,metric_attribute,rank_zero_only)
"""
MODULE_PROPERTIES = """
automatic_optimization current_epoch device dtype example_input_array global_rank global_step hparams
hparams_initial local_rank logger loggers on_gpu strict_loading trainer
"""


def parameters(owner: type, name: str) -> str:
    return ",".join(list(inspect.signature(getattr(owner, name)).parameters)[1:])


def test_a_trainer_tells_what_lightnings_tells() -> None:
    trainer = quiet()
    assert [name for name in PROPERTIES.split() if not hasattr(trainer, name)] == []
    assert {name: parameters(pl.Trainer, name).replace(",", " ") for name in VERBS} == VERBS
    assert parameters(pl.Trainer, "save_checkpoint").startswith("filepath,weights_only,storage_options")
    assert hasattr(trainer, "print") and hasattr(trainer, "init_module")


def test_a_callback_has_lightnings_hooks() -> None:
    for word in CALLBACK.split():
        name, _, rest = word.rstrip(")").partition("(")
        wanted = f"trainer,pl_module,{rest}".rstrip(",")
        assert parameters(pl.Callback, name) == wanted, name
    assert parameters(pl.Callback, "state_dict") == ""
    assert parameters(pl.Callback, "load_state_dict") == "state_dict"
    assert pl.Callback().state_key == "Callback"


def test_a_module_has_lightnings_methods() -> None:
    for word in MODULE.split():
        name, _, rest = word.rstrip(")").partition("(")
        if name != "forward":
            assert parameters(pl.Module, name) == rest, name
    for word in CALLBACK.split():  # its hooks are the callbacks', without trainer and module
        name, _, rest = word.rstrip(")").partition("(")
        if name not in ("on_exception", "on_sanity_check_start", "on_sanity_check_end"):
            assert parameters(pl.Module, name) == rest, name
    module = Plain()
    assert [name for name in MODULE_PROPERTIES.split() if not hasattr(module, name)] == []


def test_before_a_run() -> None:
    trainer = quiet(max_epochs=7)
    assert (trainer.current_epoch, trainer.global_step, trainer.batch_step) == (0, 0, 0)
    assert (trainer.max_epochs, trainer.max_steps, trainer.min_epochs, trainer.min_steps) == (7, -1, 0, None)
    assert (trainer.should_stop, trainer.is_last_batch, trainer.interrupted) == (False, False, False)
    assert (trainer.received_sigterm, trainer.enable_validation) == (False, False)
    assert trainer.num_training_batches == float("inf")
    assert trainer.num_val_batches == trainer.num_test_batches == trainer.num_predict_batches == []
    assert (trainer.model, trainer.lightning_module, trainer.datamodule) == (None, None, None)
    assert (trainer.optimizers, trainer.lr_scheduler_configs) == ([], [])
    assert (trainer.callback_metrics, trainer.logged_metrics, trainer.progress_bar_metrics) == ({}, {}, {})
    assert (trainer.train_dataloader, trainer.val_dataloaders) == (None, None)
    assert (trainer.test_dataloaders, trainer.predict_dataloaders) == (None, None)
    assert not any((trainer.training, trainer.validating, trainer.testing, trainer.predicting))
    assert not any((trainer.sanity_checking, trainer.evaluating))
    assert (trainer.ckpt_path, trainer.scaler, trainer.distributed_sampler_kwargs) == (None, None, None)
    assert (trainer.global_rank, trainer.local_rank, trainer.node_rank) == (0, 0, 0)
    assert (trainer.world_size, trainer.num_nodes, trainer.num_devices) == (1, 1, 1)
    assert trainer.is_global_zero and trainer.precision == "32-true"
    assert quiet(max_epochs=-1).max_epochs == -1


STAGES = ("training", "validating", "testing", "predicting", "sanity_checking", "evaluating")


class Telling(pl.Callback):
    """Notes what the trainer says in each hook."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def tell(self, hook: str, trainer: pl.Trainer, module: pl.Module) -> None:
        stage = "+".join(name for name in STAGES if getattr(trainer, name))
        mode = "train" if module.training else "eval"
        grad = "grad" if torch.is_grad_enabled() else "no_grad"
        where = f"epoch {trainer.current_epoch} step {trainer.global_step}"
        self.told.append(f"{hook}: {stage} {where}{' last' * trainer.is_last_batch} {mode} {grad}")


def _teller(hook: str) -> Any:
    return lambda self, trainer, module, *given, **named: self.tell(hook, trainer, module)


for _hook in (
    *("setup", "on_fit_start", "on_sanity_check_start", "on_sanity_check_end", "on_train_start"),
    *("on_train_epoch_start", "on_train_batch_start", "on_train_batch_end", "on_validation_start"),
    *("on_validation_end", "on_train_epoch_end", "on_train_end", "on_fit_end", "teardown"),
    *("on_test_start", "on_predict_start"),
):
    setattr(Telling, _hook, _teller(_hook))

FIT = """
setup: training epoch 0 step 0 train grad
on_fit_start: training epoch 0 step 0 train grad
on_sanity_check_start: sanity_checking+evaluating epoch 0 step 0 train grad
on_validation_start: sanity_checking+evaluating epoch 0 step 0 eval no_grad
on_validation_end: sanity_checking+evaluating epoch 0 step 0 eval no_grad
on_sanity_check_end: sanity_checking+evaluating epoch 0 step 0 train grad
on_train_start: training epoch 0 step 0 train grad
on_train_epoch_start: training epoch 0 step 0 train grad
on_train_batch_start: training epoch 0 step 0 train grad
on_train_batch_end: training epoch 0 step 1 train grad
on_train_batch_start: training epoch 0 step 1 last train grad
on_train_batch_end: training epoch 0 step 2 last train grad
on_validation_start: validating+evaluating epoch 0 step 2 last eval no_grad
on_validation_end: validating+evaluating epoch 0 step 2 last eval no_grad
on_train_epoch_end: training epoch 0 step 2 last train grad
on_train_epoch_start: training epoch 1 step 2 last train grad
on_train_batch_start: training epoch 1 step 2 train grad
on_train_batch_end: training epoch 1 step 3 train grad
on_train_batch_start: training epoch 1 step 3 last train grad
on_train_batch_end: training epoch 1 step 4 last train grad
on_validation_start: validating+evaluating epoch 1 step 4 last eval no_grad
on_validation_end: validating+evaluating epoch 1 step 4 last eval no_grad
on_train_epoch_end: training epoch 1 step 4 last train grad
on_train_end: training epoch 2 step 4 last train grad
on_fit_end: training epoch 2 step 4 last train grad
teardown: training epoch 2 step 4 last train grad
"""
OTHERS = """
setup: validating+evaluating epoch 2 step 4 last train grad
on_validation_start: validating+evaluating epoch 2 step 4 last eval no_grad
on_validation_end: validating+evaluating epoch 2 step 4 last eval no_grad
teardown: validating+evaluating epoch 2 step 4 last train grad
setup: testing+evaluating epoch 2 step 4 last train grad
on_test_start: testing+evaluating epoch 2 step 4 last eval no_grad
teardown: testing+evaluating epoch 2 step 4 last train grad
setup: predicting epoch 2 step 4 last train grad
on_predict_start: predicting epoch 2 step 4 last eval no_grad
teardown: predicting epoch 2 step 4 last train grad
"""


def test_where_a_run_is_in_each_hook() -> None:
    telling, module = Telling(), Course()
    trainer = quiet(max_epochs=2, num_sanity_val_steps=1, callbacks=[telling])
    trainer.fit(module, numbered(2), numbered(1))
    assert telling.told == FIT.strip().splitlines()
    telling.told.clear()
    trainer.validate(module, numbered(1), verbose=False)
    trainer.test(module, numbered(1), verbose=False)
    trainer.predict(module, numbered(1))
    assert telling.told == OTHERS.strip().splitlines()
    assert not any(getattr(trainer, stage) for stage in STAGES)


def test_what_a_run_works_with() -> None:
    found: dict[str, Any] = {}

    class Asks(Regression):
        def on_train_epoch_end(self) -> None:
            trainer = self.trainer
            assert trainer is not None
            found.update(
                {
                    "module": trainer.lightning_module,
                    "loaders": (trainer.train_dataloader, trainer.val_dataloaders),
                    "counts": (trainer.num_training_batches, trainer.num_val_batches),
                    "sanity": trainer.num_sanity_val_batches,
                    "validates": trainer.enable_validation,
                    "optimizers": [type(optimizer) for optimizer in trainer.optimizers],
                    "schedules": [(type(c.scheduler), c.interval) for c in trainer.lr_scheduler_configs],
                }
            )

    train, val, module = loader(), [loader(), loader(batch_size=11)], Asks()
    with pytest.raises(Exception, match="dataloader_idx"):
        quiet().fit(module, train, val)  # its step takes one loader
    trainer = quiet(limit_train_batches=4)
    trainer.fit(module, train, val[0])
    assert found == {
        "module": module,
        "loaders": (train, val[0]),
        "counts": (4, [6]),
        "sanity": [2],
        "validates": True,
        "optimizers": [torch.optim.AdamW],
        "schedules": [(torch.optim.lr_scheduler.OneCycleLR, "step")],
    }
    assert trainer.model is module
    trainer.test(module, train, verbose=False)
    assert trainer.num_test_batches == [6] and trainer.test_dataloaders is train
    trainer.predict(Course(), [numbered(3), numbered(2)])
    assert trainer.num_predict_batches == [3, 2]


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"max_epochs": 3}, 18),
        ({"max_epochs": 3, "accumulate_grad_batches": 4}, 6),
        ({"max_epochs": 3, "limit_train_batches": 0.5}, 9),
        ({"max_epochs": 3, "max_steps": 7}, 7),
        ({"max_epochs": -1, "max_steps": 7}, 7),
        ({"max_epochs": 1, "max_steps": 700}, 6),
        ({"fast_dev_run": 2}, 2),
    ],
)
def test_how_many_steps_a_fit_will_take(options: Any, steps: int) -> None:
    """Known when optimizers are made, so that schedules can be."""
    found: list[float] = []

    class Asks(Course):
        def configure_optimizers(self) -> object:
            assert self.trainer is not None
            found.append(self.trainer.estimated_stepping_batches)
            return super().configure_optimizers()

    trainer = quiet(**options)
    trainer.fit(Asks(), numbered())
    assert found == [steps] == [trainer.global_step]


def test_callbacks_are_found_by_kind(tmp_path: Any) -> None:
    stopping = [EarlyStopping("a"), EarlyStopping("b")]
    saving, bar = ModelCheckpoint(tmp_path), ProgressBar()
    trainer = pl.Trainer(callbacks=[saving, *stopping, bar], logger=False, enable_model_summary=False)
    assert (trainer.early_stopping_callback, trainer.early_stopping_callbacks) == (stopping[0], stopping)
    assert (trainer.checkpoint_callback, trainer.checkpoint_callbacks) == (saving, [saving])
    assert trainer.progress_bar_callback is bar
    assert trainer.callbacks == [*stopping, bar, saving]  # who saves comes last
    bare = quiet()
    assert (bare.early_stopping_callback, bare.checkpoint_callback, bare.progress_bar_callback) == (None,) * 3


def test_loggers_can_be_exchanged() -> None:
    first, second = Recorder(), Recorder()
    trainer = quiet(logger=[first, second], log_every_n_steps=6)
    assert trainer.logger is first and trainer.loggers == [first, second]
    trainer.logger = second
    assert trainer.loggers == [second]
    module = Plain()
    trainer.fit(module, loader())
    assert first.sent == [] and len(second.sent) == 2
    assert module.logger is second and module.loggers == [second]
    trainer.logger = None
    assert trainer.loggers == [] and trainer.logger is None


def test_the_plan_of_a_fit_may_be_changed() -> None:
    trainer, module = quiet(max_epochs=1), Course()
    trainer.accumulate_grad_batches = 3
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module, numbered())
    assert (trainer.current_epoch, trainer.global_step) == (2, 4)


def test_a_line_is_printed_above_the_bar_or_simply_printed(capsys: pytest.CaptureFixture[str]) -> None:
    printed: list[Any] = []

    class Bar(ProgressBar):
        def print(self, *given: Any, **options: Any) -> None:
            printed.append((given, options))

    module = Plain()
    module.print("without a trainer")
    quiet(limit_train_batches=1).fit(module, loader())
    module.print("without a bar", end="!")
    assert capsys.readouterr().out == "without a trainer\nwithout a bar!"
    quiet(callbacks=Bar(), limit_train_batches=1).fit(module, loader())
    module.print("above", 3, sep="-")
    assert printed == [(("above", 3), {"sep": "-"})]
