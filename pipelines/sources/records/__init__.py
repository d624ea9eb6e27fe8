"""Images as records of archives and tables: random access, or converted once."""
