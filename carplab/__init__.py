"""carplab: emulate, break and measure networks whose routers and firewalls run CARP."""

__version__ = "0.1.0"
