/* SPDX-License-Identifier: MIT */
/* What a worker counts about its requests, in shared memory that outlives it: a slot's
 * next worker goes on counting, so that sums over all slots never fall.
 *
 * Written by the worker's baton holder alone, except where a comment says otherwise;
 * read by everybody, at any time. `requests`, `accepted`, `connections` and `ws_open`
 * always count, the rest where somebody asked for metrics; times, statuses and bytes
 * also while somebody looks (cw_account_t.watched). */
#ifndef CW_BASE_METRICS_H
#define CW_BASE_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

enum {
  CW_BUCKETS = 16,       /* of a histogram, beside the one without an upper bound */
  CW_STATUS_FIRST = 100, /* counted one by one up to 599, others together */
  CW_STATUSES = 501,
};

/* Upper bounds in microseconds. */
extern const int64_t cw_bucket_bounds[CW_BUCKETS];

typedef struct cw_histogram {
  _Atomic uint64_t bucket[CW_BUCKETS + 1]; /* each for itself, not cumulative */
  _Atomic uint64_t sum_us;
} cw_histogram_t;

typedef struct cw_metrics {
  _Atomic uint64_t requests;       /* answered */
  _Atomic uint64_t accepted;       /* connections */
  _Atomic uint64_t received, sent; /* bytes of requests and responses */
  _Atomic uint64_t access_dropped; /* lines of the access log */
  cw_histogram_t duration;         /* from a request's head to its response's end */
  cw_histogram_t queued;           /* from complete to a thread running it */
  /* Of WebSockets: messages and their bytes; any app thread. */
  _Atomic uint64_t ws_received, ws_received_bytes, ws_sent, ws_sent_bytes;
  /* Of the worker that lives in the slot now; its start sets them to zero. */
  _Atomic uint64_t connections;
  _Atomic uint64_t ws_open;  /* of these, WebSockets */
  _Atomic uint64_t given;    /* requests that were complete */
  _Atomic uint64_t started;  /* of these, begun; any app thread */
  _Atomic uint64_t finished; /* of these, ended; any app thread */
  _Atomic uint64_t threads;  /* that have run the app; any app thread */
  _Atomic uint64_t status[CW_STATUSES];
} cw_metrics_t;

/* For the one writer: no locked instruction. */
static inline void cw_metric_add(_Atomic uint64_t *m, uint64_t n) {
  atomic_store_explicit(m, atomic_load_explicit(m, memory_order_relaxed) + n,
                        memory_order_relaxed);
}
/* For any thread. */
static inline void cw_metric_add_shared(_Atomic uint64_t *m, uint64_t n) {
  atomic_fetch_add_explicit(m, n, memory_order_relaxed);
}
static inline uint64_t cw_metric_get(const _Atomic uint64_t *m) {
  return atomic_load_explicit(m, memory_order_relaxed);
}

void cw_histogram_note(cw_histogram_t *h, int64_t us);
void cw_metrics_note_status(cw_metrics_t *m, int status);

/* A new worker takes the slot over: nothing is open or running. */
void cw_metrics_take_over(cw_metrics_t *m);

#endif
