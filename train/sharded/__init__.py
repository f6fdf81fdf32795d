"""Checkpoints that several processes write together: a folder, in which each has a file of its parts."""
