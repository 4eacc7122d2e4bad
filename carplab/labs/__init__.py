"""The course: labs that a student starts, works on and has checked on the running network.

A lab is a folder `labs/NN-name/`; docs/howto/own-lab.md says what is in it.
"""
