"""Every verb as a function: what users of Python call."""
