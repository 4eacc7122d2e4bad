"""From the recorded files of a run to its windows, figures and page. Knows no engine, only files.

`load` reads a run folder, `outages` and `states` are what it says about packets and about CARP,
`windows` joins both into the windows of a run and `summary` into a few numbers; `timeline`, `sides`
and `distribution` draw them, `page` writes them down as HTML, `run` does all of it for a folder and
`report` is the command. pandas and
matplotlib take about a second to import: modules outside this package import these inside
functions.
"""
