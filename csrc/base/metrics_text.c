/* SPDX-License-Identifier: MIT */
/* Prometheus' text format. Slots that no worker has had yet are not looked at: reading
 * a page of shared memory that was never written makes it. */
#include "base/metrics_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/resources.h"

typedef struct text {
  cw_buf_t *out;
  const cw_board_t *board;
  int slots;
  int rc;
} text_t;

static void put(text_t *t, const char *fmt, ...) CW_PRINTF(2, 3);

static void put(text_t *t, const char *fmt, ...) {
  char line[256];
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(line, sizeof(line), fmt, ap);
  va_end(ap);
  if (n < 0 || cw_buf_append(t->out, line, CW_MIN((size_t)n, sizeof(line) - 1)) != 0)
    t->rc = -1;
}

static void describe(text_t *t, const char *name, const char *type, const char *help) {
  put(t, "# HELP cwsgi_%s %s\n# TYPE cwsgi_%s %s\n", name, help, name, type);
}

/* The sum over all slots of the counter at this place. */
static uint64_t sum(const text_t *t, size_t offset) {
  uint64_t n = 0;
  for (int i = 0; i < t->slots; i++) {
    const char *m = (const char *)&t->board->slots[i].metrics;
    n += cw_metric_get((const _Atomic uint64_t *)(const void *)(m + offset));
  }
  return n;
}

/* What a worker has now ends with it: only living ones count. */
static bool is_alive(const cw_slot_t *slot) {
  int state = atomic_load(&slot->state);
  return state == CW_WORKER_READY || state == CW_WORKER_DRAINING;
}

typedef uint64_t gauge_fn(const cw_metrics_t *m);

/* `less` and `more` are read one after the other while others count. */
static uint64_t difference(const _Atomic uint64_t *more, const _Atomic uint64_t *less) {
  uint64_t b = cw_metric_get(less), a = cw_metric_get(more);
  return a > b ? a - b : 0;
}

static uint64_t connections(const cw_metrics_t *m) {
  return cw_metric_get(&m->connections);
}
static uint64_t websockets(const cw_metrics_t *m) {
  return cw_metric_get(&m->ws_open);
}
static uint64_t threads(const cw_metrics_t *m) {
  return cw_metric_get(&m->threads);
}
static uint64_t busy(const cw_metrics_t *m) {
  return difference(&m->started, &m->finished);
}
static uint64_t waiting(const cw_metrics_t *m) {
  return difference(&m->given, &m->started);
}

static void put_gauge(text_t *t, const char *name, const char *help, gauge_fn *get) {
  uint64_t n = 0;
  for (int i = 0; i < t->slots; i++)
    if (is_alive(&t->board->slots[i])) n += get(&t->board->slots[i].metrics);
  describe(t, name, "gauge", help);
  put(t, "cwsgi_%s %" PRIu64 "\n", name, n);
}

static void put_counter(text_t *t, const char *name, const char *help, uint64_t n) {
  describe(t, name, "counter", help);
  put(t, "cwsgi_%s %" PRIu64 "\n", name, n);
}

