/* SPDX-License-Identifier: MIT */
/* What recv(2) fills. */
#include "http/blocks.h"

#include <stdlib.h>

#include "base/fault.h"

char *cw_block_take(cw_blocks_t *blocks) {
  return blocks->n ? blocks->kept[--blocks->n] : cw_malloc(CW_READ_SIZE);
}

void cw_block_give(cw_blocks_t *blocks, char *block) {
  if (blocks->n < CW_BLOCKS)
    blocks->kept[blocks->n++] = block;
  else
    free(block);
}

void cw_blocks_free(cw_blocks_t *blocks) {
  while (blocks->n) free(blocks->kept[--blocks->n]);
}
