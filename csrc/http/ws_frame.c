/* SPDX-License-Identifier: MIT */
/* WebSocket frames: heads checked whole, payloads handed on as they come. */
#include "http/ws_frame.h"

#include <string.h>

enum { FIN = 0x80, RSV1 = 0x40, RSV = 0x70, OPCODE = 0x0f, MASK = 0x80, LENGTH = 0x7f };

/* Bytes of a head as far as its first `have` ones tell. */
static unsigned head_length(const cw_ws_frames_t *f) {
  if (f->have < 2) return 2;
  unsigned len = f->head[1] & LENGTH;
  /* An unmasked frame is refused by these two. */
  if (!(f->head[1] & MASK)) return 2;
  return len == 127 ? 14 : len == 126 ? 8 : 6;
}

/* The first two bytes. Returns NULL, or what is wrong with them. */
static const char *check_start(const cw_ws_frames_t *f) {
  unsigned first = f->head[0], len = f->head[1] & LENGTH, opcode = first & OPCODE;
  bool control = cw_ws_is_control((uint8_t)opcode);
  if (!(f->head[1] & MASK)) return "a frame without a mask"; /* section 5.1 */
  if (opcode > CW_WS_OP_PONG || (opcode > CW_WS_OP_BINARY && !control))
    return "a frame of an unknown kind";
  /* RFC 7692 section 6.1: RSV1 stands on the first frame of a message alone. */
  bool begins = opcode == CW_WS_OP_TEXT || opcode == CW_WS_OP_BINARY;
  if (first & (f->may_compress && begins ? RSV & ~RSV1 : RSV))
    return "a reserved bit that was not agreed on";
  if (control) {
    if (!(first & FIN)) return "a control frame in fragments"; /* section 5.5 */
    return len > CW_WS_CONTROL_MAX ? "a control frame that is too long" : NULL;
  }
  if (begins && f->message) return "a new message inside another one";
  if (!begins && !f->message) return "a fragment of no message"; /* section 5.4 */
  return NULL;
}

static uint64_t big_endian(const uint8_t *p, int n) {
  uint64_t v = 0;
  for (int i = 0; i < n; i++) v = v << 8 | p[i];
  return v;
}

/* A whole head. Returns NULL, or what is wrong with it. */
static const char *open_frame(cw_ws_frames_t *f) {
  unsigned len = f->head[1] & LENGTH, opcode = f->head[0] & OPCODE;
  /* Section 5.2: the shortest form there is, and no sign. */
  f->left = len;
  if (len == 126) {
    f->left = big_endian(f->head + 2, 2);
    if (f->left < 126) return "a length that is not in its shortest form";
  } else if (len == 127) {
    f->left = big_endian(f->head + 2, 8);
    if (f->left < 65536) return "a length that is not in its shortest form";
    if (f->left >> 63) return "a length beyond 63 bits";
  }
  memcpy(f->key, f->head + f->have - 4, 4);
  f->phase = 0;
  f->fin = f->head[0] & FIN;
  f->open = f->fresh = true;
  f->have = 0;
  f->continued = opcode == CW_WS_OP_CONTINUATION;
  f->opcode = f->continued ? f->message : (uint8_t)opcode;
  if (!cw_ws_is_control(f->opcode)) {
    if (!f->continued) f->compressed = f->head[0] & RSV1;
    f->message = f->fin ? 0 : f->opcode;
  }
  return NULL;
}

/* Takes bytes of a head. Returns how many; *why is set where it is wrong. */
static size_t read_head(cw_ws_frames_t *f, const char *p, size_t n, const char **why) {
  size_t used = 0;
  while (used < n && !f->open && !*why) {
    size_t take = CW_MIN(n - used, (size_t)(head_length(f) - f->have));
    memcpy(f->head + f->have, p + used, take);
    f->have = (uint8_t)(f->have + take);
    used += take;
    if (f->have == 2) *why = check_start(f);
    if (!*why && f->have > 2 && f->have == head_length(f)) *why = open_frame(f);
  }
  return used;
}

ssize_t cw_ws_frames_next(cw_ws_frames_t *f, const char *p, size_t n,
                          cw_ws_piece_t *piece, const char **why) {
  size_t used = 0;
  piece->opcode = 0;
  *why = NULL;
  if (!f->open) used = read_head(f, p, n, why);
  if (*why) return -1;
  /* A frame without bytes has its one piece all the same; others need some. */
  if (!f->open || (used == n && f->left > 0)) return (ssize_t)used;
  bool control = cw_ws_is_control(f->opcode);
  size_t run = (size_t)CW_MIN((uint64_t)(n - used), f->left);
  *piece = (cw_ws_piece_t){.opcode = f->opcode,
                           .begins = f->fresh && !f->continued,
                           .compressed = !control && f->compressed,
                           .masked = {p + used, run},
                           .phase = f->phase,
                           .left = f->left - run};
  memcpy(piece->key, f->key, 4);
  f->left -= run;
  f->phase = (uint8_t)((f->phase + run) & 3);
  f->fresh = false;
  f->open = f->left > 0;
  piece->ends = !f->open && f->fin;
  return (ssize_t)(used + run);
}

void cw_ws_unmask(char *to, const char *from, size_t n, const uint8_t key[4],
                  unsigned phase) {
  uint8_t turned[8];
  uint64_t mask, eight;
  for (unsigned i = 0; i < 8; i++) turned[i] = key[(phase + i) & 3];
  memcpy(&mask, turned, 8);
  size_t i = 0;
  for (; n - i >= 8; i += 8) {
    memcpy(&eight, from + i, 8);
    eight ^= mask;
    memcpy(to + i, &eight, 8);
  }
  for (; i < n; i++) to[i] = (char)(from[i] ^ turned[i & 7]);
}

size_t cw_ws_frame_head(char out[CW_WS_HEAD_MAX], cw_ws_opcode_t opcode,
                        bool compressed, uint64_t n) {
  size_t extra = n > 65535 ? 8 : n > 125 ? 2 : 0;
  out[0] = (char)(FIN | (compressed ? RSV1 : 0) | (int)opcode);
  out[1] = (char)(extra == 8 ? 127 : extra == 2 ? 126 : n);
  for (size_t i = extra; i > 0; i--, n >>= 8) out[1 + i] = (char)(n & 0xff);
  return 2 + extra;
}

bool cw_ws_is_code(int code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
         (code >= 3000 && code <= 4999);
}
