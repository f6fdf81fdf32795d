"""A registered version in, an HTTP endpoint out.

Imported as ``lifecycle.serve``; under its bare name it could be mistaken for a user's ``serve.py``.
"""

if __name__ != "lifecycle.serve":
    raise ImportError(
        "import it as 'lifecycle.serve': the folder 'serve' is no package of its own (ADR-0001)"
    )
