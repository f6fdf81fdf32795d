"""From what stages left behind to a model card. Nothing is made up: what is not known is said to be so.

The order of the parts follows Mitchell et al., "Model Cards for Model Reporting" (2019).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from lifecycle.card.card import Card, Section
from lifecycle.card.outcomes import Outcomes, read_outcomes
from lifecycle.core.artifact import Artifact
from lifecycle.core.budget import Budget
from lifecycle.core.canonical import JSON
from lifecycle.core.signature import Signature, TensorSpec, shape_text
from lifecycle.core.threshold import Threshold

COSTS = ("macs", "params", "size_bytes", "latency_ms", "latency_p95_ms")
_FEW = 20  # labels, and classes, that are worth naming


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a card is written from.

    Attributes:
        name: Of the registered model.
        steps: Checkpoints by the stage that made them, in order.
        bundle: The files that will be served.
        evaluation: What was measured on them.
        budget: What compression had to keep to.
        gates: Thresholds of promotion by metric.
        about: What the project's classes say of themselves, by ``model`` and ``data``.
    """

    name: str
    steps: Mapping[str, Artifact] = field(default_factory=dict)
    bundle: Artifact | None = None
    evaluation: Artifact | None = None
    budget: Budget = field(default_factory=Budget)
    gates: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def first(self) -> Artifact | None:
        """The checkpoint of training."""
        return next(iter(self.steps.values()), None)

    @property
    def newest(self) -> Artifact | None:
        """The furthest that the run came."""
        return self.evaluation or self.bundle or next(reversed(list(self.steps.values())), None)

    @property
    def signature(self) -> Signature | None:
        """What the model takes and gives."""
        made = self.bundle or self.first
        return Signature.from_json(made.read_json("signature.json")) if made else None

    @property
    def outcomes(self) -> Outcomes | None:
        """Right and wrong on the test split."""
        if self.evaluation is None:
            return None
        return read_outcomes(self.evaluation.read_json("predictions.json"), "compressed")


def compose(known: Known) -> Card:
    """The card of a model; the same facts give the same card."""
    sections = (_model(known), _data(known), _training(known), _results(known), _compression(known))
    found = [section for section in (*sections, _file(known), _limits(known)) if section is not None]
    task = known.signature.task if known.signature else ""
    what = f"a model for {task}" if task else "a model whose task is not stated"
    return Card(title=known.name, summary=f"{known.name} is {what}.", sections=tuple(found))


def _model(known: Known) -> Section | None:
    newest, signature = known.newest, known.signature
    if newest is None:
        return None
    texts = [f"Made of {_reference(newest, 'model')}."]
    if about := known.about.get("model"):
        texts.append(f"It says of itself: {about}")
    rows: list[tuple[str, ...]] = []
    if signature is not None:
        rows += [_tensor("input", spec) for spec in signature.inputs]
        rows += [_tensor("output", spec) for spec in signature.outputs]
        if signature.labels:
            shown = ", ".join(signature.labels[:_FEW])
            more = f", and {len(signature.labels) - _FEW} more" if len(signature.labels) > _FEW else ""
            texts.append(f"Classes: {shown}{more}.")
        texts.append(f"Licence: {signature.licence or 'not stated'}.")
    texts.append("Intended use: not stated.")
    columns = ("", "name", "type", "shape", "range") if rows else ()
    return Section(title="Model", texts=tuple(texts), columns=columns, rows=tuple(rows))


def _data(known: Known) -> Section | None:
    newest, signature = known.newest, known.signature
    if newest is None:
        return None
    texts = [f"From {_reference(newest, 'data')}."]
    if about := known.about.get("data"):
        texts.append(f"It says of itself: {about}")
    fingerprint = known.evaluation.read_json("metrics.json").get("data") if known.evaluation else None
    texts.append(f"Fingerprint: {str(fingerprint)[:12] if fingerprint else 'not known'}.")
    rows = [
        (name, str(found.samples), f"{found.mean:g}", f"{found.std:g}", f"{found.min:g} to {found.max:g}")
        for name, found in (signature.statistics if signature else {}).items()
    ]
    if rows:
        texts.append("What the inputs looked like in training:")
    columns = ("input", "samples looked at", "mean", "deviation", "from, to") if rows else ()
    return Section(title="Data", texts=tuple(texts), columns=columns, rows=tuple(rows))


def _training(known: Known) -> Section | None:
    first = known.first
    if first is None:
        return None
    config = first.facts.get("config")
    trainer = config.get("trainer") if isinstance(config, Mapping) else None
    options = ", ".join(f"{name} {value}" for name, value in (trainer or {}).items())  # type: ignore[union-attr]
    seed = first.facts.get("seed", "not known")
    texts = [
        f"Trained with {options or 'the defaults of the trainer'}; seed {seed}.",
        f"Made at {first.facts.get('made', 'a time that is not known')}, {_code(first)}.",
    ]
    versions = first.facts.get("versions")
    if isinstance(versions, Mapping):
        texts.append(
            "Libraries: " + ", ".join(f"{name} {text}" for name, text in versions.items() if text) + "."
        )
    rows = tuple((name, f"{value:.4f}") for name, value in first.numbers().items() if name not in COSTS)
    columns = ("on the validation split", "") if rows else ()
    return Section(title="Training", texts=tuple(texts), columns=columns, rows=rows)


