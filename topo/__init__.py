"""Networks as plain data; each file is also a custom topology for Mininet's `mn`."""
