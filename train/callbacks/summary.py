"""Shows what a module consists of when a fit begins."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lifecycle.core.progress import terminal_progress
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.summary import ModelSummary as Summary
from lifecycle.train.summary_text import Columns, table_text, totals_of
from lifecycle.train.tables import notes_wanted

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer

log = logging.getLogger(__name__)


class ModelSummary(Callback):
    """Writes a table of the module's layers.

    It goes to the log, at level INFO, where a program has set logging up to show that; to standard error
    where it has not. ``logging.getLogger("lifecycle").setLevel(logging.WARNING)`` silences it either way, as
    does ``Trainer(enable_model_summary=False)``.

    Args:
        max_depth: How deeply nested layers are listed: 1 for the module's own, -1 for all; 0 shows nothing.
        **summarize_kwargs: Given on to `summarize`, which subclasses may override.
    """

    def __init__(self, max_depth: int = 1, **summarize_kwargs: Any) -> None:
        self._max_depth = max_depth
        self._summarize_kwargs = summarize_kwargs

    def on_fit_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Look at the module and show it."""
        if not self._max_depth or not trainer.is_global_zero:
            return
        found = Summary(pl_module, self._max_depth, precision=trainer.precision_plugin)
        self.summarize(
            found.columns(),
            found.total_parameters,
            found.trainable_parameters,
            found.model_size,
            found.total_training_modes,
            total_flops=found.total_flops,
            **self._summarize_kwargs,
        )

    @staticmethod
    def summarize(
        summary_data: Columns,
        total_parameters: int,
        trainable_parameters: int,
        model_size: float,
        total_training_modes: Mapping[str, int],
        total_flops: int,
        **summarize_kwargs: Any,
    ) -> None:
        """Show what was found.

        Args:
            summary_data: Columns of the table: a heading and its texts.
            total_parameters: In the whole module.
            trainable_parameters: Those of them that have gradients.
            model_size: Parameters in MB.
            total_training_modes: How many parts are in ``train`` and in ``eval`` mode.
            total_flops: Floating-point operations for the module's example; 0 when it has none.
            **summarize_kwargs: What the callback was made with.
        """
        totals = totals_of(
            total_parameters, trainable_parameters, model_size, total_training_modes, total_flops
        )
        text = table_text(summary_data, totals)
        if log.isEnabledFor(logging.INFO) and log.hasHandlers():
            log.info("\n%s", text)
        elif notes_wanted(log):
            terminal_progress().note(text)


class RichModelSummary(ModelSummary):
    """Draws the table with rich, on standard error.

    Args:
        max_depth: As for `ModelSummary`.
        **summarize_kwargs: ``header_style`` of the table.
    """

    @staticmethod
    def summarize(
        summary_data: Columns,
        total_parameters: int,
        trainable_parameters: int,
        model_size: float,
        total_training_modes: Mapping[str, int],
        total_flops: int,
        **summarize_kwargs: Any,
    ) -> None:
        """Draw what was found; arguments as for `ModelSummary.summarize`."""
        if not notes_wanted(log):
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(header_style=summarize_kwargs.get("header_style", "bold magenta"))
        for heading, _ in summary_data:
            right = heading in ("Params", "FLOPs", "In sizes", "Out sizes")
            table.add_column(heading, justify="right" if right else "left", no_wrap=heading == "Name")
        for row in zip(*(texts for _, texts in summary_data), strict=True):
            table.add_row(*map(Text, row))  # names and sizes hold brackets, which are no markup
        console = Console(stderr=True)
        console.print(table)
        totals = totals_of(
            total_parameters, trainable_parameters, model_size, total_training_modes, total_flops
        )
        for number, what in totals:
            console.print(Text.assemble((what, "bold"), f": {number}"))
