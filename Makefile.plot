# SPDX-License-Identifier: MIT
# Figures and tables from the records of a campaign; nothing is run, nothing but records is read.
#
#   make -f Makefile.plot figures CAMPAIGN=results/switch_cost-2026-11-22 [OUT=dir]
#
#   figures   every figure the experiment declares: PDF in 3.33 and 7.0 inches, PNG, CSV, caption
#   tables    the same figures' numbers as booktabs tables
#   check     build all twice and compare bytes; fonts embedded; readable in grey
#   list      their names and kinds
#
# Two campaigns (CAMPAIGN="a b") give one figure that tells their machines apart. What is up to date is
# not drawn again. All of it is `lab figures`: no text of a campaign is read by make or by a shell.

CAMPAIGN ?=
OUT ?=
PYTHON ?=
override CAMPAIGN := $(value CAMPAIGN)
override OUT := $(value OUT)
SHUNT_PYTHON := $(or $(PYTHON),$(SHUNT_PYTHON))
LAB := $(subst Makefile.plot,experiments/lab,$(MAKEFILE_LIST))
export CAMPAIGN OUT SHUNT_PYTHON LAB

# A folder of that name is one campaign, also with a space in it; else there are several. make writes a
# space before the name of this file.
FIGURES = @set -f; if [ -d "$$CAMPAIGN" ]; then set -- "$$CAMPAIGN"; else set -- $$CAMPAIGN; fi; \
	if [ $$\# = 0 ]; then echo 'say which campaign: make -f Makefile.plot figures \
	CAMPAIGN=results/NAME' >&2; exit 2; fi; \
	"$${LAB\# }" figures "$$@" --out "$${OUT:-$$1/figures}"

.PHONY: figures tables check list
figures:
	$(FIGURES)
tables:
	$(FIGURES)
check:
	$(FIGURES) --check
list:
	$(FIGURES) --list
