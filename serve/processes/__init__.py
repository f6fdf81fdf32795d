"""The processes of a server: who starts whom, and how each of them ends."""
