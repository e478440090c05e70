/* SPDX-License-Identifier: MIT */
/* Blocks of memory that one recv(2) may fill. A body that came whole in one of them
 * keeps it instead of a copy, and the server reads on into another. Baton holder only.
 */
#ifndef CW_HTTP_BLOCKS_H
#define CW_HTTP_BLOCKS_H

#include <stddef.h>

enum {
  CW_READ_SIZE = 80 * 1024, /* bytes: a body of 64 KiB and its head come at once */
  CW_BLOCKS = 4,            /* kept for the next ones */
};

typedef struct cw_blocks {
  char *kept[CW_BLOCKS];
  unsigned n;
} cw_blocks_t;

/* CW_READ_SIZE bytes, or NULL: no memory. */
char *cw_block_take(cw_blocks_t *blocks);
void cw_block_give(cw_blocks_t *blocks, char *block);

/* Frees those that are kept. */
void cw_blocks_free(cw_blocks_t *blocks);

#endif
