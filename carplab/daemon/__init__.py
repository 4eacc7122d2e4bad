"""carpd, CARP on Linux: one process a host drives carplab.carp with sockets, netlink and timers.

    carpd run fw1.toml            carplab.daemon.config describes the file
    carpd status                  carplab.daemon.status
    carpd demote outside +1       carplab.daemon.control describes this and the other orders
    carpd events --follow         carplab.daemon.events describes the lines

Inside, loop.py joins the parts: interfaces.py follows the ports and chooses those of failover sets,
carpdev.py is one port with its sockets and macvlans (vmac.py) and answers ARP for shared addresses,
hooks.py runs the user's commands, undo.py takes everything back.
"""
