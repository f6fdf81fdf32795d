"""Which version an alias means now: asked of the registry, fetched, tried, and swapped in."""
