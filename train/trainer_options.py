"""The trainer's options: Lightning's 41 arguments with their names, defaults and meaning, then our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from lifecycle.train import options
from lifecycle.train.accelerators import accelerator_of
from lifecycle.train.arguments import named
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.callbacks.defaults import callbacks_in, with_defaults
from lifecycle.train.checkpoint import Progress
from lifecycle.train.compile_options import Compiling, compile_options
from lifecycle.train.compiling import Compilation
from lifecycle.train.interrupts import Interrupts
from lifecycle.train.limits import Limit
from lifecycle.train.loggers import Delivery, loggers_of
from lifecycle.train.metrics import Logbook
from lifecycle.train.optim import Optimization
from lifecycle.train.options import Duration
from lifecycle.train.plan import Plan
from lifecycle.train.precision import Precision, precision_of
from lifecycle.train.profilers import PassThroughProfiler, profiler_of
from lifecycle.train.results import Results
from lifecycle.train.state import FitState
from lifecycle.train.strategies.choice import check_goes_together, strategy_of
from lifecycle.train.trainer_state import TrainerStatus
from lifecycle.train.view import TrainerView
from lifecycle.train.writer import CheckpointWriter

if TYPE_CHECKING:
    from lifecycle.train.evaluate import Evaluation
    from lifecycle.train.fitting import Fitting
    from lifecycle.train.profilers import Profiler

Loggers = Any  # a logger, several, True for the default one, or False


class TrainerOptions(TrainerView):
    """Fits, validates, tests and predicts with a `Module`, on one device or several.

    Args:
        accelerator: ``"auto"``, ``"cpu"``, ``"gpu"``, ``"cuda"``, ``"mps"``, or an accelerator.
        strategy: ``"auto"`` (``"ddp"`` on several devices), ``"single_device"``, ``"ddp"``, ``"ddp_spawn"``,
            ``"ddp_notebook"``, ``"fsdp"``, or a strategy.
        devices: ``"auto"``, how many, -1 for all, or a list with their indices: a process for each.
        num_nodes: Machines; on several, processes are started by torchrun or Slurm.
        precision: ``"32-true"``, ``"64-true"``, ``"16-true"``, ``"bf16-true"``, ``"16-mixed"``,
            ``"bf16-mixed"``.
        logger: Where numbers go: a logger, several, True or None for TensorBoard (where it is not installed,
            CSV) below `default_root_dir`, False for nowhere.
        callbacks: Whose hooks run, in this order; those that save come last.
        fast_dev_run: Try everything on this many batches, without loggers and checkpoints.
        max_epochs: Epochs of a fit, those before a resume included; -1 for no end, by default 1000.
        min_epochs: Epochs before anybody may stop the fit early.
        max_steps: Optimizer steps of a fit; -1 for no end.
        min_steps: Steps before anybody may stop the fit early.
        max_time: How long a fit may take: ``"DD:HH:MM:SS"``, a timedelta, or a dictionary of its arguments.
        limit_train_batches: A number of batches of each epoch, or as a float a fraction of them.
        limit_val_batches: Likewise for validation.
        limit_test_batches: Likewise for the test.
        limit_predict_batches: Likewise for prediction.
        overfit_batches: Train and validate on only so many batches, always the same.
        val_check_interval: Validate after so many batches, as a float after a fraction of the epoch, or
            after a time.
        check_val_every_n_epoch: Validate in every n-th epoch; None counts batches across epochs.
        num_sanity_val_steps: Batches of a validation before the fit, to fail early; -1 for all.
        log_every_n_steps: How often numbers of single steps go to loggers.
        enable_checkpointing: Add a `ModelCheckpoint` when `callbacks` holds none.
        enable_progress_bar: Show how far a fit is.
        enable_model_summary: Show the module's parts before a fit.
        accumulate_grad_batches: Batches for each optimizer step.
        gradient_clip_val: The greatest norm of all gradients together, or the greatest of each.
        gradient_clip_algorithm: ``"norm"`` or ``"value"``.
        deterministic: Use only operations whose result does not vary between runs; ``"warn"`` where there
            are some.
        benchmark: Let cuDNN try which of its algorithms is fastest.
        inference_mode: Evaluate in ``torch.inference_mode`` rather than ``torch.no_grad``.
        use_distributed_sampler: Share out the samples of loaders between processes, where samplers do not.
        profiler: ``"simple"``, ``"advanced"``, ``"pytorch"``, or a profiler.
        detect_anomaly: Find the operation whose gradient is not a number; slow.
        barebones: Switch off everything that costs time, to measure what is left.
        plugins: A precision, or several plug-ins of which one is.
        sync_batchnorm: Normalise batches over all processes; on GPUs.
        reload_dataloaders_every_n_epochs: Ask for loaders anew so often; 0 for never.
        default_root_dir: Where logs and checkpoints go; by default the current folder.
        enable_autolog_hparams: Send the module's hyperparameters to loggers.
        model_registry: Kept for compatibility; models are registered with ``lifecycle run``.
        compile: Compile the module's forward with ``torch.compile``: true, or its options
            (`lifecycle.train.compile_options.CompileOptions`). Not in Lightning, as those that follow.
        channels_last: Keep images and convolution weights with their channels last in memory.
        fused: Have optimizers of torch that were made without ``fused`` or ``foreach`` step by one kernel,
            where there is one; weights then differ in the last bits.

    Raises:
        UsageError: an argument is not what it may be; says what is.
    """

    @named
    def __init__(
        self,
        *,
        accelerator: object = "auto",
        strategy: object = "auto",
        devices: list[int] | str | int = "auto",
        num_nodes: int = 1,
        precision: Literal[
            32,
            64,
            16,
            "32",
            "64",
            "16",
            "32-true",
            "64-true",
            "16-true",
            "bf16-true",
            "16-mixed",
            "bf16",
            "bf16-mixed",
        ]
        | None = None,
        logger: Loggers = None,
        callbacks: Callback | Sequence[Callback] | None = None,
        fast_dev_run: int | bool = False,
        max_epochs: int | None = None,
        min_epochs: int | None = None,
        max_steps: int = -1,
        min_steps: int | None = None,
        max_time: Duration | None = None,
        limit_train_batches: Limit | None = None,
        limit_val_batches: Limit | None = None,
        limit_test_batches: Limit | None = None,
        limit_predict_batches: Limit | None = None,
        overfit_batches: Limit = 0.0,
        val_check_interval: Limit | Duration | None = None,
        check_val_every_n_epoch: int | None = 1,
        num_sanity_val_steps: int | None = None,
        log_every_n_steps: int | None = None,
        enable_checkpointing: bool | None = None,
        enable_progress_bar: bool | None = None,
        enable_model_summary: bool | None = None,
        accumulate_grad_batches: int = 1,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: Literal["norm", "value"] | None = None,
        deterministic: bool | Literal["warn"] | None = None,
        benchmark: bool | None = None,
        inference_mode: bool = True,
        use_distributed_sampler: bool = True,
        profiler: Profiler | str | None = None,
        detect_anomaly: bool = False,
        barebones: bool = False,
        plugins: object = None,
        sync_batchnorm: bool = False,
        reload_dataloaders_every_n_epochs: int = 0,
        default_root_dir: str | Path | None = None,
        enable_autolog_hparams: bool = True,
        model_registry: str | None = None,
        compile: bool | Compiling = False,
        channels_last: bool = False,
        fused: bool = False,
    ) -> None:
        bare = options.off(
            barebones,
            enable_checkpointing=enable_checkpointing,
            logger=logger,
            enable_progress_bar=enable_progress_bar,
            log_every_n_steps=log_every_n_steps,
            enable_model_summary=enable_model_summary,
            num_sanity_val_steps=num_sanity_val_steps,
            fast_dev_run=fast_dev_run,
            detect_anomaly=detect_anomaly,
            profiler=profiler,
        )
        options.at_least(
            1,
            accumulate_grad_batches=accumulate_grad_batches,
            check_val_every_n_epoch=check_val_every_n_epoch,
        )
        options.at_least(
            0,
            min_epochs=min_epochs,
            min_steps=min_steps,
            log_every_n_steps=log_every_n_steps,
            reload_dataloaders_every_n_epochs=reload_dataloaders_every_n_epochs,
            fast_dev_run=int(fast_dev_run),
        )
        options.at_least(-1, num_sanity_val_steps=num_sanity_val_steps)
        options.check_clipping(gradient_clip_val, gradient_clip_algorithm)
        options.check_interval(val_check_interval, check_val_every_n_epoch)
        dev = int(fast_dev_run)
        overfit = options.limit("overfit_batches", overfit_batches)
        self.barebones = barebones
        self.fast_dev_run = fast_dev_run if dev != 1 else True
        self.overfit_batches = overfit
        fitted = dev or overfit
        self.limit_train_batches = fitted or options.limit("limit_train_batches", limit_train_batches)
        self.limit_val_batches = fitted or options.limit("limit_val_batches", limit_val_batches)
        self.limit_test_batches = dev or options.limit("limit_test_batches", limit_test_batches)
        self.limit_predict_batches = dev or options.limit("limit_predict_batches", limit_predict_batches)
        timed = isinstance(val_check_interval, str | Mapping) or hasattr(val_check_interval, "total_seconds")
        every_s = None
        if timed and not dev:
            every_s = options.seconds("val_check_interval", cast("Duration", val_check_interval))
        self.val_check_interval = (
            1.0 if timed or dev else options.limit("val_check_interval", cast("Limit", val_check_interval))
        )
        sanity = 2 if num_sanity_val_steps is None else num_sanity_val_steps
        self.num_sanity_val_steps = 0 if bare or dev else float("inf") if sanity == -1 else sanity
        self.fit_loop = Plan(
            max_epochs=1 if dev else options.epochs_of(max_epochs, max_steps, timed=max_time is not None),
            min_epochs=1 if min_epochs is None and min_steps else min_epochs or 0,
            max_steps=dev or max_steps,
            min_steps=min_steps,
            accumulate=accumulate_grad_batches,
            log_every_n_steps=0 if bare else 50 if log_every_n_steps is None else log_every_n_steps,
            every_n_epochs=1 if dev else check_val_every_n_epoch,
            every_s=every_s,
        )
        self.gradient_clip_val = gradient_clip_val
        self.gradient_clip_algorithm = gradient_clip_algorithm and gradient_clip_algorithm.lower()
        self.deterministic = deterministic
        self.benchmark = benchmark
        self.inference_mode = inference_mode
        self.detect_anomaly = detect_anomaly
        self.reload_dataloaders_every_n_epochs = reload_dataloaders_every_n_epochs
        self.enable_autolog_hparams = enable_autolog_hparams
        self.accelerator = accelerator_of(accelerator)
        self.strategy = strategy_of(self.accelerator, devices, strategy, num_nodes)
        self.device = self.strategy.root_device
        self.use_distributed_sampler = use_distributed_sampler
        self.sync_batchnorm = sync_batchnorm
        self.precision_plugin: Precision = precision_of(
            options.precision_among(precision, plugins), self.device
        )
        check_goes_together(self.strategy, self.precision_plugin, channels_last=channels_last)
        self.strategy.computes_in(self.precision_plugin)
        self.timing = profiler_of(profiler)
        self.profiler = self.timing or PassThroughProfiler()
        self._root = Path.cwd() if default_root_dir is None else Path(default_root_dir)
        self.loggers: list[Any] = loggers_of(False if bare else logger, self._root, dummy=bool(dev))
        checkpointing = not bare and enable_checkpointing is not False
        bar = not bare and enable_progress_bar is not False
        options.check_callbacks(callbacks_in(callbacks), checkpointing=checkpointing, bar=bar)
        self.callbacks = with_defaults(
            callbacks,
            checkpoint=checkpointing and not dev,
            bar=bar,
            summary=not bare and enable_model_summary is not False,
            max_time=max_time,
        )
        self.datamodule = None
        self.compiled: Any = None
        self.channels_last, self.fused = channels_last, fused
        wanted = compile_options(compile)
        self.compilation = None if wanted is None else Compilation(wanted)
        self.ckpt_path: str | None = None
        self.interrupts = Interrupts()
        self.writer = CheckpointWriter()
        self._delivery = Delivery([])
        self._module = None
        self._sources = None
        self._verb = self._stage = ""
        self._status = TrainerStatus.INITIALIZING
        self._num_batches = {}
        self._fitting: Fitting | None = None
        self._work: Evaluation | None = None
        self._progress = Progress(
            state=FitState(),
            results=Results(),
            logbook=Logbook(),
            optimization=Optimization(),
            precision=self.precision_plugin,
        )
