/* SPDX-License-Identifier: MIT */
/* What a worker inherits: one shared mapping (a memfd, so that it survives both
 * fork and exec) made by the supervisor, read-only for workers but for their slot.
 * Never backed by a file: container file systems are memory. */
#ifndef CW_BASE_HERITAGE_H
#define CW_BASE_HERITAGE_H

#include <stdatomic.h>
#include <stdint.h>

#define CW_HERITAGE_MAGIC 0x63777367u

enum { CW_MAX_LISTENERS = 32, CW_MAX_WORKERS = 512 };

typedef enum cw_worker_state {
  CW_WORKER_NONE,
  CW_WORKER_STARTING, /* importing the app */
  CW_WORKER_READY,    /* accepts connections */
  CW_WORKER_DRAINING, /* finishes what it has */
} cw_worker_state_t;

typedef struct cw_listener {
  int fd;
  int is_unix;
  char host[112]; /* SERVER_NAME: the address as bound, or the path of a Unix socket */
  char port[8];   /* SERVER_PORT; empty for a Unix socket */
} cw_listener_t;

/* Written by the worker in this slot, read by the supervisor. */
typedef struct cw_slot {
  _Atomic int state;
} cw_slot_t;

typedef struct cw_heritage {
  uint32_t magic;
  uint32_t size; /* of the mapping, bytes */
  int n_listeners;
  int n_workers; /* wanted: wsgi.multiprocess is true above one */
  int notify_fd; /* a byte written here makes the supervisor look at the slots */
  int argc;      /* words at argv_off, NUL-ended each */
  uint32_t argv_off;
  uint32_t settings_off; /* packed settings (cw_settings_unpack) */
  uint32_t settings_len;
  cw_listener_t listeners[CW_MAX_LISTENERS];
  cw_slot_t slots[CW_MAX_WORKERS];
} cw_heritage_t;

#endif
