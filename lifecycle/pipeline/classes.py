"""The user's classes, checked as text before anything runs: their arguments, and which data there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lifecycle.core.canonical import JSON
from lifecycle.core.class_text import Parameter
from lifecycle.core.config import Config, convert
from lifecycle.core.errors import UsageError
from lifecycle.core.reference import Reference
from lifecycle.core.secrets import references
from lifecycle.core.stage import Project, Stage


def reference_of(config: Config, key: str, text: str) -> Reference:
    """The class that a key names.

    Raises:
        UsageError: it names none; says where.
    """
    try:
        return Reference(text)
    except UsageError as error:
        raise UsageError(f"{config.origin((key,))}: '{key}': {error.message}", hint=error.hint) from None


def check_arguments(config: Config, project: Project) -> None:
    """See that both classes are there and can be called with their arguments.

    Raises:
        UsageError: there is no such class or argument, one is missing, or is of another type.
    """
    both = (("model", project.model, project.model_args), ("data", project.data, project.data_args))
    for key, reference, given in both:
        try:
            reference.check(project.root, given)
            known = reference.parameters(project.root)
        except UsageError as error:
            place = config.origin((key,))
            raise UsageError(f"{place}: '{key}': {error.message}", hint=error.hint) from error
        if known is not None:
            _check_given(config, key, reference, known, given)


def _check_given(
    config: Config,
    key: str,
    reference: Reference,
    known: Mapping[str, Parameter],
    given: Mapping[str, JSON],
) -> None:
    arguments = f"{key}_args"
    lacking = [name for name, each in known.items() if each.required and name not in given]
    if lacking:
        raise UsageError(
            f"{config.origin((arguments,) if given else (key,))}: {reference.text} needs "
            f"{', '.join(map(repr, lacking))}, which {arguments} does not give",
            hint=f"Write {arguments}: {{{', '.join(f'{name}: …' for name in lacking)}}}, or give defaults.",
        )
    for name, value in given.items():
        parameter = known[name]
        if any(references(value)):
            continue
        if not parameter.annotation and parameter.number and _mend(value):
            raise UsageError(
                f"{config.origin((arguments, name))}: '{arguments}.{name}' is {value!r}, a text, and "
                f"{reference.text} takes a number",
                hint=_mend(value),
            )
        if parameter.type is None:
            continue
        place = f"{config.origin((arguments, name))}: '{arguments}.{name}'"
        try:
            convert(parameter.type, value, place, exactly=True)
        except UsageError as error:
            wanted = f"{reference.text} takes {name}: {parameter.annotation}"
            raise UsageError(f"{error.message}; {wanted}", hint=_mend(value)) from None


def _mend(value: JSON) -> str:
    """What YAML takes for text though a number is meant."""
    if not isinstance(value, str):
        return ""
    try:
        return f"YAML reads {value} as text; as a number it is {float(value)!r}."
    except ValueError:
        return ""


def check_splits(config: Config, project: Project, stages: Mapping[str, Stage]) -> None:
    """See that the DataModule has the loaders that stages cannot do without, as far as its text tells.

    Raises:
        UsageError: it has not; says which stage needs it.
    """
    text = project.data.text_of(project.root)
    for split, stage in splits_of(stages):
        if text is None or model_may_load(project, split):
            continue
        if text.defines(f"{split}_dataloader") is False:
            error = lacks_split(project, split, stage)
            raise UsageError(f"{config.origin(('data',))}: {error.message}", hint=error.hint)


def model_may_load(project: Project, split: str) -> bool:
    """Whether the model's own text speaks of the loader of a split: then it need not be the data's."""
    loader, text = f"{split}_dataloader", project.model.text_of(project.root)
    if text is None or text.defines(loader) is False:
        return False
    return any(loader in path.read_text() for path in project.model.sources(project.root).values())


def splits_of(stages: Mapping[str, Stage]) -> Iterator[tuple[str, str]]:
    """The splits that stages need, each with the first stage that does."""
    seen = set()
    for name, stage in stages.items():
        for split in getattr(stage, "splits", ()):
            if split not in seen:
                seen.add(split)
                yield split, name


def lacks_split(project: Project, split: str, stage: str) -> UsageError:
    """What to say of data without a split that a stage needs."""
    return UsageError(
        f"{project.data.text} has no {split}_dataloader, and the stage '{stage}' cannot do without",
        hint=f"Set some samples apart in setup, and return them: "
        f"def {split}_dataloader(self): return DataLoader(…)",
    )
