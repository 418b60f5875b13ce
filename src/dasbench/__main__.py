"""``python -m dasbench`` is the command ``dasbench``."""

import importlib
import sys

sys.exit(importlib.import_module("dasbench.commands.tool").main())
