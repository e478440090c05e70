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

enum {
  STATSD_PAUSE = 10,   /* ms between two datagrams, unless one is full */
  ENVIRON_MOST = 1500, /* bytes of an environ variable that are logged */
};

/* ---- life ------------------------------------------------------------------ */

static int open_access(cw_server_t *srv, char *err, size_t err_len) {
  const cw_limits_t *l = &srv->limits;
  if (!l->access_log && !l->access_syslog) return 0;
  srv->access = cw_access_log_open(l->access_log, l->access_format, l->access_syslog,
                                   &srv->metrics->access_dropped, err, err_len);
  return srv->access ? 0 : -1;
}

/* A statsd host that cannot be found is no reason not to serve. */
static int open_statsd(cw_server_t *srv, char *err, size_t err_len) {
  const cw_limits_t *l = &srv->limits;
  if (!l->statsd) return 0;
  srv->statsd = cw_malloc(sizeof(*srv->statsd));
  if (!srv->statsd) {
    snprintf(err, err_len, "out of memory");
    return -1;
  }
  if (cw_statsd_open(srv->statsd, l->statsd, l->statsd_prefix ? l->statsd_prefix : "",
                     l->statsd_tags ? l->statsd_tags : "", err, err_len) == 0)
    return 0;
  cw_log(CW_LOG_WARNING, "no statsd metrics: %s", err);
  free(srv->statsd);
  srv->statsd = NULL;
  return 0;
}

int cw_account_init(cw_server_t *srv, char *err, size_t err_len) {
  srv->metrics = &srv->no_board;
  if (open_access(srv, err, err_len) != 0 || open_statsd(srv, err, err_len) != 0)
    return -1;
  srv->counted = srv->limits.metrics != NULL;
  for (int i = 0; i < srv->n_acceptors; i++)
    srv->counted |= srv->acceptors[i].info->metrics != 0;
  srv->timed = srv->access || srv->statsd || srv->counted;
  srv->own_paths = srv->limits.health || srv->counted;
  return 0;
}

static void send_tallies(cw_server_t *srv) {
  unsigned requests = 0;
  char name[40];
  for (size_t i = 0; i < CW_ARRAY_LEN(srv->tallies) && srv->tallies[i].n; i++) {
    snprintf(name, sizeof(name), "gunicorn.request.status.%d", srv->tallies[i].status);
    cw_statsd_count(srv->statsd, name, srv->tallies[i].n);
    requests += srv->tallies[i].n;
    srv->tallies[i].n = 0;
  }
  if (requests) cw_statsd_count(srv->statsd, "gunicorn.requests", requests);
}

void cw_account_fini(cw_server_t *srv) {
  cw_access_log_close(srv->access);
  srv->access = NULL;
  if (srv->statsd) {
    send_tallies(srv);
    cw_statsd_close(srv->statsd);
  }
  free(srv->statsd);
  srv->statsd = NULL;
}

void cw_server_set_board(cw_server_t *srv, cw_board_t *board, int slot) {
  srv->board = board;
  srv->metrics = &board->slots[slot].metrics;
  cw_metrics_take_over(srv->metrics);
  if (srv->access) cw_access_log_count_in(srv->access, &srv->metrics->access_dropped);
}

/* ---- requests -------------------------------------------------------------- */

