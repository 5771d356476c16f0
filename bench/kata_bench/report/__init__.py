# SPDX-License-Identifier: Apache-2.0
"""What people read of results: a table for the terminal, Markdown, and a page."""
