"""Gates: what must hold of a version before the champion moves. No threshold, no promotion.

Each gate is a class with a ``judge`` (`lifecycle.gates.case.Gate`), named in the table ``gates`` below
`lifecycle.core.plugins`; other distributions add theirs as entry points of the group ``lifecycle.gates``.
"""
