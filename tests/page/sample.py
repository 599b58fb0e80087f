"""One page with every part and plot there is, of made numbers: what the browser is shown."""

from __future__ import annotations

import datetime as dt
import math
import random

from mlkit.page import plots
from mlkit.page.document import PageSection, document, shadow
from mlkit.page.html import (
    Html,
    badge,
    code,
    details,
    facts,
    figure,
    join,
    json_script,
    listed,
    selection,
    table,
    tag,
    tiles,
)

NOW = dt.datetime(2026, 6, 30, 9, 15, tzinfo=dt.UTC)
WEEK = dt.timedelta(days=7)
HOSTILE = "</svg></script></template><script>document.title='owned'</script>\"&"


def sample_page() -> str:
    """The page."""
    sections = [
        PageSection("attention", "Needs attention", "1 to act on, 1 to look at; 14 checks ran", attention()),
        PageSection("deployments", "Deployments", "v8 since 3 days", deployments()),
        PageSection("drift", "Live", "quiet for 9 weeks", live()),
        PageSection("trial", "Chosen trial", "rmse 23.42, baseline 31.08", trial()),
        PageSection("study", "Study", "40 trials, 31 complete", study()),
        PageSection("foreign", "Figures", "by other libraries", foreign(), is_open=False),
        PageSection("hostile", HOSTILE, HOSTILE, tag("p", HOSTILE), is_open=False),
    ]
    return document("flight_delay: v8 serves", masthead=masthead(), sections=sections)


def masthead() -> Html:
    """State, and tiles."""
    said = "v8 serves since 3 days; the last deployment kept it; drift is quiet."
    look = [
        tag("a", name, href=f"#{to}")
        for name, to in (("merge?", "deployments"), ("broken?", "drift"), ("why?", "trial"))
    ]
    values = [1.2, 1.4, 1.1, None, 1.8, 1.5, 1.9, 2.2]
    return join(
        [
            tag("h1", "flight_delay"),
            tag("p", said),
            tag(
                "p",
                "predicts ",
                tag("code", "dep_delay"),
                ", written 2026-06-30 09:15 UTC from 07fe1e7. First look: ",
                join(look, between=" · "),
                class_="faint",
            ),
            tiles(
                [
                    ("rmse on sealed rows", 23.42),
                    ("better than baseline", "24.6%"),
                    ("drift", badge("quiet", status="fine")),
                    ("age of the data", "3 days"),
                    ("live score", plots.spark_line(values, title="live rmse of eight weeks, 1.2 to 2.2")),
                ]
            ),
        ]
    )


def attention() -> Html:
    """Findings."""
    rows = [
        [
            badge("act", status="act"),
            tag("code", "RPT014"),
            "The endpoint answers with v7, the ledger says v8.",
            tag("a", "serving", href="#deployments"),
        ],
        [
            badge("look", status="look"),
            tag("code", "RPT031"),
            "12.4% of the labels of the last window are late.",
            tag("a", "live", href="#drift"),
        ],
        [
            badge("not run", status="quiet"),
            tag("code", "RPT040"),
            "Calibration: this is no classification.",
            None,
        ],
    ]
    done = details("14 checks ran and found nothing", listed(["contract holds", "no duplicate rows"]))
    return join(
        [
            table(["", "code", "what", "evidence"], rows, label="findings"),
            code("mlkit serve flight_delay --refresh"),
            done,
        ]
    )


