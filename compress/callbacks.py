"""Compression as part of a fit: the callbacks, each in a file of its own."""

from lifecycle.compress.qat import QuantizationAwareTraining
from lifecycle.compress.structured_pruning import StructuredPruning

__all__ = ["QuantizationAwareTraining", "StructuredPruning"]
