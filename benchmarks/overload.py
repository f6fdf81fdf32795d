"""Ten times what a server manages, for a while, and then as if nothing was (`tests/serve/overload.py`).

A network of 20 ms and more a batch, 256 connections that keep a rate whatever comes back, a deadline of
50 ms.
"""

from __future__ import annotations

import sys
from pathlib import Path

from figures.figure import Bar, Figure
from figures.handover import hand_over, parser_of, print_bars, print_figures

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.serve.overload import CALM_S, Overload, overload


def main() -> int:
    """Measure and print; 1 where an answer was wrong or the server did not recover."""
    parser = parser_of(__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    seen = overload(2.0 if options.quick else options.seconds)
    figures = figures_of(seen)
    print_figures(figures)
    missed = print_bars(figures)
    hand_over(options.json, figures)
    return int(missed > 0)


def figures_of(seen: Overload) -> list[Figure]:
    """Rates, latencies of what was answered, and memory."""
    flood, rate = seen.flood.statuses, "requests a second"
    rates = {
        "answered at four connections, its capacity": seen.before.statuses[200] / CALM_S,
        "sent": flood.total() / seen.seconds,
        "– answered": flood[200] / seen.seconds,
        "– refused": flood[429] / seen.seconds,
        "afterwards, at one connection": seen.after.statuses[200] / CALM_S,
    }
    latency = {
        "p99 at four connections": seen.before.percentile_ms(0.99),
        "p50 of what is answered, overloaded": seen.flood.percentile_ms(0.5),
        "p99 of what is answered, overloaded": seen.flood.percentile_ms(0.99),
    }
    wrong = {
        "neither 200 nor 429": flood.total() - flood[200] - flood[429],
        "429 without `Retry-After`": seen.flood.no_retry_after,
        "afterwards, not 200": seen.after.statuses.total() - seen.after.statuses[200],
    }
    none = Bar(sign="<=", limit=0)
    return [
        *(Figure(table=rate, row=row, unit="requests/s", value=value) for row, value in rates.items()),
        *(Figure(table="latency", row=row, unit="ms", value=value) for row, value in latency.items()),
        *(Figure(table="wrong answers", row=row, value=count, bar=none) for row, count in wrong.items()),
        *(
            Figure(table="memory of the worker", row=row, unit="MB", value=value)
            for row, value in zip(("before", "after"), seen.memory_mb, strict=True)
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
