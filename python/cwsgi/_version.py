"""The one place that says the version; the build hands it on to C and to the metadata."""

__version__ = "0.1.0"
