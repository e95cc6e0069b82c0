"""Parts that several theorems share, written in the graph language: each one file, each exact by algebra."""
