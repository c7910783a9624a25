"""Reading tables of strangers: bytes to rows, cells, columns and ids, with every problem named."""
