"""``python -m mlkit`` is ``mlkit``."""

import sys

from mlkit.cli import main

sys.exit(main())
