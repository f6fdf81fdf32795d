from __future__ import annotations

import pytest

from lifecycle.core.errors import UsageError
from lifecycle.serve.observability.tracing import find_exporter


def test_an_exporter_that_is_not_installed_is_named_with_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"tracing: no exporter 'smoke' is installed; .*console") as error:
        find_exporter({"OTEL_TRACES_EXPORTER": "smoke"})
    assert "pip install opentelemetry-exporter-otlp-proto-http" in error.value.hint
    assert find_exporter({"OTEL_TRACES_EXPORTER": "console"}).__name__ == "ConsoleSpanExporter"
