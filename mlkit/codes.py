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
    "CFG015": (
        "The address of the runs is none of Databricks or an MLflow server. Without one they stay local."
    ),
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
    "CFG029": "The prepare function takes a frame of Spark, and the rows are not in Spark on this target.",
    "CFG030": "No target has this name. Look at --target and MLKIT_TARGET.",
    "CFG031": (
        "The model cannot be written in this format: skops, cloudpickle, or spark for what trains there."
    ),
    "CFG032": "A source is a table or a load function: one of them, and not both.",
    "CFG033": "The name leads to something that cannot be called; name a function.",
    "CFG034": "A column that the config names is not in its contract, or is named twice.",
    "CFG035": (
        "A check has a pattern that Spark's regular expressions read otherwise; the part of it is named."
    ),
    "CFG036": "A module of yours has the name that the packaged runner needs for itself. Rename it.",
    "CFG037": "A rehearsal needs the pinned versions. Take --isolated, install the pins, or freeze again.",
    "CFG038": "The databricks.yml was edited by hand, or is not mlkit's. Keep it, or replace it: --force.",
    "CFG039": "No target of mlkit.toml is for Databricks, or there is no config to make a bundle of.",
    "CFG040": "The file of targets is not valid TOML; the line is named.",
    "CFG041": "Runs and versions would lie in two stores, between which MLflow cannot register a model.",
    "CFG042": "Fields of a target exclude each other, or one needs another that is not there.",
    "CFG043": "The databricks.yml is not what configs and targets say by now. `mlkit bundle` writes it anew.",
    "CFG044": "Two configs of one bundle have the same name. Rename one.",
    "CFG045": "The settings of a job cluster name no version of Spark. Add spark_version.",
    # A call, command or job parameter.
    "CLI001": "The command, verb or option is not known; the nearest or all known ones are shown.",
    "CLI002": "A required argument is missing, or names nothing that is there.",
    "CLI004": "A version is a whole number from 1.",
    "CLI005": "There is no such version, or it never served and so cannot be rolled back to.",
    "CLI006": "There is nothing to roll back to: fewer than two versions have served.",
    "CLI009": "The folder for the output exists and holds something else. Choose another.",
    "CLI011": "The job passed its parameters as one text; a wheel task takes a list.",
    "CLI013": "There are no credentials for the workspace. Log in, or name a profile in the target.",
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
    "CLI035": "A job says which attempt this is in another form than w1-j2-r3-p0-e1. Write the bundle anew.",
    "CLI036": "A deployment job was started for another model than that of its package.",
    "CLI040": "The workspace has no job of this name, or several. Deploy the bundle, or give the number.",
    "CLI041": "The workspace refuses to start or show the job; why is shown.",
    "CLI042": "The target is not on Databricks, so it has no jobs. Take another --target.",
    "CLI045": "Executors of Spark are asked for on a target that has none.",
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
    "DAT070": (
        "The rows are more than may come to one process. Take fewer, raise fetch_gb, or train on Spark."
    ),
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
    "INT014": "This Spark computes other digests than the specification says. Use another runtime.",
    "INT020": "The stored model has no manifest, so nothing can vouch for its files.",
    "INT021": "The manifest of the stored model is not the one that was recorded.",
    "INT022": "A file of the stored model is missing, changed or not listed.",
    "INT023": "The stored model holds a link, which could lead anywhere.",
    "INT024": "The registry failed to take in the version.",
    "INT025": "The files of a model that the registry names are gone.",
    "INT026": "The stored model has no signature of its inputs and outputs, which Unity Catalog asks for.",
    "INT027": "Spark finds the files of one of its models nowhere, or changed. Restore them.",
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
    # Serving.
    "NET001": "The endpoint does not answer with the champion yet. Deploy again to wait on.",
    "NET002": "The endpoint's update failed; what served before serves on. Deploy again, or roll back.",
    "NET003": "The workspace does not permit to see or update the endpoint. Grant CAN_MANAGE.",
    "NET004": "The workspace does not find the model version that the endpoint shall serve.",
    "NET005": "The workspace refuses the endpoint's config. Correct `serving` of the target.",
    "NET006": "No credentials for the workspace of the endpoint, or none that count. Log in.",
    "NET007": "The workspace of the endpoint did not answer. The champion stands; deploy again to tell it.",
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
    "RUN018": "Your code left the process of a job, as by sys.exit(). Raise an error, or return.",
    "RUN021": (
        "The rows of a study are too many to travel to the executors of Spark with each batch of trials."
    ),
    "RUN022": "The executors of Spark lack this package, or have another version of it or of Python.",
    "RUN023": "An estimator of Spark is built, fitted and loaded in a session of Spark, and none is open.",
    "RUN024": "One kind of estimator to a study: those that train on Spark, or those that train here.",
    "RUN025": "An estimator that trains on Spark needs its rows there: a target and a prepare of Spark.",
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
    "STO031": "The tracking server cannot be reached, or its certificate is not trusted. Is it up?",
    "STO032": "No answer came from the tracking server, so what was asked may have been done. Run it again.",
    "STO033": (
        "The tracking server wants to know who asks. Log in, or set the variables that MLflow's client reads."
    ),
    "STO034": "You may not do this on the tracking server. Its owner can allow it.",
    "STO035": "No MLflow server answers at the target's address. Is there a slip in tracking_uri?",
    "STO036": "The tracking server is overloaded or failing, also after MLflow tried again. See its log.",
    "STO037": "A library that the target's store needs is not installed; it is named.",
    "STO038": "A run takes no more parameters, tags or metrics, or no name this long. Use an artifact.",
    "STO039": "A tag of a model version would be refused by Unity Catalog: its key, or their number.",
    "STO040": "Git gave no answer in time.",
    "STO041": "The wheel cannot be written. Make room, or choose another folder.",
    "STO050": "Spark failed at what it was asked to do; --debug shows what it said.",
    "STO051": "The catalog refuses: a right on a schema or table is missing.",
    "STO052": "Spark is away: its server does not answer, or the session has ended. Repeat when it runs.",
    "STO053": "Spark or Databricks does not accept the credentials. Log in, or name another profile.",
    "STO054": "The connection was lost while a write was under way. Read the table again before going on.",
    "STO055": "Another tool made the table: mlkit reads it and never writes to it.",
    "STO056": "No session of Spark can be opened: a client library or Java is missing; it is named.",
    "STO057": "A model of Spark is read in a session of Spark, and none is open.",
    "STO060": "The run of a job failed; the last line of the task that failed is shown.",
    "STO061": "Whether a job was started is not known. Repeat the command: it joins the run if there is one.",
    "STO062": "The run of a job goes on after the time that was given. Repeat the command to wait on.",
    "STO063": "The workspace does not say who you are, so the name of your job is not known. Give it: --job.",
}
