/* SPDX-License-Identifier: MIT */
/* Error log lines, in the form gunicorn's users know. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/escape.h"
#include "base/io.h"
#include "base/syslog.h"

enum { LINE = 2048 };

static cw_log_level_t threshold = CW_LOG_INFO;
static int log_fd = STDERR_FILENO; /* a file's stays the same when it is reopened */
static char *log_path;             /* absolute; NULL: standard error */
static bool with_query;
static atomic_uint counts[CW_LOG_CRITICAL + 1];

static const char *const names[] = {"debug", "info", "warning", "error", "critical"};
static const char *const titles[] = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"};

void cw_log_set_level(cw_log_level_t level) {
  threshold = level;
}

void cw_log_set_query(bool shown) {
  with_query = shown;
}

size_t cw_log_target(const char *target, size_t n) {
  enum { MOST = 1000 };
  const char *mark = with_query ? NULL : memchr(target, '?', n);
  return CW_MIN(mark ? (size_t)(mark - target) : n, (size_t)MOST);
}

int cw_log_level_parse(const char *name) {
  /* Words that gunicorn's users have for levels. */
  static const struct {
    const char *name;
    cw_log_level_t level;
  } others[] = {{"warn", CW_LOG_WARNING},
                {"notset", CW_LOG_DEBUG},
                {"trace", CW_LOG_DEBUG},
                {"fatal", CW_LOG_CRITICAL}};
  for (size_t i = 0; i < CW_ARRAY_LEN(names); i++)
    if (strcasecmp(name, names[i]) == 0) return (int)i;
  for (size_t i = 0; i < CW_ARRAY_LEN(others); i++)
    if (strcasecmp(name, others[i].name) == 0) return (int)others[i].level;
  return -1;
}

/* ---- where lines go ------------------------------------------------------- */

char *cw_path_absolute(const char *path) {
  char *dir = path[0] == '/' ? NULL : getcwd(NULL, 0), *full = NULL;
  if (!dir) return strdup(path);
  if (asprintf(&full, "%s/%s", dir, path) < 0) full = NULL;
  free(dir);
  return full;
}

/* The standard descriptor that the path means, or -1. */
static int descriptor_of(const char *path) {
  static const char *const paths[] = {"/dev/stdout",     "/dev/stderr",
                                      "/dev/fd/1",       "/dev/fd/2",
                                      "/proc/self/fd/1", "/proc/self/fd/2"};
  char target[64];
  ssize_t n = readlink(path, target, sizeof(target) - 1);
  target[CW_MAX(n, 0)] = '\0'; /* images link their log files to these */
  for (size_t i = 0; i < CW_ARRAY_LEN(paths); i++)
    if (strcmp(path, paths[i]) == 0 || (n > 0 && strcmp(target, paths[i]) == 0))
      return i % 2 ? STDERR_FILENO : STDOUT_FILENO;
  return -1;
}

int cw_log_file(const char *path, int flags) {
  static const int always =
      O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  int fd = open(path, always | flags, 0666);
  if (fd >= 0 && !(flags & O_NONBLOCK))
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  /* Another user's pipe, or a socket. */
  if (fd >= 0 || (errno != EACCES && errno != ENXIO)) return fd;
  int saved = errno, standard = descriptor_of(path);
  if (standard >= 0) return fcntl(standard, F_DUPFD_CLOEXEC, 0);
  errno = saved;
  return -1;
}

static int (*chosen_opener)(const char *path);

void cw_log_set_opener(int (*opener)(const char *path)) {
  chosen_opener = opener;
}

static int open_path(const char *path) {
  return chosen_opener ? chosen_opener(path) : cw_log_file(path, 0);
}

int cw_log_open(const char *path, char *err, size_t err_len) {
  char *full = NULL;
  int fd = STDERR_FILENO;
  if (strcmp(path, "-") != 0) {
    full = cw_path_absolute(path);
    fd = full ? open_path(full) : -1;
    if (fd < 0) {
      snprintf(err, err_len, "--error-logfile: cannot open %s: %s", path,
               strerror(errno));
      free(full);
      return -1;
    }
  }
  if (log_fd != STDERR_FILENO) close(log_fd);
  free(log_path);
  log_fd = fd;
  log_path = full;
  return 0;
}

static bool captures, attached;

void cw_log_attach(void) {
  attached = true;
}

void cw_log_detach(bool keep_stdio) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  attached = false;
  for (int fd = 0; null >= 0 && fd <= (keep_stdio ? 0 : 2); fd++)
    if (!captures || fd == 0) dup2(null, fd);
  /* Complaints go to standard error, and this is the place left for them. */
  if (!keep_stdio && log_fd != STDERR_FILENO) dup2(log_fd, STDERR_FILENO);
  if (null > 2) close(null);
}

