"""Metrics for TensorBoard."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lifecycle.core.errors import UsageError
from lifecycle.train.loggers.base import Parameters, prefixed
from lifecycle.train.loggers.folder import FolderLogger
from lifecycle.train.loggers.parameters import flattened

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter


class TensorBoardLogger(FolderLogger):
    """Writes event files that ``tensorboard --logdir`` shows, and ``hparams.yaml``.

    A version that is there is continued, in an event file of its own: TensorBoard shows both as one run.

    Args:
        save_dir: Below it lies everything.
        name: A folder below; ``""`` for none.
        version: A number for ``version_N``, or a folder's name; by default the next number.
        log_graph: Record the operations of the module, for its ``example_input_array``.
        default_hp_metric: Give hyperparameters that come without a metric the metric ``hp_metric``, so that
            TensorBoard shows them.
        prefix: Begins every metric's name.
        sub_dir: A folder below that of the version.
        **kwargs: For ``SummaryWriter``: ``max_queue``, ``flush_secs``, ….

    Raises:
        UsageError: the package ``tensorboard`` is not installed.
    """

    def __init__(
        self,
        save_dir: str | Path,
        name: str | None = "lightning_logs",
        version: int | str | None = None,
        log_graph: bool = False,
        default_hp_metric: bool = True,
        prefix: str = "",
        sub_dir: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        if find_spec("tensorboard") is None:
            raise UsageError(
                "TensorBoardLogger needs the package tensorboard, which is not installed",
                hint="pip install 'model-lifecycle[tensorboard]', or log with CSVLogger.",
            )
        super().__init__(save_dir, name, version, prefix)
        self._log_graph = log_graph
        self._default_hp_metric = default_hp_metric
        self._sub_dir = None if sub_dir is None else str(sub_dir)
        self._kwargs = kwargs
        self._experiment: SummaryWriter | None = None

    @property
    def sub_dir(self) -> str | None:
        """The folder below that of the version."""
        return self._sub_dir

    @property
    def log_dir(self) -> str:
        """Where this version is kept."""
        folder = Path(super().log_dir)
        return str(folder / self._sub_dir if self._sub_dir else folder)

    @property
    def experiment(self) -> SummaryWriter:
        """Torch's writer: for images, histograms and whatever else TensorBoard shows."""
        if self._experiment is None:
            from torch.utils.tensorboard import SummaryWriter

            self._experiment = SummaryWriter(str(self.made()), **self._kwargs)
        return self._experiment

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record numbers; a dictionary of them becomes one chart with a curve for each.

        Raises:
            UsageError: a value is neither.
        """
        for name, value in prefixed(metrics, self._prefix, self.LOGGER_JOIN_CHAR).items():
            if isinstance(value, Mapping):
                self.experiment.add_scalars(name, dict(value), step)
                continue
            try:
                number = float(value)
            except (TypeError, ValueError, RuntimeError):
                raise UsageError(
                    f"metric '{name}' is {value!r}: expected a number, a tensor of one element, or a "
                    "dictionary of them"
                ) from None
            self.experiment.add_scalar(name, number, step)

    def log_hyperparams(
        self,
        params: Parameters | None,
        metrics: Mapping[str, Any] | float | None = None,
        step: int | None = None,
    ) -> None:
        """Add to ``hparams.yaml``, and show them in TensorBoard's table of runs.

        Args:
            params: By name; nested ones are shown as ``outer/inner``.
            metrics: What to compare runs by.
            step: Where these metrics stand.
        """
        super().log_hyperparams(params)
        if metrics is None:
            metrics = {"hp_metric": -1} if self._default_hp_metric else {}
        elif not isinstance(metrics, Mapping):
            metrics = {"hp_metric": metrics}
        if not metrics:
            return
        from torch.utils.tensorboard.summary import hparams

        shown = {name: _shown(value) for name, value in flattened(params).items()}
        self.log_metrics(metrics, step)
        writer = self.experiment._get_file_writer()  # type: ignore[no-untyped-call]
        for summary in hparams(shown, dict(metrics)):  # type: ignore[no-untyped-call]
            writer.add_summary(summary, step)

    def log_graph(self, model: nn.Module, input_array: Tensor | tuple[Any, ...] | None = None) -> None:
        """Record the operations of a module, if the logger was made for it.

        It runs once, in ``eval`` mode and without a trace in the random generators.

        Args:
            model: What runs.
            input_array: What it runs on; by default its ``example_input_array``.
        """
        if not self._log_graph:
            return
        example = getattr(model, "example_input_array", None) if input_array is None else input_array
        if not isinstance(example, Tensor | tuple):
            warnings.warn(
                f"TensorBoardLogger(log_graph=True) records no graph: {type(model).__name__}."
                f"example_input_array is {type(example).__name__}; set it to a tensor, or a tuple of "
                "arguments of forward",
                stacklevel=2,
            )
            return
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices), warnings.catch_warnings():
            # TensorBoard's own way to see a graph; torch is about to end it.
            warnings.filterwarnings("ignore", ".*torch.jit.trace", DeprecationWarning)
            self.experiment.add_graph(model, _moved(example, device))

    def save(self) -> None:
        """Write down what was recorded."""
        if self._experiment is not None:
            self._experiment.flush()

    def finalize(self, status: str) -> None:
        """End the event file; what is logged later begins another."""
        if self._experiment is not None:
            self._experiment.close()


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, tuple):
        return tuple(_moved(item, device) for item in value)
    return value.to(device) if isinstance(value, Tensor) else value


def _shown(value: Any) -> bool | int | float | str:
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    return value if isinstance(value, bool | int | float | str) else str(value)
