/* SPDX-License-Identifier: MIT */
/* A WebSocket: what the thread that runs its request and the loop share of it, and what
 * each has for itself. It is made by the thread (ws_accept.c), known to the loop from
 * its CW_POST_SWITCH on, and freed with the request. */
#ifndef CW_HTTP_WS_SOCKET_H
#define CW_HTTP_WS_SOCKET_H

#include "http/request.h"
#include "http/ws.h"
#include "http/ws_message.h"

enum {
  CW_WS_QUEUE_HIGH = 64 * 1024, /* bytes of messages unread before reading pauses */
};

typedef enum cw_ws_state {
  CW_WS_OPEN,
  CW_WS_CLOSING, /* our close is sent, the client's is waited for */
  CW_WS_ENDED,   /* nothing more is said; what was sent still has to leave */
} cw_ws_state_t;

typedef struct cw_ws {
  /* Under req->lock. */
  cw_ws_data_t *first, **last; /* messages that wait for the app */
  unsigned queued;
  bool paused;     /* reading stopped because of them */
  bool close_sent; /* no frame of ours may follow it */
  bool closed;     /* no message will follow those: as `code` and `reason` say */
  uint8_t reason_len;
  uint16_t code;
  char *reason; /* owned */
  size_t queued_bytes;

  atomic_bool opened; /* set by the loop: the request has no deadline any more */

  /* Thread only, but for the half of `deflate` that receives. */
  bool shrunk;
  cw_ws_deflate_t deflate;

  /* Loop only. */
  cw_ws_reader_t reader;
  uint8_t state;   /* cw_ws_state_t */
  uint8_t why;     /* cw_end_t: why it has ended */
  bool unanswered; /* a ping of ours */
  uint32_t pings;
} cw_ws_t;

/* A socket by these terms, or NULL: no memory. Freed where no thread has it any more.
 */
cw_ws_t *cw_ws_new(cw_service_t *service, const cw_ws_terms_t *terms);
void cw_ws_free(cw_ws_t *ws);

/* Moves what is needed of the request's arena into as much memory as it takes, once.
 * Without memory for that all stays where it is. Thread only, while the loop does not
 * look at its head. */
void cw_ws_shrink(cw_req_t *req);

/* Frees the messages that wait. */
void cw_ws_drop_locked(cw_ws_t *ws);

/* Wakes who waits. Any thread. */
void cw_ws_rouse_locked(cw_req_t *req);

/* Sends a frame, or keeps it for the loop. Any of the two. CW_OK, CW_LOST, CW_NOMEM;
 * req->lost says the same. */
int cw_ws_put_locked(cw_req_t *req, cw_ws_opcode_t opcode, bool compressed,
                     const char *p, size_t n);

/* Sends a close, unless one was sent; 1005 is one without a code. `reason` fits. */
void cw_ws_put_close_locked(cw_req_t *req, int code, const char *reason, size_t n);

/* No message will come any more. The first reason counts. */
void cw_ws_note_closed_locked(cw_req_t *req, int code, const char *reason, size_t n);

#endif
