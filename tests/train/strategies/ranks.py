"""Modules, data and trainers that the tests of several processes share."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import lifecycle as pl
from lifecycle.callbacks import ModelCheckpoint
from lifecycle.core.errors import UsageError
from lifecycle.strategies import DDPStrategy, FSDPStrategy
from lifecycle.utilities import rank_zero_only


def samples(count: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(count, 6, generator=generator)
    return TensorDataset(inputs, (inputs.sum(dim=1) > 0).long())


class Classifier(pl.Module):
    """Dropout and batch normalisation only where they are asked for: both depend on who has which samples."""

    def __init__(self, *, dropout: float = 0.0, normalised: bool = False) -> None:
        super().__init__()
        from torchmetrics.classification import MulticlassAccuracy

        torch.manual_seed(11)
        self.net = nn.Sequential(
            nn.Linear(6, 8),
            nn.BatchNorm1d(8) if normalised else nn.Identity(),
            nn.Tanh(),
            nn.Dropout(dropout),
            nn.Linear(8, 2),
        )
        self.accuracy = MulticlassAccuracy(2, average="micro")
        self.train_accuracy = MulticlassAccuracy(2, average="micro")

    def forward(self, inputs: Tensor) -> Tensor:
        return self.net(inputs)  # type: ignore[no-any-return]

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        logits = self(batch[0])
        loss = cross_entropy(logits, batch[1])
        self.train_accuracy(logits, batch[1])
        self.log("loss", loss, on_step=True, on_epoch=True, sync_dist=True)
        self.log("train_acc", self.train_accuracy, on_step=False, on_epoch=True)
        self.log("seen", float(len(batch[0])), reduce_fx="sum", on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self._score(batch, "val")

    def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self._score(batch, "test")

    def _score(self, batch: list[Tensor], split: str) -> None:
        logits = self(batch[0])
        self.accuracy(logits, batch[1])
        self.log(f"{split}_acc", self.accuracy)
        self.log(f"{split}_loss", cross_entropy(logits, batch[1]))
        self.log(f"{split}_count", float(len(batch[0])), reduce_fx="sum")
        self.log(f"{split}_least", logits.min(), reduce_fx="min")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=0.05)


def weights(module: nn.Module) -> list[float]:
    return [float(v) for p in module.state_dict().values() for v in p.double().flatten()]


def trainer(folder: Path, **options: Any) -> pl.Trainer:
    quiet: dict[str, Any] = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "num_sanity_val_steps": 0,
        "default_root_dir": folder,
    }
    return pl.Trainer(**{**quiet, "max_epochs": 2, **options})


def batches(size: int, count: int = 26, *, shuffle: bool = True) -> DataLoader[Any]:
    """Batches of `size` for all processes together."""
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    return DataLoader(samples(count), size // ranks, shuffle=shuffle)


def fit(folder: Path) -> Any:
    """An even data set, shuffled: as one process with the doubled batch."""
    module, used = Classifier(), trainer(folder)
    used.fit(module, batches(8, 24), batches(8, 13, shuffle=False))
    return {
        "weights": weights(module),
        "metrics": {name: float(value) for name, value in sorted(used.callback_metrics.items())},
        "world": [used.global_rank, used.local_rank, used.world_size, used.num_nodes, used.node_rank],
        "zero": used.is_global_zero,
        "strategy": type(used.strategy).__name__,
    }


def score(folder: Path) -> Any:
    """13 samples: one process has one more than the other."""
    found = trainer(folder).test(Classifier(), batches(4, 13, shuffle=False), verbose=False)
    one = trainer(folder).test(Classifier(), batches(2, 1, shuffle=False), verbose=False)
    return [found, one]


def accumulate(folder: Path) -> Any:
    """Windows of 3 batches, the last of the epoch shorter: all-reduces are counted where torch makes them."""
    from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

    counted = []

    def counting(state, bucket):  # type: ignore[no-untyped-def]  # torch insists on types or none
        counted.append(bucket.index())
        return allreduce_hook(state, bucket)

    strategy = DDPStrategy(ddp_comm_hook=counting) if "RANK" in os.environ else "auto"
    module, used = Classifier(), trainer(folder, accumulate_grad_batches=3, max_epochs=1, strategy=strategy)
    used.fit(module, batches(4, 28))
    return {"weights": weights(module), "steps": used.global_step, "all_reduces": counted}


def scored_first(folder: Path) -> Any:
    """Fits with memory that FSDP has made for a validation, a test or a prediction."""
    module, used = Classifier(), trainer(folder, strategy=_divided(), max_epochs=1)
    used.validate(module, batches(4, 13, shuffle=False), verbose=False)
    used.fit(module, batches(8, 24))
    return [float(v) for p in used.strategy.state_dict(module).values() for v in p.double().flatten()]


def places(folder: Path) -> Any:
    """Where files of the run are, as each process knows it."""
    from lifecycle.loggers import CSVLogger

    found = []
    for everywhere in (True, False):  # or made for the first process alone
        used = trainer(folder, max_epochs=1)
        if everywhere or used.is_global_zero:
            used.loggers = [CSVLogger(folder, name="kept", version=int(everywhere))]
        used.fit(Classifier(), batches(8, 24))
        logger: Any = used.logger
        found.append([used.log_dir, logger.log_dir, logger.save_dir, logger.name, logger.version])
    return found


class Pair(NamedTuple):
    first: Any
    second: Any


def gathers(folder: Path) -> Any:
    """A named tuple; then rows of which one process has more."""
    module, used = Classifier(), trainer(folder, max_epochs=1, limit_train_batches=1)
    used.fit(module, batches(8, 24))
    pair = module.all_gather(Pair(torch.tensor(1.0), 2))
    said = ""
    try:
        module.all_gather(torch.zeros(3 + used.global_rank, 2))
    except UsageError as error:
        said = str(error)
    ragged = [list(each.shape) for each in used.strategy.gathered(torch.zeros(3 + used.global_rank, 2))]
    return [type(pair).__name__, pair.first.tolist(), pair.second.tolist(), said, ragged]


class Stops(pl.Callback):
    """Ends a fit as if it was killed, after so many batches."""

    def __init__(self, after: int) -> None:
        self.after = after

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        if trainer.batch_step == self.after:
            raise KeyboardInterrupt


def _resumed(folder: Path, after: int, **options: Any) -> Any:
    """What a fit ends with that was cut off and went on from its newest checkpoint."""

    def saving() -> ModelCheckpoint:
        return ModelCheckpoint(folder / "kept", every_n_train_steps=1, monitor=None, save_last=True)

    def made() -> Classifier:
        return Classifier(dropout=0.3, normalised=True)

    loaders = batches(4, 24), batches(4, 13, shuffle=False)
    with contextlib.suppress(KeyboardInterrupt):
        trainer(folder, callbacks=[Stops(after), saving()], enable_checkpointing=True, **options).fit(
            made(), *loaders
        )
    module = made()
    used = trainer(folder, callbacks=[saving()], enable_checkpointing=True, **options)
    used.fit(module, *loaders, ckpt_path="last")
    return _outcome(module, used)


def _outcome(module: Classifier, used: pl.Trainer) -> Any:
    return {
        "weights": weights(module),
        "optimizer": [float(v) for s in used.optimizers[0].state.values() for v in s["exp_avg"].flatten()],
        "metrics": {name: float(value) for name, value in sorted(used.callback_metrics.items())},
        "best": used.checkpoint_callback.best_model_path if used.checkpoint_callback else "",
    }


def undisturbed(folder: Path) -> Any:
    module, used = Classifier(dropout=0.3, normalised=True), trainer(folder)
    used.fit(module, batches(4, 24), batches(4, 13, shuffle=False))
    return _outcome(module, used)


def resumed(folder: Path) -> Any:
    """Cut off in the middle of the second epoch, whose metrics are half summed up."""
    return _resumed(folder, after=9)


def uneven(folder: Path) -> Any:
    rank = int(os.environ.get("RANK", "0"))
    trainer(folder, use_distributed_sampler=False).fit(Classifier(), DataLoader(samples(8 + 4 * rank), 4))


class Stream(IterableDataset[Any]):
    """As many samples as the process has, which it does not say."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[Any]:
        return (samples(64)[index] for index in range(self.count))


