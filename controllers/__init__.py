"""OpenFlow applications of carplab: forwarding, and faults injected on request.

They import nothing of carplab's engines; the emulation talks to them over HTTP on the loopback.
"""
