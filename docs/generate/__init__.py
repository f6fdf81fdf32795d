"""Makes the pages of docs/reference/ from docstrings, option types and tables of the code."""
