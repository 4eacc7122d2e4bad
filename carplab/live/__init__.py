"""The live view: a page that shows a running network, or a recorded run, as it goes.

`sources` is where messages come from: a session that runs, or (`replay`) a run folder. `feed` turns
them into what a page draws, with `plan` (where everything stands) and `ways` (which way packets
take). `hub` hands it to the viewers, `server` serves the page in `static/` and takes the orders,
`stage` has the network that is shown, and `commands` is the command.

Nothing here may cost the network that is watched: one thread reads the source, each viewer has a
bounded queue and loses messages rather than holding anything up, and all of it runs at the lowest
priority.
"""
