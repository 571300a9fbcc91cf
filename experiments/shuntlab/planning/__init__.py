# SPDX-License-Identifier: MIT
"""From an experiment to a frozen plan, and the campaign that holds it."""
