/* SPDX-License-Identifier: MIT */
/* Writing all of it. Any thread; blocks as the descriptor does. */
#ifndef CW_BASE_IO_H
#define CW_BASE_IO_H

#include <stddef.h>

#include "base/macros.h"

/* Writes `n` bytes, with as many write(2) as it takes. Returns 0, or -1 with errno
 * where one fails or takes nothing; what went before has been written then. */
CW_MUSTCHECK int cw_write_all(int fd, const void *p, size_t n);

#endif
