/* SPDX-License-Identifier: MIT */
/* Where requests are counted, timed and logged. All of it costs nothing per request but
 * one addition unless something asks for it. */
#include "http/account.h"
#include "http/forwarded.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "http/checks.h"
#include "http/reason.h"
#include "http/request.h"
#include "http/server.h"

enum {
  STATSD_PAUSE = 10,   /* ms between two datagrams, unless one is full */
  ENVIRON_MOST = 1500, /* bytes of an environ variable that are logged */
};

/* ---- life ------------------------------------------------------------------ */

static int open_access(cw_account_t *acc, const cw_limits_t *l, char *err,
                       size_t err_len) {
  if (!l->access_log && !l->access_syslog) return 0;
  acc->access = cw_access_log_open(l->access_log, l->access_format, l->access_syslog,
                                   &acc->metrics->access_dropped, err, err_len);
  return acc->access ? 0 : -1;
}

/* A statsd host that cannot be found is no reason not to serve. */
static int open_statsd(cw_account_t *acc, const cw_limits_t *l, char *err,
                       size_t err_len) {
  if (!l->statsd) return 0;
  acc->statsd = cw_malloc(sizeof(*acc->statsd));
  if (!acc->statsd) {
    snprintf(err, err_len, "out of memory");
    return -1;
  }
  if (cw_statsd_open(acc->statsd, l->statsd, l->statsd_prefix ? l->statsd_prefix : "",
                     l->statsd_tags ? l->statsd_tags : "", err, err_len) == 0)
    return 0;
  cw_log(CW_LOG_WARNING, "no statsd metrics: %s", err);
  free(acc->statsd);
  acc->statsd = NULL;
  return 0;
}

static void set_timed(cw_account_t *acc) {
  acc->timed = acc->access || acc->statsd || acc->counted || acc->watched;
}

CW_COLD int cw_account_init(cw_account_t *acc, uv_loop_t *loop,
                            const cw_limits_t *limits, bool counted, char *err,
                            size_t err_len) {
  acc->metrics = &acc->no_board;
  uv_timer_init(loop, &acc->statsd_timer);
  if (open_access(acc, limits, err, err_len) != 0 ||
      open_statsd(acc, limits, err, err_len) != 0)
    return -1;
  acc->counted = counted;
  set_timed(acc);
  return 0;
}

void cw_account_close(cw_account_t *acc) {
  uv_close((uv_handle_t *)&acc->statsd_timer, NULL);
}

static void send_tallies(cw_account_t *acc) {
  unsigned requests = 0;
  char name[40];
  for (size_t i = 0; i < CW_ARRAY_LEN(acc->tallies) && acc->tallies[i].n; i++) {
    snprintf(name, sizeof(name), "gunicorn.request.status.%d", acc->tallies[i].status);
    cw_statsd_count(acc->statsd, name, acc->tallies[i].n);
    requests += acc->tallies[i].n;
    acc->tallies[i].n = 0;
  }
  if (requests) cw_statsd_count(acc->statsd, "gunicorn.requests", requests);
}

CW_COLD void cw_account_fini(cw_account_t *acc) {
  cw_access_log_close(acc->access);
  acc->access = NULL;
  if (acc->statsd) {
    send_tallies(acc);
    cw_statsd_close(acc->statsd);
  }
  free(acc->statsd);
  acc->statsd = NULL;
}

void cw_account_set_board(cw_account_t *acc, cw_board_t *board, int slot) {
  acc->board = board;
  acc->metrics = &board->slots[slot].metrics;
  cw_metrics_take_over(acc->metrics);
  if (acc->access) cw_access_log_count_in(acc->access, &acc->metrics->access_dropped);
}

void cw_account_watch(cw_account_t *acc) {
  acc->watched =
      acc->board && atomic_load(&acc->board->watched_until) > cw_now_us() / 1000;
  set_timed(acc);
}

/* ---- requests -------------------------------------------------------------- */

/* Counters add up until they are sent; only times go one by one. */
static void note_statsd(cw_account_t *acc, int status, int64_t us) {
  struct cw_statsd_tally *t = acc->tallies, *end = t + CW_ARRAY_LEN(acc->tallies);
  cw_statsd_timing(acc->statsd, "gunicorn.request.duration", us);
  while (t < end && t->n && t->status != status) t++;
  if (t == end) {
    send_tallies(acc);
    t = acc->tallies;
  }
  t->status = status;
  t->n++;
}

/* Bytes of the body of an error that the loop answered with. */
static int64_t page_length(int status, bool is_head) {
  return is_head || status == CW_STATUS_LEFT ? 0
                                             : (int64_t)strlen(cw_reason(status)) + 1;
}

