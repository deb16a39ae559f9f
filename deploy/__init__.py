"""How Hushbeat is installed and run: local supervisor, demonstration, environments."""
