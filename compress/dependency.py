"""torch-pruning's dependency graph of a module: which layers lose channels together."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lifecycle.core.errors import UsageError

if TYPE_CHECKING:
    from torch_pruning.dependency import DependencyGraph


@contextmanager
def dependencies(module: nn.Module, example: tuple[Tensor, ...]) -> Iterator[DependencyGraph]:
    """Trace one forward pass.

    Args:
        module: In evaluation mode, its parameters requiring gradients.
        example: Inputs of forward.

    Raises:
        UsageError: forward's result does not depend on its parameters through autograd, or it fails.
    """
    import torch_pruning

    with torch.enable_grad(), warnings.catch_warnings():
        # It warns of parameters that belong to no layer; they follow the layers that they are added to.
        warnings.simplefilter("ignore")
        try:
            graph = torch_pruning.DependencyGraph().build_dependency(module, example_inputs=example)
        except (AttributeError, RuntimeError, TypeError, ValueError, IndexError, KeyError) as error:
            raise UsageError(
                f"which channels of {type(module).__name__} depend on each other cannot be traced: {error}",
                hint="forward must be one differentiable computation on the example input",
            ) from error
        yield graph
