"""carpd, CARP on Linux: one process a host drives carplab.carp with sockets, netlink and timers."""
