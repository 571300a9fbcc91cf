/* SPDX-License-Identifier: MIT */
/* If this passes, what the kernel says of process and machine is read right, and absent if not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/measure/clock.h"
#include "core/measure/interference.h"
#include "core/measure/proc.h"
#include "core/measure/usage.h"
#include "core/measure/test/machine_files.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void files_are_read_and_trimmed(void **state)
{
	char text[8];
	uint64_t number = 5;

	(void)state;
	put("/a", "12 \n\n");
	assert_int_equal(shunt_proc_read(root, "/a", text, sizeof(text)), 2);
	assert_string_equal(text, "12");
	assert_int_equal(shunt_proc_number(root, "/a", &number), 0);
	assert_int_equal(number, 12);
	put("/b", "a long line");
	assert_int_equal(shunt_proc_read(root, "/b", text, sizeof(text)), 6);
	assert_string_equal(text, "a long");
	assert_int_equal(shunt_proc_number(root, "/b", &number), -ENODATA);
	put("/c", "-3");
	assert_int_equal(shunt_proc_number(root, "/c", &number), -ENODATA);
	assert_int_equal(shunt_proc_read(root, "/none", text, sizeof(text)), -ENOENT);
	assert_string_equal(text, "");
	assert_int_equal(shunt_proc_read(root, "/", text, sizeof(text)), -EISDIR);
	assert_int_equal(number, 12);
}

static void fields_are_found_by_their_whole_name(void **state)
{
	const char *text = "MemTotalX: 1 kB\nMemTotal:   24684092 kB\nctxt 77\nempty\n";
	uint64_t number = 0;

	(void)state;
	assert_int_equal(shunt_proc_field(text, "MemTotal", &number), 0);
	assert_int_equal(number, 24684092);
	assert_int_equal(shunt_proc_field(text, "ctxt", &number), 0);
	assert_int_equal(number, 77);
	assert_int_equal(shunt_proc_field(text, "empty", &number), -ENODATA);
	assert_int_equal(shunt_proc_field(text, "absent", &number), -ENODATA);
}

static void limits_come_from_the_nearest_group(void **state)
{
	char text[64], source[SHUNT_PROC_PATH_BYTES];

	(void)state;
	put("/proc/self/cgroup", "0::/user/job/step\n");
	put("/sys/fs/cgroup/user/job/cpu.max", "150000 100000\n");
	put("/sys/fs/cgroup/user/job/step/cpu.max", "max 100000\n");
	assert_true(shunt_proc_cgroup(root, "cpu", "cpu.max", "cpu.cfs_quota_us", text,
			    sizeof(text), source) > 0);
	assert_string_equal(text, "150000 100000");
	assert_string_equal(source, "/sys/fs/cgroup/user/job/cpu.max");
	put("/sys/fs/cgroup/user/job/cpu.max", "max 100000\n");
	assert_true(shunt_proc_cgroup(root, "cpu", "cpu.max", "cpu.cfs_quota_us", text,
			    sizeof(text), source) > 0);
	assert_string_equal(text, "max 100000");
	assert_int_equal(shunt_proc_cgroup(root, "pids", "pids.max", "pids.max", text, sizeof(text),
				 source),
		-ENOENT);
}

static void the_old_hierarchy_is_known_too(void **state)
{
	char text[64], source[SHUNT_PROC_PATH_BYTES];

	(void)state;
	put("/proc/self/cgroup", "4:memory:/box\n1:cpuacct,cpu:/box\n0::/\n");
	put("/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "200000\n");
	assert_int_equal(shunt_proc_cgroup(root, "cpu", "cpu.max", "cpu.cfs_quota_us", text,
				 sizeof(text), source),
		6);
	assert_string_equal(text, "200000");
	assert_string_equal(source, "/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us");
}

static void a_known_machine_is_read_exactly(void **state)
{
	struct shunt_interference now;

	(void)state;
	put("/proc/loadavg", "1.25 0.80 0.40 3/90 4711\n");
	put("/proc/stat", "cpu  1 2 3 4 5 6 7 42 0 0\ncpu0 1 2 3 4 5 6 7 42 0 0\n"
			  "intr 99 1 2\nctxt 123456\nprocesses 9\nprocs_running 3\n");
	put("/proc/meminfo", "MemTotal: 2000 kB\nMemAvailable: 1000 kB\n");
	put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "2300000\n");
	put("/proc/self/cgroup", "0::/\n");
	put("/sys/fs/cgroup/cpu.stat", "usage_usec 5\nthrottled_usec 70\n");
	shunt_interference_read(&now, root);
	assert_int_equal(now.have, (1 << 7) - 1);
	assert_float_equal(now.load1, 1.25, 0);
	assert_int_equal(now.procs_running, 3);
	assert_int_equal(now.steal_ticks, 42);
	assert_int_equal(now.context_switches, 123456);
	assert_int_equal(now.freq_khz_min, 2300000);
	assert_int_equal(now.freq_khz_max, 2300000);
	assert_int_equal(now.throttled_ns, 70000);
	assert_int_equal(now.memory_available_bytes, 1024000);
}

static void an_unreadable_machine_is_absent(void **state)
{
	struct shunt_interference now;

	(void)state;
	shunt_interference_read(&now, "/nowhere");
	assert_int_equal(now.have, 0);
}

static void this_machine_is_read(void **state)
{
	struct shunt_interference before, after;

	(void)state;
	shunt_interference_read(&before, "");
	usleep(1000);
	shunt_interference_read(&after, "");
	assert_true(after.have & SHUNT_INTERFERENCE_LOAD1);
	if (after.have & SHUNT_INTERFERENCE_CONTEXT_SWITCHES)
		assert_true(after.context_switches >= before.context_switches);
}

/* ---- the probe, by a clock of the test's own ------------------------------------------------- */

