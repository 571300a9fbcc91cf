# SPDX-License-Identifier: MIT
"""Records: their files, packed or not, and their schema."""
