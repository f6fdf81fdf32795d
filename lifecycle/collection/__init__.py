"""What nothing refers to, and removing it; what a version needs is kept, or saved from deletion."""
