/* SPDX-License-Identifier: MIT */
/* The end of a program that made a programming error. */
#include "core/backend.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void shunt_panic(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("shunt: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	abort();
}
