"""Data as one object: loaders for each purpose."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lifecycle.core.errors import UsageError
from lifecycle.train.batch import batch_size, move_batch, move_data_to_device, tensors
from lifecycle.train.combined import flatten, is_batches
from lifecycle.train.feeds.base import length_of
from lifecycle.train.fingerprint import fingerprint
from lifecycle.train.hparams import HyperParameters, arguments_from, saved

if TYPE_CHECKING:
    from lifecycle.train.trainer import Trainer

__all__ = [
    "DataModule",
    "Loader",
    "batch_size",
    "fingerprint",
    "has_loader",
    "move_batch",
    "move_data_to_device",
    "tensors",
]

Loader: TypeAlias = Iterable[object]
Loaders: TypeAlias = "Loader | Sequence[Loader] | Mapping[str, Loader]"  # nested at will
Datasets: TypeAlias = "Dataset[Any] | Sequence[Dataset[Any]] | Mapping[str, Dataset[Any]]"

SPLITS = ("train", "val", "test", "predict")


class DataModule:
    """Where a user says how data is prepared, split and loaded.

    `prepare_data` downloads once; `setup` splits, for ``"fit"``, ``"validate"``, ``"test"`` or
    ``"predict"``; the four ``*_dataloader`` methods return what to iterate over.

    Attributes:
        name: What users call it.
        trainer: The trainer at work, or the last one.
        prepare_data_per_node: Whether a process of each machine calls `prepare_data`; else the first of all
            does.
        allow_zero_length_dataloader_with_multiple_devices: Of no effect on one device.
    """

    name: str | None = None
    trainer: Trainer | None = None
    prepare_data_per_node: bool = True
    allow_zero_length_dataloader_with_multiple_devices: bool = False
    _hparams: HyperParameters | None = None  # subclasses need not call __init__
    _hparams_initial: HyperParameters | None = None
    _log_hyperparams: bool = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    @classmethod
    def from_datasets(
        cls,
        train_dataset: Datasets | None = None,
        val_dataset: Datasets | None = None,
        test_dataset: Datasets | None = None,
        predict_dataset: Datasets | None = None,
        batch_size: int = 1,
        num_workers: int = 0,
        **datamodule_kwargs: Any,
    ) -> Self:
        """Make a data module of data sets, or of collections of them; the training data is shuffled.

        Args:
            train_dataset: For ``fit``.
            val_dataset: For ``fit`` and ``validate``.
            test_dataset: For ``test``.
            predict_dataset: For ``predict``.
            batch_size: Of every loader; passed on to ``__init__`` if that takes it.
            num_workers: Likewise.
            datamodule_kwargs: Passed on to ``__init__``.
        """
        options = {"batch_size": batch_size, "num_workers": num_workers}
        taken = inspect.signature(cls).parameters
        spread = any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values())
        passed = {name: value for name, value in options.items() if spread or name in taken}
        data = cls(**datamodule_kwargs, **passed)
        datasets = (train_dataset, val_dataset, test_dataset, predict_dataset)
        for split, given in zip(SPLITS, datasets, strict=True):
            if given is not None:
                setattr(data, f"{split}_dataloader", _maker(given, shuffle=split == "train", **options))
        return data

    def prepare_data(self) -> None:
        """Fetch what is not there yet; must not set attributes."""

    def setup(self, stage: str) -> None:
        """Make the data sets for a stage."""

    def teardown(self, stage: str) -> None:
        """Let go of what `setup` took."""

    def train_dataloader(self) -> Loaders:
        """Batches to train on."""
        raise UsageError(_missing(self, "train_dataloader"))

    def val_dataloader(self) -> Loaders:
        """Batches to choose models by."""
        raise UsageError(_missing(self, "val_dataloader"))

    def test_dataloader(self) -> Loaders:
        """Batches to judge the chosen model by, once."""
        raise UsageError(_missing(self, "test_dataloader"))

    def predict_dataloader(self) -> Loaders:
        """Batches without labels."""
        raise UsageError(_missing(self, "predict_dataloader"))

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Change a batch before it goes to the device."""
        return batch

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Bring a batch to the device."""
        return move_batch(batch, device)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Change a batch on the device."""
        return batch

    def on_exception(self, exception: BaseException) -> None:
        """The trainer was interrupted by an error."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of it: tensors and plain values."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""

    def fingerprint(self) -> str | None:
        """A text that changes when the data does; None has it computed from what the loaders give."""
        return None

    def save_hyperparameters(
        self,
        *args: Any,
        ignore: Sequence[str] | str | None = None,
        frame: FrameType | None = None,
        logger: bool = True,
    ) -> None:
        """Keep the arguments of ``__init__``, those named, or what is given, as `hparams`; call it there."""
        here = inspect.currentframe()
        found = saved(self.hparams, args, ignore, frame or (here.f_back if here else None))
        self._hparams, self._hparams_initial, self._log_hyperparams = found, found.copied(), logger

    @property
    def hparams(self) -> HyperParameters:
        """The arguments that `save_hyperparameters` kept."""
        if self._hparams is None:
            self._hparams = HyperParameters()
        return self._hparams

    @property
    def hparams_initial(self) -> HyperParameters:
        """What `save_hyperparameters` kept, whatever was changed since."""
        return HyperParameters() if self._hparams_initial is None else self._hparams_initial.copied()

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path,
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """Make the data module with the arguments that a ``.ckpt`` holds, and give it its state.

        Args:
            checkpoint_path: The file.
            map_location: Where tensors of the state go.
            hparams_file: Holds the arguments instead, as YAML or CSV.
            weights_only: Of no effect: nothing but tensors and plain values is ever read.
            kwargs: Arguments that replace those of the checkpoint.
        """
        from lifecycle.train.checkpoint import load_ckpt

        content = load_ckpt(Path(checkpoint_path), map_location or "cpu")
        data = cls(**arguments_from(content, cls, kwargs, "datamodule_", hparams_file))
        if cls.__qualname__ in content:
            data.load_state_dict(content[cls.__qualname__])  # type: ignore[arg-type]
        return data

    def __str__(self) -> str:
        """The sizes of the data sets that are set up."""
        titles = ("Train", "Validation", "Test", "Predict")
        return "\n".join(
            f"{{{title} dataloader: {_sizes(self, f'{split}_dataloader')}}}"
            for title, split in zip(titles, SPLITS, strict=True)
        )


def _maker(datasets: Datasets, *, shuffle: bool, batch_size: int, num_workers: int) -> Callable[[], Loaders]:
    """What makes the loaders of data sets, in the same collections."""

    def made(dataset: Any) -> Any:
        if isinstance(dataset, Mapping):
            return {key: made(part) for key, part in dataset.items()}
        if isinstance(dataset, list | tuple):
            return [made(part) for part in dataset]
        return DataLoader(
            dataset,
            batch_size,
            shuffle=shuffle and not isinstance(dataset, IterableDataset),
            num_workers=num_workers,
            pin_memory=torch.accelerator.is_available(),
        )

    return lambda: made(datasets)


def _sizes(data: DataModule, name: str) -> str:
    if not has_loader(data, name):
        return "None"
    try:
        loaders = getattr(data, name)()
    except Exception:  # whatever a loader may raise that is not set up yet
        return "None"
    if is_batches(loaders):
        return f"size={_samples(loaders)}"
    several = enumerate(flatten(loaders, is_batches), 1)
    return " ; ".join(f"{index}. size={_samples(loader)}" for index, loader in several)


def _samples(loader: object) -> int | str:
    length = length_of(getattr(loader, "dataset", None))
    return "NA" if length is None else length


def _missing(data: DataModule, name: str) -> str:
    return f"{type(data).__name__} defines no {name}; add `def {name}(self): return DataLoader(...)`"


def has_loader(data: DataModule, name: str) -> bool:
    """Whether the user wrote this loader."""
    return name in vars(data) or getattr(type(data), name) is not getattr(DataModule, name)