static void put_histogram(text_t *t, const char *name, const char *help,
                          size_t offset) {
  uint64_t n = 0;
  describe(t, name, "histogram", help);
  for (int i = 0; i < CW_BUCKETS; i++) {
    n += sum(
        t, offset + offsetof(cw_histogram_t, bucket[0]) + (size_t)i * sizeof(uint64_t));
    put(t, "cwsgi_%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
        (double)cw_bucket_bounds[i] / 1e6, n);
  }
  n += sum(t, offset + offsetof(cw_histogram_t, bucket[CW_BUCKETS]));
  uint64_t us = sum(t, offset + offsetof(cw_histogram_t, sum_us));
  put(t, "cwsgi_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, n);
  put(t, "cwsgi_%s_sum %" PRIu64 ".%06" PRIu64 "\ncwsgi_%s_count %" PRIu64 "\n", name,
      us / 1000000, us % 1000000, name, n);
}

static void put_requests(text_t *t) {
  describe(t, "requests_total", "counter", "Requests by the status of their response.");
  for (int i = 0; i < CW_STATUSES; i++) {
    uint64_t n = sum(t, offsetof(cw_metrics_t, status[0]) + (size_t)i * sizeof(n));
    if (n == 0) continue;
    if (i == CW_STATUSES - 1)
      put(t, "cwsgi_requests_total{status=\"other\"} %" PRIu64 "\n", n);
    else
      put(t, "cwsgi_requests_total{status=\"%d\"} %" PRIu64 "\n", CW_STATUS_FIRST + i,
          n);
  }
}

static void put_websockets(text_t *t) {
  put_gauge(t, "websockets", "WebSockets open now.", websockets);
  put_counter(t, "websocket_messages_received_total", "Messages that the app received.",
              sum(t, offsetof(cw_metrics_t, ws_received)));
  put_counter(t, "websocket_bytes_received_total", "Bytes of these messages.",
              sum(t, offsetof(cw_metrics_t, ws_received_bytes)));
  put_counter(t, "websocket_messages_sent_total", "Messages that the app sent.",
              sum(t, offsetof(cw_metrics_t, ws_sent)));
  put_counter(t, "websocket_bytes_sent_total", "Bytes of these messages.",
              sum(t, offsetof(cw_metrics_t, ws_sent_bytes)));
}

static void put_workers(text_t *t) {
  int ready = 0;
  describe(t, "worker_resident_bytes", "gauge", "Memory of each worker.");
  for (int i = 0; i < t->slots; i++) {
    const cw_slot_t *slot = &t->board->slots[i];
    int pid = atomic_load(&slot->pid);
    ready += atomic_load(&slot->state) == CW_WORKER_READY;
    int64_t bytes = pid > 0 && is_alive(slot) ? cw_resources_resident(pid) : -1;
    if (bytes >= 0)
      put(t, "cwsgi_worker_resident_bytes{worker=\"%d\"} %" PRId64 "\n", i + 1, bytes);
  }
  describe(t, "workers", "gauge", "Workers that take requests.");
  put(t, "cwsgi_workers %d\n", ready);
}

int cw_metrics_text(const cw_board_t *board, cw_buf_t *out) {
  text_t t = {out, board, cw_board_used(board), 0};
  put_requests(&t);
  put_histogram(&t, "request_duration_seconds",
                "Time from a request's head to the end of its response.",
                offsetof(cw_metrics_t, duration));
  put_histogram(
      &t, "queue_duration_seconds",
      "Time that complete requests waited for a thread, or since X-Request-Start of "
      "a trusted proxy.",
      offsetof(cw_metrics_t, queued));
  put_counter(&t, "bytes_received_total", "Bytes of requests.",
              sum(&t, offsetof(cw_metrics_t, received)));
  put_counter(&t, "bytes_sent_total", "Bytes of responses.",
              sum(&t, offsetof(cw_metrics_t, sent)));
  put_counter(&t, "connections_accepted_total", "Connections accepted.",
              sum(&t, offsetof(cw_metrics_t, accepted)));
  put_gauge(&t, "connections", "Connections open now.", connections);
  put_websockets(&t);
  put_gauge(&t, "requests_waiting", "Complete requests that wait for a thread.",
            waiting);
  put_gauge(&t, "threads_busy", "Threads that run the app now.", busy);
  put_gauge(&t, "threads", "Threads that have been started to run the app.", threads);
  put_workers(&t);
  put_counter(&t, "worker_restarts_total", "Workers replaced because they ended.",
              atomic_load(&board->restarts));
  put_counter(&t, "reloads_total", "Reloads of the app.", atomic_load(&board->reloads));
  put_counter(&t, "access_log_dropped_total",
              "Access log lines lost because nobody read them.",
              sum(&t, offsetof(cw_metrics_t, access_dropped)));
  return t.rc;
}