/* How long a request that was run has waited: here, or since its proxy had it. Clocks
 * may differ, and a proxy may be mistaken: what cannot be does not count. */
static int64_t queued_us(const cw_req_t *req) {
  const int64_t longest = (int64_t)3600 * 1000 * 1000;
  int64_t here = req->started_at - req->ready_at, start = cw_forwarded_start(req);
  struct timespec now;
  if (!start) return here;
  clock_gettime(CLOCK_REALTIME, &now);
  int64_t wall = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
  int64_t all = wall - (cw_now_us() - req->started_at) - start;
  return all > here && all <= longest ? all : here;
}

static void account_timed(cw_account_t *acc, cw_req_t *req) {
  cw_metrics_t *m = acc->metrics;
  /* A thread may still be at the response of an expired request: it is not looked at.
   */
  bool by_loop = req->answered != 0;
  int status = by_loop          ? req->answered
               : req->resp.sent ? req->resp.status
                                : CW_STATUS_LEFT;
  int64_t done = by_loop || !req->done_at ? cw_now_us() : req->done_at;
  int64_t us = req->head_at ? CW_MAX(done - req->head_at, 0) : 0;
  uint64_t received = req->head_len + (uint64_t)req->body.received;
  if (acc->watched) cw_account_watch(acc);
  if (acc->counted || acc->watched) {
    /* It may have begun when nobody looked. */
    bool whole = acc->counted || req->head_at;
    cw_metrics_note_status(m, status);
    cw_metric_add(&m->received, received);
    cw_metric_add(&m->sent, by_loop ? 0 : req->bytes_sent);
    /* How long a WebSocket was open says nothing of how requests are answered. */
    if (!req->ws && whole) cw_histogram_note(&m->duration, us);
    if (!by_loop && req->ready_at && req->started_at)
      cw_histogram_note(&m->queued, queued_us(req));
  }
  if (acc->access) {
    cw_access_t a = {.head = &req->head,
                     .peer_addr = req->head.peer_addr,
                     .status = status,
                     .received = received,
                     .us = us};
    if (by_loop) {
      a.body_sent = page_length(status, cw_is_head(req->head.method));
      a.sent = (uint64_t)a.body_sent;
    } else {
      a.body_sent = req->resp.body_sent;
      a.sent = req->bytes_sent;
      a.fields = req->log_fields;
      a.environ = req->log_environ;
    }
    cw_access_log_put(acc->access, &a);
  }
  if (acc->statsd) note_statsd(acc, status, us);
}

void cw_account_once(cw_account_t *acc, cw_req_t *req) {
  if (req->accounted) return;
  req->accounted = true;
  cw_metric_add(&acc->metrics->requests, 1);
  if (CW_UNLIKELY(acc->timed)) account_timed(acc, req);
}

void cw_account_refused(cw_account_t *acc, const char *peer, int status,
                        cw_span_t line) {
  cw_metric_add(&acc->metrics->requests, 1);
  if (!acc->timed) return;
  if (acc->counted || acc->watched) cw_metrics_note_status(acc->metrics, status);
  if (acc->access) {
    cw_access_t a = {.peer_addr = peer, .status = status};
    size_t n = 0;
    while (n < line.len && line.p[n] != '\r' && line.p[n] != '\n') n++;
    a.line = (cw_span_t){line.p, n};
    a.body_sent = page_length(status, cw_is_head_line(line));
    cw_access_log_put(acc->access, &a);
  }
  if (acc->statsd) note_statsd(acc, status, 0);
}

/* Warnings and errors of the error log, as gunicorn counts them. */
static void count_log_lines(cw_statsd_t *s) {
  static const struct {
    cw_log_level_t level;
    const char *name;
  } all[] = {{CW_LOG_WARNING, "gunicorn.log.warning"},
             {CW_LOG_ERROR, "gunicorn.log.error"},
             {CW_LOG_CRITICAL, "gunicorn.log.critical"}};
  for (size_t i = 0; i < CW_ARRAY_LEN(all); i++) {
    unsigned n = cw_log_take_count(all[i].level);
    if (n) cw_statsd_count(s, all[i].name, n);
  }
}

static void on_statsd_time(uv_timer_t *timer) {
  uv_stop(timer->loop); /* what was collected is sent at the end of the turn */
}

/* Few datagrams, none late: what comes within a moment goes together. */
static void flush_statsd(cw_account_t *acc) {
  uint64_t now = uv_now(acc->statsd_timer.loop);
  count_log_lines(acc->statsd);
  if (acc->statsd->len == 0 && acc->tallies[0].n == 0) return;
  if (now - acc->statsd_sent < STATSD_PAUSE) {
    if (!uv_is_active((uv_handle_t *)&acc->statsd_timer))
      uv_timer_start(&acc->statsd_timer, on_statsd_time, STATSD_PAUSE, 0);
    return;
  }
  acc->statsd_sent = now;
  send_tallies(acc);
  cw_statsd_flush(acc->statsd);
}

