"""The built-in stages: where the packages meet. Each is a dataclass of its options."""
