# SPDX-License-Identifier: MIT
"""What several commands write: words for verdicts, pages, tables of a database."""
