"""What benchmarks found: figures, the file that keeps them, and the pages that show them."""
