"""Requests of one model: who waits for whom, what is computed together, and how long it takes."""
