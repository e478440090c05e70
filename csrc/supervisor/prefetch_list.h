/* SPDX-License-Identifier: MIT */
/* The list for --prefetch. It may be old, or somebody else's: nothing of it is
 * believed.
 *
 * Its first line is CW_PREFETCH_HEAD. Each further one is an entry: what is read of a
 * file (OFFSET+LENGTH, several with commas, or * for all), a space, its absolute path.
 * `cwsgi record` makes it. */
#ifndef CW_SUPERVISOR_PREFETCH_LIST_H
#define CW_SUPERVISOR_PREFETCH_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/macros.h"

/* The list's name where it is found by itself, beside the app. */
#define CW_PREFETCH_NAME "cwsgi.prefetch"

#define CW_PREFETCH_HEAD "cwsgi-prefetch 1\n"

typedef struct cw_prefetch_list {
  char **lines; /* owned; the entries, in a text that is not */
  size_t n;
} cw_prefetch_list_t;

/* Reads the file into `out`, with a NUL at its end. Returns 0, or -1 with errno;
 * EINVAL: it is no list. `out` is the caller's to free in any case. */
CW_MUSTCHECK int cw_prefetch_list_read(const char *path, cw_buf_t *out);

/* Cuts the text, up to its first NUL, into entries; what is none is left out. Returns
 * 0, or -1: no memory. */
CW_MUSTCHECK int cw_prefetch_list_init(cw_prefetch_list_t *list, char *text);
void cw_prefetch_list_fini(cw_prefetch_list_t *list);

/* The path of an entry, or NULL where there is none. */
const char *cw_prefetch_list_path(const char *entry);

/* Takes a range from `*at`, which is the entry at first; it is in a file of `size`
 * bytes and not empty. Returns false when there is no further one. */
CW_MUSTCHECK bool cw_prefetch_list_next(const char **at, off_t size, off_t *offset,
                                        off_t *length);

#endif
