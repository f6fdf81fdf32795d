"""Messages of the Open Inference Protocol, numbers as JSON and as bytes."""
