"""What a Dockerfile says, executed without Docker: in layers over a Debian root, as `make image-check` does."""
