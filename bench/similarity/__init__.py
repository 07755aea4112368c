"""How far a target is from the data that a backbone was pretrained on, and how well its features would transfer.

The measures, one a file, are functions of arrays; `measures` is the table of them, `features` takes what they need out
of a network, `measure` puts both together, `record` keeps what was measured, `study` goes through a study's targets.
"""
