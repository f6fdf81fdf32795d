"""What a model says of itself: examples, JSON Schema, the API document."""
