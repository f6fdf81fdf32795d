"""What a packaged model has to have installed: names, and the versions that stand here."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution

from lifecycle.core.errors import LifecycleError

# The group `serve` of pyproject.toml, less what only the command line and following a registry take:
# a packaged model stays the version that it is.
DIRECT = (
    "bentoml",
    "httptools",
    "numpy",
    "onnx",
    "onnxruntime",
    "orjson",
    "pillow",
    "prometheus-client",
    "pysimdjson",
    "python-multipart",
    "starlette",
    "uvloop",
)
WHERE_THERE = ("pysimdjson",)  # all works without it, and not every Python has it


def pinned(names: tuple[str, ...] = DIRECT) -> list[str]:
    """``name==version`` of these distributions and of all that they need, as installed here; in order.

    Raises:
        LifecycleError: one is not installed.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    waiting = [Requirement(name) for name in names]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        wanted = waiting.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            if name in WHERE_THERE:
                continue
            raise LifecycleError(
                f"{name} is not installed here, so its version cannot be pinned",
                hint=f"Install it with: pip install '{wanted}'",
            ) from None
        found[name] = installed.version.partition("+")[0]
        for text in installed.requires or ():
            needed = Requirement(text)
            environments = [{"extra": extra} for extra in ("", *extras)]
            if needed.marker is None or any(map(needed.marker.evaluate, environments)):
                waiting.append(needed)
    return [f"{name}=={found[name]}" for name in sorted(found)]
