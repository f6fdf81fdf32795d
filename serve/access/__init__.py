"""Who may ask: keys, the names by which the server may be called, and other sites' pages."""
