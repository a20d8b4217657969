"""Models: multiple-instance learning over bags of features, one method a file.

Read `model` first (what every model keeps), then `dmia` (the method, its formulas on
top). `layers`, `attention`, `pseudobags` and `selection` are its parts; `zoo` lists
the models by name.
"""
