# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests stand on: private daemons, a small image, host comparison, wire clients.

Standard library of Python 3.11 only. Nothing here knows a test.
"""
