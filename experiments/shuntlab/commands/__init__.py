# SPDX-License-Identifier: MIT
"""The commands of `shunt lab`, a file each; each has register(subparsers)."""
