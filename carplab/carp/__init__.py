"""The Common Address Redundancy Protocol, pure: no sockets, no clock, no threads."""
