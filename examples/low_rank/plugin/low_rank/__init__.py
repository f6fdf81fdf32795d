"""Linear layers as products of two smaller ones."""
