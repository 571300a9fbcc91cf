# SPDX-License-Identifier: MIT
"""The lab of shunt: experiments become plans, plans become records, records become answers.

Its rooms, each of which imports only from those before it:

    tools        files, locks, processes, units, words
    data         records: their files, packed or not, and their schema
    planning     from an experiment to a frozen plan, and the campaign that holds it
    statistics   from records to values, comparisons, verdicts and answers
    running      working off a plan
    output       what several commands write
    commands     a file each; cli.py finds them

Planning, running, resuming, exporting and verifying need nothing but the standard library; scipy,
numpy and matplotlib are imported by the modules that compute with them.
"""