void cw_account_flush(cw_account_t *acc) {
  if (acc->access) cw_access_log_flush(acc->access);
  if (acc->statsd) flush_statsd(acc);
}

void cw_account_accepted(cw_account_t *acc) {
  cw_metric_add(&acc->metrics->accepted, 1);
}

void cw_account_connections(cw_account_t *acc, unsigned n) {
  atomic_store_explicit(&acc->metrics->connections, n, memory_order_relaxed);
}

void cw_account_websocket(cw_account_t *acc, bool opened) {
  cw_metric_add(&acc->metrics->ws_open, opened ? 1 : UINT64_MAX);
}

void cw_account_given(cw_account_t *acc) {
  if (acc->counted) cw_metric_add(&acc->metrics->given, 1);
}

/* ---- from threads ---------------------------------------------------------- */

void cw_req_started(cw_req_t *req) {
  static _Thread_local bool known;
  cw_account_t *acc = &req->service->account;
  if (CW_LIKELY(!acc->timed)) return;
  req->started_at = cw_now_us();
  if (!acc->counted) return;
  cw_metric_add_shared(&acc->metrics->started, 1);
  if (!known) cw_metric_add_shared(&acc->metrics->threads, 1);
  known = true;
}

void cw_account_finished(cw_account_t *acc) {
  if (acc->counted) cw_metric_add_shared(&acc->metrics->finished, 1);
}

/* The value of the field `name` in a response head. */
static cw_span_t find_field(const cw_buf_t *head, const char *name) {
  const char *p = head->p + head->off, *end = head->p + head->len, *lf;
  size_t n = strlen(name);
  /* The first line is the status line. */
  while ((lf = memchr(p, '\n', (size_t)(end - p))) != NULL) {
    p = lf + 1;
    if ((size_t)(end - p) <= n || p[n] != ':' || strncasecmp(p, name, n) != 0) continue;
    const char *value = p + n + 1, *cr = memchr(p, '\r', (size_t)(end - p));
    while (value < cr && *value == ' ') value++;
    return (cw_span_t){value, (size_t)(cr - value)};
  }
  return (cw_span_t){NULL, 0};
}

/* The lines of a response head below its status line. */
static cw_span_t all_fields(const cw_buf_t *head) {
  const char *p = head->p + head->off, *end = head->p + head->len;
  const char *lf = memchr(p, '\n', (size_t)(end - p));
  return lf ? (cw_span_t){lf + 1, (size_t)(end - lf) - 1} : (cw_span_t){NULL, 0};
}

static cw_span_t keep(cw_req_t *req, cw_span_t v) {
  char *p = v.p ? cw_arena_alloc(&req->arena, CW_MAX(v.len, 1u)) : NULL;
  if (!p) return (cw_span_t){NULL, 0};
  memcpy(p, v.p, v.len);
  return (cw_span_t){p, v.len};
}

/* Room for `n` values, none of them set. */
static cw_span_t *make_values(cw_req_t *req, unsigned n) {
  cw_span_t *all = cw_arena_alloc(&req->arena, n * sizeof(*all));
  if (all) memset(all, 0, n * sizeof(*all));
  return all;
}

void cw_account_note_fields(const cw_account_t *acc, cw_req_t *req) {
  const cw_access_format_t *f = cw_access_log_format(acc->access);
  if (f->n_fields == 0) return;
  req->log_fields = make_values(req, f->n_fields);
  for (unsigned i = 0; req->log_fields && i < f->n_fields; i++) {
    const char *name = cw_access_format_name(f, CW_ATOM_RESPONSE_FIELD, i);
    req->log_fields[i] =
        keep(req, strcmp(name, "*") == 0 ? all_fields(&req->resp.head)
                                         : find_field(&req->resp.head, name));
  }
}

const char *cw_req_log_environ(const cw_req_t *req, unsigned i) {
  const cw_access_log_t *log = req->service->account.access;
  const cw_access_format_t *f = log ? cw_access_log_format(log) : NULL;
  if (!f || i >= f->n_environ) return NULL;
  return cw_access_format_name(f, CW_ATOM_ENVIRON, i);
}

void cw_req_set_log_environ(cw_req_t *req, unsigned i, const char *p, size_t n) {
  const cw_access_format_t *f = cw_access_log_format(req->service->account.access);
  if (!req->log_environ) req->log_environ = make_values(req, f->n_environ);
  if (!req->log_environ || i >= f->n_environ) return;
  req->log_environ[i] = keep(req, (cw_span_t){p, CW_MIN(n, (size_t)ENVIRON_MOST)});
}
