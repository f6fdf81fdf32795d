"""A folder from which an image of one version is built, and what serves in it."""
