"""The tests; a package, so that they find the modules that they share, and no others."""
