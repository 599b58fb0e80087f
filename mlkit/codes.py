"""Every error code in one sentence: what `mlkit help CODE` and the reference pages print.

The family is the first three letters: `mlkit.errors` says which class of error it has and with which
code a command then exits. A code keeps its meaning for good; one that is no longer raised is left out
and not given away again.
"""

from __future__ import annotations

CODES: dict[str, str] = {
    # A frozen config, a spec, or what a config names.
    "CFG001": "The config is not there or cannot be read. Give its path, or its name under models/.",
    "CFG002": "The document is empty. Freeze a trial to write one.",
    "CFG003": "The document is a list or a text; a config is made of `key: value` lines.",
    "CFG004": "The document is not valid YAML (or, stored with a table, not valid JSON); the place is named.",
    "CFG005": "A key stands twice, and a reader could not know which one counts. Remove one.",
    "CFG006": "A key is not known here; the nearest known one is shown.",
    "CFG008": (
        "A value such as `no`, `012` or `1:30` reads differently by YAML version. Quote it if it is text; "
        "write true, false or plain digits if it is not."
    ),
    "CFG009": "A value has the wrong type or is one that this field refuses; the field is named.",
    "CFG011": "The estimator has no parameter of this name; those it has are shown.",
    "CFG012": (
        "The split cannot be made: its shares leave a part or a class empty, or its rules exclude each other."
    ),
    "CFG013": "The gate or the metric is not usable: unknown, without a direction, or not finite.",
    "CFG014": "The metric does not fit the task or the model, e.g. rmse for classes.",
    "CFG015": "The address of the runs is none of Databricks or an MLflow server. Without one they stay local.",
    "CFG016": "The schemas features, training and monitoring of a target have the same real name.",
    "CFG019": "The config was written by a newer mlkit than this one. Upgrade mlkit-sdk.",
    "CFG020": "The file is not plain UTF-8, or starts with a byte order mark. Save it as UTF-8.",
    "CFG021": "A required key or parameter is missing; it is named.",
    "CFG022": "Code is named as `package.module:Name`, and this is not such a name.",
    "CFG023": "A module that is named, or that such a module imports, is not found or does not import.",
    "CFG024": "The module has no function or class of this name; the nearest one is shown.",
    "CFG025": (
        "The object cannot be imported by name: a lambda, a nested function, or something of the notebook "
        "itself. Define it at the top of a module."
    ),
    "CFG026": (
        "A module of yours is called like one of the standard library, which would be imported instead."
    ),
    "CFG027": (
        "The pandera schema uses what a contract cannot keep, such as a function of your own as a check."
    ),
    "CFG028": "A folder without `__init__.py` cannot travel in a wheel. Add an empty one.",
    "CFG030": "No target has this name. Look at --target and MLKIT_TARGET.",
    "CFG031": (
        "The model cannot be written as skops here. Upgrade mlflow, or set `serialization: cloudpickle`."
    ),
    "CFG032": "A source is a table or a load function: one of them, and not both.",
    "CFG033": "The name leads to something that cannot be called; name a function.",
    "CFG034": "A column that the config names is not in its contract, or is named twice.",
    "CFG036": "A module of yours has the name that the packaged runner needs for itself. Rename it.",
    "CFG037": "A rehearsal needs the pinned versions. Take --isolated, install the pins, or freeze again.",
    "CFG040": "The file of targets is not valid TOML; the line is named.",
    "CFG041": "Runs and versions would lie in two stores, between which MLflow cannot register a model.",
    "CFG042": "Fields of a target exclude each other, or one needs another that is not there.",
    # A call, command or job parameter.
    "CLI001": "The command, verb or option is not known; the nearest or all known ones are shown.",
    "CLI002": "A required argument is missing, or names nothing that is there.",
    "CLI004": "A version is a whole number from 1.",
    "CLI005": "There is no such version, or it never served and so cannot be rolled back to.",
    "CLI006": "There is nothing to roll back to: fewer than two versions have served.",
    "CLI009": "The folder for the output exists and holds something else. Choose another.",
    "CLI011": "The job passed its parameters as one text; a wheel task takes a list.",
    "CLI020": "MLKIT_TEST_FAIL is set outside a test, or asks for no known fault. Unset it.",
    "CLI021": "A number of trials, folds or workers is not a whole number in its range.",
    "CLI022": "The trial was pruned or failed; only a complete one can be evaluated or frozen.",
    "CLI023": (
        "The snapshot was taken from rows that no name leads back to, so production could not read them. "
        "Publish them, or pass source=."
    ),
    "CLI024": "Files have uncommitted changes. Commit them, or give a reason, which is kept.",
    "CLI025": "A rollback needs a reason; it is kept in the ledger.",
    "CLI026": "A parameter still contains `{{`: the job left a reference unfilled. Correct its name.",
    "CLI027": (
        "The table stands under another contract than the one given. Leave it out, or make a new table."
    ),
    "CLI028": "The table has another key than the one given, or none is recorded.",
    "CLI029": "Studies are compared two or more at a time, on the same train rows.",
    "CLI030": "A feature table needs a key, by which later rows replace earlier ones.",
    "CLI031": "The config belongs to another project than the one it was given to.",
    "CLI032": "The file to fingerprint is not there, or not of a kind that is read.",
    "CLI033": "There is no such error code. `mlkit help` shows all of them.",
    "CLI034": "The demo needs a package that is not installed.",
    # Rows and columns.
    "DAT001": "There are no columns, or none are left to learn from.",
    "DAT002": "There are no rows. Is a filter too narrow?",
    "DAT003": "There are too few rows: a part of the split, or a fold, would be empty.",
    "DAT010": "Two columns have the same name. Rename or drop one.",
    "DAT011": "Two column names differ in upper and lower case only, which Spark does not see.",
    "DAT013": "The frame has several levels of column names. Join them to one name each.",
    "DAT014": "The index of the frame has a name, so it is data. reset_index() makes it a column.",
    "DAT015": "A column has no name.",
    "DAT016": (
        "A column name holds a space or one of ,;{}()= or a backtick, tab or line break, which Spark refuses."
    ),
    "DAT017": "A column name is longer than tables hold.",
    "DAT018": "A column name starts or ends with a space, or holds a NUL.",
    "DAT019": "The column name is reserved by Delta's change feed.",
    "DAT020": "A column mixes kinds of values, e.g. numbers and text. Make them one kind.",
    "DAT021": (
        "The data is no dataframe, or nested or of a type that cannot be taken in here; the column is named."
    ),
    "DAT022": "An estimator cannot learn from values of this type. Decode them in prepare.",
    "DAT023": "A column holds complex numbers. Split it in real and imaginary part.",
    "DAT024": "A column holds durations, which tables do not. Make it a number with its unit in the name.",
    "DAT025": (
        "A column holds times of day, which tables do not. Make it a number, e.g. seconds since midnight."
    ),
    "DAT026": "A column holds 16-bit floats, which tables do not. Cast it to float32.",
    "DAT027": "An unsigned integer is too large for the signed ones of tables. Cast it to float64 or text.",
    "DAT028": "A number or instant does not fit 64 bits.",
    "DAT029": "The column is sparse. Make it dense.",
    "DAT030": "No table, contract or digest takes this type exactly. Cast it, or leave the column out.",
    "DAT032": (
        "Instants are held in microseconds, dates in days; a finer value would be cut. Round it on purpose."
    ),
    "DAT033": "Instants are held in UTC or without a zone; another zone was found. Convert them.",
    "DAT034": "A column holds missing values only and has no declared type. Declare one.",
    "DAT035": "A text holds half a character (a lone surrogate), which UTF-8 cannot write.",
    "DAT040": "The target is not among the columns.",
    "DAT041": "The target cannot be learned: a label is missing, all are the same, or they are no labels.",
    "DAT042": "A label is NaN or infinite. Drop or correct these rows in prepare.",
    "DAT044": "The target is also a feature.",
    "DAT045": "A column that is needed is missing, or one is there that nothing expects; it is named.",
    "DAT046": "A column has another type than expected, or values that the expected one cannot hold exactly.",
    "DAT047": "A category is not in the contract. Add it and train again, or map it in prepare.",
    "DAT049": "The key is missing in some rows, or several rows share one. The first keys are shown.",
    "DAT050": "The rows of a table or source are no longer those that the work began with.",
    "DAT054": "A column of numbers holds text that looks like numbers. Convert it.",
    "DAT055": "The store cannot hold this type exactly. Cast it to a plain one.",
    "DAT056": "A split by time needs the time of every row, and some are missing.",
    "DAT057": "The file is damaged, or a column of it is not of one type. Parquet files state their types.",
    "DAT060": "Rows break the contract: column, check, count and first keys are listed. Nothing was written.",
    "DAT061": "Rows break a condition that the table itself enforces. Nothing was written.",
    "DAT062": "A condition of a table is not SQL over its columns, as in: amount >= 0.",
    # The gate.
    "GAT001": (
        "The candidate did not pass the gate and nothing serves yet. The reasons stand in the "
        "decision record."
    ),
    # What is stored is not what was recorded.
    "INT010": "Rows read back as others than were written; nothing was published. Check memory and disk.",
    "INT011": "A name that stands for content is taken by other content. It was left as it is.",
    "INT012": "A table is damaged: a file of it is missing, empty or does not read. Restore it.",
    "INT013": "The table only grows: its rows are evidence and are never replaced.",
    "INT020": "The stored model has no manifest, so nothing can vouch for its files.",
    "INT021": "The manifest of the stored model is not the one that was recorded.",
    "INT022": "A file of the stored model is missing, changed or not listed.",
    "INT023": "The stored model holds a link, which could lead anywhere.",
    "INT024": "The registry failed to take in the version.",
    "INT025": "The files of a model that the registry names are gone.",
    "INT030": "The registry does not hold the model that the ledger names.",
    "INT031": "A table of an earlier version is gone, or holds other rows than were recorded.",
    "INT032": "The decision that promoted a version is gone from its table. Restore it from a backup.",
    "INT033": "The packaged runner gave other rows, scores or predictions than the trial; they are listed.",
    "INT040": "The demo ended otherwise than it always does. Please report it.",
    # Names.
    "NAM001": "The name is empty.",
    "NAM002": (
        "A name is a lowercase letter, then lowercase letters, digits or underscores, and not too long."
    ),
    "NAM003": (
        "A name is no path: it holds no dot, slash or colon, and no store lies below a % with two digits."
    ),
    "NAM004": "The name starts or ends with a space, or holds a line break or another control character.",
    "NAM005": "The name holds letters beyond a to z, some of which look like others.",
    "NAM006": (
        "The name means something else in a store: a word of SQL, an alias, a device, or a part of a table."
    ),
    "NAM007": "A table is named schema.table, and the schema is features, training or monitoring.",
    "NAM008": "The name holds a quote or a backtick.",
    "NAM010": "The name of the table is longer than stores take.",
    "NAM011": (
        "The name stands for published content, which never changes. Use another for a table that grows."
    ),
    # The user's own code.
    "RUN010": "Your code raised an error while it was imported, called, fitted or asked to predict.",
    "RUN011": "No trial of the study is complete.",
    "RUN012": (
        "A trial of a resumed study is not the one that was evaluated before. Start anew: resume=False."
    ),
    "RUN013": "All trials of the study have failed so far; the first error is shown.",
    "RUN014": "The packaged runner failed in its rehearsal; its last line is shown.",
    "RUN015": "The environment for the rehearsal cannot be made or its pins not be installed.",
    "RUN016": "A process that evaluates folds died, perhaps because memory was short. Take fewer workers.",
    "RUN017": "Classifiers of xgboost take the classes 0 to k-1. Number the classes so in prepare.",
    "RUN040": "The model answered with predictions of another number, shape or type than the task has.",
    "RUN041": "The model is no classifier with one output, as the task needs.",
    # Refused, because it could run or reveal what nobody reviewed.
    "SEC001": "A YAML tag could build any object. Remove it.",
    "SEC002": "The document is too large, too deep, or uses aliases, which multiply content.",
    "SEC003": (
        "The document holds what looks like a secret. Revoke it, and name an environment variable instead."
    ),
    "SEC004": (
        "A config may import modelling libraries, pinned distributions and your own code, nothing else."
    ),
    "SEC005": "An address holds a user, password or token. Clients read those from their environment.",
    "SEC006": "A path leads out of the wheel, or to where files act by themselves.",
    "SEC007": "A skops file would hold types that are not on mlkit's own list.",
    # The stores.
    "STO001": "The store is full; nothing was changed. Free some space, then repeat.",
    "STO002": "The store failed. See that its folder can be read and written, then repeat.",
    "STO003": "A commit was written, but may not survive a power loss. Read the table again before going on.",
    "STO004": "Another tool wrote the table with features that are not read here.",
    "STO010": "There is no such table.",
    "STO011": "The table has no such version.",
    "STO020": "MLflow refused. --debug shows why.",
    "STO021": "Somebody else moved first; nothing was changed. Look again and decide anew.",
    "STO022": "The database of MLflow refused. Is the disk full, or another process stuck?",
    "STO023": "A file cannot be made, read or written. Check the disk and its rights.",
    "STO024": "Another process has been making the tracking store for too long. End it.",
    "STO025": "A tag is longer than MLflow takes. Store it as an artifact.",
    "STO026": "A tag that is searched for holds a quote or a backslash.",
    "STO027": "The registry did not make the version ready in time. Deploying again finds it.",
    "STO028": "Other runs kept writing decisions. Deploy again.",
    "STO030": "The experiment was deleted in MLflow, where its name stays taken. Restore it.",
    "STO040": "Git gave no answer in time.",
    "STO050": "Spark failed at what it was asked to do; --debug shows what it said.",
    "STO041": "The wheel cannot be written. Make room, or choose another folder.",
}
