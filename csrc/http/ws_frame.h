/* SPDX-License-Identifier: MIT */
/* WebSocket frames (RFC 6455 section 5), in any pieces: what a client sends is split
 * into pieces of messages and control frames, what the server sends gets its head. No
 * I/O, no allocation, no sizes but those of the wire. */
#ifndef CW_HTTP_WS_FRAME_H
#define CW_HTTP_WS_FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"

typedef enum cw_ws_opcode {
  CW_WS_OP_CONTINUATION = 0,
  CW_WS_OP_TEXT = 1,
  CW_WS_OP_BINARY = 2,
  CW_WS_OP_CLOSE = 8, /* this one and what is above are control frames */
  CW_WS_OP_PING = 9,
  CW_WS_OP_PONG = 10,
} cw_ws_opcode_t;

enum {
  CW_WS_CONTROL_MAX = 125, /* bytes of a control frame's payload */
  CW_WS_HEAD_MAX = 10,     /* bytes of a head of ours */
};

/* Where in the stream of frames a client is. All zero begins; `may_compress` says that
 * RSV1 has a meaning (RFC 7692 section 6). */
typedef struct cw_ws_frames {
  uint64_t left; /* payload of the open frame still to come */
  uint8_t head[14];
  uint8_t have; /* bytes of `head` */
  uint8_t key[4];
  uint8_t phase;   /* which byte of the key is next */
  uint8_t opcode;  /* of the open frame; of a continuation, its message's */
  uint8_t message; /* the message's opcode, 0 between messages */
  bool open;       /* the head is read, its end was not reported */
  bool fin;
  bool compressed; /* the message is */
  bool fresh;      /* nothing of the open frame was reported yet */
  bool continued;  /* it goes on with a message */
  bool may_compress;
} cw_ws_frames_t;

/* A piece of a message or of a control frame. */
typedef struct cw_ws_piece {
  uint8_t opcode; /* never CONTINUATION */
  bool begins;    /* the first one of its message or control frame */
  bool ends;      /* the last one */
  bool compressed;
  cw_span_t masked; /* its bytes as they came; may be none */
  uint8_t key[4];   /* for cw_ws_unmask() */
  uint8_t phase;
  uint64_t left; /* bytes of its frame that follow */
} cw_ws_piece_t;

/* Reads from `p` until there is a piece or all `n` bytes are used. Returns how many
 * were used, or -1: the client breaks the rules as *why says. piece->opcode is 0
 * where there is none yet. */
CW_MUSTCHECK ssize_t cw_ws_frames_next(cw_ws_frames_t *f, const char *p, size_t n,
                                       cw_ws_piece_t *piece, const char **why);

/* Removes the mask from `n` bytes of `from`; `to` may be the same. */
void cw_ws_unmask(char *to, const char *from, size_t n, const uint8_t key[4],
                  unsigned phase);

/* Writes the head of an unmasked, whole frame. Returns its length. */
size_t cw_ws_frame_head(char out[CW_WS_HEAD_MAX], cw_ws_opcode_t opcode,
                        bool compressed, uint64_t n);

/* Whether a close frame may have this code (RFC 6455 section 7.4 and IANA's registry).
 */
bool cw_ws_is_code(int code);

static inline bool cw_ws_is_control(uint8_t opcode) {
  return opcode >= CW_WS_OP_CLOSE;
}

#endif
