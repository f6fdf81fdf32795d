"""What the page knows of a model: plain data, made of the endpoint that answers now."""

from __future__ import annotations

from lifecycle.core.canonical import JSON
from lifecycle.core.signature import Signature
from lifecycle.serve.description.examples import example_request, example_rows, readable
from lifecycle.serve.endpoint import Endpoint
from lifecycle.serve.predict.images import image_input
from lifecycle.serve.predict.rows import takes_rows

_SIDE = 64  # pixels of the sheet's preview where the model takes any size


def about(endpoint: Endpoint) -> dict[str, JSON]:
    """One model.

    Returns:
        ``name``, ``version``, ``digest``, ``task``, ``licence``, ``labels``, ``inputs`` and ``outputs``;
        ``rows``: whether ``/predict`` takes its input; ``image``: channels, height and width where that is
        images, else None; ``example``: a body to begin with; ``measured``: see `measured_on`.
    """
    signature = endpoint.signature
    rows = takes_rows(signature)
    example: JSON = example_rows(signature) if rows else example_request(signature)
    return {
        "name": endpoint.name,
        "version": endpoint.version,
        "digest": endpoint.digest,
        "task": signature.task,
        "licence": signature.licence,
        "labels": list(signature.labels),
        "inputs": [spec.to_json() for spec in signature.inputs],
        "outputs": [spec.to_json() for spec in signature.outputs],
        "rows": rows,
        "image": _image(signature) if rows else None,
        "example": "" if example is None else readable(example),
        "measured": dict(endpoint.measured),
    }


def _image(signature: Signature) -> JSON:
    found = image_input(signature)
    if found is None:
        return None
    height, width = found.target(_SIDE, _SIDE)
    return {"channels": found.channels, "height": height, "width": width}
