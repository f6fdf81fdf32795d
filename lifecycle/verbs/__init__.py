"""Every verb of the command line as a function, and `Pipeline`, whose methods are those of a pipeline file.

``from lifecycle import verbs``; names are loaded when they are first used. docs/from-python.md goes through
them; the command line prints what they return.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lifecycle.verbs.comparison import benchmark
    from lifecycle.verbs.models import package
    from lifecycle.verbs.pipelines import Pipeline
    from lifecycle.verbs.plans import PlanResult
    from lifecycle.verbs.registered import diff, history, promote, propose, rollback, status
    from lifecycle.verbs.results import RunResult
    from lifecycle.verbs.serving import Server, predict, serve
    from lifecycle.verbs.upkeep import doctor, gc, init, report, ui

__all__ = [
    "Pipeline",
    "PlanResult",
    "RunResult",
    "Server",
    "benchmark",
    "diff",
    "doctor",
    "gc",
    "history",
    "init",
    "package",
    "predict",
    "promote",
    "propose",
    "report",
    "rollback",
    "serve",
    "status",
    "ui",
]

_HOME = {
    "comparison": ("benchmark",),
    "models": ("package",),
    "pipelines": ("Pipeline",),
    "plans": ("PlanResult",),
    "registered": ("diff", "history", "promote", "propose", "rollback", "status"),
    "results": ("RunResult",),
    "serving": ("Server", "predict", "serve"),
    "upkeep": ("doctor", "gc", "init", "report", "ui"),
}


def __getattr__(name: str) -> object:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"lifecycle.verbs.{module}"), name)
    raise AttributeError(
        f"module 'lifecycle.verbs' has no attribute '{name}'; it offers: {', '.join(__all__)}"
    )


def __dir__() -> list[str]:
    return sorted(__all__)
