# SPDX-License-Identifier: Apache-2.0
"""kata-bench: container runtimes measured side by side. Standard library of Python 3.11 only."""
