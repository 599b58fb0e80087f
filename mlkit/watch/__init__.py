"""`mlkit watch`: a script is run again at every save, and its page is shown anew."""

from __future__ import annotations

from mlkit.watch.child import refuse_when_watched, report_at_end, run_script
from mlkit.watch.course import WatchReport, watch
from mlkit.watch.files import Files

__all__ = ["Files", "WatchReport", "refuse_when_watched", "report_at_end", "run_script", "watch"]
