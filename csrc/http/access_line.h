/* SPDX-License-Identifier: MIT */
/* One line of the access log. Pure, but for a clock's text that each thread remembers:
 * any thread. Nothing that a client or the app sent can end the line or a value in it:
 * control bytes, quotes, backslashes and what is not ASCII are escaped. */
#ifndef CW_HTTP_ACCESS_LINE_H
#define CW_HTTP_ACCESS_LINE_H

#include <stdint.h>
#include <time.h>

#include "base/access_format.h"
#include "http/app.h"

/* PIPE_BUF: what one write(2) brings into a pipe in one piece. */
enum { CW_ACCESS_LINE = 4096 };

/* What there is to tell of a request. */
typedef struct cw_access {
  const cw_head_t *head; /* NULL where it was refused before it could be read */
  cw_span_t line;        /* then: what there was of its first line */
  const char *peer_addr;
  int status;        /* 0: nothing was answered */
  int64_t body_sent; /* bytes of the response's body */
  uint64_t received, sent;
  int64_t us;               /* from the head to the end of the response */
  const cw_span_t *fields;  /* of the response, by their index in the format; */
  const cw_span_t *environ; /* either NULL, or with p NULL where there is none */
  struct timespec now;      /* wall clock */
  const char *project;      /* Google Cloud's, or NULL */
  int pid;
} cw_access_t;

/* Writes the line with its newline to `buf`. Returns its length. Long values are cut, a
 * line that is still too long is cut at its end. */
size_t cw_access_line(const cw_access_format_t *f, const cw_access_t *a,
                      char buf[CW_ACCESS_LINE]);

#endif