def deployments() -> Html:
    """Who served when, and two scores side by side."""
    start = NOW - 20 * WEEK
    spans = [
        plots.Span("champion", start, start + 6 * WEEK, "v5", "fine"),
        plots.Span("champion", start + 6 * WEEK, start + 17 * WEEK, "v7", "fine"),
        plots.Span("champion", start + 17 * WEEK, NOW, "v8", "fine"),
        plots.Span("kept", start + 9 * WEEK, label="candidate v7b: 24.41, not better", status="look"),
        plots.Span("rejected", start + 3 * WEEK, label="NaN in the scores", status="act"),
    ]
    scores = [
        plots.Bar("v8 (candidate)", 23.42, 23.1, 23.75, note="n = 403,110"),
        plots.Bar("v7 (champion)", 24.30, 23.9, 24.7, note="n = 403,110"),
        plots.Bar("baseline", 31.08, 30.6, 31.5),
    ]
    return join(
        [
            figure(
                plots.timeline_plot(
                    spans,
                    title="versions that served",
                    names={"fine": "served", "look": "kept", "act": "rejected"},
                ),
                caption="Each promotion of the ledger; a diamond is a deployment that changed nothing.",
            ),
            figure(
                plots.interval_plot(
                    scores,
                    title="scores on the same rows",
                    x_label="rmse",
                    rules=[plots.Rule(25.0, "gate 25.0", upright=True, status="act")],
                ),
                caption="On the same 403,110 rows, with 95% intervals; none of them was trained on.",
            ),
            facts(
                {
                    "rule": "rmse <= 25.0, better than the champion",
                    "config": tag("code", "d1:71c0aa93"),
                    "rows": 403110,
                    "since": NOW - 3 * WEEK,
                    "by": None,
                }
            ),
        ]
    )


def live() -> Html:
    """Drift over time, and a column that moved."""
    times = [NOW - place * WEEK for place in range(19, -1, -1)]
    chance = random.Random(1)  # noqa: S311 - a picture, no secret
    drift = [0.03 + 0.02 * chance.random() + (0.12 if place > 16 else 0) for place in range(20)]
    score = [None if place == 11 else 0.2 + 0.01 * place + 0.02 * chance.random() for place in range(20)]
    lines = [
        plots.Line("drift of the predictions", times, drift, dots=True),
        plots.Line(
            "error, share of threshold",
            times,
            score,
            [v and v - 0.03 for v in score],
            [v and v + 0.03 for v in score],
        ),
    ]
    rules = [
        plots.Rule(0.1, "alarm", status="act"),
        plots.Rule(times[5], "v7", upright=True),
        plots.Rule(times[16], "v8", upright=True),
        plots.Rule(times[17], "v8b", upright=True),
    ]
    bins = [*(f"{low} to {low + 100}" for low in range(0, 2000, 100)), "missing"]
    old = [math.exp(-((place - 8) ** 2) / 18) for place in range(20)] + [0.05]
    new = [math.exp(-((place - 10) ** 2) / 12) for place in range(20)] + [0.0]
    return join(
        [
            figure(
                plots.line_plot(lines, title="drift and live error by week", y_label="share", rules=rules),
                caption="Weekly, with promotions. One week had no labels.",
                table=table(["week", "drift", "error"], list(zip(times, drift, score, strict=True))),
            ),
            tag("h3", badge("DRIFT", status="act"), " distance"),
            figure(
                plots.histogram_pair(
                    bins, old, new, title="distance by bin", marked=["1000 to 1100", "500 to 600"]
                ),
                caption="Share of rows by bin.",
            ),
            figure(
                plots.histogram_pair(
                    ["AA", "B6", "a very long carrier name", "UA"],
                    [4, 3, 2, 1],
                    [3, 3, 3, 1],
                    title="carrier by bin",
                ),
                caption="Share of rows by carrier.",
            ),
        ]
    )


