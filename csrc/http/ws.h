/* SPDX-License-Identifier: MIT */
/* WebSocket (RFC 6455, 7692) as the application's side sees it. Threads, the GIL and
 * results as in app.h: all of it belongs to the thread that runs the request, and never
 * blocks. The way of a request that asks for it:
 *
 *   if (cw_ws_refuse(req)) { cw_req_finish(req, true); return; }
 *   if (cw_req_is_websocket(req)) ...
 *
 * Then either an ordinary response (cw_resp_*: it is denied) or cw_ws_accept(), and
 * after that receive, send and close in any order, until cw_req_finish(req, complete).
 * That closes with 1000, or with 1011 where `complete` is false, what is still open.
 *
 * CW_WAIT from receive and from send may be waited for at once: there is one wake-up
 * for both, after which whoever waited tries again. It comes when a message or the
 * close is there and when there is room to send, by cw_req_wait_nogil() or, for a
 * request that waits without a thread, by the host's roused(). */
#ifndef CW_HTTP_WS_H
#define CW_HTTP_WS_H

#include "http/app.h"

enum {
  CW_WS_REASON_MAX = 123, /* bytes of a close's reason */
  CW_WS_NO_CODE = 1005,   /* the client's close had no code, */
  CW_WS_LOST = 1006,      /* or it left without one */
};

typedef enum cw_ws_kind { CW_WS_TEXT, CW_WS_BINARY, CW_WS_CLOSED } cw_ws_kind_t;

/* What was received. All zero holds nothing. */
typedef struct cw_ws_message {
  cw_ws_kind_t kind;
  int code;       /* CW_WS_CLOSED */
  cw_span_t data; /* a whole message; or the close's reason, which is the request's.
                     Text is valid UTF-8 */
  void *memory;   /* owned; for cw_ws_message_free() */
} cw_ws_message_t;

/* Whether the request is a valid opening handshake (RFC 6455 section 4.2.1). */
bool cw_req_is_websocket(const cw_req_t *req);

/* Answers a request that asks for WebSocket by a handshake that is not valid, with 400
 * or, for another version than 13, 426. Returns whether it was one. */
bool cw_ws_refuse(cw_req_t *req);

/* Writes the subprotocols that the client offers, in its order, up to `room` of them.
 * Returns how many there are. They live as long as the request's fields. */
unsigned cw_ws_subprotocols(const cw_req_t *req, cw_span_t *out, unsigned room);

/* Sends the 101 with the app's fields. `subprotocol` is one that the client offered, or
 * empty: none. CW_BAD: it was not offered, or a field is as cw_resp_field() says bad or
 * a Sec-WebSocket field, which are the server's; nothing is sent then, and an ordinary
 * response may follow. CW_LOST, CW_NOMEM: there is nobody to talk to, only finish.
 * The request's fields are gone after it (other members of cw_head_t stay), so that a
 * socket that stays open for long takes little memory. */
CW_MUSTCHECK int cw_ws_accept(cw_req_t *req, cw_span_t subprotocol,
                              const cw_field_t *fields, unsigned n);
bool cw_ws_is_accepted(const cw_req_t *req);

/* Takes the next message, or CW_WAIT. What came before a close comes before it; the
 * close comes again at each further call. Its code is the client's (1005: it had none),
 * 1006 where the connection was lost, or that of our own close, whoever began it: the
 * app, a client that broke the rules (1002, 1007, 1009), one that answers no pings
 * (1011), a worker that stops (1012). `out` is to be freed; its data is the caller's
 * until then, in any thread. */
CW_MUSTCHECK int cw_ws_receive(cw_req_t *req, cw_ws_message_t *out);
void cw_ws_message_free(cw_ws_message_t *m);

/* Sends a message, whole or, with CW_WAIT, not at all: what was sent before still waits
 * for the client to read it. `data` is copied where the socket does not take it, and
 * text has to be valid UTF-8. CW_LOST: closed, by whomever. May compress, so that it is
 * better called without the GIL for a long message. */
CW_MUSTCHECK int cw_ws_send(cw_req_t *req, bool text, const char *data, size_t n);

/* Begins the closing handshake; the server waits for its end. CW_BAD: the code may not
 * be sent (RFC 6455 section 7.4: 1000 to 1003, 1007 to 1014 and 3000 to 4999 may), or
 * the reason is too long or no UTF-8. CW_LOST: it is closed already. */
CW_MUSTCHECK int cw_ws_close(cw_req_t *req, int code, const char *reason, size_t n);

#endif