void cw_log_capture(void) {
  captures = true;
  if (log_fd == STDERR_FILENO) return;
  dup2(log_fd, STDOUT_FILENO);
  dup2(log_fd, STDERR_FILENO);
}

void cw_log_reopen(void) {
  if (!log_path) return;
  int fd = open_path(log_path);
  /* In one step: a line that is being written goes to the one or the other. */
  if (fd < 0 || dup3(fd, log_fd, O_CLOEXEC) < 0)
    cw_log(CW_LOG_ERROR, "cannot reopen %s: %s", log_path, strerror(errno));
  if (fd >= 0) close(fd);
  if (captures) cw_log_capture();
}

int cw_log_fd(void) {
  return log_fd;
}

unsigned cw_log_take_count(cw_log_level_t level) {
  if (atomic_load_explicit(&counts[level], memory_order_relaxed) == 0) return 0;
  return atomic_exchange(&counts[level], 0);
}

/* ---- lines ---------------------------------------------------------------- */

/* One line or block at a time: a write to a pipe may stop half-way. */
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;

/* Lines that nobody could be told: whoever read the log is gone, or the disk is full.
 * Under `writing`. */
static unsigned lost;

/* Says how many lines are missing, now that there is somebody again. */
static void tell_lost(int fd) {
  char line[80];
  if (!lost || fd != log_fd) return;
  int n =
      snprintf(line, sizeof(line), "[%d] %u lines before this could not be written\n",
               (int)getpid(), lost);
  if (cw_write_all(fd, line, (size_t)n) == 0) lost = 0;
}

/* Text of several lines: at once where it can stay as it is. */
static bool write_text(int fd, const char *text, size_t n) {
  char piece[4096];
  bool whole = true;
  for (size_t used; n > 0; text += used, n -= used) {
    used = cw_escape_plain(text, n, CW_LOG_KEPT);
    size_t len = used;
    if (used < n) len = cw_escape(piece, sizeof(piece), text, n, CW_LOG_KEPT, &used);
    whole &= cw_write_all(fd, len == used ? text : piece, len) == 0;
  }
  return whole;
}

/* Writes the `n` bytes of `line`, which are escaped and have room for a newline, and
 * `text` under it. */
static void put_line(int fd, char *line, size_t n, const char *text, size_t text_len) {
  line[n++] = '\n';
  int saved = errno;
  pthread_mutex_lock(&writing);
  tell_lost(fd);
  bool whole = cw_write_all(fd, line, n) == 0;
  whole &= write_text(fd, text, text_len);
  lost += !whole && fd == log_fd;
  pthread_mutex_unlock(&writing);
  errno = saved;
}

/* Adds a message to the `n` bytes that are in `line`. Returns their number. */
static size_t put_message(char line[LINE], size_t n, const char *fmt, va_list ap) {
  char raw[LINE];
  int len = vsnprintf(raw, sizeof(raw), fmt, ap);
  size_t most = CW_MIN((size_t)CW_MAX(len, 0), sizeof(raw) - 1);
  return n + cw_escape(line + n, LINE - 1 - n, raw, most, "", NULL);
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

static void put(cw_log_level_t level, const char *text, size_t text_len,
                const char *fmt, va_list ap) {
  char line[LINE];
  size_t n = put_prefix(line, level), end = put_message(line, n, fmt, ap);
  atomic_fetch_add_explicit(&counts[level], 1, memory_order_relaxed);
  put_line(log_fd, line, end, text, text_len);
  cw_syslog_send_block(level, line + n, end - n, text, text_len);
}

void cw_log(cw_log_level_t level, const char *fmt, ...) {
  if (level < threshold) return;
  va_list ap;
  va_start(ap, fmt);
  put(level, NULL, 0, fmt, ap);
  va_end(ap);
}

void cw_log_text(cw_log_level_t level, const char *text, size_t text_len,
                 const char *fmt, ...) {
  if (level < threshold) return;
  va_list ap;
  va_start(ap, fmt);
  put(level, text, text_len, fmt, ap);
  va_end(ap);
}

static bool same_file(int a, int b) {
  struct stat x, y;
  return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
         x.st_ino == y.st_ino;
}

void cw_complain(const char *fmt, ...) {
  char line[LINE];
  size_t n = (size_t)snprintf(line, sizeof(line), "cwsgi: ");
  va_list ap;
  va_start(ap, fmt);
  n = put_message(line, n, fmt, ap);
  va_end(ap);
  put_line(STDERR_FILENO, line, n, NULL, 0);
  if (!attached || same_file(log_fd, STDERR_FILENO)) return;
  va_start(ap, fmt);
  put(CW_LOG_ERROR, NULL, 0, fmt, ap);
  va_end(ap);
}
