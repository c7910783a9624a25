"""Read untrusted tables: bytes to rows, cells, columns and ids."""
