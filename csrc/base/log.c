/* SPDX-License-Identifier: MIT */
/* Error log lines, in the form gunicorn's users know. */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 2048 };

static cw_log_level_t threshold = CW_LOG_INFO;

static const char *const names[] = {"debug", "info", "warning", "error", "critical"};
static const char *const titles[] = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"};

void cw_log_set_level(cw_log_level_t level) {
  threshold = level;
}

int cw_log_level_parse(const char *name) {
  for (size_t i = 0; i < CW_ARRAY_LEN(names); i++)
    if (strcasecmp(name, names[i]) == 0) return (int)i;
  return -1;
}

/* One line or block at a time: a write to a pipe may stop half-way. */
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;

static void write_all(const char *p, size_t n) {
  while (n > 0) {
    ssize_t w = write(STDERR_FILENO, p, n);
    if (w < 0 && errno == EINTR) continue;
    if (w <= 0) return; /* nowhere left to say so */
    p += w;
    n -= (size_t)w;
  }
}

/* Ends the `n` bytes of `line` with a newline and writes it, and `text` under it. */
static void put_line(char *line, size_t n, const char *text, size_t text_len) {
  n = CW_MIN(n, (size_t)LINE - 1);
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) line[i] = '?';
  line[n++] = '\n';
  int saved = errno;
  pthread_mutex_lock(&writing);
  write_all(line, n);
  write_all(text, text_len);
  pthread_mutex_unlock(&writing);
  errno = saved;
}

/* "[time] [pid] [LEVEL] " */
static size_t put_prefix(char line[LINE], cw_log_level_t level) {
  struct timespec ts;
  struct tm tm;
  clock_gettime(CLOCK_REALTIME, &ts);
  localtime_r(&ts.tv_sec, &tm);
  size_t n = strftime(line, LINE, "[%Y-%m-%d %H:%M:%S %z] ", &tm);
  return n + (size_t)snprintf(line + n, LINE - n, "[%d] [%s] ", (int)getpid(),
                              titles[level]);
}

void cw_log(cw_log_level_t level, const char *fmt, ...) {
  if (level < threshold) return;
  char line[LINE];
  size_t n = put_prefix(line, level);
  va_list ap;
  va_start(ap, fmt);
  int m = vsnprintf(line + n, sizeof(line) - n, fmt, ap);
  va_end(ap);
  put_line(line, n + (size_t)CW_MAX(m, 0), NULL, 0);
}

void cw_log_text(cw_log_level_t level, const char *text, size_t text_len,
                 const char *fmt, ...) {
  if (level < threshold) return;
  char line[LINE];
  size_t n = put_prefix(line, level);
  va_list ap;
  va_start(ap, fmt);
  int m = vsnprintf(line + n, sizeof(line) - n, fmt, ap);
  va_end(ap);
  put_line(line, n + (size_t)CW_MAX(m, 0), text, text_len);
}

void cw_complain(const char *fmt, ...) {
  char line[LINE];
  size_t n = (size_t)snprintf(line, sizeof(line), "cwsgi: ");
  va_list ap;
  va_start(ap, fmt);
  int m = vsnprintf(line + n, sizeof(line) - n, fmt, ap);
  va_end(ap);
  put_line(line, n + (size_t)CW_MAX(m, 0), NULL, 0);
}

void cw_log_reopen(void) {}
