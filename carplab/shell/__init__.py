"""`carplab shell`: Mininet's command line on a network that is up, with words for CARP added."""
