"""What people look at in a browser; the files are beside."""
