/* SPDX-License-Identifier: MIT */
/* A statsd client: metrics are collected and sent in datagrams that fit one Ethernet
 * frame. Never blocks; what cannot be sent is lost, as statsd has it. One owner at a
 * time. */
#ifndef CW_BASE_STATSD_H
#define CW_BASE_STATSD_H

#include <stddef.h>
#include <stdint.h>

#include "base/dial.h"
#include "base/macros.h"

enum { CW_STATSD_DATAGRAM = 1432 };

typedef struct cw_statsd {
  cw_dial_t dial;
  int fd; /* -1: closed, or not connected now */
  char prefix[128], tags[512];
  size_t len;
  char buf[CW_STATSD_DATAGRAM];
} cw_statsd_t;

/* Checks "HOST:PORT" or "unix://PATH" without looking it up. */
CW_MUSTCHECK int cw_statsd_check(const char *to, char *err, size_t err_len);

/* Starts sending to `to`, gunicorn's way: `prefix` ends in one dot, `tags`
 * (DogStatsD's, comma-separated) follow each metric. Returns 0, or -1 with the reason
 * in `err`; `s` is closed then. */
CW_MUSTCHECK int cw_statsd_open(cw_statsd_t *s, const char *to, const char *prefix,
                                const char *tags, char *err, size_t err_len);

/* Adds one metric; sends what was collected before where it does not fit with it. */
void cw_statsd_count(cw_statsd_t *s, const char *name, int64_t value);
void cw_statsd_gauge(cw_statsd_t *s, const char *name, int64_t value);
void cw_statsd_timing(cw_statsd_t *s, const char *name, int64_t us);

/* Sends what was collected. */
void cw_statsd_flush(cw_statsd_t *s);
void cw_statsd_close(cw_statsd_t *s);

#endif