def uneven_stream(folder: Path) -> Any:
    rank = int(os.environ.get("RANK", "0"))
    trainer(folder).fit(Classifier(), DataLoader(Stream(8 + 4 * rank), 4))


def even_stream(folder: Path) -> Any:
    used = trainer(folder, max_epochs=1)
    used.fit(Classifier(), DataLoader(Stream(8), 4))
    return used.global_step


def collectives(folder: Path) -> Any:
    """What modules and callbacks ask of all processes."""
    module, used = Classifier(), trainer(folder, max_epochs=1, limit_train_batches=1)
    used.fit(module, batches(8, 24))
    rank = used.global_rank
    strategy = used.strategy
    value = torch.tensor([float(rank)], requires_grad=True)
    (module.all_gather(value, sync_grads=True).sum() * (rank + 1)).backward()  # type: ignore[no-untyped-call]
    return {
        "gathered": {k: v.tolist() for k, v in module.all_gather({"a": value, "b": 2 + rank}).items()},
        "gradient": value.grad.tolist() if value.grad is not None else None,
        "broadcast": strategy.broadcast({"from": rank, "tensor": [1.5]}),
        "lengths": [len(each) for each in strategy.gathered("x" * (10 + 5000 * rank))],
        "mean": strategy.reduce(value).tolist(),
        "max": strategy.reduce(value, reduce_op="max").tolist(),
        "all": strategy.reduce_boolean_decision(rank == 0),
        "any": strategy.reduce_boolean_decision(rank == 0, all=False),
        "only": rank_zero_only(lambda: "ran")(),
        "sampler": used.distributed_sampler_kwargs,
    }


