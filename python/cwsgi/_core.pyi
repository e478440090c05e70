"""The server itself, in C. Nothing in it is public."""
