/* SPDX-License-Identifier: MIT */
/* The supervisor's own log lines and metrics, and the files that workers log to. */
#ifndef CW_SUPERVISOR_REPORTS_H
#define CW_SUPERVISOR_REPORTS_H

#include "base/macros.h"
#include "base/options.h"

/* Opens the error log and syslog, makes the log files and gives them to the workers'
 * user. Returns 0, or -1 after saying what is wrong. */
CW_MUSTCHECK int cw_reports_open(const cw_settings_t *s);

/* Says once what --user means here: whose groups the workers get, and whether root
 * reads its configuration where they can write. `start` is the folder of the start. */
void cw_reports_identity(const cw_settings_t *s, const char *start);

/* USR1: the files may have been renamed. Makes new ones, for the workers' user, too. */
void cw_reports_reopen(const cw_settings_t *s);

/* Tells statsd, where there is one, how many workers there are, when that changes. */
void cw_reports_workers(const cw_settings_t *s, int workers);

/* --capture-output: in a worker's process, what the app prints goes to the error log.
 */
void cw_reports_capture(const cw_settings_t *s);

#endif
