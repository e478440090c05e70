"""A package of many modules."""