/* Counters add up until they are sent; only times go one by one. */
static void note_statsd(cw_server_t *srv, int status, int64_t us) {
  struct cw_statsd_tally *t = srv->tallies, *end = t + CW_ARRAY_LEN(srv->tallies);
  cw_statsd_timing(srv->statsd, "gunicorn.request.duration", us);
  while (t < end && t->n && t->status != status) t++;
  if (t == end) {
    send_tallies(srv);
    t = srv->tallies;
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

static void account_timed(cw_req_t *req) {
  cw_server_t *srv = req->conn->srv;
  cw_metrics_t *m = srv->metrics;
  /* A thread may still be at the response of an expired request: it is not looked at.
   */
  bool by_loop = req->answered != 0;
  int status = by_loop          ? req->answered
               : req->resp.sent ? req->resp.status
                                : CW_STATUS_LEFT;
  int64_t done = by_loop || !req->done_at ? cw_now_us() : req->done_at;
  int64_t us = req->head_at ? CW_MAX(done - req->head_at, 0) : 0;
  uint64_t received = req->head_len + (uint64_t)req->body.received;
  if (srv->counted) {
    cw_metrics_note_status(m, status);
    cw_metric_add(&m->received, received);
    cw_metric_add(&m->sent, by_loop ? 0 : req->bytes_sent);
    cw_histogram_note(&m->duration, us);
    if (!by_loop && req->started_at) cw_histogram_note(&m->queued, queued_us(req));
  }
  if (srv->access) {
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
    cw_access_log_put(srv->access, &a);
  }
  if (srv->statsd) note_statsd(srv, status, us);
}

void cw_account_once(cw_req_t *req) {
  const cw_server_t *srv = req->conn->srv;
  if (req->accounted) return;
  req->accounted = true;
  cw_metric_add(&srv->metrics->requests, 1);
  if (CW_UNLIKELY(srv->timed)) account_timed(req);
}

void cw_account_refused(cw_conn_t *c, int status, cw_span_t line) {
  cw_server_t *srv = c->srv;
  cw_metric_add(&srv->metrics->requests, 1);
  if (!srv->timed) return;
  if (srv->counted) cw_metrics_note_status(srv->metrics, status);
  if (srv->access) {
    cw_access_t a = {.peer_addr = c->proxy ? c->proxy->src_addr : c->peer_addr,
                     .status = status};
    size_t n = 0;
    while (n < line.len && line.p[n] != '\r' && line.p[n] != '\n') n++;
    a.line = (cw_span_t){line.p, n};
    a.body_sent = page_length(status, cw_is_head_line(line));
    cw_access_log_put(srv->access, &a);
  }
  if (srv->statsd) note_statsd(srv, status, 0);
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
  cw_server_end_turn(timer); /* what was collected is sent then */
}

/* Few datagrams, none late: what comes within a moment goes together. */
static void flush_statsd(cw_server_t *srv) {
  uint64_t now = uv_now(&srv->loop);
  count_log_lines(srv->statsd);
  if (srv->statsd->len == 0 && srv->tallies[0].n == 0) return;
  if (now - srv->statsd_sent < STATSD_PAUSE) {
    if (!uv_is_active((uv_handle_t *)&srv->statsd_timer))
      uv_timer_start(&srv->statsd_timer, on_statsd_time, STATSD_PAUSE, 0);
    return;
  }
  srv->statsd_sent = now;
  send_tallies(srv);
  cw_statsd_flush(srv->statsd);
}

void cw_account_flush(cw_server_t *srv) {
  if (srv->access) cw_access_log_flush(srv->access);
  if (srv->statsd) flush_statsd(srv);
}

/* ---- from threads ---------------------------------------------------------- */

void cw_req_started(cw_req_t *req) {
  static _Thread_local bool known;
  cw_server_t *srv = req->conn->srv;
  if (CW_LIKELY(!srv->timed)) return;
  req->started_at = cw_now_us();
  if (!srv->counted) return;
  cw_metric_add_shared(&srv->metrics->started, 1);
  if (!known) cw_metric_add_shared(&srv->metrics->threads, 1);
  known = true;
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

void cw_account_note_fields(cw_req_t *req) {
  const cw_access_format_t *f = cw_access_log_format(req->conn->srv->access);
  if (f->n_fields == 0) return;
  req->log_fields = make_values(req, f->n_fields);
  for (unsigned i = 0; req->log_fields && i < f->n_fields; i++) {
    const char *name = cw_access_format_name(f, CW_ATOM_RESPONSE_FIELD, i);
    req->log_fields[i] = keep(req, find_field(&req->resp.head, name));
  }
}

const char *cw_req_log_environ(const cw_req_t *req, unsigned i) {
  const cw_access_log_t *log = req->conn->srv->access;
  const cw_access_format_t *f = log ? cw_access_log_format(log) : NULL;
  if (!f || i >= f->n_environ) return NULL;
  return cw_access_format_name(f, CW_ATOM_ENVIRON, i);
}

void cw_req_set_log_environ(cw_req_t *req, unsigned i, const char *p, size_t n) {
  const cw_access_format_t *f = cw_access_log_format(req->conn->srv->access);
  if (!req->log_environ) req->log_environ = make_values(req, f->n_environ);
  if (!req->log_environ || i >= f->n_environ) return;
  req->log_environ[i] = keep(req, (cw_span_t){p, CW_MIN(n, (size_t)ENVIRON_MOST)});
}
