"""What a run says about itself when it has ended."""
