# SPDX-License-Identifier: Apache-2.0
"""Manual pages and completions: of a made-up program, and of those of a build."""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [f"{ROOT}/scripts/lib"]
