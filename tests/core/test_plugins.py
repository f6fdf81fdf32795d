from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.core import plugins
from lifecycle.core.errors import UsageError


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution whose entry points add a stage and claim the name of a built-in one."""
    info = tmp_path / "extra-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[lifecycle.stages]\ndistil = extra_stages:Distil\ntrain = extra_stages:Distil\n"
    )
    (tmp_path / "extra_stages.py").write_text("class Distil: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    plugins.table.cache_clear()
    yield
    plugins.table.cache_clear()


def test_every_built_in_extension_can_be_loaded() -> None:
    for family, table in plugins.TABLES.items():
        for name in table:
            assert plugins.load(family, name) is not None


def test_an_unknown_name_is_refused_with_the_closest_one() -> None:
    with pytest.raises(
        UsageError, match=r"^no stage is called 'prun': did you mean 'prune'\? Allowed: evaluate, "
    ):
        plugins.load("stages", "prun")


@pytest.mark.usefixtures("installed")
def test_an_installed_distribution_adds_to_a_family() -> None:
    assert getattr(plugins.load("stages", "distil"), "__name__") == "Distil"  # noqa: B009


@pytest.mark.usefixtures("installed")
def test_an_installed_distribution_cannot_replace_what_is_built_in() -> None:
    assert plugins.table("stages")["train"] == "lifecycle.stages.train:Train"
