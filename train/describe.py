"""What a module takes and gives: from its `signature`, or found out by one run on its example input."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from lifecycle.core.errors import UsageError
from lifecycle.core.signature import Array, Axis, Signature, TensorSpec
from lifecycle.train.modes import mode_of
from lifecycle.train.module import Module

BATCH = "batch"


def signature_of(module: Module) -> Signature:
    """The module's own `signature`, or one derived from ``example_input_array``.

    Derived: inputs are named after forward's parameters, the first axis is dynamic; outputs after the
    keys of a dictionary, else ``output`` (or ``output_0``, …); `postprocess` adds its own.

    Raises:
        UsageError: there is neither, or forward gives something else than tensors.
    """
    declared = module.signature()
    if declared is not None:
        return declared
    examples = example_inputs(module)
    names = list(inspect.signature(type(module).forward).parameters)[1:]
    inputs = tuple(_spec(name, tensor) for name, tensor in zip(names, examples, strict=False))
    with mode_of(module, training=False), torch.inference_mode():
        outputs = module(*examples)
        named = named_outputs(outputs) | dict(module.postprocess(outputs))
    return Signature(inputs=inputs, outputs=tuple(_spec(name, tensor) for name, tensor in named.items()))


def example_inputs(module: Module) -> tuple[Tensor, ...]:
    """A batch for each input: ``example_input_array``, or random values as the signature declares.

    Raises:
        UsageError: the module has neither.
    """
    example = module.example_input_array
    if isinstance(example, Tensor):
        return (example,)
    if example is not None:
        return tuple(example)
    declared = module.signature()
    if declared is None:
        raise UsageError(
            f"{type(module).__name__} does not say what its input looks like: set "
            "self.example_input_array = torch.zeros(2, …) in __init__, or define signature()"
        )
    generator = np.random.default_rng(0)
    return tuple(
        torch.from_numpy(spec.random(generator, **{axis: 2 for axis in spec.shape if isinstance(axis, str)}))
        for spec in declared.inputs
    )


def named_outputs(outputs: object) -> dict[str, Tensor]:
    """What forward gave, by name and in order."""
    if isinstance(outputs, Tensor):
        return {"output": outputs}
    if isinstance(outputs, Mapping) and all(isinstance(value, Tensor) for value in outputs.values()):
        return dict(outputs)
    if isinstance(outputs, list | tuple) and all(isinstance(value, Tensor) for value in outputs):
        return {f"output_{index}": value for index, value in enumerate(outputs)}
    raise UsageError(
        f"forward gave {type(outputs).__name__}; allowed: a tensor, or a sequence or dictionary of tensors"
    )


def arrays(signature: Signature, tensors: tuple[Tensor, ...]) -> dict[str, Array]:
    """Inputs as numpy arrays by their names in the signature."""
    return {spec.name: tensor.numpy() for spec, tensor in zip(signature.inputs, tensors, strict=True)}


def _spec(name: str, tensor: Tensor) -> TensorSpec:
    shape: tuple[Axis, ...] = (BATCH, *tensor.shape[1:])
    return TensorSpec(name=name, dtype=tensor.numpy().dtype.name, shape=shape)
