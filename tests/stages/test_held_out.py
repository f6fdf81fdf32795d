from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.core.asked import Asked
from lifecycle.core.budget import Budget
from lifecycle.core.errors import UsageError
from lifecycle.core.reference import Reference
from lifecycle.core.stage import Context, Project
from lifecycle.stages.held_out import check_held_out


def context(metric: str, asked: tuple[Asked, ...] = ()) -> Context:
    project = Project(name="n", root=Path(), model=Reference("m.py:M"), data=Reference("d.py:D"))
    return Context(project=project, data=object, budget=Budget(metric=metric), asked=asked)


def test_a_metric_that_is_not_logged_is_named_with_the_closest() -> None:
    measured = {"val_acc": 0.9, "val_loss": 0.1, "macs": 7.0}
    with pytest.raises(
        UsageError,
        match=r"^budget\.metric is about 'val_accc', which validation_step never logs: did you mean",
    ) as caught:
        check_held_out(context("val_accc"), measured)
    assert "did you mean 'val_acc'? Allowed: val_acc, val_loss\n" in str(caught.value)
    check_held_out(context("val_acc"), measured)


def test_where_it_was_set_is_said_when_it_is_known() -> None:
    asked = (Asked(name="macs", split="val", option="budget.metric", place="pipeline.yaml:3:9"),)
    with pytest.raises(UsageError, match=r"^pipeline\.yaml:3:9: budget\.metric is about 'macs', which "):
        check_held_out(context("macs", asked), {"val_acc": 0.9, "macs": 7.0})
