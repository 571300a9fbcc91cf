/* SPDX-License-Identifier: MIT */
/*
 * What tail_call.py is tested on: functions that leave through a slot as a hot hook may, and ones
 * that do what it must see.
 */
#include <stdlib.h>

struct slots {
	void *current;
	int (*swap)(struct slots *slots, int value);
};

/* What follows a call may not be a tail call. */
#define KEEP_FRAME() __asm__ volatile("")

#define KEEP __attribute__((noinline, used)) static

KEEP int good_plain(struct slots *slots, int value)
{
	return value ? slots->swap(slots, value) : 0;
}

KEEP int good_through_another(struct slots *slots, int value)
{
	slots->current = NULL;
	return good_plain(slots, value + 1);
}

KEEP int helper(struct slots *slots, int value)
{
	__asm__ volatile("" : : : "memory");
	return slots->current ? value : -value;
}

KEEP int framed(struct slots *slots, int value)
{
	return slots->swap(slots, value + helper(slots, value));
}

KEEP int bad_calls(struct slots *slots, int value)
{
	int result = slots->swap(slots, value);

	KEEP_FRAME();
	return result;
}

KEEP int bad_on_one_way(struct slots *slots, int value)
{
	return value > 7 ? bad_calls(slots, value) : slots->swap(slots, value);
}

KEEP int bad_never(struct slots *slots, int value)
{
	return slots->current ? value : 1;
}

static int swapped(struct slots *slots, int value)
{
	(void)slots;
	return value;
}

int main(int argc, char **argv)
{
	struct slots slots = {argv, swapped};
	int sum = good_through_another(&slots, argc) + framed(&slots, argc) +
		  bad_on_one_way(&slots, argc) + bad_never(&slots, argc);

	return sum == 12345;
}
