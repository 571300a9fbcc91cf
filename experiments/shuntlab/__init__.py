# SPDX-License-Identifier: MIT
"""The lab of shunt: experiments become plans, plans become records, records become answers.

Data flows one way. toml_spec reads an experiment, plan freezes it, runner carries it out block by
block, campaign and records read what it left, and stats, compare, claims, report and the figure
scripts only ever read. Planning, running, resuming, exporting and verifying need nothing but the
standard library; scipy, numpy and matplotlib are imported by the modules that compute with them.
"""
