"""Speed and accuracy on real data, each a command that prints a table; results are kept beside it."""
