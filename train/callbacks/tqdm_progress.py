"""Progress bars drawn by tqdm."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, Protocol

from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks.progress import Kind, ProgressBar, number_text
from lifecycle.train.callbacks.readings import Value


class Bar(Protocol):
    """What is used of ``tqdm.tqdm``, which states no types."""

    n: int
    initial: int
    total: int | None

    def reset(self, total: int | None = None) -> None:
        """Begin anew."""

    def refresh(self) -> object:
        """Redraw."""

    def close(self) -> None:
        """Be done."""

    def set_description_str(self, desc: str, refresh: bool = True) -> None:
        """Call it this."""

    def set_postfix_str(self, s: str, refresh: bool = True) -> None:
        """Write this behind it."""

    def write(self, s: str, **options: Any) -> None:
        """Print above it."""


class TQDMProgressBar(ProgressBar):
    """Bars on standard error: one of the epoch, and below it one of the validation while that runs.

    Where standard error is no terminal, it prints a line every few seconds. To change a bar, override the
    ``init_*_tqdm`` that makes it.

    Args:
        refresh_rate: Look at the clock only after so many batches; 0 shows nothing.
        process_position: Leave so many lines above for bars of other programs, twice as many in fact.
        leave: Leave the bar of each epoch where it was, and begin a new one below it.

    Raises:
        UsageError: `refresh_rate` is below 0, or tqdm is not installed.
    """

    BAR_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"

    def __init__(self, refresh_rate: int = 1, process_position: int = 0, leave: bool = False) -> None:
        super().__init__()
        if refresh_rate < 0:
            raise UsageError(f"TQDMProgressBar(refresh_rate={refresh_rate}): expected batches, 0 for never")
        _tqdm()
        self._refresh_rate = max(refresh_rate, int(os.environ.get("TQDM_MINITERS", refresh_rate)))
        self._process_position = process_position
        self._leave = self._each_epoch = leave
        self._every_n = max(self._refresh_rate, 1)
        self._bars: dict[Kind, Bar] = {}
        self._called: dict[Kind, str] = {}  # the description that each was begun with

    def __getstate__(self) -> dict[str, object]:
        """What a copy takes over: not the bars on the screen."""
        return {**self.__dict__, "_bars": {}, "_called": {}}

    @property
    def refresh_rate(self) -> int:
        """After how many batches the clock is looked at."""
        return self._refresh_rate

    @property
    def process_position(self) -> int:
        """Below how many lines the bars begin, halved."""
        return self._process_position

    @property
    def is_enabled(self) -> bool:
        """Whether anything is shown."""
        return self._enabled and self._refresh_rate > 0

    @property
    def train_progress_bar(self) -> Bar:
        """The bar of the epoch; it says how far that is, though it is drawn by the clock."""
        bar = self._shown("train")
        total = self.total_train_batches
        bar.n, bar.total = self._at, None if math.isinf(total) else int(total)
        return bar

    @property
    def val_progress_bar(self) -> Bar:
        """The bar of the validation, or of the short one before a fit."""
        return self._shown("sanity_check" if "sanity_check" in self._bars else "validation")

    @property
    def test_progress_bar(self) -> Bar:
        """The bar of the test."""
        return self._shown("test")

    @property
    def predict_progress_bar(self) -> Bar:
        """The bar of the prediction."""
        return self._shown("predict")

    def init_sanity_tqdm(self) -> Bar:
        """Make the bar of the short validation before a fit."""
        return self._made(self.sanity_check_description, leave=False)

    def init_train_tqdm(self) -> Bar:
        """Make the bar of an epoch."""
        return self._made(self.train_description, leave=True)

    def init_validation_tqdm(self) -> Bar:
        """Make the bar of a validation; within a fit it stands below that of the epoch."""
        within_fit = self._stage == "fit"
        return self._made(self.validation_description, leave=not within_fit, below=within_fit)

    def init_test_tqdm(self) -> Bar:
        """Make the bar of a test."""
        return self._made(self.test_description, leave=True)

    def init_predict_tqdm(self) -> Bar:
        """Make the bar of a prediction."""
        return self._made(self.predict_description, leave=True)

    def draw(
        self, kind: Kind, description: str, done: int, total: int | None, metrics: Mapping[str, Value]
    ) -> None:
        """Redraw one of the bars; see `ProgressBar.draw`."""
        if not self._lines and not self._bars and not _on_screen():
            self.print_lines()
        if self._lines:
            super().draw(kind, description, done, total, metrics)
            if kind in self._bars:
                self._bars[kind].n, self._bars[kind].total = done, total
            return
        bar = self._bars.get(kind)
        begins = bar is None or self._called.get(kind) != description
        self._called[kind] = description
        if begins and bar is not None and self._leave and kind == "train":
            self._close(kind)
            bar = None
        if bar is None:
            bar = self._bars[kind] = self._init(kind)
        if kind == "train" or "DataLoader" in description:
            bar.set_description_str(description, refresh=False)
        if begins:
            bar.initial = 0
            bar.reset(total)
            bar.initial = done  # what its rate does not count
        bar.n, bar.total = done, total
        if metrics:
            text = ", ".join(f"{name}={number_text(value)}" for name, value in metrics.items())
            bar.set_postfix_str(text, refresh=False)
        bar.refresh()

    def end(self, kind: Kind) -> None:
        """Close the bar, which vanishes or stays as it was made to."""
        self._close(kind)

    def stop(self) -> None:
        """Close all bars."""
        super().stop()
        for kind in list(self._bars):
            self._close(kind)

    def print(self, *args: Any, sep: str = " ", **kwargs: Any) -> None:
        """Print above the bars, as the built-in function does."""
        if self._bars and not self._lines:
            kwargs.pop("flush", None)
            next(iter(self._bars.values())).write(sep.join(map(str, args)), **kwargs)
        else:
            print(*args, sep=sep, **kwargs)

    def _init(self, kind: Kind) -> Bar:
        made = {
            "sanity_check": self.init_sanity_tqdm,
            "train": self.init_train_tqdm,
            "validation": self.init_validation_tqdm,
            "test": self.init_test_tqdm,
            "predict": self.init_predict_tqdm,
        }
        return made[kind]()

    def _made(self, description: str, *, leave: bool, below: bool = False) -> Bar:
        return _tqdm()(
            desc=description,
            position=2 * self._process_position + below,
            disable=self.is_disabled or self._lines,
            leave=leave,
            dynamic_ncols=True,
            file=sys.stderr,
            smoothing=0,
            delay=1e-9,  # it is not drawn before it is known what it shows
            bar_format=self.BAR_FORMAT,
        )

    def _shown(self, kind: Kind) -> Bar:
        if kind not in self._bars:
            if not self._stage:
                raise TypeError(f"{type(self).__name__} shows no bar of '{kind}' at the moment")
            # Who adorns a bar need not know that it is not drawn yet, or that nobody sees it.
            if not (self._lines or self.is_disabled or _on_screen()):
                self.print_lines()
            self._bars[kind] = self._init(kind)
        return self._bars[kind]

    def _close(self, kind: Kind) -> None:
        bar = self._bars.pop(kind, None)
        if bar is not None:
            bar.close()


def _tqdm() -> Callable[..., Bar]:
    """The class for this terminal or notebook."""
    try:
        if find_spec("ipywidgets") is None:
            from tqdm import tqdm  # type: ignore[import-untyped]
        else:
            from tqdm.auto import tqdm  # type: ignore[import-untyped]
    except ImportError as error:
        raise UsageError(
            "TQDMProgressBar needs tqdm, which is not installed",
            hint="pip install tqdm, or take RichProgressBar.",
        ) from error
    made: Callable[..., Bar] = tqdm
    return made


def _on_screen() -> bool:
    return sys.stderr.isatty() or "ipykernel" in sys.modules
