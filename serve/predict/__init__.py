"""``POST /predict``, for people: rows, arrays and images."""
