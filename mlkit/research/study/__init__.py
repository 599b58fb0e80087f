"""Studies: tracked Optuna searches that give the same trials for one seed, on any number of workers.

The only room that knows Optuna. `search` runs the loop, `trials` holds what came out and keeps it in
the tracking store, `page` draws it.
"""
