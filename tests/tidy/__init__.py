# SPDX-License-Identifier: Apache-2.0
"""What the tidy stage finds, by sources that are wrong on purpose."""
