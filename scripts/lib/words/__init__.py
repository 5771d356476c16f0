# SPDX-License-Identifier: Apache-2.0
"""Manual pages and completions, made from what the programs say of themselves."""
