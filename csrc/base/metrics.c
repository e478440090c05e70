/* SPDX-License-Identifier: MIT */
/* Counting. */
#include "base/metrics.h"

const int64_t cw_bucket_bounds[CW_BUCKETS] = {
    500,    1000,   2500,    5000,    10000,   25000,    50000,    100000,
    250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000};

void cw_histogram_note(cw_histogram_t *h, int64_t us) {
  int i = 0;
  while (i < CW_BUCKETS && us > cw_bucket_bounds[i]) i++;
  cw_metric_add(&h->bucket[i], 1);
  cw_metric_add(&h->sum_us, us > 0 ? (uint64_t)us : 0);
}

void cw_metrics_note_status(cw_metrics_t *m, int status) {
  int i = status - CW_STATUS_FIRST;
  if (i < 0 || i >= CW_STATUSES - 1) i = CW_STATUSES - 1;
  cw_metric_add(&m->status[i], 1);
}

void cw_metrics_take_over(cw_metrics_t *m) {
  atomic_store(&m->connections, 0);
  atomic_store(&m->ws_open, 0);
  atomic_store(&m->given, 0);
  atomic_store(&m->started, 0);
  atomic_store(&m->finished, 0);
  atomic_store(&m->threads, 0);
}
