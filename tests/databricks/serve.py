"""Run a command beside real Spark servers, in an environment that could not start them itself.

``python -m tests.databricks.serve COMMAND...`` is run by the Python of the newest versions: Sail and Spark's
own Connect server live in its environment, the client under test in that of the command. The command is
told their addresses, and which Python that was.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.servers import connect_server, sail_server


def main(command: list[str]) -> int:
    """Start the servers, run the command and give its exit status; the servers end with this process."""
    with tempfile.TemporaryDirectory(prefix="mlkit-servers-", ignore_cleanup_errors=True) as folder:
        shared = Path(folder)
        with sail_server(shared) as sail, connect_server(shared) as connect:
            given = {
                "MLKIT_TEST_REMOTE_SAIL": sail,
                "MLKIT_TEST_REMOTE_CONNECT": connect,
                "MLKIT_TEST_NEWEST": sys.executable,
            }
            return subprocess.run(command, env={**os.environ, **given}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
