"""A network that is up and stays up: for the shell, the labs and the live view.

A holder, a process of its own, owns the network and records what happens; others talk to it over a
Unix socket (`carplab.session.client`).
"""
