# SPDX-License-Identifier: MIT
"""Working off a plan: what is lacking is run, and kept."""
