from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lifecycle.serve.observability.cells import Cells
from lifecycle.serve.observability.exposition import expose
from lifecycle.serve.observability.metrics import FAMILIES, Metrics


def samples(page: str) -> dict[tuple[str, str], float]:
    """Every sample of a page, as Prometheus' own parser reads it; labels as text."""
    return {
        (
            sample.name,
            ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items())),
        ): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_the_page_adds_up_processes_and_cumulates_buckets(tmp_path: Path) -> None:
    cells = [Cells(tmp_path) for _ in range(2)]
    workers = [Metrics(one) for one in cells]
    for worker, seconds in zip(workers, (0.0005, 40.0), strict=True):
        worker.add("lifecycle_http_requests", ("/predict", "POST", "200"))
        worker.observe("lifecycle_http_request_seconds", ("/predict",), seconds)
        worker.set("lifecycle_model_info", ("m", "1", "d"), 1.0)
    workers[0].set("lifecycle_model_info", ("m", "0", "c"), 1.0)
    workers[0].set("lifecycle_model_info", ("m", "0", "c"), 0.0)
    page, media_type = expose(tmp_path, "")
    for one in cells:
        one.close()
    assert media_type.startswith("text/plain; version=0.0.4")
    found = samples(page.decode())
    assert found["lifecycle_http_requests_total", "method=POST,route=/predict,status=200"] == 2
    seconds_of = "lifecycle_http_request_seconds"
    assert found[f"{seconds_of}_bucket", "le=0.0005,route=/predict"] == 1
    assert found[f"{seconds_of}_bucket", "le=30.0,route=/predict"] == 1
    assert found[f"{seconds_of}_bucket", "le=+Inf,route=/predict"] == 2
    assert found[f"{seconds_of}_sum", "route=/predict"] == 40.0005
    assert found["lifecycle_model_info", "digest=d,model=m,version=1"] == 2
    assert ("lifecycle_model_info", "digest=c,model=m,version=0") not in found, "served by nobody"
    assert found["lifecycle_process_resident_memory_bytes", "process=worker-1"] > 1e6


def test_what_a_process_was_at_goes_with_it_and_what_it_counted_stays(tmp_path: Path) -> None:
    cells = Cells(tmp_path)
    before = Metrics(cells)
    before.add("lifecycle_http_requests_in_flight")
    before.set("lifecycle_model_info", ("m", "1", "d"), 1.0)
    before.add("lifecycle_requests_shed", ("m",), 3.0)
    cells.close()
    cells = Cells(tmp_path)
    Metrics(cells).set("lifecycle_model_info", ("m", "2", "e"), 1.0)
    found = samples(expose(tmp_path, "")[0].decode())
    cells.close()
    assert found["lifecycle_http_requests_in_flight", ""] == 0
    assert [key for key in found if key[0] == "lifecycle_model_info"] == [
        ("lifecycle_model_info", "digest=e,model=m,version=2")
    ]
    assert found["lifecycle_requests_shed_total", "model=m"] == 3


def test_series_without_end_fail_no_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cells = Cells(tmp_path)
    metrics = Metrics(cells)
    for number in range(10_000):
        metrics.add("lifecycle_http_errors", ("/x", str(number)))
    metrics.observe("lifecycle_http_request_seconds", ("/y",), 1.0)
    assert caplog.text.count("no room to count") == 1
    cells.close()


def test_every_metric_says_what_it_is(tmp_path: Path) -> None:
    Cells(tmp_path).close()
    page, _ = expose(tmp_path, "")
    described = {
        family.name for family in text_string_to_metric_families(page.decode()) if family.documentation
    }
    assert set(FAMILIES) <= described
