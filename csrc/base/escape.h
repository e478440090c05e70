/* SPDX-License-Identifier: MIT */
/* Text that may come from anybody, made fit for a log that somebody reads at a
 * terminal. Pure; any thread. */
#ifndef CW_BASE_ESCAPE_H
#define CW_BASE_ESCAPE_H

#include <stddef.h>

/* Length of the UTF-8 sequence at `p`, which has `n` > 0 bytes (RFC 3629 section 4), or
 * 0 where there is none. */
size_t cw_utf8_length(const unsigned char *p, size_t n);

/* Characters that end a line or speak to a terminal although they are no ASCII: the C1
 * controls and the two separators of U+2028. `len` is what cw_utf8_length() said.
 * Returns the code point, else 0. */
unsigned cw_hidden_control(const unsigned char *p, size_t len);

/* How many of the `n` bytes at the begin need no escape: all but control characters,
 * hidden ones too, and bytes that are no UTF-8. Those in `kept` need none either. */
size_t cw_escape_plain(const char *p, size_t n, const char *kept);

/* Writes that text to `out`, at most `size` bytes, with \xHH for each byte that needs
 * it, as the access log has it. Nothing is cut in two. Returns the bytes written; with
 * `used` (may be NULL) also how many of `n` they stand for. */
size_t cw_escape(char *out, size_t size, const char *p, size_t n, const char *kept,
                 size_t *used);

#endif
