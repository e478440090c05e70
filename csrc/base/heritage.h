/* SPDX-License-Identifier: MIT */
/* What a worker inherits: one mapping (a memfd, so that it survives both fork and exec)
 * that the supervisor makes for every generation of workers: settings and listeners. It
 * does not change. Never backed by a file: container file systems are memory. */
#ifndef CW_BASE_HERITAGE_H
#define CW_BASE_HERITAGE_H

#include <stdint.h>

#define CW_HERITAGE_MAGIC 0x63777367u

enum { CW_MAX_LISTENERS = 32 };

typedef struct cw_listener {
  int fd;
  int is_unix;
  int metrics;    /* serves --metrics and nothing else */
  char host[112]; /* SERVER_NAME: the address as bound, or the path of a Unix socket */
  char port[8];   /* SERVER_PORT; empty for a Unix socket */
} cw_listener_t;

typedef struct cw_heritage {
  uint32_t magic;
  uint32_t size; /* of the mapping, bytes */
  int n_listeners;
  int n_workers; /* wanted: wsgi.multiprocess is true above one */
  int board_fd;  /* the cw_board_t, another memfd */
  int notify_fd; /* a byte written here makes the supervisor look at the board */
  int argc;      /* words at argv_off, NUL-ended each */
  uint32_t argv_off;
  uint32_t settings_off; /* packed settings (cw_settings_unpack) */
  uint32_t settings_len;
  cw_listener_t listeners[CW_MAX_LISTENERS];
} cw_heritage_t;

#endif
