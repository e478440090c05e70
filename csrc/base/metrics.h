/* SPDX-License-Identifier: MIT */
/* What a worker counts about its requests, in shared memory that outlives it: a slot's
 * next worker goes on counting, so that sums over all slots never fall. */
#ifndef CW_BASE_METRICS_H
#define CW_BASE_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

/* Written by the worker's baton holder alone, read by everybody. */
typedef struct cw_metrics {
  _Atomic uint64_t requests; /* answered */
} cw_metrics_t;

#endif
