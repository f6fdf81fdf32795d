"""A checkpoint in, a smaller one within a budget out.

Imported as ``lifecycle.compress``; under its bare name it could be mistaken for a user's ``compress.py``.
"""

if __name__ != "lifecycle.compress":
    raise ImportError(
        "import it as 'lifecycle.compress': the folder 'compress' is no package of its own (ADR-0001)"
    )
