"""Any module in, files proven equal to it out.

Imported as ``lifecycle.export``; under its bare name it could be mistaken for a user's ``export.py``.
"""

if __name__ != "lifecycle.export":
    raise ImportError(
        "import it as 'lifecycle.export': the folder 'export' is no package of its own (ADR-0001)"
    )
