# SPDX-License-Identifier: MIT
"""From records to values, comparisons, verdicts and answers."""
