"""``python -m orchestration_nb.cli``."""

from __future__ import annotations

import sys

from orchestration_nb.cli import main

sys.exit(main())
