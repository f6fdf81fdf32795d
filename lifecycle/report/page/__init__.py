"""The page that a run ends with: one HTML file, nothing from outside, readable on a phone and in print."""
