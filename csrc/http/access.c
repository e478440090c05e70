/* SPDX-License-Identifier: MIT */
/* The access log's way out. Several processes write into one pipe: each write(2) holds
 * whole lines and no more than PIPE_BUF bytes, which the kernel keeps in one piece. */
#include "http/access.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/syslog.h"

enum {
  BUFFER = 32 * 1024,
  PATIENCE = 50,               /* ms for a full pipe to be read from, once */
  SAY_EVERY = 5 * 1000 * 1000, /* us between two remarks about lost lines */
};

typedef enum kind { KIND_FILE, KIND_PIPE, KIND_SOCKET } kind_t;

struct cw_access_log {
  cw_access_format_t format;
  int fd; /* -1: syslog only */
  bool own_fd;
  char *path; /* of a file, absolute */
  kind_t kind;
  bool syslog;
  bool stuck;    /* the last flush found no room */
  bool mid_line; /* a socket took a part of the first line in `buf` */
  uint64_t lost; /* lines, not yet told of */
  int64_t say_at;
  _Atomic uint64_t *dropped;
  const char *project;
  int pid;
  size_t len;
  char buf[BUFFER];
};

/* ---- opening --------------------------------------------------------------- */

static kind_t kind_of(int fd) {
  struct stat st;
  if (fstat(fd, &st) != 0 || S_ISREG(st.st_mode)) return KIND_FILE;
  return S_ISSOCK(st.st_mode) ? KIND_SOCKET : KIND_PIPE;
}

/* Standard output, so that a write to it does not block. O_NONBLOCK would be seen by
 * everybody who has this pipe or terminal; an open file of our own keeps it to us. */
static int open_stdout(cw_access_log_t *log) {
  log->fd = STDOUT_FILENO;
  log->kind = kind_of(STDOUT_FILENO);
  if (log->kind != KIND_PIPE) return 0;
  int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return 0; /* a pipe of another user: poll(2) has to do */
  log->fd = fd;
  log->own_fd = true;
  return 0;
}

static int open_file(cw_access_log_t *log, const char *path) {
  log->path = cw_path_absolute(path);
  if (!log->path) return -1;
  /* Of a FIFO that nobody reads this fails instead of waiting. */
  log->fd = cw_log_file(log->path, O_NONBLOCK);
  if (log->fd < 0) return -1;
  log->own_fd = true;
  log->kind = kind_of(log->fd);
  return 0;
}

/* Google Cloud's project, of which Cloud Run's own variables say nothing. */
static const char *project_name(void) {
  static const char *const names[] = {"GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT",
                                      "GCP_PROJECT"};
  for (size_t i = 0; i < CW_ARRAY_LEN(names); i++) {
    const char *name = getenv(names[i]);
    if (name && *name) return name;
  }
  return NULL;
}

cw_access_log_t *cw_access_log_open(const char *path, const char *format, bool syslog,
                                    _Atomic uint64_t *dropped, char *err,
                                    size_t err_len) {
  cw_access_log_t *log = cw_calloc(1, sizeof(*log));
  if (!log) {
    snprintf(err, err_len, "out of memory");
    return NULL;
  }
  log->fd = -1;
  log->syslog = syslog;
  log->dropped = dropped;
  log->pid = (int)getpid();
  log->project = project_name();
  if (cw_access_format_compile(&log->format, format, err, err_len) != 0) goto fail;
  if (path && (strcmp(path, "-") == 0 ? open_stdout(log) : open_file(log, path)) != 0) {
    snprintf(err, err_len, "--access-logfile: cannot open %s: %s", path,
             strerror(errno));
    goto fail;
  }
  return log;
fail:
  cw_access_log_close(log);
  return NULL;
}

const cw_access_format_t *cw_access_log_format(const cw_access_log_t *log) {
  return &log->format;
}

void cw_access_log_count_in(cw_access_log_t *log, _Atomic uint64_t *dropped) {
  log->dropped = dropped;
}

void cw_access_log_reopen(cw_access_log_t *log) {
  if (!log->path) return;
  cw_access_log_flush(log);
  int fd = cw_log_file(log->path, O_NONBLOCK);
  if (fd < 0) {
    cw_log(CW_LOG_ERROR, "cannot reopen %s: %s", log->path, strerror(errno));
    return;
  }
  close(log->fd);
  log->fd = fd;
  log->kind = kind_of(fd);
}

/* ---- writing --------------------------------------------------------------- */

