/* SPDX-License-Identifier: MIT */
/* The opening handshake of WebSocket (RFC 6455 section 4.2), and what is agreed on in
 * it: pure functions of a request's head. Any thread, no state. */
#ifndef CW_HTTP_WS_HANDSHAKE_H
#define CW_HTTP_WS_HANDSHAKE_H

#include "base/choices.h"
#include "http/app.h"

enum {
  CW_WS_ACCEPT_LEN = 28,  /* of Sec-WebSocket-Accept */
  CW_WS_ANSWER_MAX = 160, /* of Sec-WebSocket-Extensions, with its end */
};

/* How messages are compressed (RFC 7692 section 7). */
typedef struct cw_ws_terms {
  bool agreed;
  bool own_fresh, their_fresh;  /* each message begins without a context */
  uint8_t own_bits, their_bits; /* of the window, 9 to 15 and 8 to 15 */
} cw_ws_terms_t;

/* 101 for a valid handshake, 0 for a request that asks for no WebSocket, else what to
 * refuse it with: 400 or, for another version, 426. */
int cw_ws_check_handshake(const cw_head_t *h);

/* Sec-WebSocket-Accept (section 4.2.2) of a valid handshake, without an end. */
void cw_ws_accept_value(const cw_head_t *h, char out[CW_WS_ACCEPT_LEN]);

/* The next subprotocol that the client offers; `field` and `at` begin with 0. Returns
 * false behind the last one. */
bool cw_ws_next_subprotocol(const cw_head_t *h, unsigned *field, size_t *at,
                            cw_span_t *out);

/* Takes the first offer to compress that `how` can meet. Returns false where a
 * Sec-WebSocket-Extensions field is malformed: the handshake is not valid then. */
bool cw_ws_negotiate(const cw_head_t *h, cw_ws_compression_t how, cw_ws_terms_t *terms);

/* The answer to it, a text with its end; "" where nothing was agreed on. */
void cw_ws_answer(const cw_ws_terms_t *terms, char out[CW_WS_ANSWER_MAX]);

#endif
