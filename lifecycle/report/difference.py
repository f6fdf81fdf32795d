"""What two registered versions differ in: options, code, data, libraries, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lifecycle.core.artifact import Artifact
from lifecycle.core.canonical import JSON
from lifecycle.pipeline.reasons import flatten


@dataclass(frozen=True, kw_only=True)
class Described:
    """All that is known of a version.

    Attributes:
        bundle: What is served.
        evaluation: What was measured on it.
        options: Of each stage of the run that made it, by stage and name.
    """

    bundle: Artifact
    evaluation: Artifact
    options: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that differs.

    Attributes:
        section: ``config``, ``code``, ``data``, ``libraries``, ``metrics`` or ``file``.
        name: Of what.
        before: In the first version; empty where it has none.
        after: In the second.
        change: By how much, where that can be said.
    """

    section: str
    name: str
    before: str
    after: str
    change: str = ""


def differences(a: Described, b: Described) -> list[Difference]:
    """What differs from `a` to `b`, in the order in which one looks for a cause."""
    found = []
    for section, before, after in (
        ("config", _options(a), _options(b)),
        ("code", _code(a), _code(b)),
        ("data", _data(a), _data(b)),
        ("libraries", _facts(a, "versions"), _facts(b, "versions")),
    ):
        for name in [*before, *(name for name in after if name not in before)]:
            if before.get(name) != after.get(name):
                values = before.get(name, ""), after.get(name, "")
                found.append(Difference(section=section, name=name, before=values[0], after=values[1]))
    numbers = a.evaluation.numbers(), b.evaluation.numbers()
    for name in [*numbers[0], *(name for name in numbers[1] if name not in numbers[0])]:
        one, other = numbers[0].get(name), numbers[1].get(name)
        if one != other:
            found.append(_number("file" if name in _OF_THE_FILE else "metrics", name, one, other))
    if a.bundle.digest != b.bundle.digest:
        found.append(
            Difference(section="file", name="digest", before=a.bundle.digest[:12], after=b.bundle.digest[:12])
        )
    return found


def _number(section: str, name: str, before: float | None, after: float | None) -> Difference:
    change = ""
    if before is not None and after is not None:
        change = f"× {after / before:.3f}" if section == "file" and before else f"{after - before:+.4g}"
    one, other = ("" if value is None else f"{value:.6g}" for value in (before, after))
    return Difference(section=section, name=name, before=one, after=other, change=change)


def _options(described: Described) -> dict[str, str]:
    return {
        f"{stage}.{name}": value
        for stage, options in described.options.items()
        for name, value in options.items()
    }


def _code(described: Described) -> dict[str, str]:
    facts = described.bundle.facts
    git = facts.get("git")
    commit = git.get("commit") if isinstance(git, Mapping) else None
    changed = " and changes" if isinstance(git, Mapping) and git.get("dirty") else ""
    return {
        "sources": str(facts.get("sources", ""))[:12],
        "commit": f"{str(commit)[:12]}{changed}" if commit else "",
        **{f"model.{name}": value for name, value in _facts(described, "model").items()},
        "seed": str(facts.get("seed", "")),
    }


def _data(described: Described) -> dict[str, str]:
    fingerprint = str(described.evaluation.read_json("metrics.json").get("data", ""))
    return {"fingerprint": fingerprint[:12], **_facts(described, "data")}


def _facts(described: Described, name: str) -> dict[str, str]:
    found: JSON = described.bundle.facts.get(name)
    return {key: str(value) for key, value in flatten(found).items()} if isinstance(found, Mapping) else {}


_OF_THE_FILE = ("macs", "params", "size_bytes", "latency_ms", "latency_p95_ms")