/* One write that does not block. Bytes written, 0 where there is no room, or -1. */
static ssize_t write_some(const cw_access_log_t *log, const char *p, size_t n) {
  ssize_t w = log->kind == KIND_SOCKET
                  ? send(log->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL)
                  : write(log->fd, p, n);
  if (w >= 0) return w;
  return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -1;
}

static bool has_room(const cw_access_log_t *log, int ms) {
  struct pollfd p = {.fd = log->fd, .events = POLLOUT};
  return poll(&p, 1, ms) == 1;
}

/* The whole lines at the start of `p` that one write may hold. */
static size_t next_piece(const cw_access_log_t *log, const char *p, size_t n) {
  if (log->kind == KIND_FILE || n <= CW_ACCESS_LINE) return n;
  const char *lf = memrchr(p, '\n', CW_ACCESS_LINE);
  return lf ? (size_t)(lf - p) + 1 : CW_ACCESS_LINE;
}

/* Writes as many of the `n` bytes as go; returns how many. */
static size_t write_lines(cw_access_log_t *log, const char *p, size_t n) {
  size_t done = 0;
  int wait = log->stuck ? 0 : PATIENCE;
  while (done < n) {
    /* Without a descriptor of our own a write would block: ask before. */
    if (log->kind == KIND_PIPE && !log->own_fd && !has_room(log, 0)) {
      if (!wait || !has_room(log, wait)) return done;
      wait = 0;
    }
    ssize_t w = write_some(log, p + done, next_piece(log, p + done, n - done));
    if (w < 0) return done;
    if (w == 0) {
      if (!wait || !has_room(log, wait)) return done;
      wait = 0; /* once a flush */
      w = write_some(log, p + done, next_piece(log, p + done, n - done));
      if (w <= 0) return done;
    }
    done += (size_t)w;
  }
  return done;
}

static uint64_t count_lines(const char *p, size_t n) {
  uint64_t lines = 0;
  for (const char *end = p + n; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
    lines++;
  return lines;
}

/* Whether the error log goes to the same pipe: then nothing is said while it is full.
 */
static bool shares_error_log(const cw_access_log_t *log) {
  struct stat ours, other;
  return fstat(log->fd, &ours) != 0 || fstat(cw_log_fd(), &other) != 0 ||
         (ours.st_dev == other.st_dev && ours.st_ino == other.st_ino);
}

static void tell_of_lost(cw_access_log_t *log) {
  if (!log->lost || (log->stuck && shares_error_log(log))) return;
  int64_t now = cw_now_us();
  if (log->stuck && now < log->say_at) return;
  log->say_at = now + SAY_EVERY;
  cw_log(CW_LOG_WARNING, "%llu access log lines dropped",
         (unsigned long long)log->lost);
  log->lost = 0;
}

void cw_access_log_flush(cw_access_log_t *log) {
  if (log->len == 0) return;
  size_t done = write_lines(log, log->buf, log->len), keep = 0;
  log->stuck = done < log->len;
  if (log->stuck) {
    /* A line that is half out has to be ended; the others are lost. */
    bool torn = done > 0 ? log->buf[done - 1] != '\n' : log->mid_line;
    if (torn && log->kind == KIND_SOCKET) {
      const char *lf = memchr(log->buf + done, '\n', log->len - done);
      keep = (size_t)(lf - (log->buf + done)) + 1;
    }
    uint64_t lost = count_lines(log->buf + done + keep, log->len - done - keep);
    log->lost += lost;
    cw_metric_add(log->dropped, lost);
    memmove(log->buf, log->buf + done, keep);
  }
  log->mid_line = keep > 0;
  log->len = keep;
  if (log->lost) tell_of_lost(log);
}

void cw_access_log_put(cw_access_log_t *log, cw_access_t *a) {
  clock_gettime(CLOCK_REALTIME, &a->now);
  a->project = log->project;
  a->pid = log->pid;
  if (BUFFER - log->len < CW_ACCESS_LINE) cw_access_log_flush(log);
  char *line = log->buf + log->len;
  size_t n = cw_access_line(&log->format, a, line);
  if (log->syslog) cw_syslog_send(CW_SYSLOG_ACCESS, CW_LOG_INFO, line, n - 1);
  if (log->fd >= 0) log->len += n;
}

void cw_access_log_close(cw_access_log_t *log) {
  if (!log) return;
  cw_access_log_flush(log);
  log->say_at = 0;
  tell_of_lost(log);
  if (log->own_fd) close(log->fd);
  cw_access_format_free(&log->format);
  free(log->path);
  free(log);
}
