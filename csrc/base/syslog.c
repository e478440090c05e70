/* SPDX-License-Identifier: MIT */
/* The connection to syslogd. `lock` guards it; it is held across a send that does not
 * block, so that messages on a stream are not mixed. */
#include "base/syslog.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dial.h"
#include "base/escape.h"
#include "base/host_port.h"

enum { RETRY_US = 2 * 1000 * 1000 }; /* between two connection attempts */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool on;
static cw_dial_t dial;
static bool any_type; /* a Unix path that did not say which */
static int fd = -1;   /* -1: not connected now */
static int64_t retry_at;
static int facility_code;
static char program[128];

int cw_syslog_facility(const char *name) {
  static const struct {
    const char *name;
    int code;
  } all[] = {{"kern", 0},    {"user", 1},     {"mail", 2},    {"daemon", 3},
             {"auth", 4},    {"security", 4}, {"syslog", 5},  {"lpr", 6},
             {"news", 7},    {"uucp", 8},     {"cron", 9},    {"authpriv", 10},
             {"ftp", 11},    {"local0", 16},  {"local1", 17}, {"local2", 18},
             {"local3", 19}, {"local4", 20},  {"local5", 21}, {"local6", 22},
             {"local7", 23}};
  for (size_t i = 0; i < CW_ARRAY_LEN(all); i++)
    if (strcasecmp(all[i].name, name) == 0) return all[i].code;
  return -1;
}

/* The parts of an address. */
typedef struct target {
  char host[CW_NAME_TEXT]; /* or the path */
  char port[CW_PORT_TEXT];
  bool is_unix;
  int type; /* 0: not said */
} target_t;

static int parse_target(const char *to, target_t *t) {
  *t = (target_t){.type = SOCK_DGRAM};
  if (strncmp(to, "unix://", 7) == 0) {
    const char *path = to + 7, *hash = strchr(path, '#');
    size_t n = hash ? (size_t)(hash - path) : strlen(path);
    t->is_unix = true;
    t->type = !hash                          ? 0
              : strcmp(hash, "#dgram") == 0  ? SOCK_DGRAM
              : strcmp(hash, "#stream") == 0 ? SOCK_STREAM
                                             : -1;
    if (n == 0 || n >= sizeof(t->host) || t->type < 0) return -1;
    memcpy(t->host, path, n);
    return 0;
  }
  if (strncmp(to, "tcp://", 6) == 0)
    t->type = SOCK_STREAM;
  else if (strncmp(to, "udp://", 6) != 0)
    return -1;
  return cw_host_port(to + 6, "514", t->host, t->port);
}

int cw_syslog_check(const char *to, const char *facility, char *err, size_t err_len) {
  target_t t;
  if (parse_target(to, &t) != 0) {
    snprintf(err, err_len,
             "--log-syslog-to: '%s' is not udp://HOST:PORT, tcp://HOST:PORT or "
             "unix://PATH (#dgram or #stream)",
             to);
    return -1;
  }
  if (cw_syslog_facility(facility) < 0) {
    snprintf(err, err_len, "--log-syslog-facility: no facility '%s'", facility);
    return -1;
  }
  return 0;
}

static void disconnect_locked(void) {
  if (fd >= 0) close(fd);
  fd = -1;
}

/* Connects unless that failed moments ago. */
static void connect_locked(void) {
  int64_t now = cw_now_us();
  if (fd >= 0 || now < retry_at) return;
  fd = cw_dial_connect(&dial);
  if (fd == -EPROTOTYPE && any_type) {
    dial.type = dial.type == SOCK_DGRAM ? SOCK_STREAM : SOCK_DGRAM;
    fd = cw_dial_connect(&dial);
  }
  if (fd < 0) {
    fd = -1;
    retry_at = now + RETRY_US;
  }
}

int cw_syslog_open(const char *to, const char *facility, const char *name, char *err,
                   size_t err_len) {
  target_t t;
  if (cw_syslog_check(to, facility, err, err_len) != 0 || parse_target(to, &t) != 0)
    return -1;
  cw_syslog_close();
  int type = t.type ? t.type : SOCK_DGRAM;
  int rc = t.is_unix ? cw_dial_unix(&dial, t.host, type, err, err_len)
                     : cw_dial_host(&dial, t.host, t.port, type, err, err_len);
  if (rc != 0) return -1;
  any_type = t.type == 0;
  facility_code = cw_syslog_facility(facility);
  snprintf(program, sizeof(program), "%s", name);
  pthread_mutex_lock(&lock);
  retry_at = 0;
  connect_locked();
  pthread_mutex_unlock(&lock);
  atomic_store(&on, true);
  return 0;
}

void cw_syslog_name(char *out, size_t size, const char *prefix, const char *app) {
  if (prefix)
    snprintf(out, size, "gunicorn.%s", prefix);
  else
    snprintf(out, size, "cwsgi.%s", app ? app : "app");
  for (char *p = out; *p; p++)
    if (*p == ':' || *p == ' ') *p = '.';
}

