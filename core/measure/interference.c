/* SPDX-License-Identifier: MIT */
/* Load, steal, frequency and quota, from the kernel's text files. */
#include "core/measure/interference.h"

#include "core/measure/proc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void read_load(struct shunt_interference *now, const char *root)
{
	char text[128];

	/* The C library's locale may have another decimal point, so no scanf of a double. */
	unsigned whole, hundredths;
	if (shunt_proc_read(root, "/proc/loadavg", text, sizeof(text)) > 0 &&
		sscanf(text, "%u.%u", &whole, &hundredths) == 2) {
		now->load1 = whole + hundredths / 100.0;
		now->have |= SHUNT_INTERFERENCE_LOAD1;
	}
}

static void read_stat(struct shunt_interference *now, const char *root)
{
	const size_t bytes = 256 * 1024; /* a line a CPU and a number an interrupt */
	char *text = malloc(bytes);
	unsigned long long steal;

	if (text && shunt_proc_read(root, "/proc/stat", text, bytes) > 0) {
		/* cpu user nice system idle iowait irq softirq steal ... */
		if (sscanf(text, "cpu %*u %*u %*u %*u %*u %*u %*u %llu", &steal) == 1) {
			now->steal_ticks = steal;
			now->have |= SHUNT_INTERFERENCE_STEAL_TICKS;
		}
		if (shunt_proc_field(text, "ctxt", &now->context_switches) == 0)
			now->have |= SHUNT_INTERFERENCE_CONTEXT_SWITCHES;
		if (shunt_proc_field(text, "procs_running", &now->procs_running) == 0)
			now->have |= SHUNT_INTERFERENCE_PROCS_RUNNING;
	}
	free(text);
}

static void read_frequency(struct shunt_interference *now, const char *root)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);

	for (long cpu = 0; cpu < cpus; cpu++) {
		char path[96];
		uint64_t khz;

		snprintf(path, sizeof(path),
			"/sys/devices/system/cpu/cpu%ld/cpufreq/scaling_cur_freq", cpu);
		if (shunt_proc_number(root, path, &khz) < 0)
			continue;
		if (!(now->have & SHUNT_INTERFERENCE_FREQ_KHZ) || khz < now->freq_khz_min)
			now->freq_khz_min = khz;
		if (khz > now->freq_khz_max)
			now->freq_khz_max = khz;
		now->have |= SHUNT_INTERFERENCE_FREQ_KHZ;
	}
}

static void read_throttling(struct shunt_interference *now, const char *root)
{
	char text[1024], source[SHUNT_PROC_PATH_BYTES];
	uint64_t value;

	if (shunt_proc_cgroup(root, "cpu", "cpu.stat", "cpu.stat", text, sizeof(text), source) < 0)
		return;
	if (shunt_proc_field(text, "throttled_usec", &value) == 0)
		now->throttled_ns = value * 1000;
	else if (shunt_proc_field(text, "throttled_time", &value) == 0)
		now->throttled_ns = value;
	else
		return;
	now->have |= SHUNT_INTERFERENCE_THROTTLED_NS;
}

static void read_memory(struct shunt_interference *now, const char *root)
{
	char text[4096];
	uint64_t kib;

	if (shunt_proc_read(root, "/proc/meminfo", text, sizeof(text)) > 0 &&
		shunt_proc_field(text, "MemAvailable", &kib) == 0) {
		now->memory_available_bytes = kib * 1024;
		now->have |= SHUNT_INTERFERENCE_MEMORY_AVAILABLE;
	}
}

void shunt_interference_read(struct shunt_interference *now, const char *root)
{
	memset(now, 0, sizeof(*now));
	read_load(now, root);
	read_stat(now, root);
	read_frequency(now, root);
	read_throttling(now, root);
	read_memory(now, root);
}
