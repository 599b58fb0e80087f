"""Studies: tracked Optuna searches that give the same trials for one seed, on any number of workers.

The only room that knows Optuna. `search` says what a study is, `course` runs it on `workers`, `trials` is
what comes out, `log` and `record` keep it in the tracking store, `page` draws it.
"""
