/* SPDX-License-Identifier: MIT */
/* Moments of a start before there is a Python, for --boot-trace. One thread; a child
 * goes on with what its parent noted. */
#ifndef CW_BASE_MARKS_H
#define CW_BASE_MARKS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"

/* The room that cw_marks_text() needs at most. */
enum { CW_MARKS_TEXT = 1024 };

/* The first thing of main(): notes now. */
void cw_marks_begin(void);

/* --boot-trace is on: without this no moment is noted, and no text is made. */
void cw_marks_enable(void);

/* This process is not to be traced, nor are its children. */
void cw_marks_disable(void);

/* The phase `name` (a literal without ':' and ' ') of the start ends now. */
void cw_mark(const char *name);

/* Whether this process's start is traced. */
bool cw_marks_on(void);

/* Writes "US:CPU" of the begin (CLOCK_MONOTONIC, and the processor time that it took to
 * get there, both in microseconds), then " NAME:US:RSS:PSS" (KiB) of each phase. */
void cw_marks_text(char *out, size_t len);

#endif
