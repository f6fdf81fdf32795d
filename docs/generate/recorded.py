"""The page of what is recorded in MLflow: runs, tags, metrics, registered versions, ledger."""

from __future__ import annotations

from docs.generate.markdown import table

TITLE = "Runs, versions and tags in MLflow"
RUN = {
    "lifecycle.stage": "the stage that this run was, below the run of its pipeline",
    "lifecycle.key": "the cache's key of its result",
    "lifecycle.digest": "SHA-256 of its result",
    "lifecycle.parent_digest": "that of what it was made from",
    "lifecycle.cached": "`true` where a result of before was used",
    "lifecycle.data": "the fingerprint of the data",
    "lifecycle.versions": "versions that its key depends on, as JSON",
    "lifecycle.git.dirty": "`true` where the project had changes that were not committed; the commit is MLflow's own tag `mlflow.source.git.commit`",
    "lifecycle.workspace": "which workspace it belongs to",
    "lifecycle.record": "which of the workspace's records it is; by it a run is found again that was made while the connection broke",
    "lifecycle.search": "`true` for the run of a search",
    "lifecycle.trial": "the name of a trial, below the run of its search",
    "lifecycle.refused": "why a trial was outside the budget",
}
VERSION = {
    "lifecycle.digest": "SHA-256 of the bundle; servers and promotions verify it",
    "lifecycle.evaluation": "SHA-256 of the evaluation that lies beside it",
    "lifecycle.checkpoint": "SHA-256 of the checkpoint that it was exported from, with the code",
    "lifecycle.gates": "thresholds of promotion, as JSON",
    "lifecycle.run": "the pipeline run that registered it",
    "lifecycle.origin": "where a copy was copied from",
    "lifecycle.METRIC": "each measured value: `lifecycle.test_acc`, `lifecycle.latency_ms`, …",
}
LEDGER = {
    "lifecycle.entry": "the change: which alias, from which version to which, who, why, after how many entries",
    "lifecycle.verdict": "what the gates found",
    "lifecycle.settled": "that the alias was seen to follow",
}
MEASURED = {
    "latency_ms, latency_p95_ms": "median and 95th percentile of a call of the exported file, batch 1, one thread",
    "size_bytes": "of the exported file",
    "macs": "multiply-accumulates of one sample",
    "params": "parameters",
    "memory_mb": "by which a process grows that runs the file; measured where a gate names it",
}
ALIASES = {
    "champion": "what is served",
    "challenger": "what a run has registered",
    "previous": "what a rollback would make champion",
}


def page() -> str:
    """All of it."""
    return "\n".join(
        [
            "One run for each `lifecycle run`, a child for each stage; parameters are the stage's options, metrics what "
            "the module logs under its own names, and these:\n",
            _rows("metric", MEASURED),
            "## Tags of runs\n",
            _rows("tag", RUN),
            "## Tags of registered versions\n",
            _rows("tag", VERSION),
            "## Aliases\n",
            _rows("alias", ALIASES),
            "## The ledger\n",
            "Promotions of `NAME` are versions of the registered model `NAME.ledger` "
            "([ADR 0009](../adr/0009-promotions-are-a-ledger-of-versions.md)).\n",
            _rows("tag", LEDGER),
        ]
    )


def _rows(what: str, said: dict[str, str]) -> str:
    return table(
        (what, ""),
        [(", ".join(f"`{each}`" for each in name.split(", ")), text) for name, text in said.items()],
    )
