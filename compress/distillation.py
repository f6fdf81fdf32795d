"""`Distillation`: a fit that also learns from a teacher, such as the dense model that was pruned."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lifecycle.compress.knowledge import OutputLoss, output_loss, similarity_loss
from lifecycle.compress.modes import copied
from lifecycle.compress.options import DistillationOptions
from lifecycle.compress.structured_pruning import StructuredPruning
from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.data import tensors

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer


class Distillation(Callback):
    """Add to the loss of ``training_step`` how far the module's outputs are from a teacher's.

    The loss becomes ``(1 - weight) * loss + weight * distance + feature_weight * distances of features``. The
    teacher sees the inputs that the step gives to ``self(…)``, in evaluation mode and without gradients.

    Args:
        teacher: A network with the module's outputs; by default the module as it is when the fit is set up:
            then name this callback before `StructuredPruning`, and, to resume, make the module as before.
        temperature: Softens the scores of both.
        weight: Of the distance of outputs, from 0 to 1; the step's own loss has the rest.
        kind: ``kl`` for scores of classes along axis 1, ``mse`` for other values.
        features: Names of layers to compare as well; a mapping where the teacher's are called otherwise.
        feature_weight: Of the sum of their distances.
    """

    def __init__(
        self,
        teacher: nn.Module | None = None,
        *,
        temperature: float = 4.0,
        weight: float = 0.5,
        kind: OutputLoss = "kl",
        features: Sequence[str] | Mapping[str, str] = (),
        feature_weight: float = 1.0,
    ) -> None:
        DistillationOptions(
            temperature=temperature, weight=weight, kind=kind, feature_weight=feature_weight
        )  # says what is wrong with them
        self.teacher = teacher
        self.temperature = temperature
        self.weight = weight
        self.kind: OutputLoss = kind
        self.features = dict(features) if isinstance(features, Mapping) else {name: name for name in features}
        self.feature_weight = feature_weight
        self._handles: list[RemovableHandle] = []
        self._calls: list[tuple[Any, Any, object]] = []
        self._seen: dict[str, list[Tensor]] = {}
        self._taught: dict[str, list[Tensor]] = {}

    def setup(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """Keep the teacher, and take part in the training step."""
        if stage != "fit":
            return
        if self.teacher is None:
            if any(isinstance(other, StructuredPruning) and other.edits for other in trainer.callbacks):
                raise UsageError(
                    "Distillation stands behind StructuredPruning: its teacher would be the pruned module",
                    hint="name it before, or pass teacher=",
                )
            self.teacher = copied(pl_module)
        self.teacher.eval().requires_grad_(False)
        self._listen(pl_module, self.teacher)
        own: Callable[..., Any] = pl_module.training_step

        @functools.wraps(own)
        def step(*arguments: Any, **named: Any) -> Any:
            return self._step(pl_module, own, arguments, named)

        # As for another forward (`lifecycle.train.forward`): the instance's own step, taken back at the end.
        vars(pl_module)["training_step"] = step

    def on_fit_start(self, trainer: Trainer, pl_module: Module) -> None:
        """The teacher works where the module does."""
        assert self.teacher is not None
        self.teacher.to(pl_module.device)

    def teardown(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """Take part no more."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        vars(pl_module).pop("training_step", None)

    def on_exception(self, trainer: Trainer, pl_module: Module, exception: BaseException) -> None:
        """Take part no more."""
        self.teardown(trainer, pl_module, "fit")

    def _listen(self, module: Module, teacher: nn.Module) -> None:
        """Note what the module is called with and gives, and the features of both."""

        def call(_: nn.Module, arguments: Any, named: Any, output: object) -> None:
            if module.training:
                self._calls.append((arguments, named, output))

        self._handles.append(module.register_forward_hook(call, with_kwargs=True))
        for store, network, names in (
            (self._seen, module, self.features.keys()),
            (self._taught, teacher, self.features.values()),
        ):
            known = dict(network.named_modules())
            for name in names:
                if name not in known:
                    raise UsageError(
                        f"features: {type(network).__name__} has no layer '{name}': "
                        f"{suggest(name, filter(None, known))}"
                    )
                store[name] = []
                self._handles.append(known[name].register_forward_hook(_keep(store[name])))

    def _step(self, module: Module, own: Callable[..., Any], arguments: Any, named: Any) -> Any:
        self._calls.clear()
        for kept in (*self._seen.values(), *self._taught.values()):
            kept.clear()
        found = own(*arguments, **named)
        loss = found["loss"] if isinstance(found, Mapping) else found
        if not isinstance(loss, Tensor):
            raise UsageError(
                f"{type(module).__name__}.training_step returned {type(found).__name__}: Distillation adds "
                "to a loss, which manual optimization does not return"
            )
        if not self._calls:
            raise UsageError(
                f"{type(module).__name__}.training_step never calls self(inputs): Distillation learns from "
                "what the teacher answers to the same inputs"
            )
        distance = self._distance()
        module.log("distill_loss", distance.detach())
        total = (1 - self.weight) * loss + distance
        return {**found, "loss": total} if isinstance(found, Mapping) else total

    def _distance(self) -> Tensor:
        assert self.teacher is not None
        distances = []
        for arguments, named, output in self._calls:
            with torch.no_grad():
                answer = self.teacher(*arguments, **named)
            for one, other in zip(tensors(output), tensors(answer), strict=True):
                if one.is_floating_point():
                    distances.append(
                        self.weight * output_loss(one, other, kind=self.kind, temperature=self.temperature)
                    )
        for name, taught in self.features.items():
            for one, other in zip(self._seen[name], self._taught[taught], strict=True):
                distances.append(self.feature_weight * similarity_loss(one, other))
        return torch.stack(distances).sum() / len(self._calls)


def _keep(kept: list[Tensor]) -> Callable[..., None]:
    def keep(layer: nn.Module, inputs: object, output: object) -> None:
        kept.extend(tensors(output))

    return keep
