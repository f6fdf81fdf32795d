"""Servers that ``benchmarks/serve.py`` starts beside ours."""