def trial() -> Html:
    """Importances, predictions against labels, a confusion."""
    chance = random.Random(2)  # noqa: S311 - a picture, no secret
    bars = [
        plots.Bar(f"feature_{name}", 8 / (1 + place**1.3), 7 / (1 + place**1.3), 9 / (1 + place**1.3))
        for place, name in enumerate(
            ["hour", "distance", "per_mile_of_the_longest_name", "carrier", "is_ua", "weekday"]
        )
    ]
    bars.append(plots.Bar("noise", -0.12, -0.4, 0.2))
    cloud = [plots.Point(x, x + chance.gauss(0, 12)) for x in (chance.gauss(20, 25) for _ in range(4000))]
    few = [
        plots.Point(chance.gauss(0, 1), chance.gauss(place, 1), group=name)
        for place, name in enumerate(["AA", "B6", "UA", "DL"])
        for _ in range(30)
    ]
    return join(
        [
            figure(
                plots.bar_plot(bars, title="importance by permutation", x_label="rise of the rmse"),
                caption="How much worse without; whiskers: spread of ten permutations.",
            ),
            figure(
                plots.scatter_plot(
                    cloud,
                    title="predicted against actual",
                    x_label="actual",
                    y_label="predicted",
                    diagonal=True,
                ),
                caption="On the sealed rows.",
            ),
            figure(
                plots.scatter_plot(few, title="by carrier", x_label="component 1", y_label="component 2"),
                caption="Four kinds, each with a shape of its own.",
            ),
            tag("h3", "Classes"),
            plots.heat_table(
                ["early", "on time", "late"],
                [[802, 130, 12], [95, 2204, 310], [4, 260, 1190]],
                title="confusion",
            ),
        ]
    )


def study() -> Html:
    """Table, axes and course of forty trials: one selection."""
    chance = random.Random(3)  # noqa: S311 - a picture, no secret
    keys = list(range(40))
    rate = [10 ** chance.uniform(-4, 0) for _ in keys]
    depth = [chance.randint(2, 16) for _ in keys]
    kind = [chance.choice(["boosting", "forest", "linear"]) for _ in keys]
    leaves = [None if each == "linear" else chance.randint(8, 255) for each in kind]
    score = [
        24 + 3 * abs(math.log10(r) + 2) + abs(d - 9) / 4 + (3 if k == "linear" else 0) + chance.random()
        for r, d, k in zip(rate, depth, kind, strict=True)
    ]
    best = [min(score[: place + 1]) for place in keys]
    rows = sorted(zip(keys, score, kind, rate, depth, leaves, strict=True), key=lambda row: row[1])
    spans = [
        plots.Span(
            f"worker {key % 2 + 1}",
            NOW + key * dt.timedelta(minutes=2),
            NOW + (key + 1.7) * dt.timedelta(minutes=2),
            f"{key}",
            "act" if key % 13 == 5 else "quiet" if key % 5 == 3 else "fine",
            key,
        )
        for key in keys
    ]
    return join(
        [
            selection(
                table(
                    ["trial", "rmse", "model", "learning_rate", "max_depth", "leaves"],
                    rows[:12],
                    sortable=True,
                    keys=[row[0] for row in rows[:12]],
                    label="leaderboard",
                ),
                figure(
                    plots.parallel_plot(
                        {
                            "model": kind,
                            "learning_rate": rate,
                            "max_depth": depth,
                            "leaves": leaves,
                            "rmse": score,
                        },
                        title="trials by parameter",
                        keys=keys,
                        log=["learning_rate"],
                        highest_is_best=False,
                    ),
                    caption="Drag along an axis to select.",
                ),
                figure(
                    plots.scatter_plot(
                        [
                            plots.Point(k, s, f"trial {k}: {s:.2f}", k)
                            for k, s in zip(keys, score, strict=True)
                        ],
                        title="course",
                        x_label="trial",
                        y_label="rmse",
                        lines=[plots.Line("best so far", keys, best, stepped=True)],
                    ),
                    caption="Drag to select trials.",
                ),
                figure(
                    plots.timeline_plot(
                        spans,
                        title="when each trial ran",
                        names={"fine": "complete", "quiet": "pruned", "act": "failed"},
                    ),
                    caption="Two workers.",
                ),
                code="study.leaderboard().loc[[{keys}]]",
            ),
            json_script("trials", {"score": score, "best": float("nan"), "said": HOSTILE}),
        ]
    )


def foreign() -> Html:
    """Two figures of other libraries, with the same ids and a style for everything."""
    style = "<style>*{color:red;display:inline}</style>"
    one = f'{style}<svg width="60" height="30"><rect id="clip" width="60" height="30" fill="teal"/></svg>'
    return join([shadow(one), shadow(one + "</template><b id=last>still inside"), tag("p", "after")])