int cw_syslog_start(const cw_settings_t *s, char *err, size_t err_len) {
  char name[128];
  if (!cw_opt_num(s, CW_OPT_SYSLOG)) return 0;
  cw_syslog_name(name, sizeof(name), cw_opt_str(s, CW_OPT_SYSLOG_PREFIX),
                 cw_settings_name(s));
  return cw_syslog_open(cw_opt_str(s, CW_OPT_SYSLOG_ADDR),
                        cw_opt_str(s, CW_OPT_SYSLOG_FACILITY), name, err, err_len);
}

void cw_syslog_close(void) {
  atomic_store(&on, false);
  pthread_mutex_lock(&lock);
  disconnect_locked();
  pthread_mutex_unlock(&lock);
}

bool cw_syslog_on(void) {
  return atomic_load_explicit(&on, memory_order_relaxed);
}

size_t cw_syslog_format(char *buf, size_t size, int facility, const char *name,
                        cw_syslog_source_t source, cw_log_level_t level, int pid,
                        const char *text, size_t n) {
  static const int severities[] = {[CW_LOG_DEBUG] = 7,
                                   [CW_LOG_INFO] = 6,
                                   [CW_LOG_WARNING] = 4,
                                   [CW_LOG_ERROR] = 3,
                                   [CW_LOG_CRITICAL] = 2};
  int len = snprintf(buf, size, "<%d>%s.%s: [%d] ", facility << 3 | severities[level],
                     name, source == CW_SYSLOG_ACCESS ? "access" : "error", pid);
  if (len < 0 || (size_t)len >= size) return 0;
  n = CW_MIN(n, size - (size_t)len);
  memcpy(buf + len, text, n);
  return (size_t)len + n;
}

/* Sends the `n` bytes of `buf`, which has room for one more. */
static void send_message(char *buf, size_t n) {
  int saved = errno;
  pthread_mutex_lock(&lock);
  /* A stream needs something between two messages (RFC 6587 section 3.4.2). */
  if (dial.type == SOCK_STREAM) buf[n++] = '\n';
  connect_locked();
  ssize_t sent = fd < 0 ? 0 : send(fd, buf, n, MSG_NOSIGNAL | MSG_DONTWAIT);
  bool full = sent < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == EINTR);
  /* A daemon that was started anew, or a message cut in two on a stream: begin again.
   * Over UDP an error tells of an earlier datagram and is over with it. */
  bool udp = dial.type == SOCK_DGRAM && dial.addr.ss_family != AF_UNIX;
  if (fd >= 0 && !udp && (sent < 0 ? !full : (size_t)sent < n)) {
    disconnect_locked();
    if (sent < 0 && dial.type == SOCK_DGRAM) {
      connect_locked();
      if (fd >= 0) (void)!send(fd, buf, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
  }
  pthread_mutex_unlock(&lock);
  errno = saved;
}

void cw_syslog_send(cw_syslog_source_t source, cw_log_level_t level, const char *text,
                    size_t n) {
  if (!cw_syslog_on()) return;
  char buf[CW_SYSLOG_MESSAGE + 1];
  send_message(buf, cw_syslog_format(buf, CW_SYSLOG_MESSAGE, facility_code, program,
                                     source, level, (int)getpid(), text, n));
}

static void send_lines(cw_log_level_t level, const char *text, size_t n) {
  while (n) {
    const char *lf = memchr(text, '\n', n);
    size_t len = lf ? (size_t)(lf - text) : n;
    char line[CW_SYSLOG_MESSAGE];
    size_t n_line = cw_escape(line, sizeof(line), text, len, CW_LOG_KEPT, NULL);
    if (len) cw_syslog_send(CW_SYSLOG_ERROR, level, line, n_line);
    len += lf != NULL;
    text += len;
    n -= len;
  }
}

void cw_syslog_send_block(cw_log_level_t level, const char *line, size_t n,
                          const char *text, size_t text_len) {
  if (!cw_syslog_on()) return;
  if (!text_len || dial.type == SOCK_STREAM) {
    cw_syslog_send(CW_SYSLOG_ERROR, level, line, n);
    send_lines(level, text, text_len);
    return;
  }
  char buf[CW_SYSLOG_MESSAGE + 1];
  size_t len = cw_syslog_format(buf, CW_SYSLOG_MESSAGE, facility_code, program,
                                CW_SYSLOG_ERROR, level, (int)getpid(), line, n);
  while (text[text_len - 1] == '\n' && text_len > 1) text_len--;
  if (len + 1 < CW_SYSLOG_MESSAGE) {
    buf[len++] = '\n';
    len += cw_escape(buf + len, CW_SYSLOG_MESSAGE - len, text, text_len, CW_LOG_KEPT,
                     NULL);
  }
  send_message(buf, len);
}
