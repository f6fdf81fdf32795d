"""Whatever is edited in whatever order, exactly those stages run whose result could be another."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lifecycle.pipeline import libraries
from tests.pipeline.plain import Pipeline, plain_project

NAMES = ("train", "prune", "export", "register")
MODEL = '''\
import layers


class Net:
    """{words}"""

    def __init__(self, width=1): pass

    def forward(self): return {forward}  # {words}
'''
SMALL = st.integers(0, 2)


@dataclass(frozen=True)
class World:
    """Everything that somebody may edit."""

    texts: tuple[int, ...] = (0, 0, 0, 0)  # of each stage: makes other bytes
    trainers: tuple[int, ...] = (0, 0, 0, 0)  # of each stage: makes the same bytes
    forward: int = 0
    words: int = 0  # in comments and docstrings
    layers: int = 0
    unrelated: int = 0
    data: int = 0
    seed: int = 0
    torch: int = 0

    def keys(self) -> dict[str, Any]:
        """What each stage depends on, the oracle: written down apart from how the pipeline finds it."""
        shared = (self.forward, self.layers, self.data, self.seed, self.torch)
        made: dict[str, Any] = {}
        keys = {}
        for index, name in enumerate(NAMES):
            above = made[NAMES[index - 1]] if index else None
            dense = made.get("train")
            keys[name] = (name, self.texts[index], self.trainers[index], above, dense, *shared)
            made[name] = (name, self.texts[index], above, dense, self.seed)
        return keys


def at(name: str, index: int, value: int) -> Any:
    def edit(world: World) -> World:
        values = [*getattr(world, name)]
        values[index] = value
        return replace(world, **{name: tuple(values)})

    return edit


def field_is(name: str, value: int) -> Any:
    return lambda world: replace(world, **{name: value})


EDITS = st.one_of(
    st.builds(at, st.sampled_from(("texts", "trainers")), st.integers(0, 3), SMALL),
    st.builds(
        field_is,
        st.sampled_from(("forward", "words", "layers", "unrelated", "data", "seed", "torch")),
        SMALL,
    ),
)


@dataclass
class Real:
    """The same edits on a real project."""

    pipeline: Pipeline
    world: World = field(default_factory=World)

    def edited(self) -> Pipeline:
        world, root = self.world, self.pipeline.root
        (root / "model.py").write_text(MODEL.format(forward=world.forward, words=f"words {world.words}"))
        (root / "layers.py").write_text(f"value = {world.layers}\n")
        (root / "unrelated.py").write_text(f"value = {world.unrelated}\n")
        changed = self.pipeline.changed(data=f"data-{world.data}", seed=world.seed)
        for index, name in enumerate(NAMES):
            options = {"text": f"text {world.texts[index]}", "trainer": {"max_epochs": world.trainers[index]}}
            changed = changed.changed(name, **options)
        return changed


@contextmanager
def installed(torch: int) -> Iterator[None]:
    """Another version of torch."""
    known = libraries._version
    libraries._version = lambda name: f"2.{torch}" if name == "torch" else known(name)  # type: ignore[assignment]
    try:
        yield
    finally:
        libraries._version = known


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(EDITS, min_size=1, max_size=2), min_size=1, max_size=5))
def test_exactly_the_stages_run_that_have_to(rounds: list[list[Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        real = Real(plain_project(Path(folder)))
        done: set[Any] = set()
        for edits in [[], *rounds]:
            for edit in edits:
                real.world = edit(real.world)
            keys = real.world.keys()
            due = [name for name in NAMES if keys[name] not in done]
            pipeline = real.edited()
            with installed(real.world.torch):
                planned = [name for name, each in pipeline.plan().items() if each.action != "cached"]
                assert pipeline.ran() == due
                assert pipeline.ran() == []
            # A plan cannot know that a stage will make the same bytes: it may say more, and never less.
            assert set(due) <= set(planned)
            assert planned[:1] == due[:1]
            done |= set(keys.values())
