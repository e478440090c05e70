/* SPDX-License-Identifier: MIT */
/* The error log: one line, one write(2), to standard error. Any thread, any GIL
 * state; never allocates. Not for signal handlers. */
#ifndef CW_BASE_LOG_H
#define CW_BASE_LOG_H

#include "base/macros.h"

typedef enum cw_log_level {
  CW_LOG_DEBUG,
  CW_LOG_INFO,
  CW_LOG_WARNING,
  CW_LOG_ERROR,
  CW_LOG_CRITICAL,
} cw_log_level_t;

/* Lines below this level are dropped. Set once, before threads start. */
void cw_log_set_level(cw_log_level_t level);

/* The level named `name` (gunicorn's names), or -1. */
int cw_log_level_parse(const char *name);

/* Writes "[time] [pid] [LEVEL] message". Control bytes in the message become '?',
 * so a value from outside cannot forge a line. */
void cw_log(cw_log_level_t level, const char *fmt, ...) CW_PRINTF(2, 3);

/* cw_log() with `n` bytes of text under the line, in one piece: no other line of this
 * process comes between. The text is written as it is. */
void cw_log_text(cw_log_level_t level, const char *text, size_t n, const char *fmt, ...)
    CW_PRINTF(4, 5);

/* Opens the log file again, where there is one. */
void cw_log_reopen(void);

/* Writes a message for whoever typed the command: "cwsgi: message". */
void cw_complain(const char *fmt, ...) CW_PRINTF(1, 2);

#endif
