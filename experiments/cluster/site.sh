# SPDX-License-Identifier: MIT
# Lines that every task of `lab submit --site FILE` begins with. Copy this file, and keep what your site has.
# They run in a login shell of bash on the node, before the lab.

# Modules: a Python of 3.9 or later, and what the build of shunt was linked with.
if command -v module >/dev/null; then
	module purge
	module load ${SHUNT_MODULES:-python}
fi

# Node-local scratch: a run writes its record there, and the lab moves it to the campaign when the run has
# ended. So no run waits for the network's file system. Without it runs write to the campaign itself.
for SHUNT_SCRATCH in "${SLURM_TMPDIR:-}" "${TMPDIR:-}" /local/scratch /tmp; do
	if [ -n "$SHUNT_SCRATCH" ] && [ -w "$SHUNT_SCRATCH" ]; then
		break
	fi
done
export SHUNT_SCRATCH