def _results(known: Known) -> Section | None:
    if known.evaluation is None:
        return Section(
            title="Results", texts=("Not evaluated on held-out data: how good it is is not known.",)
        )
    outcomes = known.outcomes
    dense = known.evaluation.facts.get("dense")
    before = dense if isinstance(dense, Mapping) else {}
    rows = []
    for name, value in known.evaluation.numbers().items():
        if name not in COSTS:
            interval = "not known"
            if outcomes is not None and outcomes.is_accuracy(value):
                interval = "{:.4f} to {:.4f}".format(*outcomes.interval)
            was = before.get(name)
            rows.append(
                (name, f"{value:.4f}", interval, f"{was:.4f}" if isinstance(was, float | int) else "")
            )
    texts = ["Of the file that is served, on the test split, which decided nothing before."]
    if outcomes is not None:
        texts.append(f"{outcomes.right} of {len(outcomes.targets)} samples were answered as they should be.")
        texts += _weakest(outcomes, known.signature.labels if known.signature else ())
    return Section(
        title="Results",
        texts=tuple(texts),
        columns=("metric", "value", "95 % interval", "dense model"),
        rows=tuple(rows),
    )


def _weakest(outcomes: Outcomes, labels: Sequence[str]) -> Iterator[str]:
    """The classes that are recognised least often, where any sample was missed."""
    matrix = outcomes.matrix(len(labels))
    shares = [(row[place] / sum(row), place, sum(row)) for place, row in enumerate(matrix) if sum(row)]
    missed = [each for each in sorted(shares) if each[0] < 1][:3]
    if missed:
        named = ", ".join(f"{labels[place]} ({share:.3f} of {count})" for share, place, count in missed)
        yield f"Recognised least often: {named}."


def _compression(known: Known) -> Section | None:
    changed = list(known.steps.items())[1:]
    if not changed:
        return Section(title="Compression", texts=("Not compressed.",))
    texts = []
    for name, step in changed:
        config = step.facts.get("config")
        options = config if isinstance(config, Mapping) else {}
        said = ", ".join(f"{key} {value}" for key, value in options.items() if _said(value))
        texts.append(f"{name}: {said}.")
    rows = []
    first = known.first.numbers() if known.first else {}
    for name, step in known.steps.items():
        values = step.numbers()
        shares = [
            f"{values[cost] / first[cost]:.3f}" if cost in values and first.get(cost) else ""
            for cost in ("macs", "params")
        ]
        metric = known.budget.metric
        found = f"{values[metric]:.4f}" if metric in values else ""
        rows.append((name, *shares, found))
    return Section(
        title="Compression",
        texts=tuple(texts),
        columns=("after", "MACs of dense", "parameters of dense", known.budget.metric or "metric"),
        rows=tuple(rows),
    )


def _file(known: Known) -> Section | None:
    if known.bundle is None:
        return None
    parity = known.bundle.read_json("parity.json")
    comparisons = cast("Sequence[Mapping[str, JSON]]", parity.get("comparisons") or ())
    holding = sum(bool(each.get("holds")) for each in comparisons)
    formats = ", ".join(dict.fromkeys(str(each.get("format")) for each in comparisons))
    texts = [
        f"Bundle {known.bundle.digest[:12]}: {formats or 'formats not known'}, "
        f"{parity.get('precision', 'precision not known')}.",
        f"Compared with the module, {holding} of {len(comparisons)} comparisons hold.",
    ]
    values = known.evaluation.numbers() if known.evaluation else {}
    if "size_bytes" in values:
        texts.append(f"The ONNX file has {values['size_bytes'] / 1e3:.1f} kB.")
    if "latency_ms" in values:
        texts.append(
            f"A call takes {values['latency_ms']:.3f} ms (median; 95th percentile "
            f"{values.get('latency_p95_ms', float('nan')):.3f} ms): ONNX Runtime, batch 1, one thread, "
            "on the machine that evaluated it."
        )
    return Section(title="File", texts=tuple(texts))


def _limits(known: Known) -> Section:
    texts = [
        "Measured on one split of one data set: how it does on other data, and for groups of people or "
        "conditions in it, is not known.",
    ]
    signature = known.signature
    ranged = [spec for spec in signature.inputs if spec.range] if signature else []
    if ranged:
        texts.append(
            "Inputs outside these ranges were not tried: "
            + ", ".join(
                f"{spec.name} {spec.range[0]:g} to {spec.range[1]:g}" for spec in ranged if spec.range
            )
            + "."
        )
    held = [f"{name} {value}" for name, value in vars(known.budget).items() if value is not None]
    if known.budget != Budget():
        texts.append(f"Compression had to keep to: {', '.join(held)}.")
    rows = tuple((name, _limit(limits)) for name, limits in known.gates.items())
    if not rows:
        texts.append("No gates are set: `lifecycle promote` will refuse it.")
    return Section(
        title="Limits",
        texts=tuple(texts),
        columns=("promotion asks for", "") if rows else (),
        rows=rows,
    )


def _limit(limits: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in Threshold(**limits).to_json().items())


def _said(value: JSON) -> bool:
    return value is not None and value is not False and value != [] and value != {} and value != ()


def _tensor(role: str, spec: TensorSpec) -> tuple[str, ...]:
    limits = f"{spec.range[0]:g} to {spec.range[1]:g}" if spec.range else "not stated"
    return role, spec.name, spec.dtype, shape_text(spec.shape), limits


def _reference(artifact: Artifact, name: str) -> str:
    found = artifact.facts.get(name)
    if not isinstance(found, Mapping):
        return "a class that is not known"
    arguments = found.get("args")
    given = (
        ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        if isinstance(arguments, Mapping)
        else ""
    )
    return f"{found.get('reference', 'a class that is not known')}{f' with {given}' if given else ''}"


def _code(artifact: Artifact) -> str:
    git = artifact.facts.get("git")
    commit = git.get("commit") if isinstance(git, Mapping) else None
    if not commit:
        return "from code that is in no git repository"
    changed = " with changes that were not committed" if isinstance(git, Mapping) and git.get("dirty") else ""
    return f"from git commit {str(commit)[:12]}{changed}"
