"""Register: checkpoint, bundle and evaluation in, a version in MLflow's registry out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, ClassVar, cast

from lifecycle.card.card import Card
from lifecycle.core.artifact import Artifact, Draft
from lifecycle.core.asked import check_asked
from lifecycle.core.canonical import JSON, readable_json
from lifecycle.core.errors import LifecycleError
from lifecycle.core.stage import Context, Stage
from lifecycle.core.within import Word, check_limits
from lifecycle.registry import ALIAS as FORM
from lifecycle.registry import CHAMPION, PREVIOUS, RESERVED
from lifecycle.stages.facts import facts_of
from lifecycle.tracking import RecordedRun

if TYPE_CHECKING:
    from lifecycle.train.loggers.mlflow_run import MLFlowRun


ALIAS = Word(
    pattern=FORM,
    never=f"{CHAMPION}|{PREVIOUS}|{RESERVED}",
    said="a word that is not reserved, such as challenger",
)


@dataclass(frozen=True, kw_only=True)
class Register(Stage):
    """Register the version, with the gates that promotion will apply, under an alias.

    Attributes:
        alias: What the version is called until it is promoted.
        gates: Thresholds by metric, from ``gates:`` of the pipeline file.
    """

    consumes: ClassVar[tuple[str, ...]] = ("checkpoint", "bundle", "evaluation")
    produces: ClassVar[str] = "version"
    libraries: ClassVar[tuple[str, ...]] = ()
    reads_project: ClassVar[bool] = False

    alias: Annotated[str, ALIAS] = "challenger"
    gates: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_limits(self)

    def run(self, given: Mapping[str, Artifact], into: Path, context: Context) -> Artifact:
        """Register once; the same content again is the same version."""
        from lifecycle.connection import shown
        from lifecycle.registration import DESCRIPTION, register
        from lifecycle.registry import set_alias

        check_asked(context.asked, "test", given["evaluation"].numbers())
        writer = _writer(context)
        card = self._card(given, context)
        version = register(
            writer.client,
            context.project.name,
            bundle=given["bundle"],
            evaluation=given["evaluation"],
            checkpoint=given["checkpoint"],
            gates=cast("Mapping[str, JSON]", self.gates),
            run_id=writer.run_id,
            description=card.to_markdown(DESCRIPTION),
        )
        set_alias(writer.client, version, self.alias)
        with (
            TemporaryDirectory() as folder
        ):  # beside the artifact: the card tells times, which differ each time
            (Path(folder) / "card.md").write_text(card.to_markdown())
            writer.log_artifacts(Path(folder))
        content: JSON = {"name": version.name, "number": version.number, "digest": version.digest}
        with Draft(into) as draft:
            (draft.path / "version.json").write_bytes(readable_json(content))
            facts = facts_of(self, context, {}, registry=shown(str(writer.client.tracking_uri)))
            return draft.seal("version", parent=given["bundle"], facts=facts)

    def _card(self, given: Mapping[str, Artifact], context: Context) -> Card:
        from lifecycle.card.compose import Known, compose

        project = context.project
        return compose(
            Known(
                name=project.name,
                steps=context.steps,
                bundle=given["bundle"],
                evaluation=given["evaluation"],
                budget=context.budget,
                gates=cast("Mapping[str, Mapping[str, float]]", self.gates),
                about={
                    "model": project.model.summary(project.root),
                    "data": project.data.summary(project.root),
                },
            )
        )

    def holds(self, artifact: Artifact, context: Context) -> bool:
        """Whether the registry still has the version under the alias."""
        from lifecycle.registry import alias_of

        content = artifact.read_json("version.json")
        found = alias_of(_writer(context).client, str(content["name"]), self.alias)
        return found is not None and (found.number, found.digest) == (content["number"], content["digest"])


def _writer(context: Context) -> MLFlowRun:
    if not isinstance(context.tracker, RecordedRun):
        raise LifecycleError(
            "register needs MLflow: its tracker writes nowhere", hint="Run it through a pipeline."
        )
    return context.tracker.live()
