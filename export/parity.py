"""Comparing a file with its module: on samples, random data and edges, over every dynamic axis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from lifecycle.core.errors import LifecycleError, RefusedError, UsageError
from lifecycle.core.signature import Array, Signature, TensorSpec
from lifecycle.export.batches import EDGES, Batch, batches, check_samples
from lifecycle.export.blame import blame
from lifecycle.export.comparison import SHARE, Comparison, Row, rounded_up
from lifecycle.export.divergence import Locator
from lifecycle.export.network import Network, evaluating, threads, to_tensors
from lifecycle.export.runtime import Model
from lifecycle.export.tolerance import Tolerance

Floats = npt.NDArray[np.float64]


class Reference:
    """What the module answers, computed once and compared with every file.

    Args:
        network: Around the module that is right; run in evaluation mode, on one thread.
        samples: Real data: one array to each input, some samples each.

    Raises:
        UsageError: there is no sample, the samples are not as the signature declares, or the module fails at
            a size that the signature allows.

    Attributes:
        network: As given.
    """

    def __init__(self, network: Network, samples: Mapping[str, Array]) -> None:
        self.network = network
        self._locator: Locator | None = None
        self.signature = network.signature
        check_samples(self.signature, samples)
        with evaluating(network), threads(1):
            self._answers = [(batch, _answer(network, batch)) for batch in batches(self.signature, samples)]
        usual = _ranges(self.signature, [item for item in self._answers if item[0].data not in EDGES])
        everywhere = _ranges(self.signature, self._answers)
        # Scores at the edges may be large: they must not widen what is allowed elsewhere.
        self._spans = {batch.data: everywhere if batch.data in EDGES else usual for batch, _ in self._answers}

    def locator(self, network: Network) -> Locator:
        """What finds the first node that differs in a file of a network; kept, since it has to convert it."""
        if self._locator is None or self._locator.network is not network:
            self._locator = Locator(network)
        return self._locator

    def inputs_of(self, row: Row) -> Mapping[str, Array]:
        """The data of one row of a comparison."""
        return next(
            batch.inputs
            for batch, _ in self._answers
            if (batch.data, batch.size, batch.axes) == (row.data, row.batch, row.axes)
        )

    def compare(self, model: Model, tolerance: Tolerance, *, run: str = "as run") -> Comparison:
        """Run a file on all of the data.

        Raises:
            RefusedError: it cannot run a batch, or gives another shape or type.
        """
        rows = [
            row for batch, expected in self._answers for row in self._rows(model, batch, expected, tolerance)
        ]
        return Comparison(format=model.format, run=run, tolerance=tolerance, rows=tuple(rows))

    def _rows(
        self, model: Model, batch: Batch, expected: Mapping[str, Array], tolerance: Tolerance
    ) -> Iterator[Row]:
        try:
            outputs = model.run(batch.inputs)
        except LifecycleError as error:
            raise RefusedError(f"{batch}: {error.message}", hint=error.hint) from error
        for spec in self.signature.outputs:
            got, right = outputs[spec.name], expected[spec.name]
            if got.shape != right.shape or got.dtype != right.dtype:
                raise RefusedError(
                    f"the {model.format} file, on {batch}, gives '{spec.name}' as "
                    f"{got.dtype} {list(got.shape)}, the module as {right.dtype} {list(right.shape)}"
                )
            if right.dtype.kind in "iub":
                yield _discrete_row(batch, spec.name, got, right)
                continue
            span = self._spans[batch.data][spec.name]
            errors = _errors(got.astype(np.float64), right.astype(np.float64)) / span
            scores = is_scores(spec, self.signature)
            top1, tied = _top1(got, right, tolerance.tie * span) if scores else (None, True)
            largest = rounded_up(float(errors.max()), tolerance.max_error)
            yield Row(
                data=batch.data,
                batch=batch.size,
                axes=dict(batch.axes),
                output=spec.name,
                max_error=largest,
                mean_error=rounded_up(float(errors.mean()), tolerance.mean_error),
                top1=top1,
                holds=largest <= tolerance.max_error and tied,
            )


def is_scores(spec: TensorSpec, signature: Signature) -> bool:
    """Whether an output holds a score for each class: floats, classes along the last axis."""
    classes = spec.shape[-1] if spec.shape else 0
    if not isinstance(classes, int) or classes < 2 or np.dtype(spec.dtype).kind != "f":
        return False
    return classes == len(signature.labels) or (not signature.labels and signature.task == "classification")


def _discrete_row(batch: Batch, output: str, got: Array, right: Array) -> Row:
    """Integers are right or wrong: by how much says nothing."""
    differing = rounded_up(float((got != right).mean()), SHARE)
    return Row(
        data=batch.data,
        batch=batch.size,
        axes=dict(batch.axes),
        output=output,
        max_error=differing,
        mean_error=differing,
        top1=None,
        holds=True,
        discrete=True,
    )


def _answer(network: Network, batch: Batch) -> dict[str, Array]:
    try:
        outputs = network(*to_tensors(network.signature, batch.inputs))
    except UsageError:
        raise
    except Exception as error:
        axes = ", ".join(network.signature.dynamic_axes()) or "none"
        raise UsageError(
            f"{type(network.module).__name__} itself fails on {batch}{blame(error)}",
            hint="Say in signature() which values and sizes it takes: range of an input, axes={name: (least, "
            f"greatest)}}; dynamic axes are: {axes}.",
        ) from error
    return {spec.name: out.numpy() for spec, out in zip(network.signature.outputs, outputs, strict=True)}


def _ranges(signature: Signature, answers: list[tuple[Batch, dict[str, Array]]]) -> dict[str, float]:
    return {spec.name: _range([expected[spec.name] for _, expected in answers]) for spec in signature.outputs}


def _range(arrays: list[Array]) -> float:
    values = np.concatenate([array.astype(np.float64).ravel() for array in arrays])
    values = values[np.isfinite(values)]
    if values.size == 0:
        return 1.0
    return float(values.max() - values.min()) or float(np.abs(values).max()) or 1.0


def _errors(got: Floats, expected: Floats) -> Floats:
    """Absolute differences; none between equal infinities or two NaN, infinite where only one is finite."""
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        apart = np.abs(got - expected)
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


def _top1(got: Array, expected: Array, tie: float) -> tuple[float, bool]:
    """Share of samples with the same best class, and whether the others are ties by the module's scores."""
    best, chosen = expected.argmax(axis=-1), got.argmax(axis=-1)
    scores = expected.astype(np.float64)
    lost = scores.max(axis=-1) - np.take_along_axis(scores, chosen[..., None], axis=-1)[..., 0]
    return round(float((best == chosen).mean()), 4), bool((lost <= tie).all())
