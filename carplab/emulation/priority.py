"""Which processes go first where the processors are busy.

On BSD, CARP runs in the kernel, ahead of any program; a fault has to come when it is asked for. So
carpd and the controller go before ping, iperf and the runner itself: on a slow machine traffic
would starve them. Where the priority may not be raised, nice(1) says so and starts them anyway.
"""

AHEAD_OF_TRAFFIC = ("nice", "-n", "-10")
