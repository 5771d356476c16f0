# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests have in common on top of the test bed: base classes, wire clients, chroots.

Standard library of Python 3.11 only. Nothing here knows a test.
"""
