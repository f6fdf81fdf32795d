"""What others build on, written down: a change of it is a decision, not an accident."""
