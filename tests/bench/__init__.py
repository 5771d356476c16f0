# SPDX-License-Identifier: Apache-2.0
"""Unit tests of kata-bench. They need neither root nor a VM."""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
for folder in (f"{ROOT}/bench", ROOT):
    if folder not in sys.path:
        sys.path.insert(0, folder)
