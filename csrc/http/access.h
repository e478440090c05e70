/* SPDX-License-Identifier: MIT */
/* The access log: lines are collected during a turn of the loop and written at its end.
 * Baton holder only, except the format, which does not change. Never waits for a reader
 * longer than a moment: then lines are dropped and counted. */
#ifndef CW_HTTP_ACCESS_H
#define CW_HTTP_ACCESS_H

#include "base/metrics.h"
#include "http/access_line.h"

typedef struct cw_access_log cw_access_log_t;

/* Opens the log: `path` is a file, "-" (standard output), or NULL where lines only go
 * to syslog, which `syslog` asks for. Counts lost lines in `dropped` (borrowed). NULL
 * with the reason in `err`. */
CW_MUSTCHECK cw_access_log_t *cw_access_log_open(const char *path, const char *format,
                                                 bool syslog, _Atomic uint64_t *dropped,
                                                 char *err, size_t err_len);

const cw_access_format_t *cw_access_log_format(const cw_access_log_t *log);

/* Where lost lines are counted from now on. */
void cw_access_log_count_in(cw_access_log_t *log, _Atomic uint64_t *dropped);

/* Adds a line; `a` needs no time, project and pid. */
void cw_access_log_put(cw_access_log_t *log, cw_access_t *a);

/* Writes what was collected, in whole lines. */
void cw_access_log_flush(cw_access_log_t *log);

/* Opens the file of that name anew; goes on with the old one where that fails. */
void cw_access_log_reopen(cw_access_log_t *log);

/* Flushes and frees. NULL is fine. */
void cw_access_log_close(cw_access_log_t *log);

#endif
