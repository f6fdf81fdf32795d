from __future__ import annotations

import pytest

from tests.surface.surface import UPDATE, kept, surface


@pytest.fixture(scope="module")
def found() -> dict[str, list[str]]:
    return surface()


@pytest.mark.parametrize("section", kept())
def test_the_public_surface_is_as_it_is_written_down(found: dict[str, list[str]], section: str) -> None:
    now, before = set(found[section]), set(kept()[section])
    changes = [f"removed: {each}" for each in sorted(before - now)]
    changes += [f"added:   {each}" for each in sorted(now - before)]
    told = [f"The public surface ({section}) changed:", *changes, f"If that is meant: {UPDATE}"]
    assert not changes, "\n".join(told)


def test_every_section_is_written_down(found: dict[str, list[str]]) -> None:
    assert list(found) == list(kept())
    assert all(found.values())
