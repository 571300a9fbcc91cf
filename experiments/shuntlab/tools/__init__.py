# SPDX-License-Identifier: MIT
"""What has nothing to do with experiments: files, locks, processes, units, words."""
