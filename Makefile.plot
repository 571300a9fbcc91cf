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
# Two campaigns (CAMPAIGN="a b") give one figure that tells their machines apart.

CAMPAIGN ?=
OUT ?= $(firstword $(CAMPAIGN))/figures
PLOTS := $(dir $(lastword $(MAKEFILE_LIST)))experiments/plots
MAKEFLAGS += --keep-going --no-builtin-rules

# The first python3 on a PATH may be one without scipy and matplotlib.
PYTHON ?= $(shell for p in /usr/bin/python3 python3; do \
	$$p -c 'import importlib.util as u, sys; \
	sys.exit(not all(map(u.find_spec, ("numpy", "scipy", "matplotlib"))))' 2>/dev/null \
	&& echo $$p && break; done)

ifeq ($(PYTHON),)
$(error no python3 here has scipy and matplotlib; Debian: apt-get install python3-scipy python3-matplotlib)
endif
ifeq ($(CAMPAIGN),)
$(error say which campaign: make -f Makefile.plot figures CAMPAIGN=results/NAME)
endif

ifneq ($(words $(CAMPAIGN)),1)
ifeq ($(shell test -f '$(CAMPAIGN)/plan.json' && echo one),one)
$(error make cannot have a space in a name; call it through a link: ln -s '$(CAMPAIGN)' NAME)
endif
endif

FIGURES := $(shell $(PYTHON) $(PLOTS)/_list.py --make $(firstword $(CAMPAIGN)))
ifeq ($(FIGURES),)
$(error $(firstword $(CAMPAIGN)): no figure to draw)
endif
NAMES := $(foreach f,$(FIGURES),$(firstword $(subst :, ,$(f))))
SHARED := $(wildcard $(PLOTS)/_*.py $(PLOTS)/../shuntlab/*.py)
# A run's record is renamed into its folder, which changes the folder.
RECORDS := $(foreach c,$(CAMPAIGN),$(wildcard $(c)/plan.json $(c)/records $(c)/traces \
	$(c)/parts/*/plan.json $(c)/parts/*/records))

.PHONY: figures tables check list
figures: $(NAMES:%=$(OUT)/%.pdf)
	@echo 'in a paper: \graphicspath{{$(OUT)/}} and $(NAMES:%=\input{$(OUT)/%.figure})'
tables: $(NAMES:%=$(OUT)/%.table.tex)

check:
	$(PYTHON) $(PLOTS)/_check.py $(CAMPAIGN) --out $(OUT)

list:
	@$(PYTHON) $(PLOTS)/_list.py $(firstword $(CAMPAIGN))

# One rule a figure: figure,NAME,KIND
define figure
$(addprefix $(OUT)/$(1),.pdf -wide.pdf .png .csv .json .figure.tex .caption.tex \
		.table.tex) &: \
		$(PLOTS)/$(2).py $(SHARED) $(RECORDS)
	$(PYTHON) $(PLOTS)/$(2).py $(CAMPAIGN) --figure $(1) --out $(OUT)
endef
$(foreach f,$(FIGURES),$(eval $(call figure,$(firstword $(subst :, ,$(f))),$(lastword $(subst :, ,$(f))))))