enum { TICK_NS = 5000, GAP_NS = 20000000 };

static struct {
	bool on;
	unsigned reading, gap_before; /* from the first of a probe, counted from 1 */
	int64_t ns;
} fake;

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	if (!fake.on)
		return __real_clock_gettime(clock, now);
	fake.ns += TICK_NS + (++fake.reading == fake.gap_before ? GAP_NS : 0);
	*now = (struct timespec){.tv_sec = fake.ns / 1000000000, .tv_nsec = fake.ns % 1000000000};
	return 0;
}

static struct shunt_interference probe_with_gap(unsigned before)
{
	struct shunt_interference now = {0};

	fake.gap_before = before;
	fake.reading = 0;
	fake.on = true;
	shunt_interference_probe(&now);
	fake.on = false;
	assert_int_equal(now.have, SHUNT_INTERFERENCE_PROBE);
	return now;
}

static void a_gap_shows_in_the_loop_that_it_falls_into(void **state)
{
	struct shunt_interference quiet = probe_with_gap(0), first, second;

	(void)state;
	assert_true(quiet.throughput_ns > 0);
	assert_float_equal(quiet.latency_ns, quiet.throughput_ns, 0);
	unsigned of_a_loop = fake.reading / 2;
	first = probe_with_gap(of_a_loop / 2);
	assert_true(first.throughput_ns > GAP_NS / 1000000 * quiet.throughput_ns);
	assert_float_equal(first.latency_ns, quiet.latency_ns, 0);
	second = probe_with_gap(of_a_loop + of_a_loop / 2);
	assert_float_equal(second.throughput_ns, quiet.throughput_ns, 0);
	assert_true(second.latency_ns > GAP_NS / 1000000 * quiet.latency_ns);
}

static void usage_grows_by_what_is_done(void **state)
{
	enum { PAGES = 2000 };
	struct shunt_usage before, after, later, used;
	size_t bytes = PAGES * (size_t)sysconf(_SC_PAGESIZE);

	(void)state;
	shunt_usage_read(&before);
	char *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	madvise(memory, bytes, MADV_NOHUGEPAGE);
	memset(memory, 1, bytes);
	usleep(2000);
	shunt_usage_read(&after);
	used = shunt_usage_since(&before, &after);
	munmap(memory, bytes);
	shunt_usage_read(&later);
	assert_true(used.cpu_ns > 0);
	assert_true(used.voluntary_switches >= 1);
	assert_true(used.rss_bytes == after.rss_bytes && used.peak_rss_bytes >= bytes);
	assert_true(after.peak_rss_bytes >= after.rss_bytes);
#ifdef __x86_64__ /* the numbers below are the emulator's elsewhere */
	assert_in_range(used.minor_faults, PAGES, 10 * PAGES);
	assert_true(after.rss_bytes - before.rss_bytes > bytes / 2);
	assert_true(later.peak_rss_bytes > after.rss_bytes - bytes / 2);
#endif
}

int main(void)
{
#define IN_ROOT(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)
	const struct CMUnitTest tests[] = {
		IN_ROOT(files_are_read_and_trimmed),
		cmocka_unit_test(fields_are_found_by_their_whole_name),
		IN_ROOT(limits_come_from_the_nearest_group),
		IN_ROOT(the_old_hierarchy_is_known_too),
		IN_ROOT(a_known_machine_is_read_exactly),
		cmocka_unit_test(an_unreadable_machine_is_absent),
		cmocka_unit_test(this_machine_is_read),
		cmocka_unit_test(a_gap_shows_in_the_loop_that_it_falls_into),
		cmocka_unit_test(usage_grows_by_what_is_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