def _divided() -> Any:
    return FSDPStrategy(auto_wrap_policy={nn.Linear}) if "RANK" in os.environ else "auto"


def divided(folder: Path) -> Any:
    """Each parameter in two parts; an uneven validation set."""
    module, used = Classifier(), trainer(folder, strategy=_divided(), gradient_clip_val=0.5)
    used.fit(module, batches(8, 24), batches(4, 13, shuffle=False))
    kinds = {type(p.data).__name__ for p in module.parameters()}
    path = folder / "whole.ckpt"
    used.save_checkpoint(path)
    return {
        "weights": [
            float(v) for p in used.strategy.state_dict(module).values() for v in p.double().flatten()
        ],
        "metrics": {name: float(value) for name, value in sorted(used.callback_metrics.items())},
        "kinds": sorted(kinds),
        "ckpt": str(path),
    }


class Counted(nn.Linear):
    """Says how often it was run, and in which type."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.runs: list[str] = []

    def forward(self, input: Tensor) -> Tensor:
        self.runs.append(str(self.weight.dtype))
        return super().forward(input)


# As they stand in a pipeline file; the layers have 56 and 18 parameters.
DIVISIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "whole": ({}, {}),
    "by size": ({"auto_wrap_policy": 20}, {}),
    "by name": ({"auto_wrap_policy": ["Linear"]}, {}),
    "recomputed": ({"auto_wrap_policy": ["Linear"], "activation_checkpointing_policy": ["Counted"]}, {}),
    "offloaded": ({"auto_wrap_policy": ["Linear"], "cpu_offload": True}, {}),
    "kept": ({"reshard_after_forward": False}, {"fused": True}),
    "compiled": ({"auto_wrap_policy": ["Linear"]}, {"compile": {"backend": "eager"}}),
    "mixed": ({}, {"precision": "bf16-mixed"}),
    "typed": ({"mixed_precision": {"param_dtype": "bfloat16", "reduce_dtype": "float32"}}, {}),
}


def divisions(folder: Path) -> Any:
    """One epoch with each way of dividing a module; the module of one process is not divided at all."""
    from torch.distributed.fsdp import FSDPModule

    found = {}
    for name, (options, more) in DIVISIONS.items():
        module = Classifier()
        module.net[0] = (counted := Counted(6, 8))
        strategy: Any = {"name": "fsdp", **options} if "RANK" in os.environ else "auto"
        used = trainer(folder, strategy=strategy, max_epochs=1, **more)
        with warnings.catch_warnings():
            # torch's compiler looks at a parameter that FSDP has put together, and warns of itself
            warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
            used.fit(module, batches(8, 24))
        found[name] = {
            "weights": [
                float(v) for p in used.strategy.state_dict(module).values() for v in p.double().flatten()
            ],
            "parts": [part for part, each in module.named_modules() if isinstance(each, FSDPModule)],
            "runs": counted.runs,
            "kept": str(next(module.parameters()).dtype),
        }
    return found


def compiled(folder: Path) -> Any:
    """Wrapped for the exchange of gradients after it is compiled."""
    module = Classifier()
    trainer(folder, compile={"backend": "aot_eager"}).fit(
        module, batches(8, 24), batches(8, 13, shuffle=False)
    )
    return weights(module)


def divided_resumed(folder: Path) -> Any:
    """Goes on with the whole state that one process, or two with DDP, would go on with."""

    def fit(epochs: int, path: Path | None) -> Any:
        module = Classifier(dropout=0.3)
        used = trainer(folder, strategy=_divided(), max_epochs=epochs, accumulate_grad_batches=2)
        used.fit(module, batches(4, 24), ckpt_path=path)
        return module, used

    _, first = fit(1, None)
    first.save_checkpoint(folder / "first.ckpt")
    outcomes = []
    for path in (folder / "first.ckpt", None):
        module, used = fit(2, path)
        state = used.strategy.optimizer_state(module, used.optimizers[0])["state"]
        outcomes.append(
            [float(v) for p in used.strategy.state_dict(module).values() for v in p.double().flatten()]
            + [float(v) for values in state.values() for v in values["exp_avg"].flatten()]
        )
    return outcomes
