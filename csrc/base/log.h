/* SPDX-License-Identifier: MIT */
/* The error log: one line, one write(2), to standard error or a file, and to syslog
 * where that is on. Any thread, any GIL state; never allocates. Not for signal
 * handlers.
 */
#ifndef CW_BASE_LOG_H
#define CW_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"

#define CW_LOG_KEPT "\n\t" /* in a text of several lines */

typedef enum cw_log_level {
  CW_LOG_DEBUG,
  CW_LOG_INFO,
  CW_LOG_WARNING,
  CW_LOG_ERROR,
  CW_LOG_CRITICAL,
} cw_log_level_t;

/* Lines below this level are dropped. Set once, before threads start. */
void cw_log_set_level(cw_log_level_t level);

/* Whether lines show the query strings of requests, where tokens may be (--log-query);
 * they do not at first. Set once, before threads start. */
void cw_log_set_query(bool shown);

/* How many of the `n` bytes of a request's target a line shows. */
size_t cw_log_target(const char *target, size_t n);

/* Opens the files that the two below write to, instead of cw_log_file(). NULL: that. */
void cw_log_set_opener(int (*opener)(const char *path));

/* Lets lines go to the file `path` from now on; "-" is standard error, where they go at
 * first. A path that is not absolute counts from today's folder. Returns 0, or -1 with
 * the reason in `err`; nothing has changed then. Not while other threads log. */
CW_MUSTCHECK int cw_log_open(const char *path, char *err, size_t err_len);

/* Opens the file of that name anew, for log rotation: the old one may have been
 * renamed. Other threads may go on logging; goes on with the old file where it fails.
 */
void cw_log_reopen(void);

/* Has standard output and error go where the log goes, now and after it was reopened.
 */
void cw_log_capture(void);

/* For a process that is about to go to the background: until cw_log_detach() complaints
 * go to the log's file, too. Whoever typed the command will soon not be there. */
void cw_log_attach(void);

/* Lets go of the terminal: standard input, and unless they are kept standard output and
 * error, become /dev/null, the last one the log's file where there is one. */
void cw_log_detach(bool keep_stdio);

/* Where lines go: for others who write whole lines of their own. */
int cw_log_fd(void);

/* Lines of this level since the last call, for statsd. */
unsigned cw_log_take_count(cw_log_level_t level);

/* Makes a path absolute, for files that are opened again later, from another folder.
 * NULL when out of memory; the caller frees. */
CW_MUSTCHECK char *cw_path_absolute(const char *path);

/* Opens a log file to append to, with open(2)'s `flags` besides; made with the umask's
 * mode. /dev/stdout and its like are ours even where they belong to a user who has
 * started us, and nobody else may open them. A FIFO that nobody reads is an error, at
 * once. A descriptor or -1 (errno). */
CW_MUSTCHECK int cw_log_file(const char *path, int flags);

/* The level named `name` (gunicorn's names), or -1. */
int cw_log_level_parse(const char *name);

/* Writes "[time] [pid] [LEVEL] message". Control characters in the message, and bytes
 * that are no UTF-8, become \xHH: a value from outside can neither forge a line nor
 * speak to a terminal. */
void cw_log(cw_log_level_t level, const char *fmt, ...) CW_PRINTF(2, 3);

/* cw_log() with `n` bytes of text under the line, in one piece: no other line of this
 * process comes between. Of its control characters
 * only those of CW_LOG_KEPT stay. */
void cw_log_text(cw_log_level_t level, const char *text, size_t n, const char *fmt, ...)
    CW_PRINTF(4, 5);

/* Writes a message for whoever typed the command to standard error: "cwsgi: message".
 */
void cw_complain(const char *fmt, ...) CW_PRINTF(1, 2);

#endif
