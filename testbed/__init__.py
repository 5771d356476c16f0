# SPDX-License-Identifier: Apache-2.0
"""What tests, kata-bench and the demonstration stand on: private daemons, runtimes, a small image,
namespaces, the comparison of a host with what it was.

Standard library of Python 3.11 only. Nothing here knows a test or a benchmark.
"""
