"""What is built, installed as its users install it."""
