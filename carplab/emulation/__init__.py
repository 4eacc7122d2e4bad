"""Runs a scenario on Mininet with carpd, Open vSwitch and an OpenFlow controller."""
