/* SPDX-License-Identifier: MIT */
/* Log lines to a syslog daemon, as gunicorn (Python's SysLogHandler) writes them:
 * "<PRI>NAME.error: [pid] message" (RFC 3164 without its time, which daemons add). One
 * connection for the process. Nothing here ever blocks: what cannot be sent at once is
 * dropped. Any thread, except open and close. */
#ifndef CW_BASE_SYSLOG_H
#define CW_BASE_SYSLOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/log.h"
#include "base/macros.h"
#include "base/options.h"

enum { CW_SYSLOG_MESSAGE = 8 * 1024 }; /* bytes; the rest is cut off */

typedef enum cw_syslog_source { CW_SYSLOG_ERROR, CW_SYSLOG_ACCESS } cw_syslog_source_t;

/* Checks an address and a facility's name without looking anything up. Returns 0, or -1
 * with the reason in `err`. */
CW_MUSTCHECK int cw_syslog_check(const char *to, const char *facility, char *err,
                                 size_t err_len);

/* Starts sending to `to` ("udp://HOST:PORT", "tcp://HOST:PORT", "unix://PATH", there
 * with "#dgram" or "#stream") under `name`. From then on cw_log() lines go there, too.
 * A daemon that is not there is tried again later. Same results as the check; a host
 * that cannot be looked up is a failure, too. */
CW_MUSTCHECK int cw_syslog_open(const char *to, const char *facility, const char *name,
                                char *err, size_t err_len);
void cw_syslog_close(void);

/* Opens it as the settings say, where they want it. Same results. */
CW_MUSTCHECK int cw_syslog_start(const cw_settings_t *s, char *err, size_t err_len);

/* The program's name as gunicorn gives it: "gunicorn.PREFIX" where there is a prefix,
 * else "cwsgi.APP", with dots for colons. */
void cw_syslog_name(char *out, size_t size, const char *prefix, const char *app);

/* Whether it is open. */
bool cw_syslog_on(void);

/* Sends one line, without its newline. */
void cw_syslog_send(cw_syslog_source_t source, cw_log_level_t level, const char *text,
                    size_t n);

/* Sends an error log line with the lines of `text` under it: in one datagram, as Python
 * does (a Unix socket's queue may hold ten), but one message for each on a stream,
 * where newlines separate messages. */
void cw_syslog_send_block(cw_log_level_t level, const char *line, size_t n,
                          const char *text, size_t text_len);

/* Writes one message to `buf`; returns its length, at most `size`. */
size_t cw_syslog_format(char *buf, size_t size, int facility, const char *name,
                        cw_syslog_source_t source, cw_log_level_t level, int pid,
                        const char *text, size_t n);

/* The number of a facility, or -1. */
int cw_syslog_facility(const char *name);

#endif
