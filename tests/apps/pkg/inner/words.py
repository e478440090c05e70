WORDS = "deep in a package"
