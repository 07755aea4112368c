"""`bench verify`: do the results of this machine, with its versions, belong to the reference that comes with the package?

study.yaml      the reference study, on embedded data, every strategy at its default hyperparameters
reference.json  what it gave: mean, standard deviation and number of seeds, by network, strategy and metric
reference.py    that file
compare.py      the tests
verify.py       the runs
"""
