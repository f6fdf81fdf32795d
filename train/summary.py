"""What a module consists of: its layers with their types, parameters, sizes and operations, as a table."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.flop_counter import FlopCounterMode

from lifecycle.core.errors import UsageError
from lifecycle.train.modes import mode_of
from lifecycle.train.nested import map_tensors
from lifecycle.train.precision import Precision
from lifecycle.train.summary_text import Columns, Size, human_count, size_text, table_text, totals_of

UNKNOWN = "?"
NOT_APPLICABLE = "n/a"


@dataclass(frozen=True, kw_only=True)
class LayerSummary:
    """One layer.

    Attributes:
        name: Its path in the module.
        layer_type: Its class.
        num_parameters: In it and everything below it.
        training: Whether it is in training mode.
        in_size: Shape of its input, nested as its arguments are; ``?`` when the layer was not run.
        out_size: Shape of its output, likewise.
        flops: Floating-point operations, a multiplication and an addition counted as two.
    """

    name: str
    layer_type: str
    num_parameters: int
    training: bool
    in_size: Size = UNKNOWN
    out_size: Size = UNKNOWN
    flops: int = 0


@dataclass
class _Run:
    """What one call of the module showed."""

    sizes: dict[str, tuple[Size, Size]] = field(default_factory=dict)
    flops: dict[str, int] = field(default_factory=dict)
    total_flops: int = 0


class ModelSummary:
    """The layers of a module down to a depth; ``str()`` of it is a table.

    Sizes and operations are known where the module has an ``example_input_array``, which is run through it
    once, in evaluation mode and without gradients; random generators are left as they were.

    Args:
        model: What to look at.
        max_depth: How deeply nested layers are listed: 1 for the module's own, -1 for all, 0 for none.
        precision: In which types the module computes.

    Raises:
        UsageError: `max_depth` is none of these.
    """

    def __init__(self, model: nn.Module, max_depth: int = 1, *, precision: Precision | None = None) -> None:
        if type(max_depth) is not int or max_depth < -1:
            raise UsageError(f"max_depth={max_depth!r}: expected -1 for all layers, 0 for none, or a depth")
        self._model = model
        self._example = getattr(model, "example_input_array", None)
        listed = {
            name: layer
            for name, layer in model.named_modules()
            if name and (max_depth == -1 or name.count(".") < max_depth)
        }
        run = (
            _Run() if self._example is None else _run(model, self._example, listed, precision or Precision())
        )
        self.total_flops = run.total_flops
        self.layers = [
            LayerSummary(
                name=name,
                layer_type=type(layer).__name__,
                num_parameters=_count(layer.parameters()),
                training=layer.training,
                in_size=run.sizes.get(name, (UNKNOWN, UNKNOWN))[0],
                out_size=run.sizes.get(name, (UNKNOWN, UNKNOWN))[1],
                flops=run.flops.get(name, 0),
            )
            for name, layer in listed.items()
        ]
        if any(is_lazy(parameter) for parameter in model.parameters()):
            warnings.warn(
                "parameters of lazy layers are not counted before the first forward: "
                "set self.example_input_array to have them made",
                stacklevel=2,
            )

    @property
    def total_parameters(self) -> int:
        """In the whole module."""
        return _count(self._model.parameters())

    @property
    def trainable_parameters(self) -> int:
        """Those that have gradients."""
        return _count(p for p in self._model.parameters() if p.requires_grad)

    @property
    def model_size(self) -> float:
        """All parameters, in MB of a million bytes."""
        return sum(p.numel() * p.element_size() for p in self._model.parameters() if not is_lazy(p)) / 1e6

    @property
    def total_training_modes(self) -> dict[str, int]:
        """How many parts are in training mode (``train``) and how many are not (``eval``)."""
        modes = [part.training for part in self._model.modules()][1:]
        return {"train": modes.count(True), "eval": modes.count(False)}

    @property
    def layer_names(self) -> list[str]:
        """Of the listed layers."""
        return [layer.name for layer in self.layers]

    @property
    def layer_types(self) -> list[str]:
        """Of the listed layers."""
        return [layer.layer_type for layer in self.layers]

    @property
    def param_nums(self) -> list[int]:
        """Of the listed layers."""
        return [layer.num_parameters for layer in self.layers]

    @property
    def in_sizes(self) -> list[Size]:
        """Of the listed layers."""
        return [layer.in_size for layer in self.layers]

    @property
    def out_sizes(self) -> list[Size]:
        """Of the listed layers."""
        return [layer.out_size for layer in self.layers]

    @property
    def training_modes(self) -> list[bool]:
        """Of the listed layers."""
        return [layer.training for layer in self.layers]

    def columns(self) -> Columns:
        """The table: a heading and its texts, for each column."""
        layers = self.layers
        columns: Columns = [
            ("", [str(number) for number in range(len(layers))]),
            ("Name", self.layer_names),
            ("Type", self.layer_types),
            ("Params", [human_count(layer.num_parameters) for layer in layers]),
            ("Mode", ["train" if layer.training else "eval" for layer in layers]),
        ]
        if self._example is not None:
            columns += [
                ("FLOPs", [human_count(layer.flops) for layer in layers]),
                ("In sizes", [size_text(layer.in_size) for layer in layers]),
                ("Out sizes", [size_text(layer.out_size) for layer in layers]),
            ]
        own = _count(self._model.parameters(recurse=False))
        if own and layers:
            for heading, texts in columns:
                given = {"": "", "Name": "other params", "Params": human_count(own)}
                texts.append(given.get(heading, NOT_APPLICABLE))
        return columns

    def totals(self) -> list[tuple[str, str]]:
        """What stands below the table: a number and what it is of."""
        return totals_of(
            self.total_parameters,
            self.trainable_parameters,
            self.model_size,
            self.total_training_modes,
            self.total_flops,
        )

    def __str__(self) -> str:
        return table_text(self.columns(), self.totals())

    __repr__ = __str__


def summarize(lightning_module: nn.Module, max_depth: int = 1) -> ModelSummary:
    """The summary of a module; arguments as for `ModelSummary`."""
    return ModelSummary(lightning_module, max_depth)


def _run(model: nn.Module, example: object, listed: Mapping[str, nn.Module], precision: Precision) -> _Run:
    """Call the module with its example, and watch."""
    run = _Run()
    device = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    given = map_tensors(precision.convert_batch(example), lambda tensor: tensor.to(device))
    handles = [
        layer.register_forward_hook(_watch(name, run), with_kwargs=True)
        for name, layer in listed.items()
        if not isinstance(layer, torch.jit.ScriptModule)
    ]
    counter = FlopCounterMode(display=False)
    try:
        with _unnoticed(model, device), precision.context(), counter:
            _call(model, given)
    finally:
        for handle in handles:
            handle.remove()
    root = type(model).__name__
    counts = counter.get_flop_counts()
    run.flops = {name: sum(counts.get(f"{root}.{name}", {}).values()) for name in listed}
    run.total_flops = counter.get_total_flops()
    return run


def _watch(name: str, run: _Run) -> Callable[..., None]:
    def hook(_: nn.Module, args: tuple[object, ...], kwargs: dict[str, object], out: object) -> None:
        given = (*args, *kwargs.values())
        # A layer that is used several times is listed with its first use.
        run.sizes.setdefault(name, (_size(given[0] if len(given) == 1 else given), _size(out)))

    return hook


def _call(model: nn.Module, given: object) -> None:
    if isinstance(given, Mapping):
        model(**given)
    elif isinstance(given, list | tuple):
        model(*given)
    else:
        model(given)


@contextmanager
def _unnoticed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """A fit that follows is the same with and without a summary."""
    with warnings.catch_warnings(), mode_of(model, training=False), torch.no_grad():
        # Counting hooks into every module for a moment, of which compiled ones warn.
        warnings.filterwarnings("ignore", "Using `torch.compile\\(module\\)` when there are global hooks")
        with torch.random.fork_rng([device] if device.type == "cuda" else []), _uncompiled():
            yield


def _uncompiled() -> AbstractContextManager[object]:
    """Run compiled modules as they were written: compiling them for this one call could take minutes."""
    if "torch._dynamo" not in sys.modules:
        return nullcontext()  # nothing is compiled, and importing that takes a second
    stance: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance


def _size(item: object) -> Size:
    if isinstance(item, Tensor):
        return list(item.shape)
    if isinstance(item, Mapping):
        return {str(key): _size(value) for key, value in item.items()}
    if isinstance(item, list | tuple):
        return [_size(part) for part in item]
    return UNKNOWN


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters if not is_lazy(parameter))
