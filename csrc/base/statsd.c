/* SPDX-License-Identifier: MIT */
/* statsd's lines as gunicorn sends them, several to a datagram. */
#include "base/statsd.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/host_port.h"

static bool is_unix(const char *to) {
  return strncmp(to, "unix://", 7) == 0;
}

int cw_statsd_check(const char *to, char *err, size_t err_len) {
  char host[CW_NAME_TEXT], port[CW_PORT_TEXT];
  if (is_unix(to) ? to[7] != '\0' : cw_host_port(to, "8125", host, port) == 0) return 0;
  snprintf(err, err_len, "--statsd-host: '%s' is not HOST:PORT or unix://PATH", to);
  return -1;
}

int cw_statsd_open(cw_statsd_t *s, const char *to, const char *prefix, const char *tags,
                   char *err, size_t err_len) {
  char host[CW_NAME_TEXT], port[CW_PORT_TEXT];
  size_t n = strlen(prefix);
  *s = (cw_statsd_t){.fd = -1};
  if (cw_statsd_check(to, err, err_len) != 0) return -1;
  while (n > 1 && prefix[n - 1] == '.') n--;
  if (n) snprintf(s->prefix, sizeof(s->prefix), "%.*s.", (int)n, prefix);
  if (*tags) snprintf(s->tags, sizeof(s->tags), "|#%s", tags);
  int rc = is_unix(to) ? cw_dial_unix(&s->dial, to + 7, SOCK_DGRAM, err, err_len)
           : cw_host_port(to, "8125", host, port) == 0
               ? cw_dial_host(&s->dial, host, port, SOCK_DGRAM, err, err_len)
               : -1;
  if (rc != 0) return -1;
  s->fd = cw_dial_connect(&s->dial);
  if (s->fd >= 0) return 0;
  snprintf(err, err_len, "cannot send to %s: %s", to, strerror(-s->fd));
  s->fd = -1;
  return -1;
}

static void add(cw_statsd_t *s, const char *name, const char *value) {
  char line[CW_STATSD_DATAGRAM];
  int n = snprintf(line, sizeof(line), "%s%s:%s%s\n", s->prefix, name, value, s->tags);
  if (s->fd < 0 || n < 0 || (size_t)n >= sizeof(line)) return;
  if (s->len + (size_t)n > sizeof(s->buf)) cw_statsd_flush(s);
  memcpy(s->buf + s->len, line, (size_t)n);
  s->len += (size_t)n;
}

void cw_statsd_count(cw_statsd_t *s, const char *name, int64_t value) {
  char text[40];
  snprintf(text, sizeof(text), "%lld|c|@1.0", (long long)value);
  add(s, name, text);
}

void cw_statsd_gauge(cw_statsd_t *s, const char *name, int64_t value) {
  char text[40];
  snprintf(text, sizeof(text), "%lld|g", (long long)value);
  add(s, name, text);
}

void cw_statsd_timing(cw_statsd_t *s, const char *name, int64_t us) {
  char text[40];
  snprintf(text, sizeof(text), "%lld.%03d|ms", (long long)(us / 1000),
           (int)(us % 1000));
  add(s, name, text);
}

void cw_statsd_flush(cw_statsd_t *s) {
  if (s->len == 0 || s->fd < 0) return;
  /* Without the last newline: some daemons count an empty metric there. */
  ssize_t sent = send(s->fd, s->buf, s->len - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  s->len = 0;
  if (sent >= 0 || s->dial.addr.ss_family != AF_UNIX || errno == EAGAIN) return;
  /* A daemon that was started anew has another socket behind the same path. */
  int fd = cw_dial_connect(&s->dial);
  if (fd < 0) return;
  close(s->fd);
  s->fd = fd;
}

void cw_statsd_close(cw_statsd_t *s) {
  cw_statsd_flush(s);
  if (s->fd >= 0) close(s->fd);
  s->fd = -1;
}
