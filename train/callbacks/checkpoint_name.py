"""Names of checkpoints, made from templates such as ``{epoch}-{val_loss:.2f}``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_FIELD = re.compile(r"\{([^{}:]*)(?::([^{}]*))?\}")


def checkpoint_name(
    template: str, values: Mapping[str, object], *, equals: str = "=", insert_names: bool = True
) -> str:
    """A template filled in; what has no value is 0.

    Args:
        template: Names of values in braces, each with a format (``:.2f``) if wanted.
        values: Numbers and tensors of one element.
        equals: Stands between a name and its value.
        insert_names: Put its name before every value.

    >>> checkpoint_name("best-{epoch:02d}-{val/acc:.2f}", {"epoch": 3, "val/acc": 0.987})
    'best-epoch=03-val/acc=0.99'
    >>> checkpoint_name("{epoch}of{missing:d}", {"epoch": 3}, insert_names=False)
    '3of0'
    """

    def filled(field: re.Match[str]) -> str:
        name, spec = field[1], field[2] or ""
        value = values.get(name, 0)
        text = format(value.item() if isinstance(value, Tensor) else value, spec)
        return f"{name}{equals}{text}" if insert_names else text

    return _FIELD.sub(filled, template)
