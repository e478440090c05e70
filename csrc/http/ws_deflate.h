/* SPDX-License-Identifier: MIT */
/* Messages compressed and expanded (RFC 7692), by the terms of one socket.
 *
 * Without context takeover nothing is held between two messages: the big states of zlib
 * are borrowed from a stock that a server's sockets share. */
#ifndef CW_HTTP_WS_DEFLATE_H
#define CW_HTTP_WS_DEFLATE_H

#include <pthread.h>

#include "base/buf.h"
#include "http/ws_data.h"
#include "http/ws_handshake.h"

struct z_stream_s;

/* One state for each direction. Any thread. */
typedef struct cw_ws_stock {
  pthread_mutex_t lock;
  struct z_stream_s *deflate, *inflate; /* under lock; NULL: none, or in use */
} cw_ws_stock_t;

void cw_ws_stock_init(cw_ws_stock_t *stock);
void cw_ws_stock_fini(cw_ws_stock_t *stock);

/* What a socket has of it. The sending half is its thread's, the other one the loop's.
 */
typedef struct cw_ws_deflate {
  cw_ws_stock_t *stock;
  cw_ws_terms_t terms;
  struct z_stream_s *out; /* NULL between messages without a context */
  struct z_stream_s *in;
  bool ended; /* the client's stream had its last block */
} cw_ws_deflate_t;

void cw_ws_deflate_init(cw_ws_deflate_t *d, cw_ws_stock_t *stock,
                        const cw_ws_terms_t *terms);
void cw_ws_deflate_fini(cw_ws_deflate_t *d);

/* Whether a message of this length is better sent compressed. */
bool cw_ws_deflate_pays(const cw_ws_deflate_t *d, size_t n);

/* Appends a message's payload to `out`. Returns 0, or -1: no memory. */
CW_MUSTCHECK int cw_ws_deflate(cw_ws_deflate_t *d, const char *p, size_t n,
                               cw_buf_t *out);

typedef enum cw_ws_inflated {
  CW_WS_INFLATED = 0,
  CW_WS_INFLATE_BROKEN = -1,
  CW_WS_INFLATE_TOO_LONG = -2, /* more than `most` bytes would come of it */
  CW_WS_INFLATE_NOMEM = -3,
} cw_ws_inflated_t;

/* Expands a piece of a message to *data, made where it is NULL; `last` says that
 * nothing of the message follows. After a failure only fini is left. */
CW_MUSTCHECK cw_ws_inflated_t cw_ws_inflate(cw_ws_deflate_t *d, const char *p, size_t n,
                                            bool last, cw_ws_data_t **data,
                                            size_t most);

#endif
