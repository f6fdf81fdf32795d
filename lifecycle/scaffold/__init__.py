"""New projects that run as they are."""
