"""Experiments: a network, what happens to it and what is measured, each a script of its own."""
